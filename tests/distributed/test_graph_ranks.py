"""One rank equals two: loss, gradients, metrics, vectors; a kill in the middle changes no file."""

import os
import signal
import time
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from evaluation.ranked_lists import read_lists
from graph.batches import epoch_batches, make_batch, rank_rows
from graph.config import GraphConfig, PresetName
from graph.load import load_blocks, make_ranker, prepare, with_left_out
from graph.noise import Noise
from graph.objective import Objective, count_terms
from graph.pretrain import pretrain
from launch.artifacts import sha256_file
from launch.distributed import World
from launch.tracking import Tracker
from pairs.tables import joined
from tests.graph_runs import ALONE, ATTENTION, tiny, write_run
from tests.ranks import rank_context, run_ranks

CONFIGS = {
    "best": tiny("best"),
    "sampled": tiny("best", sampled_negatives=8, full_softmax_items=0),
    "attention": tiny("best", **ATTENTION, table_rate=0.5, propagation_dropout=0.3),
    "paper": tiny("paper", dropout=0.3),
    "code": tiny("code", alignment="mmd"),
}


def loss_and_gradients(
    world: World, run_dir: Path, settings: GraphConfig, *, one_domain_a_rank: bool
) -> tuple[float, dict[str, np.ndarray]]:
    """One step over the same global batch, noise included."""
    torch.set_num_threads(1)
    prepared = prepare(run_dir, settings, world)
    learnt_from = prepared.train
    if settings.model.encoder == "late":
        blocks = load_blocks(run_dir, seed=3)
        prepared = with_left_out(prepared, blocks, run_dir, world)
        learnt_from = reduce(joined, [block.asked for block in blocks])
    objective = Objective(make_ranker(prepared, settings, seed=3, device=world.device), settings)
    rows = epoch_batches(len(learnt_from), global_batch=16, seed=1, epoch=0)[0]
    if one_domain_a_rank:  # of two: the first is asked for X alone, the second for Y
        rows = np.concatenate([np.flatnonzero(learnt_from.domain == domain)[:8] for domain in (0, 1)])
    batch = make_batch(
        learnt_from,
        rank_rows(rows, world),
        max_history=settings.model.max_history,
        pad=prepared.graphs.num_items,
        device=world.device,
    )
    count = world.sum(count_terms(prepared.graphs, batch, settings.loss))
    step_of = DistributedDataParallel(objective) if world.size > 1 else objective
    loss, _ = step_of(prepared.graphs, batch, Noise(1, 0, batch.sample), count)
    (loss * world.size).backward()
    gradients = {name: w.grad.numpy() for name, w in objective.named_parameters() if w.grad is not None}
    return float(world.sum(loss)), gradients


def train(world: World, run_dir: Path, config: GraphConfig) -> None:
    torch.set_num_threads(1)
    pretrain(config, run_dir=run_dir, seed=7, world=world, tracker=Tracker(None, "pretrain"))


def all_losses(world: World, folder: Path) -> dict[tuple[str, bool], tuple[float, dict[str, np.ndarray]]]:
    return {
        (name, apart): loss_and_gradients(world, folder, config, one_domain_a_rank=apart)
        for name, config in CONFIGS.items()
        for apart in (False, True)
    }


def test_two_ranks_have_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    write_run(tmp_path)
    alone = all_losses(ALONE, tmp_path)
    for name in CONFIGS:
        assert any(gradient.any() for gradient in alone[name, True][1].values()), name
    late = {weight: gradient for weight, gradient in alone["best", True][1].items() if ".late." in weight}
    assert len(late) == 2 * 9
    assert all(gradient.any() for gradient in late.values())
    for together in run_ranks(all_losses, 2, tmp_path):
        for name, (loss, gradients) in together.items():
            expected_loss, expected = alone[name]
            assert loss == pytest.approx(expected_loss, rel=1e-5)
            assert gradients.keys() == expected.keys()
            for weight, gradient in gradients.items():
                scale = 1e-6 + np.abs(expected[weight]).max()
                np.testing.assert_allclose(gradient / scale, expected[weight] / scale, atol=2e-4, err_msg=weight)


TRAINED = {
    "best": tiny("best", epochs=2),
    "paper": tiny("paper", epochs=2),
    "rows": tiny("code", epochs=2, table_optimizer="rows", sampled_negatives=8, full_softmax_items=0),
}
"""Of `rows` one rank's gradients are sparse, two ranks' dense."""


@pytest.mark.parametrize("name_of", TRAINED)
def test_two_ranks_train_to_the_metrics_vectors_and_lists_of_one(tmp_path: Path, name_of: str) -> None:
    config = TRAINED[name_of]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_run(folder)
    train(ALONE, folders[0], config)
    run_ranks(train, 2, folders[1], config)
    one, two = ({path.name: np.load(path) for path in (folder / "graph" / "vectors").iterdir()} for folder in folders)
    assert one.keys() == two.keys()
    for name, vectors in one.items():
        np.testing.assert_allclose(two[name], vectors, rtol=1e-3, atol=1e-3, err_msg=name)
    names = {path.name for path in (folders[0] / "lists").iterdir()}
    assert names == {path.name for path in (folders[1] / "lists").iterdir()}
    assert ("encoders_train.parquet" in names) == (name_of == "best")
    for name in names:
        lists = [read_lists(folder / "lists" / name) for folder in folders]
        np.testing.assert_array_equal(lists[0].sample, lists[1].sample)
        np.testing.assert_allclose(lists[0].scores, lists[1].scores, rtol=1e-3, atol=1e-3)
    reached = []
    for folder in folders:
        last = sorted((folder / "graph" / "checkpoints").glob("step-*.pt"))[-1]
        reached.append(torch.load(last, weights_only=True)["reached"])
    assert reached[0]["best_step"] == reached[1]["best_step"]
    assert reached[0]["best_value"] == pytest.approx(reached[1]["best_value"], abs=1e-9)


def digests(run_dir: Path) -> dict[str, str]:
    files = [*(run_dir / "graph").rglob("*"), *(run_dir / "lists").rglob("*")]
    kept = [path for path in files if path.is_file() and "checkpoints" not in path.parts]
    return {path.relative_to(run_dir).as_posix(): sha256_file(path) for path in kept}


@pytest.mark.parametrize(("preset", "epochs"), [("paper", 12), ("best", 60)])
def test_a_killed_start_ends_in_the_same_files(tmp_path: Path, preset: PresetName, epochs: int) -> None:
    config = tiny(preset, epochs=epochs, patience=epochs, checkpoint_every=1)
    for name in ("whole", "killed"):
        write_run(tmp_path / name)
    train(ALONE, tmp_path / "whole", config)
    process = rank_context().Process(target=train, args=(ALONE, tmp_path / "killed", config))
    process.start()
    checkpoints = tmp_path / "killed" / "graph" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "killed" / "graph" / "vectors").exists(), "killed too late to be a test"
    train(ALONE, tmp_path / "killed", config)
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
