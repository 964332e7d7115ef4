"""What `prepare` does, as one would write it with pandas: everything in memory, vectorised where pandas can.

    python -m bench.in_pandas.prepare DATA OUT

Reads the 2023 form in DATA (reviews_X*, meta_X*, reviews_Y*, meta_Y* as JSON lines), keeps first purchases of titled
items, makes the 5-core, cuts by time, and writes samples, catalogue and card to OUT.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.in_pandas.card import interactions, make_card

K_CORE, MAX_HISTORY, VALID_SHARE, TEST_SHARE = 5, 100, 0.1, 0.1
SEED = 1
DOMAINS = ("Food", "Kitchen")
SPLITS = ("train", "valid", "test")


def main(data: Path, out: Path) -> None:
    """Prepare."""
    events = pd.concat([read_reviews(data, name).assign(domain=d) for d, name in enumerate(DOMAINS)])
    items = pd.concat([read_items(data, name).assign(domain=d) for d, name in enumerate(DOMAINS)])
    num_read = len(events)
    drawn = draw_order(events)
    events = events.sort_values("time").drop_duplicates(["domain", "user", "item"])
    events = events.merge(items[["domain", "item"]], on=["domain", "item"])
    events = keep_core(events)
    items = items.merge(events[["domain", "item"]].drop_duplicates(), on=["domain", "item"])
    items = items.merge(drawn, on=["domain", "item"]).sort_values(["domain", "place"]).reset_index(drop=True)
    items = items.drop(columns="place")
    items["id"] = np.arange(len(items))
    events = events.merge(items[["domain", "item", "id"]], on=["domain", "item"])
    events["user"] = events["user"].rank(method="dense").astype("int64") - 1
    events = events[["user", "id", "domain", "time"]].sort_values(["user", "time", "id"])
    ordered = events["time"].sort_values().to_numpy()
    cuts = [int(ordered[round((1 - share) * len(ordered)) - 1]) for share in (VALID_SHARE + TEST_SHARE, TEST_SHARE)]
    samples = cut_samples(events, cuts)
    shown = interactions(samples["train"])["item"].value_counts()
    items["train_count"] = items["id"].map(shown).fillna(0).astype("int64")
    out.mkdir(parents=True, exist_ok=True)
    items.to_parquet(out / "items.parquet")
    for split, table in samples.items():
        table.to_parquet(out / f"{split}.parquet")
    card = {"read": num_read, **make_card(events, items, samples)}
    (out / "card.json").write_text(json.dumps(card), encoding="utf-8")


def read_reviews(data: Path, name: str) -> pd.DataFrame:
    """user, item, time in seconds."""
    frames = []
    for path in sorted(data.glob(f"reviews_{name}*")):
        for chunk in pd.read_json(path, lines=True, chunksize=200_000, dtype=False):
            frames.append(chunk[["user_id", "parent_asin", "timestamp"]])
    table = pd.concat(frames).rename(columns={"user_id": "user", "parent_asin": "item"})
    table["time"] = table.pop("timestamp") // 1000
    return table


def read_items(data: Path, name: str) -> pd.DataFrame:
    """item, title, attributes: the distinct words of categories and store."""
    frames = [pd.read_json(path, lines=True) for path in sorted(data.glob(f"meta_{name}*"))]
    table = pd.concat(frames)[["parent_asin", "title", "categories", "store"]]
    table = table.rename(columns={"parent_asin": "item"}).drop_duplicates("item")
    table["title"] = table["title"].str.replace(r"\s+", " ", regex=True).str.strip()
    words = table.pop("categories").str.join(" ") + " " + table.pop("store")
    words = words.str.lower().str.replace(r"['’]", "", regex=True).str.findall(r"\w+")
    table["attributes"] = words.map(lambda some: " ".join(dict.fromkeys(some)))
    return table[table["title"] != ""]


def draw_order(events: pd.DataFrame) -> pd.DataFrame:
    """domain, item, place: of all items that were read, each domain's in an order that says nothing."""
    seen = events[["domain", "item"]].drop_duplicates().sort_values(["domain", "item"])
    sizes = seen.groupby("domain").size()
    places = [np.random.default_rng([SEED, domain]).permutation(size) for domain, size in enumerate(sizes)]
    return seen.assign(place=np.concatenate(places))


def keep_core(events: pd.DataFrame) -> pd.DataFrame:
    """Items with K_CORE interactions, users with K_CORE in each domain, to a fixpoint."""
    while True:
        size = len(events)
        per_user = events.groupby(["user", "domain"]).size().unstack(fill_value=0)
        users = per_user.index[(per_user >= K_CORE).all(axis=1)]
        events = events[events["user"].isin(users)]
        events = events[events.groupby(["domain", "item"])["time"].transform("size") >= K_CORE]
        if len(events) == size:
            return events


def cut_samples(events: pd.DataFrame, cuts: list[int]) -> dict[str, pd.DataFrame]:
    """Train: a user's last target in each domain up to the first cut; after a cut: his first."""
    rows: dict[str, list[tuple[Any, ...]]] = {split: [] for split in SPLITS}
    for user, mine in events.groupby("user", sort=True):
        item, domain, time = (mine[name].to_numpy() for name in ("id", "domain", "time"))
        part = (time > cuts[0]).astype(int) + (time > cuts[1])
        begin = np.searchsorted(time, time, side="left")
        for number, split in enumerate(SPLITS):
            for wanted in (0, 1):
                possible = np.flatnonzero((domain == wanted) & (part == number) & (begin > 0))
                if len(possible):
                    at = possible[-1] if number == 0 else possible[0]
                    low = max(begin[at] - MAX_HISTORY, 0)
                    rows[split].append((user, wanted, item[low : begin[at]], time[low : begin[at]], item[at], time[at]))
    columns = ["user", "domain", "history", "history_time", "target", "target_time"]
    return {split: pd.DataFrame(kept, columns=columns) for split, kept in rows.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
