"""Graph training goes on with another number of ranks: the same samples in every step, the same lists."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evaluation.ranked_lists import read_lists
from graph import training as training_module
from graph.config import GraphConfig
from graph.noise import Noise
from graph.pretrain import pretrain
from launch.distributed import World
from launch.tracking import Tracker
from tests.distributed.curves import lines_of
from tests.graph_runs import ALONE, tiny, write_run
from tests.ranks import run_ranks

CONFIGS = {
    "best": tiny("best", epochs=4, patience=4, checkpoint_every=2),
    "paper": tiny("paper", epochs=4, patience=4, checkpoint_every=2, propagation_dropout=0.2),
}
Rows = dict[int, list[int]]
"""The samples of each step, of one rank or of all."""


def train(world: World, run_dir: Path, config: GraphConfig, stop: int | None = None) -> Rows:
    """Train; where `stop` is given, stop dead before that step. Returns this rank's samples of each step."""
    torch.set_num_threads(1)
    rows: Rows = {}

    def noted(seed: int, step: int, sample: torch.Tensor) -> Noise:
        if step == stop:
            raise KeyboardInterrupt
        rows[step] = sample.tolist()
        return Noise(seed, step, sample)

    tracker = Tracker(run_dir if world.is_main else None, "pretrain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_module, "Noise", noted)
        try:
            pretrain(config, run_dir=run_dir, seed=7, world=world, tracker=tracker)
        except KeyboardInterrupt:
            assert stop is not None
    tracker.close()
    return rows


def together(ranks: list[Rows]) -> Rows:
    return {step: sorted(sample for rows in ranks for sample in rows[step]) for step in ranks[0]}


@pytest.mark.slow
@pytest.mark.parametrize("preset", CONFIGS)
def test_graph_2_1_3_ranks(tmp_path: Path, preset: str) -> None:
    config = CONFIGS[preset]
    whole, changed = tmp_path / "whole", tmp_path / "changed"
    write_run(whole)
    write_run(changed)
    expected = together([train(ALONE, whole, config)])
    total = len(expected)
    went = together(run_ranks(train, 2, changed, config, 7))
    went |= together([train(ALONE, changed, config, 12)])
    went |= together(run_ranks(train, 3, changed, config))
    assert went == expected, "some step saw other samples"
    assert total == config.schedule.epochs * 5, "the run was not as long as it was meant to be"
    one, other = (load_file(folder / "graph" / "model.safetensors") for folder in (whole, changed))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-3, atol=1e-4, msg=name)
    names = {path.name for path in (whole / "lists").iterdir()}
    assert names == {path.name for path in (changed / "lists").iterdir()}
    assert ("encoders_train.parquet" in names) == (preset == "best")
    for name in names:
        lists = [read_lists(folder / "lists" / name) for folder in (whole, changed)]
        np.testing.assert_array_equal(lists[0].sample, lists[1].sample)
        np.testing.assert_array_equal(lists[0].items, lists[1].items)
    curves = [lines_of(folder, "pretrain") for folder in (whole, changed)]
    for tag in ("pretrain/valid_mrr", "pretrain/valid_hr@10"):
        assert [step for step, _ in curves[1][tag]] == [step for step, _ in curves[0][tag]]
        assert [value for _, value in curves[1][tag]] == pytest.approx([value for _, value in curves[0][tag]], abs=1e-6)
