"""Parse one line of a dump: strict JSON, or the Python literal of the 2014 files, which is never evaluated.

A Python literal is turned into JSON token by token: strings in either quotes with their escapes, numbers, None, True,
False, lists, tuples and mappings. Anything else, and anything nested too deeply, is a bad row.
"""

import json
import re
from json.encoder import encode_basestring as encode_string
from typing import Any, NoReturn

from pairs.reading.bad_rows import BadRow
from pairs.reading.line_blocks import DEEPEST, LONGEST_LINE

Row = dict[str, Any]  # Any: a JSON object as it was found

NOT_JSON = "is not a JSON object in UTF-8"
TOKEN = re.compile(
    r"""(?P<space>\s+)
    |[uU]?(?P<text>'(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+")
    |(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)(?![\w.])
    |(?P<word>None|True|False)\b
    |(?P<open>[\[({])
    |(?P<close>[\])}])
    |(?P<mark>[,:])""",
    re.VERBOSE | re.DOTALL,
)
STRING = re.compile(r"""(?<!\w)[uU]?('(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+")""", re.DOTALL)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)", re.DOTALL)
SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", "'": "'", '"': '"'}
WORDS = {"None": "null", "True": "true", "False": "false"}
PAIRED = {"(": "[", ")": "]"}
MAX_DEPTH = 200


def parse_object(line: bytes) -> Row:
    """The object that a line holds."""
    if len(line) > LONGEST_LINE:
        raise BadRow(f"is longer than {LONGEST_LINE >> 20} MiB")
    try:
        text = line.decode("utf-8").strip()
        value = _loads_any(text)
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, nesting without end
        raise BadRow(NOT_JSON) from error
    if not isinstance(value, dict):
        raise BadRow("is not a JSON object")
    return value


def _loads_any(text: str) -> Any:  # Any: whatever the line holds
    if not text.startswith(("{'", "{u")):
        try:
            return _loads(text)
        except ValueError:
            if not text.startswith("{"):
                raise
    return _loads_literal(text)


def _loads(text: str) -> Any:  # Any: whatever JSON holds
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > MAX_DEPTH:
        raise ValueError("nested too deeply")
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_first_of_each)


def _loads_literal(text: str) -> Any:  # Any: whatever a literal holds
    try:  # enough where there is no None, True, False or tuple, and several times as fast as token by token
        return _loads(STRING.sub(lambda match: _as_json_string(match[1][1:-1]), text))
    except ValueError:
        return _loads(_as_json(text))


def _first_of_each(pairs: list[tuple[str, Any]]) -> Row:
    """Of a key that stands twice the first value counts, as it does for polars."""
    row = dict(pairs)
    return row if len(row) == len(pairs) else dict(reversed(pairs))


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _depth(text: str) -> int:
    """How deeply a JSON text is nested at most."""
    depth = deepest = 0
    for bracket in re.sub(r'"(?:[^"\\]|\\.)*+"|[^\[\]{}]', "", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _as_json(text: str) -> str:
    """A Python literal as JSON; ValueError at the first thing that is neither."""
    parts: list[str] = []
    place = depth = 0
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"unexpected {text[place : place + 10]!r}")
        token, kind = match[0], match.lastgroup
        if kind == "text":
            parts.append(_as_json_string(match["text"][1:-1]))
        elif kind == "word":
            parts.append(WORDS[token])
        elif kind in {"open", "close"}:
            depth += 1 if kind == "open" else -1
            if depth > MAX_DEPTH:
                raise ValueError("nested too deeply")
            if kind == "close" and parts and parts[-1] == ",":  # [1, 2,] and (1,)
                parts.pop()
            parts.append(PAIRED.get(token, token))
        elif kind != "space":
            parts.append(token)
        place = match.end()
    return "".join(parts)


def _as_json_string(body: str) -> str:
    return encode_string(ESCAPE.sub(_unescape, body) if "\\" in body else body)


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code in SIMPLE:
        return SIMPLE[code]
    if len(code) > 1 and code[0] in "xuU":
        return chr(int(code[1:], 16))
    if code.isascii() and code.isdigit() and code[0] in "01234567":
        return chr(int(code, 8))
    return "" if code == "\n" else match[0]  # Python leaves an unknown escape as it stands
