"""What the encoders need: tables that are trained and propagated, or tables that items vote with and what is near.

Of late interaction everything was measured on one CPU core: 38,000 items, 9,600 users, width 512.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.list_ranker.blocks import LEFT_OUT, MOST_FOLDS, MOST_SAMPLES
from graph.config import TABLES, GraphConfig, ModelConfig
from launch.plan.counts import PairSizes
from launch.plan.estimates import Need, Setting

ADAM = 3
"""A trained number's gradient and two moments."""
ATTENTION_SECONDS = 1e-5
"""Of one CPU core, an item of the catalogue, in a step of 64 samples, width 64, evidence beside: .54 s at 49 k items,
1.8 s at 183 k."""
LATE_SECONDS = 4e-6
"""The same with late interaction and the full softmax: .15 s at 38 k."""
SAMPLED_SECONDS, CELLS = 0.34, 20_000
"""With a sampled softmax, of a step: .34 s at 5 M items; and what is scored of a sample, at most about."""
FACTORISING_SECONDS = 7e-10
"""Of an item or user, a column squared: 8 s."""
FACTORISING_BYTES, BLOCK_BYTES, PURCHASE_BYTES = 14, 8, 36
"""Of an item, a column; of a user of a block, a column; of a purchase: 302 MiB."""
USERS_AT_ONCE, MOST_USERS = 8192, 1 << 16
"""As in graph/co_occurrence.py: users of a block, an eighth of the items within these bounds."""
NEAREST_SECONDS = 2.9e-11
"""Of an item asked for, an item it is compared with, a column, in bytes: 1.9 s for 1,016 items and the 125,000 of one
domain."""
NEAREST_BYTES = 16
"""Of a cosine that is held, four of a pair of items: 185 MiB with the vectors."""
ITEMS_AT_ONCE, CELLS_AT_ONCE = 512, 1 << 24
"""As in graph/late/nearest.py, which would import torch."""
NEAR = 2.1
"""Candidates that are kept of an item towards a domain, for each of `nearest`: a union of three tables (1.9 to 2.1)."""
PAIR_BYTES = 4 + 2 * len(TABLES)
"""The candidate and a cosine in each table."""


@dataclass(frozen=True)
class EncoderNeeds:
    """A share of what pretraining needs."""

    memory: Sequence[Need]
    host: Sequence[Need]
    disk: Sequence[Need]
    once: float
    """Seconds before and after all steps."""
    step: float
    """Seconds of a step of 64 samples."""


def encoder_needs(setting: Setting) -> EncoderNeeds:
    """Of the encoders that a recipe has."""
    graph: GraphConfig = setting.recipe.sections["graph"]
    needs = _late if graph.model.encoder == "late" else _attention
    return needs(setting, graph)


def _attention(setting: Setting, graph: GraphConfig) -> EncoderNeeds:
    items, model = setting.counts.items, graph.model
    tables = 4 * items * (3 * model.dim + model.attribute_dim)
    heads = 0 if model.tie_head else 4 * items * 2 * model.dim
    trained = heads + (tables if graph.schedule.table_rate > 0 else 0)
    return EncoderNeeds(
        memory=[
            Need("item tables", tables + heads),
            Need("their gradients and Adam", ADAM * trained),
            Need("propagated tables", 2 * tables),
        ],
        host=[],
        disk=[Need("checkpoints", 3 * (tables + heads + 2 * trained)), Need("model", tables + heads)],
        once=0.0,
        step=ATTENTION_SECONDS * items,
    )


def _late(setting: Setting, graph: GraphConfig) -> EncoderNeeds:
    counts, machine, model = setting.counts, setting.machine, graph.model
    items, dim = counts.items, model.dim
    blocks, users_of_block = left_out_blocks(counts)
    length = min(counts.interactions / counts.users, model.max_history)
    of_block = distinct(users_of_block * length, items)
    held_out = distinct(setting.asking_held_out * length / machine.ranks, items)
    searched = max(1, min(ITEMS_AT_ONCE, CELLS_AT_ONCE // max(1, items // 2)))
    left_out = pair_bytes(model, blocks * of_block)
    text, factors = 4 * items * dim, 2 * items * dim
    users_at_once = min(counts.teachers, max(USERS_AT_ONCE, min(MOST_USERS, items // 8)))
    factorising = (FACTORISING_BYTES * items + BLOCK_BYTES * users_at_once) * dim + PURCHASE_BYTES * counts.taught
    return EncoderNeeds(
        memory=[
            Need("item tables", len(TABLES) * items * dim),
            Need("what is near in left-out blocks", left_out),
            Need("what is near to valid's and test's items", pair_bytes(model, held_out)),
            Need("a search for that", searched * items / 2 * NEAREST_BYTES + 4 * dim * items / 2),
        ],
        host=[
            Need("text vectors", text),
            Need("factorising, on the first rank", factorising),
        ],
        disk=[
            Need("item tables, on a chronological pair two of them", 2 * factors),
            Need("text vectors", text),
            Need("what is near in left-out blocks", left_out),
        ],
        once=(1 + blocks) * FACTORISING_SECONDS * (items + counts.teachers) * dim**2
        + NEAREST_SECONDS * dim * items * (blocks * of_block + held_out),
        step=SAMPLED_SECONDS if is_sampled(graph, items) else LATE_SECONDS * items,
    )


def is_sampled(graph: GraphConfig, items: int) -> bool:
    """Whether the target's losses look at some items of a domain alone (graph/objective.py)."""
    late, loss = graph.model.encoder == "late", graph.loss
    return late and loss.sampled_negatives > 0 and items / 2 > loss.full_softmax_items


def left_out_blocks(counts: PairSizes) -> tuple[int, float]:
    """Blocks of users that late interaction learns from, and users in each (evaluation/list_ranker/blocks.py)."""
    users = counts.users * counts.train / (counts.train + counts.held_out)
    chosen = users * min(0.5, MOST_SAMPLES / counts.train)
    blocks = min(MOST_FOLDS, max(1, math.ceil(chosen / (LEFT_OUT * users))))
    return blocks, chosen / blocks


def distinct(draws: float, items: int) -> float:
    """Different items among so many that are drawn at random; fewer where some sell better."""
    return items * -math.expm1(-draws / items)


def pair_bytes(model: ModelConfig, asked: float) -> float:
    """Of the candidates of so many items, towards both domains."""
    return asked * 2 * NEAR * model.nearest * PAIR_BYTES
