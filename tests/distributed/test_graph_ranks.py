"""One rank equals two: loss, gradients, metrics, vectors; a kill in the middle changes no file."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from evaluation.ranked_lists import read_lists
from graph.batches import epoch_batches, make_batch, rank_rows
from graph.config import GraphConfig
from graph.load import make_ranker, prepare
from graph.noise import Noise
from graph.objective import Objective, count_terms
from graph.pretrain import pretrain
from launch.artifacts import sha256_file
from launch.distributed import World
from launch.tracking import Tracker
from tests.graph_runs import ALONE, tiny, write_run
from tests.ranks import run_ranks

CONFIGS = {
    "best": tiny("best", table_rate=0.5, propagation_dropout=0.3),
    "paper": tiny("paper", dropout=0.3),
    "code": tiny("code", alignment="mmd"),
}


def loss_and_gradients(world: World, run_dir: Path, config: GraphConfig) -> tuple[float, dict[str, np.ndarray]]:
    """One step over the same global batch, noise included."""
    torch.set_num_threads(1)
    settings = config
    prepared = prepare(run_dir, settings, world)
    objective = Objective(make_ranker(prepared, settings, seed=3, device=world.device), settings)
    rows = epoch_batches(len(prepared.train), global_batch=16, seed=1, epoch=0)[0]
    batch = make_batch(
        prepared.train,
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


def all_losses(world: World, folder: Path) -> dict[str, tuple[float, dict[str, np.ndarray]]]:
    return {name: loss_and_gradients(world, folder, config) for name, config in CONFIGS.items()}


def test_two_ranks_have_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    write_run(tmp_path)
    alone = all_losses(ALONE, tmp_path)
    for together in run_ranks(all_losses, 2, tmp_path):
        for name, (loss, gradients) in together.items():
            expected_loss, expected = alone[name]
            assert loss == pytest.approx(expected_loss, rel=1e-5)
            assert gradients.keys() == expected.keys()
            for weight, gradient in gradients.items():
                scale = 1e-6 + np.abs(expected[weight]).max()
                np.testing.assert_allclose(gradient / scale, expected[weight] / scale, atol=2e-4, err_msg=weight)


def test_two_ranks_train_to_the_metrics_vectors_and_lists_of_one(tmp_path: Path) -> None:
    config = tiny("best", epochs=2)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        write_run(folder)
    train(ALONE, folders[0], config)
    run_ranks(train, 2, folders[1], config)
    one, two = ({path.name: np.load(path) for path in (folder / "graph" / "vectors").iterdir()} for folder in folders)
    assert one.keys() == two.keys()
    for name, vectors in one.items():
        np.testing.assert_allclose(two[name], vectors, rtol=1e-3, atol=1e-3, err_msg=name)
    for split in ("valid", "test"):
        lists = [read_lists(folder / "lists" / f"graph_{split}.parquet") for folder in folders]
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


def test_a_killed_start_ends_in_the_same_files(tmp_path: Path) -> None:
    config = tiny("paper", epochs=12, patience=12, checkpoint_every=1)
    for name in ("whole", "killed"):
        write_run(tmp_path / name)
    train(ALONE, tmp_path / "whole", config)
    process = multiprocessing.get_context("spawn").Process(target=train, args=(ALONE, tmp_path / "killed", config))
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
