"""What pretraining needs: item tables and their optimizer, companions of items, scores of a batch over all items.

Sizes of companions were measured on synthetic pairs: 16 KB kept a train user with a history of 18, and three times that
while they are counted.
"""

from graph.config import GraphConfig
from launch.plan.estimates import Estimate, Need, Setting

COMPANION_BYTES = 16_000 / 18**2
"""Kept a train user, for every pair of items of a history."""
COUNTING = 3
"""Times that, while they are counted."""
ADAM = 3
"""A trained number's gradient and two moments."""
STEP_SECONDS = 1e-5
"""Of one CPU core, an item of the catalogue, in a step of 64 samples in preset best: .54 s at 49 k, 1.8 s at 183 k."""
STEP_SAMPLES = 64


def plan_pretrain(setting: Setting) -> Estimate:
    """The estimate of the stage `pretrain`: every rank holds all tables."""
    graph: GraphConfig = setting.recipe.sections["graph"]
    counts, machine, model = setting.counts, setting.machine, graph.model
    items, batch = counts.items, max(1, graph.schedule.global_batch // machine.ranks)
    tables = 4 * items * (3 * model.dim + model.attribute_dim)
    heads = 0 if model.tie_head else 4 * items * 2 * model.dim
    trained = heads + (tables if graph.schedule.table_rate > 0 else 0)
    length = min(counts.interactions / counts.users, model.window)
    companions = COMPANION_BYTES * length**2 * counts.users if model.evidence else 0.0
    positions = graph.loss.predicted_positions or (model.max_history if graph.loss.next_item_weight else 1)
    memory = [
        Need("item tables", tables + heads),
        Need("their gradients and Adam", ADAM * trained),
        Need("propagated tables", 2 * tables),
        Need("scores of a batch over the items", 3 * 4 * batch * positions * items / 2),
        Need("companions of items", companions),
    ]
    steps = graph.schedule.epochs * -(-counts.train // graph.schedule.global_batch)
    seconds = steps * STEP_SECONDS * items * max(1.0, batch / STEP_SAMPLES)
    depth = graph.list_depth * 12
    idle = machine.ranks - graph.schedule.global_batch
    return Estimate(
        stage="pretrain",
        memory=[part for part in memory if part.size],
        host=[Need("companions of items, while they are counted", COUNTING * companions * machine.processes)]
        if companions
        else [],
        disk=[
            Need("checkpoints", 3 * (tables + heads + 2 * trained)),
            Need("model", tables + heads),
            Need("user vectors", 4 * 2 * model.dim * (counts.train + counts.held_out)),
            Need("ranked lists", depth * counts.held_out),
            *([Need("lists of train", 8 * graph.list_depth * counts.train)] if model.evidence else []),
        ],
        seconds=None if machine.on_gpus else seconds,
        how="rough: the time of a step on one core grows with the items" if not machine.on_gpus else "",
        advice=[
            f"{idle} of {machine.ranks} ranks would idle in pretrain: graph.schedule.global_batch is "
            f"{graph.schedule.global_batch}"
        ]
        if idle > 0
        else [],
    )
