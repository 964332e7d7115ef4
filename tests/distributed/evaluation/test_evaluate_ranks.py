"""What evaluate chooses, judges and writes does not depend on the number of ranks."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from evaluation.list_ranker.bank import fit_bank
from evaluation.list_ranker.fit import make_lists
from evaluation.metrics.shared import in_batch_order
from evaluation.systems.baseline_table import BASELINE_TABLE
from launch.artifacts import sha256_file
from launch.distributed import World
from pairs.tables import load_pair, load_samples
from tests.evaluation_runs import write_run
from tests.ranks import run_ranks

ALL = EvaluationConfig(
    bootstrap_resamples=100, list_depth=20, ranker_depth=20, ranker_samples=300, candidate_depth=30, candidates="all"
)
NAMED = replace(ALL, candidates="named")


def evaluate_both(world: World, folder: Path) -> list[Any]:
    return [evaluate(config, run_dir=folder / config.candidates, seed=3, world=world) for config in (ALL, NAMED)]


def lists_to_learn_from(world: World, run_dir: Path) -> list[Any]:
    train, items = load_samples(run_dir, "train"), load_pair(run_dir).items
    bank = fit_bank(train, items, {name: {key: values[0] for key, values in row.grid.items()}
                                   for name, row in BASELINE_TABLE.items()}, ridge_max_users=500, seed=1)  # fmt: skip
    lists = make_lists(bank, load_samples(run_dir, "valid"), NAMED, world)
    parts = (lists.features, lists.is_target, lists.lengths)
    return [len(lists), *(sha256(part.tobytes()).hexdigest() for part in parts)]


def written(run_dir: Path) -> dict[str, str]:
    """Name -> digest, or what it says but for the times."""
    told = {}
    for folder in ("lists", "report"):
        for path in (run_dir / folder).iterdir():
            if path.suffix in {".parquet", ".txt"}:
                told[path.name] = sha256_file(path)
    metrics = json.loads((run_dir / "report" / "metrics.json").read_text())
    metrics.pop("timing")
    return told | {"metrics": json.dumps(metrics, sort_keys=True)}


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_ranks_writes_the_same_bytes(tmp_path: Path, size: int) -> None:
    for config in (ALL, NAMED):
        for name in ("alone", "shared"):
            write_run(tmp_path / name / config.candidates, users=(260, 60, 60))
        evaluate(config, run_dir=tmp_path / "alone" / config.candidates, seed=3)
    returned = run_ranks(evaluate_both, size, tmp_path / "shared")
    assert returned[1] == [{}, {}], "rank 0 alone has the report"
    for config in (ALL, NAMED):
        alone = written(tmp_path / "alone" / config.candidates)
        assert written(tmp_path / "shared" / config.candidates) == alone


@pytest.mark.slow
def test_the_list_ranker_learns_from_the_same_lists(tmp_path: Path) -> None:
    write_run(tmp_path, users=(100, 90, 30))
    alone, shared = (run_ranks(lists_to_learn_from, size, tmp_path) for size in (1, 2))
    assert alone[0][0] > 100, "lists of more than one batch"
    assert shared == [alone[0], alone[0]]


def join_batches(world: World) -> list[float]:
    of_all = [np.full(number % 3, number, dtype=np.float32) for number in range(5)]  # batch 0 and batch 3 leave nothing
    own = of_all[world.rank :: world.size]
    (joined,) = in_batch_order([np.concatenate(own)], [np.array([len(part) for part in own])], world)
    return [float(value) for value in joined]


@pytest.mark.slow
def test_what_batches_leave_comes_back_in_their_order() -> None:
    assert run_ranks(join_batches, 2) == [[1, 2, 2, 4]] * 2
