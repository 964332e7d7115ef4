"""Users of one domain may be kindred: with all that they bought, found as they would be if train had them."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from launch.artifacts import read_json
from pairs.known import load_kindred
from pairs.samples.spool import SampleSpool
from pairs.tables import GRAPH_ONLY, SPLITS, Samples, load_samples
from retrieval.config import RetrievalConfig
from retrieval.lookup import KindredLookup
from tests.retrieval_runs import write_expected, write_run, write_vectors
from tests.unit.retrieval.test_neighbours import CONFIG, run

FIRST_MOVED = 30
"""Train users from here on are of one domain, as the stage sees it."""


def write_samples(run_dir: Path, split: str, samples: Samples, *, first: int) -> None:
    spool = SampleSpool(run_dir / "spool", split)  # type: ignore[arg-type]  # a split or graph_only
    spool.append(samples)
    spool.close(first=first)
    spool.publish(run_dir / "pair")
    shutil.rmtree(run_dir / "spool")


def move_to_one_domain(run_dir: Path) -> None:
    """Train's last users leave it: the last of their histories is their target, and they have numbers behind all."""
    train = load_samples(run_dir, "train")
    leave = (train.user >= FIRST_MOVED) & (train.lengths > 1)  # who bought once teaches nothing
    gone, kept = train.take(np.flatnonzero(leave)[::2]), train.take(np.flatnonzero(~leave))  # twins have one history
    last = gone.offsets[1:] - 1
    first = max(int(load_samples(run_dir, split).sample.max()) for split in SPLITS) + 1
    others = Samples(
        sample=np.arange(first, first + len(gone)),
        user=gone.user,
        domain=gone.domain,
        target=gone.history[last],
        history=np.delete(gone.history, last),
        offsets=gone.offsets - np.arange(len(gone.offsets)),
        history_time=None if gone.history_time is None else np.delete(gone.history_time, last),
        target_time=None if gone.history_time is None else gone.history_time[last],
    )
    write_samples(run_dir, "train", kept, first=0)
    write_samples(run_dir, GRAPH_ONLY, others, first=first)
    known = load_kindred(run_dir)
    write_vectors(run_dir, "train", known.sample, [known.history_of(row).tolist() for row in range(len(known))])


def users_found(run_dir: Path) -> tuple[list[list[int]], list[list[float]]]:
    """The kindred users of test's samples, and how near they are."""
    known = load_kindred(run_dir)
    table = pq.read_table(run_dir / "neighbours" / "test.parquet").to_pydict()
    return [known.user[known.row_of(np.array(near))].tolist() for near in table["neighbour_samples"]], table["scores"]


def last_purchases(run_dir: Path) -> dict[int, int]:
    """When each user of one domain bought last."""
    others = load_samples(run_dir, GRAPH_ONLY)
    assert others.target_time is not None
    return dict(zip(others.user.tolist(), others.target_time.tolist(), strict=True))


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("expecting", [True, False])
def test_they_are_found_as_if_train_had_them(tmp_path: Path, expecting: bool, timed: bool) -> None:
    for name in ("whole", "moved"):
        write_run(tmp_path / name, timed=timed)
        if name == "moved":
            move_to_one_domain(tmp_path / name)
        if expecting:
            write_expected(tmp_path / name)
        if expecting and name == "moved":  # what test expects is the same, whoever is in train
            for split in ("valid", "test"):
                lists = Path("lists", f"evidence_{split}.parquet")
                shutil.copy(tmp_path / "whole" / lists, tmp_path / name / lists)
        run(tmp_path / name)
    users, scores = users_found(tmp_path / "moved")
    assert (users, scores) == users_found(tmp_path / "whole")
    assert any(user >= FIRST_MOVED for near in users for user in near)
    if timed:
        last, test = last_purchases(tmp_path / "moved"), load_samples(tmp_path / "moved", "test")
        assert test.target_time is not None
        asked = test.target_time.tolist()
        gaps = [when - last[user] for near, when in zip(users, asked, strict=True) for user in near if user in last]
        assert min(gaps) > 0, "a purchase after the question"
        assert min(asked) < max(last.values()), "nobody to be kept out"
    qualities = [read_json(tmp_path / name / "neighbours" / "quality.json")["test"] for name in ("whole", "moved")]
    assert qualities[0]["mean_length"] == pytest.approx(qualities[1]["mean_length"], abs=1.0)  # less their targets


def test_a_lookup_finds_them_and_tells_all_that_they_bought(tmp_path: Path) -> None:
    write_run(tmp_path)
    move_to_one_domain(tmp_path)
    run(tmp_path, RetrievalConfig(vectors="items", num_neighbours=4, item_dim=CONFIG.item_dim))
    known = load_kindred(tmp_path)
    row = len(known) - 1
    nearest = KindredLookup(tmp_path).nearest(known.history_of(row).tolist(), domain=0, k=1)[0]
    assert (nearest.user, nearest.sample) == (int(known.user[row]), int(known.sample[row]))
    assert nearest.items == known.history_of(row).tolist()
