"""What preparation needs: bounded memory, and the disk that sorted runs and tables take."""

from launch.plan.estimates import GIB, Estimate, Need, Setting
from pairs.config import PairConfig

ROWS_A_SECOND = 540_000
"""Of two cores: BENCHMARKS.md."""
FLOOR = 0.4 * GIB
USER_BYTES, ITEM_BYTES = 60, 400
"""Held in memory: numbers of a user; title and attributes of an item."""
ROW_BYTES = 40
"""Of an interaction in a sorted run."""


def plan_prepare(setting: Setting) -> Estimate:
    """The estimate of the stage `prepare`."""
    pair: PairConfig = setting.recipe.sections["pair"]
    counts = setting.counts
    held = FLOOR + USER_BYTES * counts.users + ITEM_BYTES * counts.items
    rows = min(2 * ROW_BYTES * counts.interactions, pair.memory_gib * GIB)
    return Estimate(
        stage="prepare",
        host=[Need("catalogue, users, blocks of lines", held), Need("interactions (pair.memory_gib)", rows)],
        disk=[
            Need("sorted runs, while it works", 2 * ROW_BYTES * counts.interactions),
            Need("pair/", ROW_BYTES * counts.interactions + ITEM_BYTES * counts.items),
        ],
        seconds=counts.interactions / ROWS_A_SECOND,
        how=f"rough: {ROWS_A_SECOND:,} interactions a second on two cores, raw files not counted",
    )
