"""What pretraining needs: the encoders' share, companions of items, scores of a batch over all items.

Companions lie in files that all ranks map. Their size was measured on synthetic pairs: 5.5 KB a train user with a
history of 18, and 4 KB for the runs that are sorted while they are counted.
"""

from graph.config import GraphConfig
from graph.plan.encoders import CELLS, encoder_needs, is_sampled
from launch.plan.estimates import GIB, Estimate, Need, Setting

COMPANION_BYTES, RUN_BYTES = 5_500 / 18**2, 4_000 / 18**2
"""On disk, a train user, for every pair of items of a history; and while they are counted."""
COUNTING_BYTES = 100
"""A train user, beside `graph.memory_gib`, in the process that counts."""
SALE_BYTES, SWEPT_BYTES = 16, 12
"""Of a purchase that a clock reads, and more where it is asked at many moments at once. There are three: of train, of
what is known at a cut and, asked so, of what is sold by each question; train's is where training asks it so."""
STEP_SAMPLES = 64
"""For which the seconds of a step were measured."""


def plan_pretrain(setting: Setting) -> Estimate:
    """The estimate of the stage `pretrain`: every rank holds all tables."""
    graph: GraphConfig = setting.recipe.sections["graph"]
    counts, machine, model = setting.counts, setting.machine, graph.model
    items, batch = counts.items, max(1, graph.schedule.global_batch // machine.ranks)
    encoders = encoder_needs(setting)
    length = min(counts.taught / counts.teachers, model.window)
    pairs = length**2 * counts.teachers if model.evidence else 0.0
    positions = graph.loss.predicted_positions or (model.max_history if graph.loss.next_item_weight else 1)
    scored = CELLS + graph.loss.sampled_negatives if is_sampled(graph, items) else items / 2
    memory = [
        *encoders.memory,
        Need("scores of a batch over the items", 3 * 4 * batch * positions * scored),
        Need(
            "what sold when",
            (3 * SALE_BYTES + 2 * SWEPT_BYTES) * counts.taught if model.evidence and model.evidence_time else 0,
        ),
    ]
    counting = min(graph.memory_gib * GIB, COMPANION_BYTES * 3 * pairs) + COUNTING_BYTES * counts.teachers
    host = [*encoders.host, *([Need("counting companions, on the first rank", counting)] if model.evidence else [])]
    steps = graph.schedule.epochs * -(-counts.train // graph.schedule.global_batch)
    depth = graph.list_depth * 12
    idle = machine.ranks - graph.schedule.global_batch
    return Estimate(
        stage="pretrain",
        memory=[part for part in memory if part.size],
        host=[part for part in host if part.size],
        disk=[
            *encoders.disk,
            Need("user vectors", 4 * 2 * model.vector_width * (counts.kindred + setting.asking_held_out)),
            Need("ranked lists", depth * setting.asking_held_out),
            *([Need("lists of train", 8 * graph.list_depth * setting.asking_train)] if model.evidence else []),
            *([Need("companions, on a chronological pair thrice", 3 * COMPANION_BYTES * pairs)] if pairs else []),
            *([Need("companions, while they are counted", RUN_BYTES * pairs)] if pairs else []),
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
