"""What retrieval needs: each rank's shard of the keys, a block of queries and their scores, the neighbours written."""

from graph.config import GraphConfig
from launch.plan.estimates import Estimate, Need, Setting
from retrieval.config import CANDIDATES, RetrievalConfig
from retrieval.indexes.config import IndexConfig

NEIGHBOUR_BYTES = 20
"""Sample, user and score of one neighbour."""
ANSWERS = 32
"""Numbers of a query's answers, for each neighbour asked for: what a shard finds, what is sent and what is merged."""
SAMPLE_BYTES, KEY_BYTES = 110, 430
"""Of a sample, which every rank reads; and of a train sample while histories are told apart and at the judge's."""
HELD_BYTES = 16
"""Of an item of a history in the index of who holds what."""
CANDIDATE_BYTES = 136
"""Of one candidate of a query, while answers are sent, merged and filtered."""
BYTES = {"float32": 4, "float16": 2}
EXACT_RATE = 2.0
"""FLOP of an inner product's number, of which a rank does a share of its peak."""


def plan_retrieve(setting: Setting) -> Estimate:
    """The estimate of the stage `retrieve`: the keys shared out over the ranks."""
    retrieval: RetrievalConfig = setting.recipe.sections["retrieval"]
    graph: GraphConfig = setting.recipe.sections["graph"]
    counts, machine = setting.counts, setting.machine
    widths = {"model": graph.model.vector_width, "items": retrieval.item_dim, "text": retrieval.text_dim}
    parts = retrieval.part_weights()
    width = sum(widths[name] for name in parts)
    asked, samples = setting.asking_train + setting.asking_held_out, counts.kindred + counts.held_out
    index = retrieval.index.resolved(counts.kindred)
    shard = BYTES[index.storage] * width * counts.kindred / machine.ranks
    rate = machine.ranks * machine.fp32_flops * machine.utilisation
    visited = counts.kindred if index.kind == "exact" else counts.kindred * _visited_share(index)
    return Estimate(
        stage="retrieve",
        memory=[
            *([] if index.mapped else [Need("keys of this rank's shard", shard)]),
            *(
                [
                    Need(
                        "codes or graph of this rank's shard",
                        _of_proposals(index, width, counts.kindred / machine.ranks),
                    )
                ]
                if index.kind in ("ivf_pq", "hnsw")
                else []
            ),
            Need(
                "a block of queries and its scores", 4 * retrieval.block * (width + ANSWERS * retrieval.num_neighbours)
            ),
        ],
        host=[
            Need("samples and keys", machine.processes * (SAMPLE_BYTES * samples + KEY_BYTES * counts.kindred)),
            *(_by_expectation(setting) if retrieval.score == "posterior" and graph.model.evidence else []),
        ],
        disk=[
            Need("item tables", 4 * sum(widths[name] for name in parts if name != "model") * counts.items),
            *([Need("mapped keys", shard * machine.ranks)] if index.mapped else []),
            Need("neighbours", NEIGHBOUR_BYTES * retrieval.num_neighbours * asked),
        ],
        seconds=EXACT_RATE * width * visited * asked / rate,
        how=f"rough: {index.kind}, {visited:,.0f} keys x {asked:,} queries x {width} numbers; vectors not counted",
    )


def _visited_share(index: IndexConfig) -> float:
    """Of all keys, those that a query is multiplied with; a graph visits hardly any."""
    assert index.nprobe is not None
    assert index.nlist is not None
    return 0.0 if index.kind == "hnsw" else index.nprobe / index.nlist


def _of_proposals(index: IndexConfig, width: int, keys: float) -> float:
    """What FAISS holds beside the keys: codes and numbers, or a graph and the vectors in 16 bits."""
    return keys * (index.pq_bytes + 8 if index.kind == "ivf_pq" else 2 * width + 2 * 4 * index.m)


def _by_expectation(setting: Setting) -> list[Need]:
    """What finding users by what is expected needs of a node's memory; it is not done on GPUs."""
    retrieval: RetrievalConfig = setting.recipe.sections["retrieval"]
    counts, machine = setting.counts, setting.machine
    depth = max(CANDIDATES, retrieval.num_neighbours) if retrieval.coverage else retrieval.num_neighbours
    return [
        Need("who holds what", HELD_BYTES * counts.taught / machine.nodes),
        Need("users to choose from", CANDIDATE_BYTES * depth * retrieval.block * machine.processes),
    ]
