"""Rows of every raw form as bytes, and reading them back whole: reviews, metadata, own tables."""

from pathlib import Path

import polars as pl

from pairs.config import ColumnsConfig
from pairs.reading import amazon, own_tables
from pairs.reading.amazon import STRICT
from pairs.reading.bad_rows import Ledger

REVIEW = b'{"reviewerID": "U1", "asin": "A1", "overall": 5.0, "unixReviewTime": 1381536000}\n'
META = b'{"asin": "A1", "title": "Tea &amp; cups", "categories": [["Home", "Tea"]], "brand": "Zen"}\n'
LITERAL = b"{'asin': 'A1', 'title': \"Bob's tea\", 'categories': [['Home']], 'brand': None}\n"
RATINGS = b"A2IBPI20UZIR0U,B004LLIKVU,5.0,1381536000\n"
OWN = b'user,item,time,title\nu,"i ""1""",1381536000,"two\nlines"\n'


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read_reviews(path: Path, ledger: Ledger = STRICT) -> pl.DataFrame:
    return pl.concat(amazon.read_reviews(path, ledger))


def read_metadata(path: Path, ledger: Ledger = STRICT) -> pl.DataFrame:
    return pl.concat(amazon.read_metadata(path, ledger))


def read_own(path: Path) -> None:
    pl.concat(own_tables.read_events(path, ColumnsConfig(rating="title"), Ledger(1e-4)))
    pl.concat(own_tables.read_items(path, ColumnsConfig(attributes=["title"]), Ledger(1e-4), max_chars=50))
