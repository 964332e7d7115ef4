"""food_kitchen prepared by plain Python, from the definition: the stage must write the same rows."""

import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl

from pairs.config import PairConfig
from pairs.prepare import prepare
from pairs.tables import SPLITS, load_pair, load_samples
from tests.end_to_end.test_prepare_real import FOOD_KITCHEN, needs

NAMES = ("Grocery_and_Gourmet_Food", "Home_and_Kitchen")
K_CORE, LONGEST = 3, 20
Event = tuple[str, int, str, int]  # user, domain, item, time
Row = tuple[str, tuple[str, ...], str, int]  # user, history, target, target time


def read(kind: str, name: str) -> list[dict[str, str]]:
    lines = gzip.decompress((FOOD_KITCHEN / f"{kind}_{name}.jsonl.gz").read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines]


def distinct_events() -> list[Event]:
    """Each user's first purchase of each item that has a title."""
    first: dict[tuple[str, int, str], int] = {}
    for domain, name in enumerate(NAMES):
        titled = {row["asin"] for row in read("meta", name) if row.get("title", "").strip()}
        for row in read("reviews", name):
            key = (row["reviewerID"], domain, row["asin"])
            time = int(row["unixReviewTime"])
            if row["asin"] in titled:
                first[key] = min(time, first.get(key, time))
    return [(user, domain, item, time) for (user, domain, item), time in first.items()]


def core(events: list[Event]) -> list[Event]:
    """Take out users and items with too few, again and again until nothing changes."""
    while True:
        of_item = Counter((domain, item) for _, domain, item, _ in events)
        of_user = Counter((user, domain) for user, domain, _, _ in events)
        kept = [
            (user, domain, item, time)
            for user, domain, item, time in events
            if of_item[domain, item] >= K_CORE and min(of_user[user, 0], of_user[user, 1]) >= K_CORE
        ]
        if len(kept) == len(events):
            return kept
        events = kept


def time_split(events: list[Event], place: dict[str, int]) -> dict[str, set[Row]]:
    """Train: a user's last target in each domain before the first cut; after a cut: his first. Of purchases at one time
    the items' places decide."""
    times = sorted(time for *_, time in events)
    cuts = (times[round(0.8 * len(times)) - 1], times[round(0.9 * len(times)) - 1])
    by_user = defaultdict(list)
    for user, domain, item, time in events:
        by_user[user].append((time, domain, item))
    rows: dict[str, set[Row]] = {split: set() for split in SPLITS}
    for user, mine in by_user.items():
        mine.sort(key=lambda event: (event[0], place[event[2]]))
        for part, split in enumerate(SPLITS):
            for wanted in (0, 1):
                inside = [
                    (time, item)
                    for time, domain, item in mine
                    if domain == wanted and sum(time > cut for cut in cuts) == part and time > mine[0][0]
                ]
                if inside:
                    time, item = inside[-1] if split == "train" else inside[0]
                    history = tuple(item for before, _, item in mine if before < time)[-LONGEST:]
                    rows[split].add((user, history, item, time))
    return rows


@needs(FOOD_KITCHEN)
def test_core_split_and_samples_equal_plain_python_row_for_row(tmp_path: Path) -> None:
    config = PairConfig(source="amazon", path=str(FOOD_KITCHEN), k_core=K_CORE, max_history=LONGEST)
    prepare(config, run_dir=tmp_path)
    events = core(distinct_events())
    ids = load_pair(tmp_path).items.source_ids
    expected = time_split(events, {item: place for place, item in enumerate(ids)})
    assert sorted(ids) == sorted({item for _, _, item, _ in events})
    users = dict(pl.read_parquet(tmp_path / "pair" / "users.parquet").rows())
    for split in SPLITS:
        table = load_samples(tmp_path, split)
        assert table.target_time is not None
        written = {
            (users[int(table.user[n])], tuple(ids[i] for i in table.history_of(n)), ids[table.target[n]], int(time))
            for n, time in enumerate(table.target_time)
        }
        assert len(written) == len(table)
        assert written == expected[split]
