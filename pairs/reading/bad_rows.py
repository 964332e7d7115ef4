"""Count the rows of a file that cannot be used, and stop when they are more than an accident."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.errors import InputError

HOPELESS = 1000
"""From so many bad rows on, a file of which more than half is bad is refused without reading the rest."""
log = logging.getLogger(__name__)


class BadRow(Exception):  # noqa: N818  it is caught and counted, never shown
    """Why a row cannot be used, in words that follow `line 7: `."""


@dataclass
class FileCount:
    """What was found in one file."""

    path: Path
    max_share: float
    unit: str = "line"
    good: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: tuple[int, str] | None = None
    """Number and fault of the first bad row."""

    @property
    def bad(self) -> int:
        """Rows that were left out."""
        return self.reasons.total()

    def add_bad(self, number: int, what: str) -> None:
        """One row that is left out, and why, in words that follow `line 7: `."""
        self.reasons[what] += 1
        if self.first is None or number < self.first[0]:
            self.first = (number, what)
        if self.bad >= HOPELESS and self.bad > max(self.max_share, 0.5) * (self.good + self.bad):
            raise self.refusal()

    def close(self) -> None:
        """Refuse the file if too much of it is bad; warn if anything is."""
        if self.bad > self.max_share * (self.good + self.bad):
            raise self.refusal()
        if self.first is not None:
            rows = self.good + self.bad
            log.warning(
                "%s: left out %d of %d %ss, the first: %s %d: %s",
                self.path, self.bad, rows, self.unit, self.unit, *self.first,
            )  # fmt: skip

    def refusal(self) -> InputError:
        """The error that names the first bad row and the ways out."""
        assert self.first is not None
        number, what = self.first
        rows = self.good + self.bad
        return InputError(
            f"{self.path}: {self.unit} {number}: {what}; {self.bad} of the {rows} {self.unit}s read are bad, "
            f"more than pair.max_bad_share={self.max_share:g}: mend or remove them, or raise it"
        )


@dataclass
class Ledger:
    """The counts of every file of a run."""

    max_share: float
    files: list[FileCount] = field(default_factory=list)

    def open(self, path: Path, unit: str = "line") -> FileCount:
        """Begin a file."""
        count = FileCount(path, self.max_share, unit)
        self.files.append(count)
        return count

    def describe(self) -> dict[str, Any]:  # Any: plain JSON values
        """The card's entry: rows of every file, and the bad ones by reason."""
        return {
            "max_bad_share": self.max_share,
            "bad_rows": sum(count.bad for count in self.files),
            "files": [
                {"file": count.path.name, "rows": count.good + count.bad, "bad": dict(count.reasons.most_common())}
                for count in self.files
            ],
        }
