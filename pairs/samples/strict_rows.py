"""Read a table that somebody wrote for us, in pieces: every value has its type, or the first that has not is refused.

Parquet, JSON lines and CSV (TSV) come out alike. In CSV a list is its values with blanks between them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import polars as pl

from launch.errors import InputError
from launch.errors import first_line as told_by
from pairs.reading.bad_rows import BadRow, FileCount
from pairs.reading.csv_rows import CsvLines, first_line
from pairs.reading.json_lines import parse_object
from pairs.reading.line_blocks import Block, read_blocks
from pairs.reading.parquet_batches import MOST_BYTES, parquet_batches, parquet_schema
from pairs.reading.read_rows import Column

Kind = Literal["text", "texts", "time", "times", "words"]
JSON, PARQUET = ("json", "jsonl", "ndjson"), ("parquet", "pq")
SEPARATORS = {"csv": ",", "tsv": "\t"}
TYPES: dict[Kind, pl.DataType] = {
    "text": pl.String(),
    "texts": pl.List(pl.String),
    "time": pl.Int64(),
    "times": pl.List(pl.Int64),
    "words": pl.List(pl.String),
}
DEMANDS: dict[Kind, str] = {
    "text": "text or a whole number",
    "texts": "a list of item ids",
    "time": "a whole number of seconds",
    "times": "a list of whole numbers of seconds",
    "words": "text or a list of texts",
}
LISTS = ("texts", "times", "words")
GROUP_ROWS = 50_000


@dataclass(frozen=True)
class Field:
    """A column of the file. One that is not required is null in every row if the file lacks it."""

    name: str
    kind: Kind
    required: bool = True


@dataclass(frozen=True)
class StrictFile:
    """A file of rows, and which of the wanted columns it has."""

    path: Path
    form: str
    """The ending of its name, without a compression's."""

    @property
    def unit(self) -> str:
        """What its rows are counted by."""
        return "row" if self.form in PARQUET else "line"

    def refuse(self, number: int, what: str) -> NoReturn:
        """InputError about one row."""
        raise InputError(f"{self.path}: {self.unit} {number}: {what}; mend or remove the {self.unit}")

    def columns(self) -> list[str]:
        """The names of its columns; of JSON lines, the keys of the first."""
        if self.form in PARQUET:
            return parquet_schema(self.path).names()
        if self.form in JSON:
            blocks = read_blocks(self.path, self._strict_count())
            return next((list(row) for block in blocks for _, row in self._objects_of(block)), [])
        return first_line(self.path, SEPARATORS[self.form])

    def read(self, fields: Sequence[Field]) -> Iterator[pl.DataFrame]:
        """`number` (of the row, from 1) and every field with its type; a missing value is null, a missing column all
        null. InputError at a value that is of another type."""
        if self.form in PARQUET:
            return self._read_parquet(fields)
        return self._read_json(fields) if self.form in JSON else self._read_csv(fields)

    def refuse_where(self, rows: pl.DataFrame, wrong: pl.Expr, what: str) -> None:
        """InputError with the first row that is wrong; `what` is formatted with its values."""
        bad = rows.filter(wrong).head(1)
        if bad.height:
            row = bad.row(0, named=True)
            self.refuse(row["number"], what.format(**row))

    def _check_names(self, fields: Sequence[Field], names: Sequence[str]) -> None:
        missing = next((field.name for field in fields if field.required and field.name not in names), None)
        if missing is not None:
            raise InputError(
                f"{self.path}: has no column {missing!r} (its columns: {', '.join(names) or 'none'}); add or rename it"
            )
        twice = next((name for name in names if list(names).count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{self.path}: names the column {twice!r} twice; rename one")

    def _read_parquet(self, fields: Sequence[Field]) -> Iterator[pl.DataFrame]:
        schema = parquet_schema(self.path)
        self._check_names(fields, schema.names())
        there = [field for field in fields if field.name in schema]
        columns = [self._from_parquet(schema[field.name], field) for field in there]
        names = [field.name for field in there]
        for first, frame in parquet_batches(self.path, names, too_long=self._refuse_long, rows=GROUP_ROWS):
            numbered = frame.with_columns(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias("number"))
            yield _complete(self._converted(numbered, columns), fields)

    def _converted(self, rows: pl.DataFrame, columns: Sequence[pl.Expr]) -> pl.DataFrame:
        """InputError with the first row that holds what its column's type has no room for."""
        try:
            return rows.select("number", *columns)
        except pl.exceptions.PolarsError as error:
            if rows.height == 1:
                self.refuse(rows["number"][0], f"cannot be read ({told_by(error)})")
            for part in (rows.head(rows.height // 2), rows.tail(rows.height - rows.height // 2)):
                self._converted(part, columns)
            raise

    def _refuse_long(self, number: int) -> None:
        self.refuse(number, f"is longer than {MOST_BYTES >> 20} MiB")

    def _from_parquet(self, dtype: pl.DataType, field: Field) -> pl.Expr:
        values = pl.col(field.name)
        plain = dtype in (pl.String, pl.Categorical) or dtype.is_integer()
        if field.kind == "words" and plain:
            return values.cast(pl.String).reshape((-1, 1)).arr.to_list().alias(field.name)
        inner: object = dtype
        if field.kind in LISTS and dtype != pl.Null:
            inner = dtype.inner if isinstance(dtype, pl.List) else None
        numbers = isinstance(inner, pl.DataType) and inner.is_integer()
        texts = field.kind not in ("time", "times") and inner in (pl.String, pl.Categorical)
        if not (numbers or texts or inner == pl.Null):
            demand = DEMANDS[field.kind]
            raise InputError(f"{self.path}: column {field.name!r} must be {demand}, it is {dtype}; cast it")
        return values.cast(TYPES[field.kind])

    def _read_json(self, fields: Sequence[Field]) -> Iterator[pl.DataFrame]:
        seen = False
        for block in read_blocks(self.path, self._strict_count()):
            numbers, rows = [], []
            for number, row in self._objects_of(block):
                if not seen:
                    self._check_names(fields, list(row))
                    seen = True
                numbers.append(number)
                rows.append([self._from_json(number, field, row.get(field.name)) for field in fields])
            yield _framed(numbers, rows, fields)

    def _objects_of(self, block: Block) -> Iterator[tuple[int, dict[str, Any]]]:  # Any: JSON values
        """Number and object of every line."""
        for number, line in block.lines():
            try:
                yield number, parse_object(line)
            except BadRow as fault:
                self.refuse(number, str(fault))

    def _from_json(self, number: int, field: Field, value: Any) -> Any:  # Any: a JSON value in, what the kind says out
        if value is None:
            return None
        is_right, convert = (_is_seconds, int) if field.kind in ("time", "times") else (_is_text, _as_text)
        if field.kind not in LISTS or (field.kind == "words" and is_right(value)):
            parts = [value]
        else:
            parts = value if isinstance(value, list) else [value, []]  # no list of lists is right
        if not all(part is None or is_right(part) for part in parts):
            self.refuse(number, f"{field.name} must be {DEMANDS[field.kind]}, got {str(value)[:60]!r}")
        typed = [None if part is None else convert(part) for part in parts]
        return typed if field.kind in LISTS else typed[0]

    def _read_csv(self, fields: Sequence[Field]) -> Iterator[pl.DataFrame]:
        separator = SEPARATORS[self.form]
        header = first_line(self.path, separator)
        self._check_names(fields, header)
        there = [field for field in fields if field.name in header]
        form = CsvLines(header, separator, has_header=True)
        columns = [Column(field.name, field.name) for field in there]
        for block in read_blocks(self.path, self._strict_count(), quoted=True):
            numbers, rows = [], []
            for number, row in form.parse(block, columns):
                if isinstance(row, BadRow):
                    self.refuse(number, str(row))
                numbers.append(number)
                rows.append(row)
            schema = {field.name: pl.String for field in there}
            text = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
                number=pl.Series(numbers, dtype=pl.Int64)
            )
            yield _complete(self._from_csv(text, there), fields)

    def _from_csv(self, text: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
        parts = pl.DataFrame({"number": text["number"]})
        for field in fields:
            value = pl.col(field.name)
            if field.kind in ("texts", "times"):
                value = value.str.extract_all(r"\S+")
            elif field.kind == "words":
                value = value.reshape((-1, 1)).arr.to_list()
            typed = text.select(value.cast(TYPES[field.kind], strict=False)).to_series()
            if field.kind in ("time", "times"):
                broken = (
                    typed.list.eval(pl.element().is_null()).list.any() if field.kind == "times" else typed.is_null()
                )
                wrong = broken & text[field.name].is_not_null()
                self.refuse_where(
                    text, pl.lit(wrong), f"{field.name} must be {DEMANDS[field.kind]}, got {{{field.name}!r:.60}}"
                )
            parts = parts.with_columns(typed.alias(field.name))
        return parts

    def _strict_count(self) -> "_StrictCount":
        return _StrictCount(self)


class _StrictCount(FileCount):
    """Refuses where others count."""

    def __init__(self, file: StrictFile) -> None:
        super().__init__(file.path, 0.0)
        self._file = file

    def add_bad(self, number: int, what: str) -> None:
        """The line reader's complaint."""
        self._file.refuse(number, what)


def _is_text(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _as_text(value: object) -> str:
    """Without lone surrogates, which no UTF-8 file can hold."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _framed(numbers: list[int], rows: list[list[Any]], fields: Sequence[Field]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={field.name: TYPES[field.kind] for field in fields}, orient="row")
    return frame.with_columns(number=pl.Series(numbers, dtype=pl.Int64))


def _complete(frame: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    """With all fields, in their order."""
    missing = {field.name: pl.lit(None, TYPES[field.kind]) for field in fields if field.name not in frame.columns}
    return frame.with_columns(**missing).select("number", *(field.name for field in fields))
