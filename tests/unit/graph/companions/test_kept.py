"""Companions that a start before left are taken as they are, or seen to be of something else, or damaged."""

import logging
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from graph.companions.kept import CompanionPlace, kept_companions, own_companions
from launch.artifacts import remove_partials, sha256_file
from launch.distributed import World
from pairs.tables import Samples
from tests.graph_runs import ALONE, NUM_ITEMS, make_rows, make_samples
from tests.ranks import rank_context
from tests.unit.graph.companions.test_count import ALL, TEXT, rules

GIB = 1e-5
"""Little enough for many runs and bands."""


def samples(users: int = 40) -> Samples:
    return make_samples(make_rows(np.random.default_rng(3), range(users)))


def keep(world: World, folder: Path, train: Samples, *, window: int = 3, memory_gib: float = GIB) -> list[list[int]]:
    """What is said of all items towards both domains."""
    tables = kept_companions(CompanionPlace(folder, world), train, TEXT, rules(window=window), memory_gib=memory_gib)
    users = torch.arange(NUM_ITEMS)
    said = [graph.pairs_of(torch.tensor(ALL), asked) for graph in tables.of_domain for asked in (None, users)]
    return [[*pairs.candidate.tolist(), *pairs.gap_counts.flatten().tolist()] for pairs in said]


def written(folder: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (sha256_file(path), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_what_is_there_is_not_counted_again(tmp_path: Path) -> None:
    first = keep(ALONE, tmp_path / "companions", samples())
    before = written(tmp_path / "companions")
    assert keep(ALONE, tmp_path / "companions", samples()) == first
    assert written(tmp_path / "companions") == before


def test_those_of_other_samples_or_rules_are_counted_anew(tmp_path: Path) -> None:
    first = keep(ALONE, tmp_path / "companions", samples())
    assert keep(ALONE, tmp_path / "companions", samples(39)) != first
    assert keep(ALONE, tmp_path / "companions", samples(), window=1) != first
    assert keep(ALONE, tmp_path / "companions", samples()) == first


@pytest.mark.parametrize("name", ["X_counts.npy", "own_gap.npy", "meta.json"])
def test_damaged_ones_are_counted_anew_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    folder = tmp_path / "companions"
    first = keep(ALONE, folder, samples())
    before = {file: digest for file, (digest, _) in written(folder).items()}
    (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    with caplog.at_level(logging.WARNING, logger="graph.companions.kept"):
        assert keep(ALONE, folder, samples()) == first
    assert [str(folder) in record.getMessage() for record in caplog.records] == [True]
    assert {file: digest for file, (digest, _) in written(folder).items()} == before


def test_ones_own_leave_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    tables = own_companions(samples(), TEXT, rules(), memory_gib=GIB)
    assert list((tmp_path / "own").iterdir()) == []
    kept = kept_companions(CompanionPlace(tmp_path / "kept", ALONE), samples(), TEXT, rules(), memory_gib=GIB)
    for mine, theirs in zip(tables.of_domain, kept.of_domain, strict=True):
        asked = torch.tensor(ALL)
        assert torch.equal(mine.pairs_of(asked, None).gap_counts, theirs.pairs_of(asked, None).gap_counts)


def test_a_killed_count_ends_in_the_same_files(tmp_path: Path) -> None:
    train = samples(6_000)
    keep(ALONE, tmp_path / "whole" / "companions", train, memory_gib=1e-2)
    folder = tmp_path / "killed" / "companions"
    process = rank_context().Process(target=keep, args=(ALONE, folder, train))
    process.start()
    deadline = time.monotonic() + 120
    while not list(folder.parent.glob(".companions.*/runs/counts.npy")) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not folder.exists(), "killed too late to be a test"
    remove_partials(folder.parent)  # as the start of a stage does
    keep(ALONE, folder, train)
    assert [path.name for path in folder.parent.iterdir()] == ["companions"]
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in (tmp_path / "whole" / "companions").iterdir()}
    for name in names:
        assert sha256_file(folder / name) == sha256_file(tmp_path / "whole" / "companions" / name), name
