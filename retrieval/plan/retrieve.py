"""What retrieval needs: each rank's shard of the keys, a block of queries and their scores, the neighbours written."""

from graph.config import GraphConfig
from launch.plan.estimates import Estimate, Need, Setting
from retrieval.config import CANDIDATES, RetrievalConfig

NEIGHBOUR_BYTES = 20
"""Sample, user and score of one neighbour."""
ANSWERS = 128
"""Numbers of a query's answers, of all ranks, for each neighbour asked for."""
HELD_BYTES = 16
"""Of an item of a history in the index of who holds what."""
CANDIDATE_BYTES, OF_A_RANK = 100, 36
"""Of one candidate of a query while the rows are filtered; and of what one rank has found, while all are merged."""
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
        host=[
            Need("vectors of all samples", 4 * width * asked * machine.processes),
            *(_by_expectation(setting) if retrieval.score == "posterior" and graph.model.evidence else []),
        ],
        disk=[
            Need("vectors", 4 * width * asked),
            Need("neighbours", NEIGHBOUR_BYTES * retrieval.num_neighbours * asked),
        ],
        seconds=EXACT_RATE * width * counts.train * asked / rate,
        how=f"rough: {counts.train:,} keys x {asked:,} queries x {width} numbers; vectors not counted",
    )


def _by_expectation(setting: Setting) -> list[Need]:
    """What finding users by what is expected needs of a node's memory; it is not done on GPUs."""
    retrieval: RetrievalConfig = setting.recipe.sections["retrieval"]
    counts, machine = setting.counts, setting.machine
    depth = max(CANDIDATES, retrieval.num_neighbours) if retrieval.coverage else retrieval.num_neighbours
    of_each = CANDIDATE_BYTES + OF_A_RANK * machine.ranks
    return [
        Need("who holds what", HELD_BYTES * counts.interactions / machine.nodes),
        Need("users to choose from", of_each * depth * retrieval.block * machine.processes),
    ]
