"""On a GPU the model scores and learns as it does on a CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from graph.config import PresetName
from graph.load import make_ranker, prepare
from graph.pretrain import pretrain
from launch.distributed import World
from launch.tracking import Tracker
from tests.graph_runs import ALONE, batch_of, tiny, write_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def on_gpu() -> World:
    return World(rank=0, size=1, local_rank=0, device=torch.device("cuda", 0))


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_scores_equal_those_on_the_cpu(tmp_path: Path, preset: PresetName) -> None:
    write_run(tmp_path)
    settings = tiny(preset)
    history = torch.tensor([[30, 30, 1, 20, 2, 25], [30, 30, 30, 30, 30, 30]])
    scores = []
    for world in (ALONE, on_gpu()):
        prepared = prepare(tmp_path, settings, world)
        ranker = make_ranker(prepared, settings, seed=3, device=world.device).eval()
        with torch.no_grad():
            tables = ranker.propagate(prepared.graphs)
            scores.append(ranker.rank(prepared.graphs, tables, batch_of(history.to(world.device)), 1).cpu())
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("preset", ["best", "paper"])
def test_training_ends_in_finite_vectors(tmp_path: Path, preset: PresetName) -> None:
    write_run(tmp_path)
    pretrain(tiny(preset, epochs=1), run_dir=tmp_path, seed=1, world=on_gpu(), tracker=Tracker(None, "pretrain"))
    assert np.isfinite(np.load(tmp_path / "graph" / "vectors" / "test_X.npy")).all()
