"""Training steps for `bench.graph`: the stage's trainer on some samples, and a plain SASRec beside it."""

import ctypes
import gc
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench.graph_reference import PlainSasrec
from graph.batches import Batch, epoch_batches, make_batch, next_items
from graph.config import GraphConfig
from graph.learning.optimizer import BETAS
from graph.learning.take_step import take_step
from graph.load import Prepared, make_ranker
from graph.objective import Objective
from graph.training import Trainer
from launch.distributed import World
from launch.tracking import Tracker
from pairs.tables import Ints, Samples

SEED = 1


@dataclass(frozen=True)
class Training:
    """What training cost; the first epoch warms up and does not count."""

    epoch_seconds: float
    """Of the fastest epoch."""
    peak_mib: float
    """Weights, Adam's moments and a step, above what the process held before; nan where the system does not tell."""
    num_weights: int
    """Numbers that are trained."""


class Stopwatch(Tracker):
    """Keeps the epoch times that the trainer logs."""

    def __init__(self) -> None:
        super().__init__(None, "bench")
        self.epoch_seconds: list[float] = []

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        if "epoch_seconds" in values:
            self.epoch_seconds.append(values["epoch_seconds"])


def some_rows(samples: Samples, count: int) -> Samples:
    """Random samples, the same ones whenever asked."""
    rows = np.random.default_rng(SEED).permutation(len(samples))[:count]
    return samples.take(np.sort(rows).astype(np.int64))


def train_preset(
    prepared: Prepared,
    settings: GraphConfig,
    train: Samples,
    valid: Samples,
    *,
    epochs: int,
    folder: Path,
    world: World,
) -> Training:
    """Train with the stage's trainer on a few samples, the graphs being whole; the weights stay in `folder`."""
    chosen = replace(settings, schedule=replace(settings.schedule, epochs=epochs, patience=epochs))
    before = restart_peak()
    objective = Objective(make_ranker(prepared, chosen, seed=SEED, device=world.device), chosen).to(world.device)
    watch = Stopwatch()
    trainer = Trainer(objective, prepared.graphs, chosen, seed=SEED, folder=folder, world=world, tracker=watch)
    trainer.fit(train, valid)
    return Training(min(watch.epoch_seconds[1:]), peak_since(before), _num_trained(objective))


def train_plain(prepared: Prepared, settings: GraphConfig, train: Samples, *, epochs: int, world: World) -> Training:
    """The same samples in the same order through a SASRec of the preset's width and depth."""
    before = restart_peak()
    model = _plain_model(prepared, settings)
    every_position = settings.loss.next_item_weight > 0
    _check_task(model, _batch(prepared, settings, train, np.arange(min(len(train), 64)), world), every_position)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.schedule.lr, betas=BETAS, weight_decay=settings.schedule.weight_decay
    )
    seconds = []
    for epoch in range(epochs):
        started = time.perf_counter()
        for rows in epoch_batches(len(train), global_batch=settings.schedule.global_batch, seed=SEED, epoch=epoch):
            loss, _ = model.loss(_batch(prepared, settings, train, rows, world), every_position=every_position)
            take_step(loss, model.parameters(), optimizer, clip=settings.schedule.grad_clip)
        seconds.append(time.perf_counter() - started)
    return Training(min(seconds[1:]), peak_since(before), _num_trained(model))


def restart_peak() -> float:
    """Forget the process's largest size so far; MiB that it holds now, nan where the system does not tell."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed would else be used again, unseen
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, AttributeError):
        return math.nan
    return _status_mib("VmRSS")


def peak_since(before: float) -> float:
    """MiB between `restart_peak` and the largest size since."""
    return before if math.isnan(before) else _status_mib("VmHWM") - before


def _status_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def _plain_model(prepared: Prepared, settings: GraphConfig) -> PlainSasrec:
    torch.manual_seed(SEED)
    return PlainSasrec(
        num_items=prepared.graphs.num_items,
        num_x=prepared.graphs.num_x,
        width=2 * settings.model.dim,
        blocks=settings.model.blocks,
        max_history=settings.model.max_history,
        dropout=settings.model.dropout,
    )


def _batch(prepared: Prepared, settings: GraphConfig, samples: Samples, rows: Ints, world: World) -> Batch:
    pad = prepared.graphs.num_items
    return make_batch(samples, rows, max_history=settings.model.max_history, pad=pad, device=world.device)


def _check_task(model: PlainSasrec, batch: Batch, every_position: bool) -> None:
    """The SASRec has to predict as many items as the preset, out of as many: untrained, its loss is that of chance."""
    loss, count = model.loss(batch, every_position=every_position)
    next_BL = next_items(batch, pad=model.pad)
    asked_P = next_BL[next_BL != model.pad] if every_position else next_BL[:, -1][next_BL[:, -1] != model.pad]
    assert count == len(asked_P), f"the SASRec predicts {count} items, the preset {len(asked_P)}"
    size_P = torch.where(asked_P < model.num_x, model.num_x, model.pad - model.num_x)
    chance = float(size_P.double().log().mean())
    assert abs(float(loss.detach()) - chance) < 0.5, f"the untrained SASRec's loss is {loss}, chance is {chance}"


def _num_trained(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
