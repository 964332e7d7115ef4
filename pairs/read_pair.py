"""Read the raw files of both domains of a pair."""

import logging
from functools import partial
from typing import Any

import polars as pl

from launch.errors import InputError
from pairs import amazon, own_tables
from pairs.bad_rows import Ledger
from pairs.config import PairConfig
from pairs.raw_files import RawFiles
from pairs.raw_pair import RawPair

ITEM_SCHEMA = {"item": pl.String, "title": pl.String, "attributes": pl.String, "cut": pl.Boolean}
log = logging.getLogger(__name__)


def read_pair(x: RawFiles, y: RawFiles, config: PairConfig) -> RawPair:
    """Both domains' interactions, and the titles and attributes of their items."""
    ledger = Ledger(config.max_bad_share)
    read_events, read_items = _readers(config, ledger)
    events, catalogues, conflicts, cut = [], [], {}, {}
    for domain, files in enumerate((x, y)):
        tag = pl.lit(domain, pl.Int8).alias("domain")
        reviews = pl.concat([read_events(path) for path in files.reviews])
        if reviews.is_empty():
            raise InputError(f"{files.reviews[0]}: holds no review: {files.name} would be an empty domain")
        items = pl.concat([pl.DataFrame(schema=ITEM_SCHEMA), *(read_items(path) for path in files.meta)])
        conflicts["XY"[domain]] = count_conflicts(items)
        items = choose_rows(items, require_title=config.require_title)
        cut["XY"[domain]] = int(items["cut"].sum())
        log.info("%s: %d reviews, %d items in the catalogue", files.name, reviews.height, items.height)
        events.append(reviews.with_columns(tag))
        catalogues.append(items.drop("cut").with_columns(tag))
    reading = {**ledger.describe(), "items_with_conflicting_titles": conflicts, "titles_cut": cut}
    return RawPair((x.name, y.name), pl.concat(events), pl.concat(catalogues), reading)


def count_conflicts(items: pl.DataFrame) -> int:
    """Items that the metadata names twice or more, with different titles."""
    titles = items.filter(pl.col("title") != "").group_by("item").agg(pl.col("title").n_unique())
    return titles.filter(pl.col("title") > 1).height


def choose_rows(items: pl.DataFrame, *, require_title: bool) -> pl.DataFrame:
    """One row an item: its first with a title, else (where a title is not required) its first."""
    titled = items.filter(pl.col("title") != "")
    rows = titled if require_title else pl.concat([titled, items.filter(pl.col("title") == "")])
    return rows.unique("item", keep="first", maintain_order=True)


def _readers(config: PairConfig, ledger: Ledger) -> tuple[Any, Any]:  # Any: functions of a path
    max_chars = config.max_title_chars
    if config.source == "tables":
        return (
            partial(own_tables.read_events, columns=config.columns, ledger=ledger),
            partial(own_tables.read_items, columns=config.columns, ledger=ledger, max_chars=max_chars),
        )
    return (
        partial(amazon.read_reviews, ledger=ledger, order=config.ratings_order),
        partial(amazon.read_metadata, ledger=ledger, max_chars=max_chars),
    )
