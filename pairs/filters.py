"""Keep what can be learnt from: liked, in the window, each purchase once, items with a title."""

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from launch.errors import InputError
from pairs.bands import Band, Bands, Counts
from pairs.config import PairConfig
from pairs.item_codes import ItemCodes
from pairs.read_pair import RawPair

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
    names = ["read", "rated", "in_window", "without_repeats", "with_title"]
    counts = {name: Counts() for name in names}
    bands = Bands(folder)

    def count(step: str, events: pl.DataFrame) -> None:
        counts[step].add(events["user"].to_numpy(), codes.domain_of(events["item"].to_numpy()))

    for events, source_ids in raw.runs.bands(config.band_rows, codes):
        count("read", events)
        if config.min_rating is not None:
            events = keep_rated(events, min_rating=config.min_rating)
            count("rated", events)
        if config.time_window != (None, None):
            events = keep_window(events, config.time_window)
            count("in_window", events)
        events = drop_repeats(events, config.duplicates)
        count("without_repeats", events)
        if config.require_title:
            events = events.filter(pl.Series(codes.titled[events["item"].to_numpy()]))
        count("with_title", events)
        user, item, time = (events[name].to_numpy() for name in ("user", "item", "time"))
        bands.add(Band(user, item, time.astype(np.int64)), source_ids)
    if config.min_rating is None:
        del counts["rated"]
    if config.time_window == (None, None):
        del counts["in_window"]
    steps = {name: found.as_json() for name, found in counts.items()}
    titled = {"titled_items": {"XY"[d]: catalogue.num_titled for d, catalogue in enumerate(raw.catalogues)}}
    return bands, {"read": steps.pop("read"), **titled, **steps}
