"""The two catalogues of a released pair: CSV files whose columns are found by their header."""

import csv
import re
from itertools import pairwise
from pathlib import Path

import polars as pl

from launch.errors import InputError
from pairs.reading.line_blocks import read_lines
from pairs.reading.raw_files import bare_name
from pairs.reading.text import clean_titles

ITEM_ID = re.compile(r"[0-9]{1,18}")
ITEM_FIELDS = ("idBefore", "item_title", "idAfter", "item_attribute")
ENDING = "_items.csv"


def read_catalogues(folder: Path) -> tuple[pl.DataFrame, tuple[str, str], list[Path]]:
    """item i64 (row number), domain i8, source_id, title, attributes of both domains; their names; the files."""
    paths = find_catalogues(folder)
    tables = sorted(((read_catalogue(path), path) for path in paths), key=lambda read: int(read[0]["item"][0]))
    items = pl.concat(table.with_columns(domain=pl.lit(d, pl.Int8)) for d, (table, _) in enumerate(tables))
    ids = items["item"].to_list()
    wrong = next((expected for expected, number in enumerate(ids) if number != expected), None)
    if wrong is not None:
        raise InputError(
            f"{paths[0]}, {paths[1].name}: idAfter must run from 0 through one file and on through the "
            f"other; {wrong} is missing or {ids[wrong]} is there twice; mend the catalogue"
        )
    x, y = (bare_name(path).removesuffix(ENDING).replace("_", " ") for _, path in tables)
    return items, (x, y), paths


def find_catalogues(folder: Path) -> list[Path]:
    """The two `NAME_items.csv` files of a released pair."""
    files = sorted(path for path in folder.iterdir() if bare_name(path).endswith(ENDING))
    for one, other in pairwise(files):
        if bare_name(one) == bare_name(other):
            raise InputError(f"{one} and {other.name} are both there; remove one")
    if len(files) != 2:
        raise InputError(f"{folder}: holds {len(files)} files NAME{ENDING}[.gz], a released pair needs two")
    return files


def read_catalogue(path: Path) -> pl.DataFrame:
    """One domain's items in id order: item, source_id, title, attributes."""
    try:
        rows = list(csv.reader(read_lines(path)))
    except csv.Error as error:  # a field beyond any measure, a zero byte
        raise InputError(f"{path}: is no CSV file ({error}); fetch the catalogue again") from error
    if len(rows) < 2:
        raise InputError(f"{path}: holds no item: an empty domain; fetch the catalogue again")
    places = _places(path, rows[0])
    _check_rows(path, rows, places)
    columns = {name: [row[place] for row in rows[1:]] for name, place in places.items()}
    return clean_titles(pl.DataFrame(columns), "item_title").select(
        item=pl.col("idAfter").cast(pl.Int64),
        source_id="idBefore",
        title="item_title",
        attributes=pl.col("item_attribute").str.to_lowercase().str.strip_chars(),
    ).sort("item")  # fmt: skip


def _places(path: Path, header: list[str]) -> dict[str, int]:
    """Where the header has each of our columns; others are left alone."""
    names = [name.strip() for name in header]
    for field in ITEM_FIELDS:
        if names.count(field) != 1:
            what = f"{field} twice" if field in names else f"no {field}"
            raise InputError(f"{path}: row 1 names {what}; it must be a header with {', '.join(ITEM_FIELDS)}")
    return {field: names.index(field) for field in ITEM_FIELDS}


def _check_rows(path: Path, rows: list[list[str]], places: dict[str, int]) -> None:
    source, number = places["idBefore"], places["idAfter"]
    known: dict[str, set[str]] = {"idBefore": set(), "idAfter": set()}
    for at, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]):
            raise InputError(f"{path}: row {at} has {len(row)} fields, expected {', '.join(rows[0])}; mend the row")
        if not ITEM_ID.fullmatch(row[number]):
            raise InputError(f"{path}: row {at}: idAfter must be a number, got {row[number]!r}; mend the row")
        if not row[source].strip():
            raise InputError(f"{path}: row {at}: idBefore is blank; mend the row")
        for field, ids in known.items():
            value = row[places[field]]
            if value in ids:
                raise InputError(
                    f"{path}: row {at}: {field} {value if field == 'idAfter' else repr(value)} is there twice; "
                    "remove one row"
                )
            ids.add(value)
