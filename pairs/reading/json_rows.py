"""JSON lines (and the Python literals of 2014) as rows for `read_rows`."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from pairs.reading.bad_rows import BadRow, FileCount
from pairs.reading.json_lines import Row, parse_object
from pairs.reading.line_blocks import Block, read_blocks
from pairs.reading.raw_files import damaged
from pairs.reading.read_rows import UNFINISHED, Column, Kind

SURROGATE = re.compile(r"[\ud800-\udfff]")
NO_TEXTS: dict[type, str] = {list: "a list", dict: "a mapping", bool: "true or false"}
PEEKED_ROWS = 1000
PEEKED_BYTES = 1 << 20
"""Read at once until enough rows are there."""


@dataclass(frozen=True)
class JsonLines:
    """One object a line. `types` are the polars types that the columns' keys were seen to have."""

    types: dict[str, Any]  # Any: polars types and instances of them
    quoted: bool = False

    def read_block(self, block: Block, columns: list[Column]) -> pl.DataFrame | None:
        """All rows by polars."""
        if block.data.lstrip().startswith(b"{'"):
            return None  # the Python form of 2014: polars need not be asked
        try:
            frame = pl.read_ndjson(block.data, schema=self.types)
        except (pl.exceptions.PolarsError, OSError):
            return None
        frame = frame.select(self._typed(column).alias(column.name) for column in columns)
        texts = [column.name for column in columns if column.kind in ("id", "text")]
        return None if frame.select(pl.any_horizontal(map(_may_be_no_text, texts)).any()).item() else frame

    def parse(self, block: Block, columns: list[Column]) -> Iterator[tuple[int, list[Any] | BadRow]]:
        """Every row by Python's own parser."""
        for number, line in block.lines():
            try:
                row = parse_object(line)
                yield number, [_value(row, column) for column in columns]
            except BadRow as fault:
                yield number, fault

    def _typed(self, column: Column) -> pl.Expr:
        if column.key not in self.types:
            return pl.lit(None, column.dtype)
        values, dtype = pl.col(column.key), self.types[column.key]
        if column.kind != "words":
            return values
        if dtype == pl.List(pl.List(pl.String)):  # 2014: one path or several
            values = values.list.eval(pl.element().explode(empty_as_null=False))
        elif dtype == pl.String:
            values = values.fill_null("").reshape((-1, 1)).arr.to_list()
        return values.fill_null([])


def peek_json(path: Path, count: FileCount) -> list[Row]:
    """The first good rows of a file of JSON lines; none if it holds no line. A file without any good is refused."""
    counted = FileCount(path, count.max_share)
    rows: list[Row] = []
    for block in read_blocks(path, counted, size=PEEKED_BYTES):
        if block.data.isspace():  # at once, however many lines
            continue
        for number, line in block.lines():
            try:
                rows.append(parse_object(line))
                counted.good += 1
            except BadRow as fault:
                if block.last and block.data.find(b"\n") < 0 and line.startswith(UNFINISHED):
                    raise damaged(path, f"line {number} ends in the middle") from fault
                counted.add_bad(number, str(fault))
            if len(rows) == PEEKED_ROWS:
                return rows
    if not rows and counted.first is not None:
        raise counted.refusal()
    return rows


def json_form(peeked: list[Row], columns: list[Column]) -> JsonLines:
    """The form of a file of which `peeked` are the first rows."""
    types: dict[str, Any] = {}
    for column in sorted(columns, key=lambda column: column.kind != "words"):  # a key may be both: then it is text
        value = next((row[column.key] for row in peeked if row.get(column.key)), None)
        types[column.key] = pl.Float64() if column.kind == "number" else pl.String()
        if column.kind == "words" and isinstance(value, list):
            types[column.key] = pl.List(pl.List(pl.String) if isinstance(value[0], list) else pl.String)
    return JsonLines(types)


def _may_be_no_text(column: str) -> pl.Expr:
    """Where polars may have made text of a list, a mapping, true or false; or the text was so."""
    text = pl.col(column)
    bracketed = (("[", "]"), ("{", "}"))  # both ends: many titles begin with a bracket
    nested = [text.str.starts_with(begin) & text.str.ends_with(end) for begin, end in bracketed]
    return pl.any_horizontal(*nested, text == "true", text == "false")


def _value(row: Row, column: Column) -> Any:  # Any: what the kind says
    value = row.get(column.key)
    if column.kind in ("id", "text") and isinstance(value, list | dict | bool):
        raise BadRow(f"{column.key} must be one {column.kind}, not {NO_TEXTS[type(value)]}")
    return AS_KIND[column.kind](value)


def _as_text(value: Any) -> str | None:  # Any: a JSON value
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, float):
        return _as_decimal(value)
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _as_decimal(value: float) -> str | None:
    """All its digits, and no more: as polars writes a number."""
    if not math.isfinite(value):
        return None
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _as_number(value: Any) -> float | None:  # Any: a JSON value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _as_words(value: Any) -> list[str]:  # Any: a JSON value
    if isinstance(value, str):
        return [_printable(value)]
    if isinstance(value, list):
        return [word for part in value for word in _as_words(part)]
    return []


def _printable(text: str) -> str:
    """Without lone surrogates, which no UTF-8 file can hold: zeros, as polars makes of them."""
    return SURROGATE.sub("\0", text) if not text.isascii() else text


AS_KIND: dict[Kind, Callable[[Any], Any]] = {
    "id": _as_text, "text": _as_text, "number": _as_number, "words": _as_words,
}  # fmt: skip
