"""What a step of graph pretraining does with its settings: schedule, clipping, decay, in real fits."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from graph.config import GraphConfig
from graph.pretrain import pretrain
from launch.tracking import Tracker
from tests.distributed.optimizer_watch import Watch, watch_optimizers
from tests.graph_runs import ALONE, ATTENTION, tiny, write_run

LR, DECAY, CLIP = 1e-3, 0.5, 0.01
WHOLE = {"global_batch": 1000, "epochs": 1}  # all samples at once: one step


def fit(run_dir: Path, config: GraphConfig) -> Watch:
    write_run(run_dir)
    with watch_optimizers() as watch:
        pretrain(config, run_dir=run_dir, seed=7, world=ALONE, tracker=Tracker(None, "pretrain"))
    return watch


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(run_dir / "graph" / "model.safetensors")
    return tensors


def test_rates_fall_to_zero_over_all_epochs(tmp_path: Path) -> None:
    rates = fit(tmp_path, tiny("best", **ATTENTION, epochs=2, patience=2)).rates
    shares = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]  # 80 samples, 16 a step, twice
    assert [step[-1] for step in rates] == pytest.approx([2e-2 * share for share in shares]), "evidence"
    assert [step[-2] for step in rates] == pytest.approx([LR * share for share in shares]), "vectors"
    assert [step[-3] for step in rates] == pytest.approx([LR * share for share in shares]), "matrices"


def test_gradients_are_clipped_to_their_norm(tmp_path: Path) -> None:
    free = fit(tmp_path / "free", tiny("paper", epochs=1, grad_clip=1e9)).norms()
    assert min(free) > 2 * CLIP, "nothing to clip"
    assert fit(tmp_path / "clipped", tiny("paper", epochs=1, grad_clip=CLIP)).norms() == pytest.approx([CLIP] * 5)


def test_weight_decay_shrinks_tables_and_matrices_and_nothing_else(tmp_path: Path) -> None:
    for name, chosen in {"start": {"lr": 1e-30}, "plain": {}, "decayed": {"weight_decay": DECAY}}.items():
        fit(tmp_path / name, tiny("paper", **WHOLE, **chosen))
    start, plain, decayed = (weights(tmp_path / name) for name in ("start", "plain", "decayed"))
    shrunk = {name for name in plain if not torch.equal(plain[name], decayed[name])}
    assert any("table" in name for name in shrunk)
    assert shrunk == {name for name, weight in plain.items() if weight.ndim > 1 and start[name].abs().max() > 1e-9}
    for name in shrunk:
        expected = LR * DECAY * start[name]
        torch.testing.assert_close(plain[name] - decayed[name], expected, rtol=1e-3, atol=3e-7, msg=name)
