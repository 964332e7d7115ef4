"""Users of one domain beside a user's own samples: the rows that KinRec itself would cut, in every form."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.systems.baseline_table import BASELINE_TABLE, Material
from graph.edges import successor_edges
from launch.artifacts import read_json
from launch.errors import InputError
from pairs.config import PairConfig
from pairs.known import load_graph_samples, load_others
from pairs.prepare import prepare
from pairs.tables import SPLITS, Samples, load_pair, load_samples
from tests.unit.pairs.samples.given_files import (
    ITEMS,
    SAMPLES,
    GivenRow,
    changed,
    without_times,
    write_given,
    write_table,
)
from tests.unit.pairs.sifting.test_graph_only import BEGIN, LONE, config, write_raw

FORMS = ["csv", "jsonl", "parquet"]
Taught = set[tuple[tuple[str, ...], tuple[int, ...]]]
EVENTS: list[GivenRow] = [
    {"user": "lone", "item": "b2", "time": 20},
    {"user": "late", "item": "7", "time": 15},
    {"user": "lone", "item": "b1", "time": 3},
    {"user": "late", "item": "a9", "time": 21},
    {"user": "lone", "item": "b1", "time": 21},
]
"""Train's last target is of time 20."""


def given_config(folder: Path, **changes: Any) -> PairConfig:
    return PairConfig(**{"source": "samples", "path": str(folder), "graph_users": "one_domain", **changes})


def taught(run_dir: Path) -> Taught:
    """Items and times of every row of `graph_only`, in the words of the files."""
    ids, table = load_pair(run_dir).items.source_ids, load_samples(run_dir, "graph_only")
    rows = [(*table.history_of(row).tolist(), int(table.target[row])) for row in range(len(table))]
    if table.history_time is None or table.target_time is None:
        return {(tuple(ids[item] for item in row), ()) for row in rows}
    ends, times = table.offsets, table.history_time.tolist()
    whole = [(*times[ends[row] : ends[row + 1]], int(table.target_time[row])) for row in range(len(table))]
    return {(tuple(ids[item] for item in row), tuple(at)) for row, at in zip(rows, whole, strict=True)}


def as_rows(events: Sequence[GivenRow], *, timed: bool = True) -> list[GivenRow]:
    """The same as a row for each user."""
    rows: list[GivenRow] = []
    for user in dict.fromkeys(event["user"] for event in events):
        own = sorted((event for event in events if event["user"] == user), key=lambda event: int(event["time"]))
        times = {"history_time": [event["time"] for event in own]} if timed else {}
        rows.append({"user": user, "history": [event["item"] for event in own], **times})
    return rows


def as_tables(run_dir: Path, folder: Path, form: str) -> None:
    """What KinRec cut, as somebody's own items and samples."""
    pair = load_pair(run_dir)
    columns = zip(pair.items.source_ids, pair.items.domain.tolist(), pair.items.titles, strict=True)
    items = [{"item": item, "domain": pair.domain_names[domain], "title": title} for item, domain, title in columns]
    names = dict(pl.read_parquet(run_dir / "pair" / "users.parquet").iter_rows())
    rows = [row for split in SPLITS for row in given_rows(load_samples(run_dir, split), split, pair.items.source_ids)]
    write_given(folder, form, items=items, samples=[{**row, "user": names[row["user"]]} for row in rows])


