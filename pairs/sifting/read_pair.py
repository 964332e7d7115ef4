"""Read the raw files of both domains of a pair: interactions sorted by user, catalogues, both on disk."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.reading import amazon, own_tables
from pairs.reading.bad_rows import Ledger
from pairs.reading.raw_files import RawFiles
from pairs.reading.read_ahead import ahead
from pairs.sifting.catalogue import Catalogue, ChosenItems
from pairs.sifting.shared import Sketch, refuse_shared
from pairs.sifting.sorted_runs import RunWriter, SortedRuns

Read = Callable[[Path], Iterator[pl.DataFrame]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawPair:
    """What the files hold, before any filter."""

    names: tuple[str, str]
    runs: SortedRuns
    catalogues: tuple[ChosenItems, ChosenItems]
    has_ratings: bool
    reading: dict[str, Any]  # Any: plain JSON values
    """Rows and bad rows of every file, and what the reader had to decide: for the data card."""


def read_pair(x: RawFiles, y: RawFiles, config: PairConfig, *, scratch: Path) -> RawPair:
    """Both domains' interactions, and the titles and attributes of their items; what they need of disk is in
    `scratch`."""
    ledger = Ledger(config.max_bad_share)
    read_events, read_items = _readers(config, ledger)
    runs = RunWriter(scratch, run_rows=config.band_rows)
    columns = ["user", "item", "time", *(["rating"] if config.min_rating is not None else [])]
    catalogues, has_ratings, sketches = [], False, (Sketch(), Sketch())
    for domain, files in enumerate((x, y)):
        num_reviews = 0
        for path in files.reviews:
            for frame in ahead(read_events(path)):
                num_reviews += frame.height
                has_ratings |= frame["rating"].null_count() < frame.height
                sketches[domain].add(frame)
                runs.add(frame.select(columns), domain=domain)
        if num_reviews == 0:
            raise InputError(f"{files.reviews[0]}: holds no review: {files.name} would be an empty domain")
        catalogue = Catalogue(scratch / f"catalogue-{domain}")
        for path in files.meta:
            for frame in ahead(read_items(path)):
                catalogue.add(frame)
        chosen = catalogue.choose()
        if config.require_title and chosen.num_titled == 0:
            raise InputError(
                f"{files.meta[0]}: none of {chosen.num_items} items has a title; take ids for titles with "
                "pair.require_title=false"
            )
        catalogues.append(chosen)
        log.info("%s: %d reviews, %d items in the catalogue", files.name, num_reviews, chosen.num_items)
    refuse_shared(*sketches, x.reviews, y.reviews)
    reading = {
        **ledger.describe(),
        "items_with_conflicting_titles": {"XY"[d]: c.num_conflicts for d, c in enumerate(catalogues)},
        "titles_cut": {"XY"[d]: c.num_cut(require_title=config.require_title) for d, c in enumerate(catalogues)},
    }
    return RawPair((x.name, y.name), runs.close(), (catalogues[0], catalogues[1]), has_ratings, reading)


def _readers(config: PairConfig, ledger: Ledger) -> tuple[Read, Read]:
    max_chars = config.max_title_chars
    if config.source == "tables":
        return (
            partial(own_tables.read_events, columns=config.columns, ledger=ledger),
            partial(own_tables.read_items, columns=config.columns, ledger=ledger, max_chars=max_chars),
        )
    return (
        partial(amazon.read_reviews, ledger=ledger, order=config.ratings_order),
        partial(amazon.read_metadata, ledger=ledger, max_chars=max_chars, attributes=config.attributes),
    )
