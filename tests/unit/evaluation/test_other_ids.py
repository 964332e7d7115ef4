"""Other numbers for all items of each domain change no metric: no baseline, fusion or final list reads an id."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.config import EvaluationConfig
from evaluation.evaluate import evaluate
from pairs.tables import SPLITS, Samples, Split, load_samples
from tests.evaluation_runs import NUM_ITEMS, NUM_X, write_run
from tests.pair_files import write_pair

CONFIG = EvaluationConfig(bootstrap_resamples=100, list_depth=20)


def renumber(run_dir: Path, to: Path, *, seed: int) -> None:
    """The same pair under other ids."""
    random = np.random.default_rng(seed)
    new_id = np.concatenate([random.permutation(NUM_X), NUM_X + random.permutation(NUM_ITEMS - NUM_X)])
    items = pl.read_parquet(run_dir / "pair" / "items.parquet").drop("train_count")
    items = items.with_columns(item=pl.Series(new_id[items["item"].to_numpy()]))
    samples: dict[Split, Samples] = {}
    for split in SPLITS:
        one = load_samples(run_dir, split)
        samples[split] = dataclasses.replace(one, target=new_id[one.target], history=new_id[one.history])
    write_pair(to / "pair", items=items, users=pl.read_parquet(run_dir / "pair" / "users.parquet"), samples=samples)
    shutil.copy(run_dir / "pair" / "card.json", to / "pair" / "card.json")


@pytest.mark.parametrize("seed", [1, 2])
def test_other_ids_change_no_metric_of_a_run(tmp_path: Path, seed: int) -> None:
    write_run(tmp_path / "one", systems=())
    renumber(tmp_path / "one", tmp_path / "other", seed=seed)
    one, other = (evaluate(CONFIG, run_dir=tmp_path / name, seed=1) for name in ("one", "other"))
    assert one["chosen"] == other["chosen"]
    for split in ("valid", "test"):
        systems: tuple[dict[str, Any], dict[str, Any]] = (
            one["splits"][split]["systems"],
            other["splits"][split]["systems"],
        )
        assert list(systems[0]) == list(systems[1])
        for name, slices in systems[0].items():
            for label, values in slices.items():
                told = {metric: value for metric, value in values.items() if metric != "ci95"}
                assert told == pytest.approx({m: systems[1][name][label][m] for m in told}, abs=1e-6), (name, label)