def given_rows(samples: Samples, split: str, ids: list[str]) -> list[GivenRow]:
    assert samples.history_time is not None
    assert samples.target_time is not None
    rows: list[GivenRow] = []
    for row in range(len(samples)):
        inside = slice(int(samples.offsets[row]), int(samples.offsets[row + 1]))
        bought = {"history": [ids[item] for item in samples.history[inside]], "target": ids[samples.target[row]]}
        times = {"history_time": samples.history_time[inside].tolist(), "target_time": int(samples.target_time[row])}
        rows.append({"split": split, "user": int(samples.user[row]), **bought, **times})
    return rows


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["events", "rows"])
def test_the_rows_are_those_that_kinrec_cuts_of_the_same_events(tmp_path: Path, form: str, kind: str) -> None:
    write_raw(tmp_path / "raw")
    prepare(config(tmp_path / "raw", graph_users="one_domain"), run_dir=tmp_path / "cut")
    as_tables(tmp_path / "cut", tmp_path / "given", form)
    events: list[GivenRow] = [
        {"user": user, "item": f"X{(number + step) % 6}", "time": BEGIN + 250 * step}
        for step in (2, 0, 3, 1)
        for number, user in enumerate(LONE)
    ]
    write_table(tmp_path / "given" / f"one_domain.{form}", as_rows(events) if kind == "rows" else events)
    prepare(given_config(tmp_path / "given"), run_dir=tmp_path / "run")
    assert taught(tmp_path / "run") == taught(tmp_path / "cut") != set()
    for split in SPLITS:
        assert len(load_samples(tmp_path / "run", split)) == len(load_samples(tmp_path / "cut", split))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["events", "rows"])
def test_all_is_kept_and_train_is_told_of_what_came_up_to_its_end(tmp_path: Path, form: str, kind: str) -> None:
    folder = write_given(tmp_path / "given", form)
    write_table(folder / f"one_domain.{form}", as_rows(EVENTS) if kind == "rows" else EVENTS)
    prepare(given_config(folder), run_dir=tmp_path / "run")
    assert taught(tmp_path / "run") == {(("b1", "b2", "b1"), (3, 20, 21)), (("7", "a9"), (15, 21))}
    card = read_json(tmp_path / "run" / "pair" / "card.json")
    assert (card["graph_only_users"], card["graph_only_left_out"]) == (2, 0)
    known = load_graph_samples(tmp_path / "run")
    assert known.target_time is not None
    assert len(known) == len(load_samples(tmp_path / "run", "train")) + 1, "one had bought but once by then"
    assert (known.target_time[-1], known.lengths[-1]) == (20, 1)
    assert {"file": f"one_domain.{form}", "rows": 2 if kind == "rows" else 5, "bad": {}} in card["reading"]["files"]


def test_all_counts_where_the_splits_are_no_spans_of_time(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "jsonl", samples=changed(SAMPLES, 1, target_time=12))
    write_table(folder / "one_domain.jsonl", EVENTS)
    prepare(given_config(folder), run_dir=tmp_path / "run")
    assert taught(tmp_path / "run") == {(("b1", "b2", "b1"), (3, 20, 21)), (("7", "a9"), (15, 21))}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["timed events", "events", "rows"])
def test_without_times_in_the_samples_there_is_an_order_and_no_time(tmp_path: Path, form: str, kind: str) -> None:
    folder = write_given(tmp_path / "given", form, samples=without_times(SAMPLES))
    in_order = sorted(EVENTS, key=lambda event: int(event["time"]))
    tables: dict[str, list[GivenRow]] = {
        "timed events": EVENTS,
        "events": [{key: value for key, value in event.items() if key != "time"} for event in in_order],
        "rows": as_rows(EVENTS, timed=False),
    }
    write_table(folder / f"one_domain.{form}", tables[kind])
    prepare(given_config(folder), run_dir=tmp_path / "run")
    assert taught(tmp_path / "run") == {(("b1", "b2", "b1"), ()), (("7", "a9"), ())}


