"""Keep what can be learnt from: liked, in the window, each purchase once, items with a title, users and items with
enough interactions."""

from typing import Literal

import polars as pl

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.raw_pair import RawPair


def keep_rated(events: pl.DataFrame, *, min_rating: float) -> pl.DataFrame:
    """Interactions rated `min_rating` or better; one without a rating is left out."""
    if events["rating"].null_count() == events.height:
        raise InputError(f"pair.min_rating={min_rating:g} is given, but no file has ratings; remove it")
    return events.filter(pl.col("rating") >= min_rating)


def keep_window(events: pl.DataFrame, window: tuple[int | None, int | None]) -> pl.DataFrame:
    """Interactions from the first time on and before the second (seconds)."""
    begin, end = window
    inside = pl.lit(True) if begin is None else pl.col("time") >= begin
    return events.filter(inside if end is None else inside & (pl.col("time") < end))


def drop_repeats(events: pl.DataFrame, keep: Literal["first", "last", "all"] = "first") -> pl.DataFrame:
    """The earliest (or latest) interaction of each user with each item; `all`: each, but at one time only once."""
    keys = ["domain", "user", "item"]
    if keep == "all":
        return events.select(*keys, "time").unique()
    time = pl.col("time").min() if keep == "first" else pl.col("time").max()
    return events.group_by(keys).agg(time)


def keep_titled(events: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """Interactions with items of the catalogue, which holds only items with a title."""
    return events.join(catalogue, on=["domain", "item"], how="semi")


def keep_core(
    events: pl.DataFrame, *, k_core: int, min_interactions: int, users_of: Literal["both", "either"] = "both"
) -> pl.DataFrame:
    """The largest part in which every item has `k_core` interactions and every user `k_core` and `min_interactions`
    in each of the two domains (`either`: in at least one).

    That part is unique: whatever breaks a bound now breaks it in every smaller part, so the order of removal is free.
    """
    floor = max(k_core, min_interactions)
    needed = 2 if users_of == "both" else 1
    while True:
        size = events.height
        per_user = events.group_by("user", "domain").len().filter(pl.col("len") >= floor)
        users = per_user.group_by("user").len().filter(pl.col("len") >= needed)
        events = events.join(users, on="user", how="semi")
        if k_core > 1:
            items = events.group_by("domain", "item").len().filter(pl.col("len") >= k_core)
            events = events.join(items, on=["domain", "item"], how="semi")
        if events.height == size:
            return events


def filter_pair(raw: RawPair, config: PairConfig) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """The events that are kept, and what was there after each step, for the data card."""
    steps = {"read": describe_events(raw.events)}
    titled = raw.catalogue.filter(pl.col("title") != "")["domain"]
    steps["titled_items"] = {letter: int((titled == domain).sum()) for domain, letter in enumerate("XY")}
    events = raw.events
    if config.min_rating is not None:
        events = keep_rated(events, min_rating=config.min_rating)
        steps["rated"] = describe_events(events)
    if config.time_window != (None, None):
        events = keep_window(events, config.time_window)
        steps["in_window"] = describe_events(events)
    events = drop_repeats(events, config.duplicates)
    steps["without_repeats"] = describe_events(events)
    if config.require_title:
        events = keep_titled(events, raw.catalogue)
    steps["with_title"] = describe_events(events)
    floors = {"k_core": config.k_core, "min_interactions": config.min_interactions}
    events = keep_core(events, **floors, users_of=config.users)
    steps["kept"] = describe_events(events)
    if events.is_empty():
        which = "each" if config.users == "both" else "one"
        raise InputError(
            f"no user has {max(floors.values())} interactions in {which} of {raw.names[0]} and {raw.names[1]} after "
            "filtering (an empty domain); lower pair.k_core or pair.min_interactions, or check that both categories "
            "are of the same crawl"
        )
    return events, steps


def describe_events(events: pl.DataFrame) -> dict[str, int]:
    """Interactions of each domain, users, and users with interactions in both domains."""
    sizes = dict(events.group_by("domain").len().iter_rows())
    per_user = events.group_by("user").agg(pl.col("domain").n_unique())["domain"]
    return {
        "X": sizes.get(0, 0),
        "Y": sizes.get(1, 0),
        "users": len(per_user),
        "users_of_both": int((per_user == 2).sum()),
    }


def number_pair(events: pl.DataFrame, catalogue: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Events with numbers for names, the items table, the users table. Numbers follow (domain, source id); an item
    without a title has its source id for one.

    Events come back as user, item, domain, time (all integers), sorted by user, time, item.
    """
    users = events.select(source_id="user").unique().sort("source_id").with_row_index("user")
    users = users.select(pl.col("user").cast(pl.Int64), "source_id")
    items = events.select("domain", source_id="item").unique().sort("domain", "source_id").with_row_index("item")
    items = items.with_columns(pl.col("item").cast(pl.Int64))
    titles = catalogue.rename({"item": "source_id"})
    items = items.join(titles, on=["domain", "source_id"], how="left", maintain_order="left")
    titled = pl.col("title").fill_null("") != ""
    items = items.with_columns(title=pl.when(titled).then("title").otherwise("source_id"))
    numbered = (
        events.rename({"user": "user_id", "item": "item_id"})
        .join(users, left_on="user_id", right_on="source_id")
        .join(
            items.select("domain", "source_id", "item"), left_on=["domain", "item_id"], right_on=["domain", "source_id"]
        )
        .select("user", "item", "domain", "time")
        .sort("user", "time", "item")
    )
    return numbered, items, users
