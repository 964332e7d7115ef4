"""Hand-made interactions and catalogues: as `read_pair` leaves them, and as raw files of two categories."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pairs.sifting.catalogue import Catalogue
from pairs.sifting.item_codes import make_codes
from pairs.sifting.read_pair import RawPair
from pairs.sifting.sorted_runs import RunWriter

Event = tuple[int, str, str, int]  # domain, user, item, time
SCHEMA = {"domain": pl.Int8, "user": pl.String, "item": pl.String, "time": pl.Int64}
UNTITLED = "untitled"


def event_frame(events: Sequence[Event]) -> pl.DataFrame:
    """One row an event."""
    return pl.DataFrame(events, schema=SCHEMA, orient="row")


def raw_pair(
    folder: Path, events: Sequence[Event], *, ratings: Sequence[float | None] | None = None, run_rows: int = 1000
) -> RawPair:
    """The pair with these interactions, in which every item has its id for a title, but for `UNTITLED`."""
    folder.mkdir(parents=True, exist_ok=True)
    rating = pl.Series([None] * len(events) if ratings is None else ratings, dtype=pl.Float32)
    frame = event_frame(events).with_columns(rating=rating)
    runs = RunWriter(folder, run_rows=run_rows)
    catalogues = []
    for domain in (0, 1):
        events_of_domain = frame.filter(pl.col("domain") == domain).drop("domain")
        for begin in range(0, events_of_domain.height, run_rows):
            runs.add(events_of_domain[begin : begin + run_rows], domain=domain)
        catalogue = Catalogue(folder / f"catalogue-{domain}")
        mine = frame.filter((pl.col("domain") == domain) & (pl.col("item") != UNTITLED))
        titled = mine.select("item").unique(maintain_order=True)
        catalogue.add(titled.with_columns(title="item", attributes=pl.lit(""), cut=pl.lit(False)))
        catalogues.append(catalogue.choose())
    return RawPair(("Art", "Books"), runs.close(), (catalogues[0], catalogues[1]), ratings is not None, {})


def events_of(raw: RawPair) -> pl.DataFrame:
    """All interactions of a pair that has been read, by names, in no order."""
    codes = make_codes(raw.runs.items, raw.catalogues)
    frames = []
    for band, ids in raw.runs.bands(1 << 30, codes):
        named = codes.items[band["item"].to_numpy()]
        frames.append(band.with_columns(user=ids.gather(band["user"]), item=named["item"], domain=named["domain"]))
    return pl.concat(frames)


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """JSON lines. Any: plain JSON values."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_raw_files(folder: Path, *, num_users: int, num_items: int = 30, parts: int = 1, seed: int = 0) -> Path:
    """Reviews (in so many files) and metadata of Art and Books, in no order of users: of popular and rare items, with
    repeats, equal times, users of one domain only, ratings from 1 to 5 or none, items without title or row."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    users = [f"{'zaqé'[n % 4]}{n * 7919 % 1000}" for n in range(num_users)]
    for name, letter in (("Art", "A"), ("Books", "B")):
        popular = np.minimum(rng.exponential(num_items / 4, size=20 * num_users).astype(int), num_items - 1)
        whose = rng.choice(num_users, size=9 * num_users)
        whose = whose[(whose % 10 != 0) | (letter == "A")]
        reviews = [
            {
                "user_id": users[user],
                "parent_asin": f"{letter}{popular[n]}",
                "timestamp": int(1_400_000_000 + 40_000 * rng.integers(0, 900)) * 1000,
                **({"rating": float(rng.integers(1, 6))} if n % 12 else {}),
            }
            for n, user in enumerate(whose.tolist())
        ]
        for part in range(parts):
            tag = f"_part{part}" if parts > 1 else ""
            write_lines(folder / f"reviews_{name}{tag}.jsonl", reviews[part::parts])
        meta = [
            {"parent_asin": f"{letter}{n}", "title": "" if n % 9 == 4 else f"{name} thing {n}", "categories": [name]}
            for n in range(num_items)
            if n % 11 != 7
        ]
        write_lines(folder / f"meta_{name}.jsonl", [*meta, {**meta[0], "title": "another name"}])
    return folder
