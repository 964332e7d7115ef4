"""Users of one domain teach and are never asked; of what they teach train, nothing is later than its end."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graph.edges import successor_edges
from launch.artifacts import read_json
from pairs.config import PairConfig
from pairs.known import known_others, load_graph_samples, load_kindred, load_others
from pairs.prepare import prepare
from pairs.samples.spool import SampleSpool
from pairs.tables import SPLITS, load_pair, load_samples

Event = tuple[str, str, int]  # user, item, time
BOTH = [f"b{n}" for n in range(8)]
BEGIN = 1_600_000_000
LONE = [f"a{n}" for n in range(5)]


def write_raw(folder: Path) -> None:
    """Eight users who buy in both domains, five who buy in X alone, one of X whose items nobody else has."""
    rng = np.random.default_rng(0)
    x: list[Event] = []
    y: list[Event] = []
    for user in BOTH:
        for step in range(6):
            x.append((user, f"X{rng.integers(6)}", BEGIN + int(rng.integers(1000))))
            y.append((user, f"Y{rng.integers(6)}", BEGIN + int(rng.integers(1000)) + step))
    for number, user in enumerate(LONE):
        x += [(user, f"X{(number + step) % 6}", BEGIN + 250 * step) for step in range(4)]
    x += [("stranger", "X99", BEGIN), ("stranger", "X98", BEGIN)]
    folder.mkdir()
    for name, events, items in (
        ("X", x, [f"X{n}" for n in (*range(6), 98, 99)]),
        ("Y", y, [f"Y{n}" for n in range(6)]),
    ):
        reviews = [{"user_id": u, "parent_asin": i, "timestamp": t * 1000, "rating": 5.0} for u, i, t in events]
        metadata = [{"parent_asin": item, "title": f"thing {item}", "categories": []} for item in items]
        for kind, rows in (("reviews", reviews), ("meta", metadata)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{kind}_{name}.jsonl").write_text(lines, encoding="utf-8")


def config(folder: Path, **changes: object) -> PairConfig:
    return PairConfig(source="amazon", path=str(folder), min_interactions=2, splits="time", **changes)  # type: ignore[arg-type]  # any key


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    write_raw(tmp_path / "raw")
    prepare(config(tmp_path / "raw"), run_dir=tmp_path / "without")
    prepare(config(tmp_path / "raw", graph_users="one_domain"), run_dir=tmp_path / "with")
    return tmp_path / "without", tmp_path / "with"


def test_samples_items_and_users_are_those_of_a_pair_without_them(runs: tuple[Path, Path]) -> None:
    without, with_them = runs
    for name in ("items", "users", "train", "valid", "test"):
        one, other = (pl.read_parquet(run / "pair" / f"{name}.parquet") for run in (without, with_them))
        assert one.equals(other), name
    assert not (without / "pair" / "graph_only.arrow").exists()


def test_rows_are_all_that_they_bought_of_the_pairs_items(runs: tuple[Path, Path]) -> None:
    _, run = runs
    card = read_json(run / "pair" / "card.json")
    number = {name: i for i, name in enumerate(load_pair(run).items.source_ids)}
    expected = set()
    for order in range(len(LONE)):
        bought = [(BEGIN + 250 * step, f"X{(order + step) % 6}") for step in range(4)]
        kept = [number[item] for _, item in bought if item in number]
        if len(kept) >= 2:
            expected.add(tuple(kept))
    table = load_samples(run, "graph_only")
    written = {(*table.history_of(row).tolist(), int(table.target[row])) for row in range(len(table))}
    assert written == expected
    assert card["graph_only_users"] == len(table) > 0
    train, beside = load_samples(run, "train"), load_graph_samples(run)
    assert table.target_time is not None
    assert train.target_time is not None
    assert beside.target_time is not None
    assert table.target_time.max() > train.target_time.max() == beside.target_time.max()


def test_they_are_numbered_after_the_pairs_own_users_and_samples(runs: tuple[Path, Path]) -> None:
    _, run = runs
    own = pl.read_parquet(run / "pair" / "users.parquet")["user"]
    table = load_samples(run, "graph_only")
    assert table.user.tolist() == list(range(len(own), len(own) + len(table)))
    first = sum(len(load_samples(run, split)) for split in SPLITS)
    assert table.sample.tolist() == list(range(first, first + len(table)))


def test_item_graph_counts_their_steps_and_training_does_not_see_them(runs: tuple[Path, Path]) -> None:
    without, run = runs
    domain = load_pair(run).items.domain
    fewer, more = (successor_edges(load_graph_samples(r), domain, within_domain=True) for r in (without, run))
    train = load_samples(run, "train")
    assert train.target_time is not None
    table = known_others(load_others(run), until=int(train.target_time.max()))
    assert table is not None
    assert more.count.sum() == fewer.count.sum() + int(table.lengths.sum())
    assert len(load_samples(run, "train")) == len(load_samples(without, "train"))
    assert len(load_graph_samples(without)) == len(load_samples(without, "train"))


def test_who_may_be_kindred_has_all_that_he_bought_while_train_lasted(runs: tuple[Path, Path]) -> None:
    without, run = runs
    train, known, kindred = load_samples(run, "train"), load_graph_samples(run), load_kindred(run)
    assert train.target_time is not None
    assert known.target_time is not None
    assert kindred.history_time is not None
    assert len(kindred) == len(known) > len(train)
    for row in range(len(kindred)):
        bought, times = (
            kindred.history_of(row).tolist(),
            kindred.history_time[kindred.offsets[row] :][: kindred.lengths[row]],
        )
        last = [] if row < len(train) else [int(known.target[row])]
        assert bought == known.history_of(row).tolist() + last
        if last:
            assert times[-1] == known.target_time[row] <= train.target_time.max()
    assert len(load_kindred(without)) == len(load_samples(without, "train"))


def test_where_there_are_no_such_users_the_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pair.graph_users=one_domain does not go: pair.users=either has all"):
        PairConfig(source="amazon", path="d", graph_users="one_domain", users="either")


def test_a_table_without_rows_is_none(runs: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = runs
    others = load_others(run)
    assert others is not None
    shutil.copytree(run / "pair", tmp_path / "pair")
    (tmp_path / "pair" / "graph_only.arrow").unlink()
    spool = SampleSpool(tmp_path / "spool", "graph_only")
    spool.append(others.take(np.zeros(0, dtype=np.int64)))
    spool.close(first=int(others.sample[0]))
    spool.publish(tmp_path / "pair")
    assert load_others(tmp_path) is None
    assert len(load_graph_samples(tmp_path)) == len(load_samples(tmp_path, "train"))
