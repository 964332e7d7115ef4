"""What evaluation needs: the catalogue's words, who bought what, ranks and lists of all samples, a batch of scores.

Measured on one process: Art-Office (38,396 items, 19,154 samples) 1.0 GiB in all, a synthetic pair of 10,000 users .8.
"""

from evaluation.config import WHOLE_ITEMS, EvaluationConfig
from launch.plan.estimates import Estimate, Need, Setting
from launch.systems import SYSTEMS

BATCH_CELLS = 1 << 22
"""As in evaluation/metrics/ranks.py, which would import scipy."""
ITEM_BYTES = 1_200
"""Title, attributes, and their words in a few sparse matrices."""
PURCHASE_BYTES = 150
"""Of an interaction, in the matrices of users and items."""
MOST_TOGETHER = 64_000_000
"""As in evaluation/systems/item_cosine.py."""
SKEW = 1.5
"""Pairs of items of one user beside those that equal histories would have."""
PAIR_BYTES = 24
"""Of such a pair, twins counted once, in the two or three banks that are there at a time: as they are and, where the
split is one of time, once more by their age."""
BATCH_ARRAYS = 40
"""Arrays of a batch that are held at once."""
CANDIDATES, FEATURES = 300, 45
"""Of a list to learn from, and of a candidate."""
READ_DEPTH, READ_SYSTEMS = 200, 5
"""Of lists of other stages."""
BLOCK_ROWS = 8192
"""As in evaluation/systems/blocks.py."""
SCALED = 4
"""Lists made of one that may be fused: by two scales, both ways."""
USER_SAMPLES = 2
"""Of a user that is held out."""
WAYS = 2
"""With the history's items and without."""
SECONDS = 0.02
"""Of a sample, judged."""
LIST_BYTES = 12


def plan_evaluate(setting: Setting) -> Estimate:
    """The estimate of the stage `evaluate`: every rank holds what is known, the lists of other stages of what is chosen
    on, and of all others a block at a time."""
    config: EvaluationConfig = setting.recipe.sections["evaluation"]
    counts, machine = setting.counts, setting.machine
    asked = setting.asking_held_out
    judged = asked if config.max_samples is None else min(asked, 2 * config.max_samples)
    cells = BATCH_CELLS if counts.items / 2 <= WHOLE_ITEMS else BATCH_CELLS // 8
    pairs = SKEW * counts.taught**2 / max(1, counts.teachers)
    learnt = min(config.ranker_samples, counts.train) + min(10_000, judged / 2)
    made = LIST_BYTES * judged * config.list_depth * len(SYSTEMS)
    deciding = min(USER_SAMPLES * config.tuning_users, judged)
    lists = LIST_BYTES * READ_DEPTH * (READ_SYSTEMS + SCALED) * (deciding + min(BLOCK_ROWS, judged))
    return Estimate(
        stage="evaluate",
        host=[
            Need("catalogue and its words", machine.processes * ITEM_BYTES * counts.items),
            Need("who bought what", machine.processes * PURCHASE_BYTES * counts.taught),
            Need("items of the same users", machine.processes * PAIR_BYTES * (pairs if pairs <= MOST_TOGETHER else 0)),
            Need("ranks and lists", machine.processes * (lists + 8 * WAYS * len(SYSTEMS) * judged)),
            Need("lists to learn from", machine.processes * 4 * CANDIDATES * FEATURES * learnt),
            Need("scores of a batch", machine.processes * 4.0 * BATCH_ARRAYS * cells),
        ],
        disk=[Need("ranked lists, and the ranks' parts of them", 2 * made)],
        seconds=SECONDS * judged / machine.ranks,
        how=f"rough: {judged:,} samples at {SECONDS} s, and what is chosen before",
    )