def test_a_table_in_several_files_is_one_whoever_is_in_which(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    write_table(folder / "one_domain-0.parquet", EVENTS[:2])
    write_table(folder / "one_domain-1.csv", EVENTS[2:])
    prepare(given_config(folder), run_dir=tmp_path / "run")
    assert taught(tmp_path / "run") == {(("b1", "b2", "b1"), (3, 20, 21)), (("7", "a9"), (15, 21))}


def test_they_have_numbers_of_their_own_and_nobody_else_changes(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    prepare(given_config(folder, graph_users="none"), run_dir=tmp_path / "without")
    write_table(folder / "one_domain.csv", EVENTS)
    prepare(given_config(folder), run_dir=tmp_path / "run")
    for name in ("items", "users", *SPLITS):
        one, other = (pl.read_parquet(tmp_path / run / "pair" / f"{name}.parquet") for run in ("without", "run"))
        assert one.equals(other), name
    others = load_others(tmp_path / "run")
    assert others is not None
    assert (others.user.tolist(), others.sample.tolist()) == ([4, 5], [len(SAMPLES), len(SAMPLES) + 1])


def test_graphs_and_baselines_are_taught_by_them(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    write_table(folder / "one_domain.csv", EVENTS)
    prepare(given_config(folder), run_dir=tmp_path / "run")
    pair, train = load_pair(tmp_path / "run"), load_samples(tmp_path / "run", "train")
    steps = [
        successor_edges(one, pair.items.domain, within_domain=True)
        for one in (train, load_graph_samples(tmp_path / "run"))
    ]
    assert steps[1].count.sum() == steps[0].count.sum() + 1
    alone, both = (Material(train, pair.items, 100, 1, others) for others in (None, load_others(tmp_path / "run")))
    asked = load_samples(tmp_path / "run", "test")
    for name in ("markov", "item_cosine", "ridge"):
        grid = {key: values[0] for key, values in BASELINE_TABLE[name].grid.items()}
        scores = [BASELINE_TABLE[name].fit(one, **grid).score(asked, 1) for one in (alone, both)]
        assert not np.array_equal(scores[0], scores[1]), name


def test_a_table_that_is_not_asked_for_is_said_not_to_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_given(tmp_path / "given", "csv")
    (folder / "one_domain.csv").write_bytes(b"\xff no table\n")
    with caplog.at_level("INFO"):
        prepare(given_config(folder, graph_users="none"), run_dir=tmp_path / "run")
    assert caplog.text.count("one_domain.csv: users of one domain are not read, for pair.graph_users=none") == 1
    assert not (tmp_path / "run" / "pair" / "graph_only.arrow").exists()


def test_a_table_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    folder = write_given(tmp_path / "given", "csv")
    with pytest.raises(
        InputError, match=r"holds no one_domain\.csv, .*; add the users of one domain, or set pair\.gra"
    ):
        prepare(given_config(folder), run_dir=tmp_path / "run")


def test_none_who_has_enough_to_tell_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_given(tmp_path / "given", "csv")
    write_table(folder / "one_domain.csv", EVENTS[3:])
    prepare(given_config(folder), run_dir=tmp_path / "run")
    (warned,) = [record for record in caplog.records if record.levelname == "WARNING" and "teach" in record.message]
    assert "0 users of one domain teach" in warned.message
    assert "2 are left out, with fewer than two interactions" in warned.message
    assert load_others(tmp_path / "run") is None
    assert len(ITEMS) == load_pair(tmp_path / "run").items.num_items


def test_a_table_of_nobody_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_given(tmp_path / "given", "csv")
    (folder / "one_domain.csv").write_text("user,item,time\n", encoding="utf-8")
    prepare(given_config(folder), run_dir=tmp_path / "run")
    assert "0 users of one domain teach; 0 are left out" in caplog.text
    assert load_others(tmp_path / "run") is None
    assert read_json(tmp_path / "run" / "pair" / "card.json")["graph_only_users"] == 0


@pytest.mark.parametrize("piece", [1, 2, 3, 1000])
def test_how_much_is_worked_on_at_the_same_time_changes_nothing(
    tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_given(tmp_path / "given", "csv", samples=changed(SAMPLES, 1, target_time=12))
    write_table(folder / "one_domain.csv", [*EVENTS, {"user": "last", "item": "b1", "time": 1}])
    monkeypatch.setattr("pairs.samples.one_domain.PIECE", piece)
    prepare(given_config(folder), run_dir=tmp_path / "run")
    assert taught(tmp_path / "run") == {(("b1", "b2", "b1"), (3, 20, 21)), (("7", "a9"), (15, 21))}
    card = read_json(tmp_path / "run" / "pair" / "card.json")
    assert (card["graph_only_users"], card["graph_only_left_out"]) == (2, 1)
