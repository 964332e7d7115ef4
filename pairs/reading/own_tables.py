"""Read other people's tables: Parquet, CSV or JSON lines whose columns the recipe names."""

from collections.abc import Collection, Iterator
from pathlib import Path

import polars as pl

from launch.errors import InputError
from pairs.config import ColumnsConfig
from pairs.reading.amazon import read_json_events, read_json_items
from pairs.reading.bad_rows import FileCount, Ledger
from pairs.reading.csv_rows import CsvLines, first_line
from pairs.reading.json_rows import peek_json
from pairs.reading.parquet_batches import parquet_schema
from pairs.reading.raw_files import PARQUET, bare_name, refuse_other_than_file
from pairs.reading.raw_keys import EVENT_SCHEMA, EventKeys, ItemKeys
from pairs.reading.read_rows import Check, Column, empty, read_parquet, read_rows

JSON = (".json", ".jsonl", ".ndjson")
SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_events(path: Path, columns: ColumnsConfig, ledger: Ledger) -> Iterator[pl.DataFrame]:
    """user, item, time (seconds), rating of every row, a block at a time."""
    keys = EventKeys(columns.user, columns.item, columns.time, columns.rating, columns.time_format)
    suffix = _suffix(path)
    if suffix in JSON:
        count = ledger.open(path)
        peeked = peek_json(path, count)
        if not peeked:
            return iter([pl.DataFrame(schema=EVENT_SCHEMA)])
        _check_names(path, keys.columns(), {key for row in peeked for key in row})
        return read_json_events(path, keys, peeked, count)
    return map(keys.finish, _read_table(path, keys.columns(), keys.checks(), ledger))


def read_items(path: Path, columns: ColumnsConfig, ledger: Ledger, *, max_chars: int) -> Iterator[pl.DataFrame]:
    """item, title (cleaned, "" if none), attributes, cut (too long a title) of every row, a block at a time."""
    keys = ItemKeys(columns.item, columns.title, tuple(columns.attributes))
    suffix = _suffix(path)
    if suffix in JSON:
        count = ledger.open(path)
        peeked = peek_json(path, count)
        _check_names(path, keys.columns(), {key for row in peeked for key in row})
        return read_json_items(path, keys, peeked, count, max_chars=max_chars)
    tables = _read_table(path, keys.columns(), keys.checks(), ledger)
    return (keys.finish(rows, max_chars=max_chars) for rows in tables)


def _read_table(path: Path, columns: list[Column], checks: list[Check], ledger: Ledger) -> Iterator[pl.DataFrame]:
    suffix = _suffix(path)
    if suffix in PARQUET:
        refuse_other_than_file(path)
        count: FileCount = ledger.open(path, unit="row")
        _check_names(path, columns, parquet_schema(path).names())
        return read_parquet(path, columns, checks, count)
    separator = SEPARATORS[suffix]
    count = ledger.open(path)
    header = first_line(path, separator)
    if not header:
        return iter([empty(columns)])
    _check_names(path, columns, header)
    if len(set(header)) < len(header):
        raise InputError(f"{path}: line 1 names a column twice: {', '.join(header)}; rename one")
    return read_rows(path, CsvLines(header, separator, has_header=True), columns, checks, count)


def _suffix(path: Path) -> str:
    suffix = Path(bare_name(path)).suffix.lower()
    if suffix not in (*JSON, *PARQUET, *SEPARATORS):
        known = ", ".join((*JSON, *PARQUET, *SEPARATORS))
        raise InputError(f"{path}: its name must end in one of {known} (text forms also with .gz or .zst)")
    return suffix


def _check_names(path: Path, columns: list[Column], names: Collection[str]) -> None:
    missing = next((column for column in columns if column.key not in names), None)
    if missing is not None:
        key = "attributes" if missing.name.startswith("words") else missing.name
        raise InputError(
            f"{path}: has no column {missing.key!r} (its columns: {', '.join(sorted(names)) or 'none'}); "
            f"set pair.columns.{key}"
        )
