"""Read raw Amazon reviews and metadata: the 2014, 2018 and 2023 forms, told apart by their keys.

The files are scanned by polars, streaming, with only the needed keys; a Python pass over the lines happens only to say
which row of a refused file is wrong.
"""

import glob
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from launch.errors import InputError
from pairs.raw_files import AmazonFiles, damaged, open_raw
from pairs.text import attribute_words, clean_titles

log = logging.getLogger(__name__)

USER_KEYS = ("user_id", "reviewerID")
ITEM_KEYS = ("parent_asin", "asin")
TIME_KEYS = ("timestamp", "unixReviewTime")
CATEGORY_KEYS = ("categories", "category")
BRAND_KEYS = ("store", "brand")
PEEKED_ROWS = 1000
MILLISECONDS_FROM = 100_000_000_000
"""A time above this is in milliseconds: as seconds it would be the year 5138."""

Row = dict[str, Any]  # Any: a JSON object as it was found


@dataclass(frozen=True)
class RawPair:
    """What the files hold, before any filter."""

    names: tuple[str, str]
    events: pl.DataFrame
    """user str, item str, domain i8, time i64 (seconds)."""
    catalogue: pl.DataFrame
    """domain i8, item str, title str, attributes str; one row an item, only items with a title."""


def read_amazon(x: AmazonFiles, y: AmazonFiles) -> RawPair:
    """Both categories' reviews and the titles and attributes of their items."""
    events, catalogues = [], []
    for domain, files in enumerate((x, y)):
        tag = pl.lit(domain, pl.Int8).alias("domain")
        reviews = pl.concat([read_reviews(path) for path in files.reviews])
        meta = pl.concat([read_metadata(path) for path in files.meta]).unique("item", keep="first", maintain_order=True)
        if reviews.is_empty():
            raise InputError(f"{files.reviews[0]}: holds no review: {files.name} would be an empty domain")
        log.info("%s: %d reviews, %d items with a title", files.name, reviews.height, meta.height)
        events.append(reviews.with_columns(tag))
        catalogues.append(meta.with_columns(tag))
    return RawPair((x.name, y.name), pl.concat(events), pl.concat(catalogues))


def read_reviews(path: Path) -> pl.DataFrame:
    """user, item, time (seconds) of every review, in file order."""
    peeked = _peek(path)
    if not peeked:
        return pl.DataFrame(schema={"user": pl.String, "item": pl.String, "time": pl.Int64})
    user, item, time = (_key_of(path, peeked, keys, "reviews") for keys in (USER_KEYS, ITEM_KEYS, TIME_KEYS))
    schema = {user: pl.String, item: pl.String, time: pl.Float64}  # exact to 2**53, and some dumps write 1.5e9
    seconds = pl.when(pl.col(time) > MILLISECONDS_FROM).then(pl.col(time) / 1000).otherwise(pl.col(time))
    columns = [pl.col(user).alias("user"), pl.col(item).alias("item"), seconds.floor().cast(pl.Int64).alias("time")]
    table = _scan(path, schema, columns)
    if table.null_count().sum_horizontal().item():
        raise _first_fault(path, schema) or InputError(f"{path}: a review lacks {user}, {item} or {time}")
    return table


def read_metadata(path: Path) -> pl.DataFrame:
    """item, title (cleaned), attributes (words of categories and brand) of every item with a title, in file order."""
    peeked = _peek(path)
    if not peeked:
        raise InputError(f"{path}: holds no item: an empty domain; fetch the metadata again")
    item, title = (_key_of(path, peeked, keys, "metadata") for keys in (ITEM_KEYS, ("title",)))
    columns = [pl.col(item).alias("item"), pl.col("title")]
    schema: dict[str, pl.DataType | type[pl.DataType]] = {item: pl.String, title: pl.String}
    words: list[pl.Expr] = []
    for keys in (CATEGORY_KEYS, BRAND_KEYS):
        key = _find_key(peeked, keys)
        if key is not None and any(row.get(key) for row in peeked):
            schema[key] = _type_of(peeked, key)
            words.append(_as_words(pl.col(key), schema[key]))
    parts = pl.concat_list(words) if words else pl.lit(None, pl.List(pl.String))
    table = _scan(path, schema, [*columns, parts.alias("words")])
    if table["item"].null_count():
        raise _first_fault(path, {item: pl.String}) or InputError(f"{path}: an item lacks {item}")
    table = clean_titles(table, "title").with_columns(attribute_words("words").alias("attributes"))
    return table.filter(pl.col("title") != "").select("item", "title", "attributes")


def _scan(path: Path, schema: Any, columns: list[pl.Expr]) -> pl.DataFrame:  # Any: names to polars types
    try:
        # escape: polars takes a path for a glob pattern, and one that matches nothing for an empty file
        scan = pl.scan_ndjson(glob.escape(str(path)), schema=schema)
        return scan.select(columns).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        fault = _first_fault(path, schema)
        if fault is not None:
            raise fault from error
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise damaged(path, " ".join(str(error).split())[:200]) from error


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Line number and object of every line; the first that is not one is an InputError."""
    with open_raw(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:  # bad JSON and bad UTF-8
                if line.startswith((b"{'", b'{"')) and not line.endswith(b"\n"):
                    raise damaged(path, f"line {number} ends in the middle") from error
                raise InputError(f"{path}: line {number} is not a JSON object in UTF-8; mend or remove it") from error
            if not isinstance(row, dict):
                raise InputError(f"{path}: line {number} is not a JSON object; mend or remove it")
            yield number, row


def _peek(path: Path) -> list[Row]:
    return [row for _, row in islice(_rows(path), PEEKED_ROWS)]


def _first_fault(path: Path, schema: Any) -> InputError | None:  # Any: names to polars types
    """The error of the first line that the schema refuses, found the slow way."""
    try:
        for number, row in _rows(path):
            for key, kind in schema.items():
                value = row.get(key)
                if kind == pl.Float64 and (not isinstance(value, int | float) or value != value):
                    return InputError(f"{path}: line {number}: {key} must be a number, got {value!r}; mend the row")
                if key in (*USER_KEYS, *ITEM_KEYS) and not isinstance(value, str):
                    return InputError(f"{path}: line {number}: {key} must be text, got {value!r}; mend the row")
    except InputError as error:
        return error
    return None


def _find_key(peeked: list[Row], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if any(row.get(key) is not None for row in peeked)), None)


def _key_of(path: Path, peeked: list[Row], keys: tuple[str, ...], kind: str) -> str:
    key = _find_key(peeked, keys)
    if key is None:
        raise InputError(f"{path}: line 1 has none of the keys {', '.join(keys)}; is it a file of Amazon {kind}?")
    return key


def _type_of(peeked: list[Row], key: str) -> pl.DataType | type[pl.DataType]:
    value = next(row[key] for row in peeked if row.get(key))
    if isinstance(value, list):
        return pl.List(pl.List(pl.String)) if value and isinstance(value[0], list) else pl.List(pl.String)
    return pl.String


def _as_words(column: pl.Expr, kind: pl.DataType | type[pl.DataType]) -> pl.Expr:
    """A category or brand column of any form as list<str>."""
    if kind == pl.List(pl.List(pl.String)):  # 2014: one path or several
        column = column.list.eval(pl.element().explode(empty_as_null=False))
    elif kind == pl.String:
        column = column.fill_null("").reshape((-1, 1)).arr.to_list()
    return column.fill_null([])
