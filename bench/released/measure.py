"""One step of one kind, in a process of its own, so that its peak of memory is its own.

python -m bench.released.measure dense|exact|fast|half|compare [--steps 2]     prints one JSON object
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from bench.graph_training import peak_since, restart_peak
from bench.released.data import drawn_pair
from bench.released.dense_step import DenseStep
from graph.attention.forward import corrupt
from graph.batches import Batch, epoch_batches, make_batch
from graph.build import Graphs
from graph.config import GraphConfig
from graph.learning.optimizer import build_optimizer
from graph.learning.take_step import take_step
from graph.noise import Noise
from graph.objective import Forward, Objective, count_terms
from graph.presets import PRESETS
from graph.ranker import GraphRanker
from pairs.history_keys import twin_groups
from pairs.tables import Samples

BATCH = 384
"""The released code's."""
EXACT = replace(
    PRESETS["code"],
    loss=replace(PRESETS["code"].loss, twins="together"),
    schedule=replace(PRESETS["code"].schedule, global_batch=BATCH),
)
FAST = replace(
    EXACT,
    loss=replace(EXACT.loss, full_softmax_items=0, infomax_share=0.125),
    schedule=replace(EXACT.schedule, table_optimizer="rows"),
)
HALF = replace(FAST, schedule=replace(FAST.schedule, precision="bfloat16"))
OWN = {"exact": EXACT, "fast": FAST, "half": HALF}
STILL = replace(
    EXACT, model=replace(EXACT.model, dropout=0.0, propagation_dropout=0.0), loss=replace(EXACT.loss, perturbation=0.0)
)


def main(argv: list[str] | None = None) -> None:
    """Measure one kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("dense", *OWN, "compare"))
    parser.add_argument("--steps", type=int, default=2, help="the first is not counted")
    parser.add_argument("--batch", type=int, default=BATCH, help="samples, of dense steps")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    train, graphs = drawn_pair(EXACT)
    if options.kind == "compare":
        print(json.dumps(compared(train, graphs, STILL)))
        return
    before = restart_peak()
    dense = options.kind == "dense"
    config = replace(EXACT, schedule=replace(EXACT.schedule, global_batch=options.batch))
    take = dense_steps(train, graphs, config) if dense else own_steps(train, graphs, OWN[options.kind])
    seconds = []
    for step in range(options.steps):
        started = time.process_time()
        take(step)
        seconds.append(time.process_time() - started)
    print(json.dumps({"seconds": float(np.median(seconds[1:])), "peak_mib": peak_since(before)}))


def batch_of(train: Samples, graphs: Graphs, config: GraphConfig, step: int) -> Batch:
    """The same for all kinds: users with both of their samples."""
    group = twin_groups(train)
    rows = epoch_batches(len(train), global_batch=config.schedule.global_batch, seed=1, epoch=0, group=group)[step]
    return make_batch(
        train, rows, max_history=config.model.max_history, pad=graphs.num_items, device=torch.device("cpu")
    )


def dense_steps(train: Samples, graphs: Graphs, config: GraphConfig) -> Callable[[int], None]:
    """As the released code takes them."""
    torch.manual_seed(1)
    dense = DenseStep(graphs, config)
    for weight in dense.parameters():
        nn.init.normal_(weight, std=0.05)
    optimizer = torch.optim.Adam(dense.parameters(), lr=config.schedule.lr, betas=(0.9, 0.98))
    length, width = config.model.max_history, 2 * config.model.dim

    def take(step: int) -> None:
        batch = batch_of(train, graphs, config, step)
        noise = Noise(1, step, batch.sample)
        corrupted = [corrupt(batch.history, graphs, noise, replaced=1 - domain) for domain in (0, 1)]
        uniform = [torch.rand(len(batch), length, width) for _ in (0, 1)]
        optimizer.zero_grad()
        dense(graphs, batch, corrupted, uniform, still=False).backward()
        optimizer.step()

    return take


def own_steps(train: Samples, graphs: Graphs, config: GraphConfig) -> Callable[[int], None]:
    """As the stage takes them."""
    torch.manual_seed(1)
    objective = Objective(GraphRanker(graphs, config), config)
    objective.keep_rows_only()
    optimizer = build_optimizer(objective, config)

    def take(step: int) -> None:
        batch = batch_of(train, graphs, config, step)
        counts = count_terms(graphs, batch, config.loss)
        loss, _ = objective(graphs, batch, Noise(1, step, batch.sample), counts)
        take_step(loss, objective.parameters(), optimizer, clip=config.schedule.grad_clip)

    return take


def compared(train: Samples, graphs: Graphs, config: GraphConfig) -> dict[str, float]:
    """Both losses of one batch from the same weights, without dropout and perturbation, corrupted alike."""
    torch.manual_seed(1)
    objective = Objective(GraphRanker(graphs, config), config)
    dense = DenseStep(graphs, config)
    dense.start_as(objective.state_dict())
    batch = batch_of(train, graphs, config, 0)
    with torch.no_grad():
        mine = own_loss(objective, graphs, batch)
        other = dense_loss(dense, objective, graphs, batch)
    return {"loss": float(mine), "dense_loss": float(other), "loss_difference": abs(float(mine - other))}


def own_loss(objective: Objective, graphs: Graphs, batch: Batch) -> Tensor:
    """Ours, with the noise of `dense_loss`."""
    counts = count_terms(graphs, batch, objective.config.loss)
    loss: Tensor = objective(graphs, batch, Noise(1, 0, batch.sample), counts)[0]
    return loss


def dense_loss(dense: DenseStep, objective: Objective, graphs: Graphs, batch: Batch) -> Tensor:
    """The other's, with the corrupted histories that ours draws."""
    with torch.no_grad():
        drawn = Forward(objective, graphs, batch, Noise(1, 0, batch.sample)).encoded
    corrupted = [history_UL[drawn.own.row] for history_UL in drawn.corrupted]
    still = torch.ones(*batch.history.shape, 2 * objective.config.model.dim)
    loss: Tensor = dense(graphs, batch, corrupted, [still, still], still=True)
    return loss


if __name__ == "__main__":
    main()
