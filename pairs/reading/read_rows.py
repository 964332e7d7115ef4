"""Read wanted columns of a JSON-lines, CSV or Parquet file, block by block, leaving out and counting bad rows.

A block goes to polars whole; only where polars refuses it, or gives a row that is not as it should be, is it read again
line by line, to keep its good rows and to name its bad ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl

from launch.errors import InputError
from pairs.reading.bad_rows import BadRow, FileCount
from pairs.reading.line_blocks import Block, is_plain, read_blocks
from pairs.reading.parquet_batches import MOST_BYTES, parquet_batches, parquet_schema
from pairs.reading.raw_files import damaged
from pairs.reading.read_ahead import ahead, each_ahead

Kind = Literal["id", "text", "number", "words"]
"""An id or a text is a string or a number, never a list, a mapping or true."""
NOUNS: dict[Kind, str] = {"id": "ids", "text": "texts", "number": "numbers", "words": "words"}
UNFINISHED = (b"{'", b'{"')
"""How a line of a dump begins: if the file's last one has no end and does not parse, the file was cut off."""


@dataclass(frozen=True)
class Column:
    """A wanted column: its name here, its key in the file, and what it holds."""

    name: str
    key: str
    kind: Kind = "text"

    @property
    def dtype(self) -> pl.DataType:
        """Its type in the frames that come back."""
        match self.kind:
            case "id" | "text":
                return pl.String()
            case "number":
                return pl.Float64()
            case "words":
                return pl.List(pl.String)


@dataclass(frozen=True)
class Check:
    """A row is bad where `wrong` (never null) holds; `what` follows `line 7: `."""

    wrong: pl.Expr
    what: str


class Form(Protocol):
    """How a file of lines is written."""

    @property
    def quoted(self) -> bool:
        """Whether a row may span lines inside double quotes."""

    def read_block(self, block: Block, columns: list[Column]) -> pl.DataFrame | None:
        """All rows of the block with the columns' own types, or None if some row is in doubt."""

    def parse(self, block: Block, columns: list[Column]) -> Iterator[tuple[int, list[Any] | BadRow]]:
        """Line number and values (or fault) of every row."""


def read_rows(
    path: Path, form: Form, columns: list[Column], checks: list[Check], count: FileCount
) -> Iterator[pl.DataFrame]:
    """The good rows of a file of lines, in file order, a block at a time; first a frame without rows."""
    yield empty(columns)
    blocks = ahead(read_blocks(path, count, quoted=form.quoted))
    for block, frame in each_ahead(blocks, lambda block: _read_quickly(form, block, columns, checks)):
        if frame is not None:
            count.good += frame.height
            yield frame
            continue
        rows, faults = _read_carefully(path, form, block, columns)
        good = keep_good(rows, checks, count)
        for number, fault in faults:
            count.add_bad(number, str(fault))
        yield good
    count.close()


def _read_quickly(form: Form, block: Block, columns: list[Column], checks: list[Check]) -> pl.DataFrame | None:
    """The block's rows if every one of them is good."""
    frame = form.read_block(block, columns) if is_plain(block.data) else None
    if frame is None or frame.select(pl.any_horizontal(check.wrong for check in checks).any()).item():
        return None
    return frame


def keep_good(frame: pl.DataFrame, checks: list[Check], count: FileCount) -> pl.DataFrame:
    """The rows that no check finds wrong; the others are counted by the number in their column `line`."""
    good = frame.filter(~pl.any_horizontal(check.wrong for check in checks))
    count.good += good.height
    if good.height < frame.height:
        for check in checks:
            for line in frame.filter(check.wrong)["line"]:
                count.add_bad(line, check.what)
            frame = frame.filter(~check.wrong)
    return good.drop("line", strict=False)


def empty(columns: list[Column]) -> pl.DataFrame:
    """No rows."""
    return pl.DataFrame(schema={column.name: column.dtype for column in columns})


def _read_carefully(
    path: Path, form: Form, block: Block, columns: list[Column]
) -> tuple[pl.DataFrame, list[tuple[int, BadRow]]]:
    numbers: list[int] = []
    values: list[list[Any]] = []  # Any: as the line has it
    faults: list[tuple[int, BadRow]] = []
    end = block.first_line + block.data.count(b"\n")
    for number, row in form.parse(block, columns):
        if not isinstance(row, BadRow):
            numbers.append(number)
            values.append(row)
        elif block.last and number == end and block.data.rpartition(b"\n")[2].startswith(UNFINISHED):
            raise damaged(path, f"line {number} ends in the middle") from row
        else:
            faults.append((number, row))
    schema = {column.name: column.dtype for column in columns}
    frame = pl.DataFrame(values, schema=schema, orient="row") if values else empty(columns)
    return frame.with_columns(line=pl.Series(numbers, dtype=pl.Int64)), faults


def read_parquet(path: Path, columns: list[Column], checks: list[Check], count: FileCount) -> Iterator[pl.DataFrame]:
    """The good rows of a Parquet file, a batch at a time, after an empty frame; dates come back in seconds."""
    yield empty(columns)
    schema = parquet_schema(path)
    _refuse_types(path, schema, columns)

    def leave_out(row: int) -> None:
        count.add_bad(row, f"is longer than {MOST_BYTES >> 20} MiB")

    for first, frame in parquet_batches(path, [column.key for column in columns], too_long=leave_out):
        typed = frame.select(_from_parquet(frame.schema[column.key], column) for column in columns)
        lines = pl.int_range(first, first + frame.height, dtype=pl.Int64)
        yield keep_good(typed.with_columns(line=lines), checks, count)
    count.close()


def _refuse_types(path: Path, schema: pl.Schema, columns: list[Column]) -> None:
    for column in columns:
        dtype = schema[column.key]
        inner = dtype.inner if column.kind == "words" and isinstance(dtype, pl.List) else dtype
        nested = inner.is_nested() if isinstance(inner, pl.DataType) else True
        if nested or (column.kind == "id" and dtype == pl.Boolean):
            name = "attributes" if column.kind == "words" else column.name
            raise InputError(
                f"{path}: column {column.key} holds {dtype}, no {NOUNS[column.kind]}; set pair.columns.{name}"
            )


def _from_parquet(dtype: pl.DataType, column: Column) -> pl.Expr:
    values = pl.col(column.key)
    if column.kind == "number":
        values = values.dt.epoch("s") if dtype.is_temporal() else values
        return values.cast(pl.Float64, strict=False).alias(column.name)
    if column.kind == "words" and not isinstance(dtype, pl.List):
        return pl.concat_list(values.cast(pl.String)).alias(column.name)
    return values.cast(column.dtype).alias(column.name)
