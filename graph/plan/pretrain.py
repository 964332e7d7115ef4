"""What pretraining needs: the encoders' share, companions of items, scores of a batch over all items.

Sizes of companions were measured on synthetic pairs: 16 KB kept a train user with a history of 18, and three times that
while they are counted.
"""

from graph.config import GraphConfig
from graph.plan.encoders import encoder_needs
from launch.plan.estimates import Estimate, Need, Setting

COMPANION_BYTES = 16_000 / 18**2
"""Kept a train user, for every pair of items of a history."""
COUNTING = 3
"""Times that, while they are counted."""
STEP_SAMPLES = 64
"""For which the seconds of a step were measured."""


def plan_pretrain(setting: Setting) -> Estimate:
    """The estimate of the stage `pretrain`: every rank holds all tables."""
    graph: GraphConfig = setting.recipe.sections["graph"]
    counts, machine, model = setting.counts, setting.machine, graph.model
    items, batch = counts.items, max(1, graph.schedule.global_batch // machine.ranks)
    encoders = encoder_needs(setting)
    length = min(counts.interactions / counts.users, model.window)
    companions = COMPANION_BYTES * length**2 * counts.users if model.evidence else 0.0
    positions = graph.loss.predicted_positions or (model.max_history if graph.loss.next_item_weight else 1)
    memory = [
        *encoders.memory,
        Need("scores of a batch over the items", 3 * 4 * batch * positions * items / 2),
        Need("companions of items", companions),
    ]
    host = [*encoders.host, Need("companions, while they are counted", COUNTING * companions * machine.processes)]
    steps = graph.schedule.epochs * -(-counts.train // graph.schedule.global_batch)
    depth = graph.list_depth * 12
    idle = machine.ranks - graph.schedule.global_batch
    return Estimate(
        stage="pretrain",
        memory=[part for part in memory if part.size],
        host=[part for part in host if part.size],
        disk=[
            *encoders.disk,
            Need("user vectors", 4 * 2 * model.vector_width * (counts.train + counts.held_out)),
            Need("ranked lists", depth * counts.held_out),
            *([Need("lists of train", 8 * graph.list_depth * counts.train)] if model.evidence else []),
        ],
        seconds=None if machine.on_gpus else encoders.once + steps * encoders.step * max(1.0, batch / STEP_SAMPLES),
        how="rough: all of it grows with the items, on one core" if not machine.on_gpus else "",
        advice=[
            f"{idle} of {machine.ranks} ranks would idle in pretrain: graph.schedule.global_batch is "
            f"{graph.schedule.global_batch}"
        ]
        if idle > 0
        else [],
    )
