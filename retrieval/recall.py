"""What a way to find kindred users misses beside the same way searched exactly, for some of a split's samples."""

import logging

import torch

from launch.distributed import World
from launch.stopping import raise_if_stopped
from pairs.draws import draw_rows
from pairs.tables import Samples, Split
from retrieval.quality import count_common
from retrieval.turns import block_ranges, even_cuts
from retrieval.ways import Score, Way

MOST_SEARCHED = 1000
"""Samples of a split that are asked both ways."""
RECALL: dict[Score, str] = {"vectors": "index_recall", "posterior": "posterior_recall"}
log = logging.getLogger(__name__)


def measure_recall(
    way: Way, split: Split, samples: Samples, *, block: int, seed: int, world: World
) -> dict[str, float]:
    """The share of what an exact search finds that `way` finds, and of how many samples; nothing where it is exact.

    A collective.
    """
    exact = way.exactly()
    if exact is None:
        return {}
    rows = draw_rows(len(samples), MOST_SEARCHED, seed=seed)
    counts = torch.zeros(2, dtype=torch.int64)
    for part in block_ranges(range(len(rows)), block):
        raise_if_stopped(world, f"the recall of {split}")
        asked = rows[part.start : part.stop]
        cuts = even_cuts(len(asked), world.size)
        nearest = exact.answer(split, samples, asked, cuts)[1]
        neighbours = way.answer(split, samples, asked, cuts)[1]
        counts += torch.tensor([count_common(nearest, neighbours), int((nearest >= 0).sum())])
    common, wanted = world.sum(counts).tolist()
    recall = common / max(1, wanted)
    log.info("%s by %s: %.4f of what an exact search finds, of %d samples", split, way.score, recall, len(rows))
    return {"num_searched": len(rows), RECALL[way.score]: recall}
