"""CSV as rows for `read_rows`."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from launch.errors import InputError
from pairs.reading.bad_rows import BadRow, FileCount
from pairs.reading.line_blocks import LONGEST_LINE, Block, closes_quotes, read_blocks
from pairs.reading.read_rows import Column, Kind

MAX_RECORD_LINES = 1000
NUMBER = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True)
class CsvLines:
    """Fields parted by a character; `header` names them all, in order."""

    header: list[str]
    separator: str = ","
    has_header: bool = False
    quoted: bool = True

    def read_block(self, block: Block, columns: list[Column]) -> pl.DataFrame | None:
        """All rows by polars, unless a quote stays open at a line's end: it takes all up to the next for one field."""
        data = block.data
        if not closes_quotes(data):
            return None
        if self.has_header and block.first_line == 1:
            data = data[data.find(b"\n") + 1 :]
        kinds = {column.key: column.kind for column in columns}
        schema = {key: pl.Float64 if kinds.get(key) == "number" else pl.String for key in self.header}
        try:
            frame = pl.read_csv(data, has_header=False, schema=schema, separator=self.separator)
        except (pl.exceptions.PolarsError, OSError):
            return None
        return frame.select(_as_column(column).alias(column.name) for column in columns)

    def parse(self, block: Block, columns: list[Column]) -> Iterator[tuple[int, list[Any] | BadRow]]:
        """Every row by the csv module; a record may span lines inside quotes, a stray quote spoils one line only."""
        places = [self.header.index(column.key) for column in columns]
        lines = list(block.lines())
        at = 0
        while at < len(lines):
            number, (fields, used) = lines[at][0], self._record(lines, at)
            at += used
            if number == 1 and self.has_header:
                continue
            if isinstance(fields, BadRow):
                yield number, fields
            else:
                yield number, [_from_csv(fields[place], c.kind) for place, c in zip(places, columns, strict=True)]

    def _record(self, lines: list[tuple[int, bytes]], at: int) -> tuple[list[str] | BadRow, int]:
        """The fields of the record that begins at line `at`, and how many lines it takes."""
        record = b""
        for used, (_, line) in enumerate(lines[at : at + MAX_RECORD_LINES], start=1):
            record += line
            if record.count(b'"') % 2 == 0 or len(record) > LONGEST_LINE:
                fields = split_fields(record, self.separator)
                if not isinstance(fields, BadRow) and len(fields) <= len(self.header):
                    return fields + [""] * (len(self.header) - len(fields)), used
                break
            record += b"\n"
        fields = split_fields(lines[at][1], self.separator)
        if isinstance(fields, BadRow):
            return fields, 1
        return BadRow(f"has a wrong number of fields, expected {', '.join(self.header)}"), 1


def split_fields(record: bytes, separator: str = ",") -> list[str] | BadRow:
    """The fields of one CSV record."""
    try:
        text = record.decode("utf-8").removesuffix("\r")
        return next(csv.reader([text], delimiter=separator, strict=True))
    except UnicodeDecodeError:
        return BadRow("is not UTF-8 text")
    except (csv.Error, StopIteration):
        return BadRow("is no CSV record")


def _as_column(column: Column) -> pl.Expr:
    return pl.concat_list(column.key) if column.kind == "words" else pl.col(column.key)


def _from_csv(field: str, kind: Kind) -> Any:  # Any: what the kind says
    match kind:
        case "id" | "text":
            return field or None
        case "number":
            return float(field) if NUMBER.fullmatch(field) else None
        case "words":
            return [field]


def first_line(path: Path, separator: str = ",") -> list[str]:
    """The fields of a file's first line, without blanks around them; none if the file is empty."""
    count = FileCount(path, 1.0)
    for block in islice(read_blocks(path, count), 1):
        for number, line in islice(block.lines(), 1):
            if count.first is not None:
                raise count.refusal()
            if number > 1:
                raise InputError(f"{path}: line 1 is blank; remove it")
            fields = split_fields(line, separator)
            if isinstance(fields, BadRow):
                raise InputError(f"{path}: line 1 {fields}; is it a CSV file in UTF-8?")
            return [field.strip() for field in fields]
    return []
