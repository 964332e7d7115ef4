"""Text of strangers and of models, as a terminal may show it: no control characters, nothing that turns a line."""

import logging
import unicodedata
from typing import Any

JOINERS = "\u200c\u200d"
"""Letters of Persian and families of emoji need them; they move nothing."""


def shown(text: str) -> str:
    """`text` on one line, with escapes such as `\\x1b` for whatever is not text: control characters, line ends,
    marks of direction, halves of characters."""
    if text.isprintable():
        return text
    return "".join(letter if _is_text(letter) else letter.encode("unicode_escape").decode() for letter in text)


def shown_lines(text: str) -> str:
    """As `shown`, but with the line ends that we wrote ourselves."""
    return "\n".join(map(shown, text.split("\n")))


class ShownFormatter(logging.Formatter):
    """A record is one line, whatever its arguments hold; below it the lines of a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        """The line."""
        return shown(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  likewise; Any: its type has no public name
        """The traceback."""
        return shown_lines(super().formatException(ei))


def _is_text(letter: str) -> bool:
    return letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs"
