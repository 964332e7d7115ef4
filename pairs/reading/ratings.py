"""Read "ratings only" CSVs: 2014 (user,item,rating,timestamp), 2018 (item,user,rating,timestamp), 2023 (with a header).

The 2014 and 2018 files have no header and the same four fields. Their order is given by `pair.ratings_order`, or found
from the ids: a user's begins with A and is longer than an item's, which is an ASIN (B and nine more) or an ISBN.
"""

import logging
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from launch.errors import InputError
from pairs.reading.bad_rows import BadRow, FileCount
from pairs.reading.csv_rows import CsvLines, first_line, split_fields
from pairs.reading.line_blocks import read_blocks
from pairs.reading.raw_files import bare_name
from pairs.reading.raw_keys import AMAZON_BEGAN, EVENT_SCHEMA, EventKeys
from pairs.reading.read_rows import read_rows

HEADERS = {"user_item": ["user", "item", "rating", "timestamp"], "item_user": ["item", "user", "rating", "timestamp"]}
CRAWLS = {"user_item": "2014", "item_user": "2018"}
USER_ID = re.compile(r"A[A-Z0-9]{9,}")
ITEM_ID = re.compile(r"B[A-Z0-9]{9}|[0-9]{9}[0-9X]")
LOOKED_AT = 1000
log = logging.getLogger(__name__)


def is_csv(path: Path) -> bool:
    """A comma-separated file by its name, whatever its compression."""
    return bare_name(path).endswith(".csv")


def read_ratings(path: Path, count: FileCount, *, order: str) -> Iterator[pl.DataFrame]:
    """user, item, time (seconds), rating of every line, a block at a time."""
    header = first_line(path)
    if not header:
        return iter([pl.DataFrame(schema=EVENT_SCHEMA)])
    if "user_id" in header:
        item = next((key for key in ("parent_asin", "asin") if key in header), None)
        if item is None or "timestamp" not in header:
            raise InputError(f"{path}: line 1 names {', '.join(header)}; expected user_id, parent_asin and timestamp")
        keys = EventKeys(
            "user_id", item, "timestamp", "rating" if "rating" in header else None, first_year=AMAZON_BEGAN
        )
        form = CsvLines(header, has_header=True)
    else:
        form = CsvLines(HEADERS[find_order(path) if order == "auto" else order])
        keys = EventKeys("user", "item", "timestamp", "rating", first_year=AMAZON_BEGAN)
    return map(keys.finish, read_rows(path, form, keys.columns(), keys.checks(), count))


def find_order(path: Path) -> str:
    """The order of a file without a header, from the ids of its first lines; refused where they do not tell."""
    votes = {"user_item": 0, "item_user": 0}
    for first, second in _first_pairs(path):
        if USER_ID.fullmatch(first) and ITEM_ID.fullmatch(second):
            votes["user_item"] += 1
        elif ITEM_ID.fullmatch(first) and USER_ID.fullmatch(second):
            votes["item_user"] += 1
    orders = [order for order, number in votes.items() if number]
    if len(orders) != 1:
        raise InputError(
            f"{path}: has no header and its ids do not tell users from items; set pair.ratings_order to user_item "
            "(as in 2014) or item_user (as in 2018)"
        )
    log.info("%s: read as %s (as in %s), by its ids", path, ",".join(HEADERS[orders[0]]), CRAWLS[orders[0]])
    return orders[0]


def _first_pairs(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for block in islice(read_blocks(path, FileCount(path, 1.0)), 1):
        for _, line in islice(block.lines(), LOOKED_AT):
            fields = split_fields(line)
            if not isinstance(fields, BadRow) and len(fields) == 4:
                pairs.append((fields[0], fields[1]))
    return pairs
