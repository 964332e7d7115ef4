"""What retrieval needs: each rank's shard of the keys, a block of queries and their scores, the neighbours written."""

from graph.config import GraphConfig
from launch.plan.estimates import Estimate, Need, Setting
from retrieval.config import RetrievalConfig

NEIGHBOUR_BYTES = 20
"""Sample, user and score of one neighbour."""
ANSWERS = 128
"""Numbers of a query's answers, of all ranks, for each neighbour asked for."""
EXACT_RATE = 2.0
"""FLOP of an inner product's number, of which a rank does a share of its peak."""


def plan_retrieve(setting: Setting) -> Estimate:
    """The estimate of the stage `retrieve`: exact search, the keys shared out over the ranks."""
    retrieval: RetrievalConfig = setting.recipe.sections["retrieval"]
    graph: GraphConfig = setting.recipe.sections["graph"]
    counts, machine = setting.counts, setting.machine
    widths = {"model": graph.model.vector_width, "items": retrieval.item_dim, "text": retrieval.text_dim}
    width = sum(widths[name] for name in retrieval.part_weights())
    asked = counts.train + counts.held_out
    shard = 4 * width * counts.train / machine.ranks
    rate = machine.ranks * machine.flops * machine.utilisation
    return Estimate(
        stage="retrieve",
        memory=[
            Need("keys of this rank's shard", shard),
            Need(
                "a block of queries and its scores", 4 * retrieval.block * (width + ANSWERS * retrieval.num_neighbours)
            ),
        ],
        host=[Need("vectors of all samples", 4 * width * asked * machine.processes)],
        disk=[
            Need("vectors", 4 * width * asked),
            Need("neighbours", NEIGHBOUR_BYTES * retrieval.num_neighbours * asked),
        ],
        seconds=EXACT_RATE * width * counts.train * asked / rate,
        how=f"rough: {counts.train:,} keys x {asked:,} queries x {width} numbers; vectors not counted",
    )
