"""Keep what can be learnt from: liked, in the window, each purchase once, items with a title."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.sifting.bands import Band, Bands, Counts
from pairs.sifting.item_codes import ItemCodes
from pairs.sifting.read_pair import RawPair

Steps = dict[str, dict[str, int]]


def keep_rated(events: pl.DataFrame, *, min_rating: float) -> pl.DataFrame:
    """Interactions rated `min_rating` or better; one without a rating is left out. (It is NaN, which polars takes for
    more than every number.)"""
    return events.filter((pl.col("rating") >= min_rating) & pl.col("rating").is_not_nan())


def keep_window(events: pl.DataFrame, window: tuple[int | None, int | None]) -> pl.DataFrame:
    """Interactions from the first time on and before the second (seconds)."""
    begin, end = window
    inside = pl.lit(True) if begin is None else pl.col("time") >= begin
    return events.filter(inside if end is None else inside & (pl.col("time") < end))


def drop_repeats(events: pl.DataFrame, keep: Literal["first", "last", "all"] = "first") -> pl.DataFrame:
    """The earliest (or latest) interaction of each user with each item; `all`: each, but at one time only once.

    Items of different domains have different codes. The result is sorted by user, item, time.
    """
    ordered = events.sort("user", "item", "time")
    same = (pl.col("user") == pl.col("user").shift()) & (pl.col("item") == pl.col("item").shift())
    if keep == "all":
        same &= pl.col("time") == pl.col("time").shift()
    repeats = same.fill_null(False)
    return ordered.filter(~(repeats.shift(-1, fill_value=False) if keep == "last" else repeats))


def filter_rows(raw: RawPair, codes: ItemCodes, config: PairConfig, *, folder: Path) -> tuple[Bands, Steps]:
    """The rows that are kept for what they are, as numbers, and what was there after each step, for the data card."""
    if config.min_rating is not None and not raw.has_ratings:
        raise InputError(f"pair.min_rating={config.min_rating:g} is given, but no file has ratings; remove it")
    filters = _filters(codes, config)
    bands, counts = Bands(folder), {step: Counts() for step in ("read", *filters)}
    for events, source_ids in raw.runs.bands(config.band_rows, codes):
        _count(counts["read"], events, codes)
        for step, keep in filters.items():
            events = keep(events)
            _count(counts[step], events, codes)
        user, item, time = (events[name].to_numpy() for name in ("user", "item", "time"))
        bands.add(Band(user, item, time.astype(np.int64)), source_ids)
    steps = {name: kept.as_json() for name, kept in counts.items()}
    titled = {"XY"[domain]: catalogue.num_titled for domain, catalogue in enumerate(raw.catalogues)}
    return bands, {"read": steps.pop("read"), "titled_items": titled, **steps}


def _filters(codes: ItemCodes, config: PairConfig) -> dict[str, Callable[[pl.DataFrame], pl.DataFrame]]:
    """What is done to the events of a band, in order, by the names of the steps in the card."""
    steps: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {}
    if config.min_rating is not None:
        steps["rated"] = partial(keep_rated, min_rating=config.min_rating)
    if config.time_window != (None, None):
        steps["in_window"] = partial(keep_window, window=config.time_window)
    steps["without_repeats"] = partial(drop_repeats, keep=config.duplicates)
    steps["with_title"] = partial(_keep_titled, codes=codes) if config.require_title else lambda events: events
    return steps


def _keep_titled(events: pl.DataFrame, codes: ItemCodes) -> pl.DataFrame:
    return events.filter(pl.Series(codes.titled[events["item"].to_numpy()]))


def _count(step: Counts, events: pl.DataFrame, codes: ItemCodes) -> None:
    step.add(events["user"].to_numpy(), codes.domain_of(events["item"].to_numpy()))
