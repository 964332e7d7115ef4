"""Users of one domain tell a question what they bought before it may be known, and nothing of what came later."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.list_ranker.blocks import TIME_SHARE, make_blocks
from evaluation.matrices import DAY
from evaluation.ranked_lists import RankedLists
from graph.learning import material
from graph.learning.material import learning_material
from graph.load import prepare
from graph.ranking.left_out import time_spans
from pairs.samples.spool import SampleSpool
from pairs.tables import GRAPH_ONLY, Ints, Samples, Split
from tests.graph_runs import ALONE, NUM_ITEMS, NUM_X, make_samples, make_splits, timed, write_run
from tests.unit.graph.ranking.test_export_lists import CONFIG, exported, read
from tests.unit.graph.ranking.test_left_out import left_out_of

SPLITS = timed(make_splits())
END = 75 * DAY
"""They buy beyond the last question of test."""
OF_TRAIN = ("evidence_train", "encoders_train")
OF_ALL = tuple(f"{name}_{split}" for name in ("graph", "evidence", "encoders") for split in ("valid", "test"))
AT_CUT, ROLLING = ("graph_refit", "evidence_refit", "encoders_refit"), ("graph_rolling", "evidence_rolling")


def users_of_one_domain() -> Samples:
    """Thirty of each domain."""
    random = np.random.default_rng(7)
    rows = []
    for user in range(100, 160):
        first, last = (0, NUM_X) if user % 2 else (NUM_X, NUM_ITEMS)
        *history, target = random.integers(first, last, random.integers(5, 12)).tolist()
        rows.append((user, history, target))
    samples = make_samples(rows, first=1000)
    times = [np.sort(random.integers(0, END, length + 1)) for length in samples.lengths]
    return dataclasses.replace(
        samples,
        history_time=np.concatenate([of_user[:-1] for of_user in times]),
        target_time=np.array([of_user[-1] for of_user in times]),
    )


OTHERS = users_of_one_domain()


def bought_otherwise_after(moment: int) -> Samples:
    """The same users, who buy other things from a moment on."""

    def other(items: Ints, times: Ints | None) -> Ints:
        assert times is not None
        size = np.where(items < NUM_X, NUM_X, NUM_ITEMS - NUM_X)
        first = np.where(items < NUM_X, 0, NUM_X)
        return np.where(times > moment, first + (items - first + 5) % size, items)

    return dataclasses.replace(
        OTHERS,
        history=other(OTHERS.history, OTHERS.history_time),
        target=other(OTHERS.target, OTHERS.target_time),
    )


def write(run_dir: Path, others: Samples, splits: dict[Split, Samples] | None = None) -> Path:
    write_run(run_dir, splits=SPLITS if splits is None else splits)
    spool = SampleSpool(run_dir / "spool", GRAPH_ONLY)
    spool.append(others)
    spool.close(first=1000)
    spool.publish(run_dir / "pair")
    shutil.rmtree(run_dir / "spool")
    return run_dir


def same(one: RankedLists, other: RankedLists) -> bool:
    return bool(np.array_equal(one.items, other.items) and np.array_equal(one.scores, other.scores))


def last_of(split: Split) -> int:
    times = SPLITS[split].target_time
    assert times is not None
    return int(times.max())


@pytest.mark.parametrize(
    ("until", "untold", "told"),
    [("train", (*OF_TRAIN, *OF_ALL), (*AT_CUT, *ROLLING)), ("valid", (*OF_TRAIN, *OF_ALL, *AT_CUT), ROLLING)],
)
def test_what_they_buy_later_tells_no_list(
    tmp_path: Path, until: Split, untold: tuple[str, ...], told: tuple[str, ...]
) -> None:
    """Lists are told of train; those of a refit of what came before test's cut, the rolling ones of all before them."""
    one = write(tmp_path / "one", OTHERS)
    other = write(tmp_path / "other", bought_otherwise_after(last_of(until)))
    judge, _ = left_out_of(one)
    left_out = [np.load(one / "graph" / "left_out" / "items.npy"), left_out_of(other, judge)[1]]
    exported(other)
    assert np.array_equal(*left_out)
    for name in untold:
        assert same(read(one, name), read(other, name)), name
    for name in told:
        assert not same(read(one, name), read(other, name)), name


def test_what_they_bought_before_is_told(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", OTHERS), write(tmp_path / "other", bought_otherwise_after(-1))
    judge, _ = left_out_of(one)
    left_out_of(other, judge)
    exported(other)
    names = [path.stem for path in (one / "lists").iterdir() if not path.stem.startswith("evidence_untrained")]
    assert not [name for name in names if same(read(one, name), read(other, name))]


def test_blocks_spans_and_what_is_learnt_from_end_where_their_questions_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "LEAST_SAMPLES", 5)
    train = SPLITS["train"]
    assert train.target_time is not None
    cut = int(np.quantile(train.target_time, 1 - 2 * TIME_SHARE, method="lower"))
    one, other = write(tmp_path / "one", OTHERS), write(tmp_path / "other", bought_otherwise_after(cut))
    judge, items = left_out_of(one)
    _, again = left_out_of(other, judge)
    exported(other)
    spans = [span.rows for span in time_spans(train)]
    before = np.concatenate([rows for rows in spans if train.target_time[rows].min() <= cut])
    assert again[before].tolist() == items[before].tolist()
    assert again.tolist() != items.tolist()
    late, early = (block.asked.sample for block in make_blocks(train, seed=1, chronological=True, others=OTHERS))
    for name in OF_TRAIN:
        assert same(read(one, name).of_samples(early), read(other, name).of_samples(early)), name
        assert not same(read(one, name).of_samples(late), read(other, name).of_samples(late)), name
    learnt = [learning_material(prepare(folder, CONFIG, ALONE), folder, ALONE, seed=1) for folder in (one, other)]
    assert len(learnt[0].samples) < len(train), "not the last part of train"
    for domain in (0, 1):
        clocks = [of_run.graphs.evidence[domain].clock for of_run in learnt if of_run.graphs.evidence is not None]
        keys = [clock.key.tolist() for clock in clocks if clock is not None]
        assert len(keys) == 2
        assert keys[0] == keys[1]
