"""What the fitted trees say of candidates.

Asking them is half of an evaluation's time. So the first fit is asked about all candidates, and the others about those
alone that it has highest: what it has a hundred places down they do not bring among the best.
"""

from collections.abc import Sequence

import lightgbm
import numpy as np
from numpy.typing import NDArray

from evaluation.list_ranker.features import Candidates
from evaluation.matrices import Floats
from pairs.ragged import places_of
from pairs.tables import Ints

ASKED_OF_ALL = 100
"""Candidates of a sample that all fits are asked about."""


def ask_trees(fits: Sequence[lightgbm.Booster], candidates: Candidates) -> NDArray[np.float64]:
    """[P] the mean of the fits for the candidates that the first has highest, and the first's word on all others."""
    first, *others = fits
    said_P = np.array(first.predict(candidates.features, num_threads=1), dtype=np.float64)
    high_P = among_best(said_P, candidates.row, ASKED_OF_ALL)
    features = candidates.features[high_P]
    said = [said_P[high_P], *(np.asarray(trees.predict(features, num_threads=1)) for trees in others)]
    said_P[high_P] = np.mean(said, axis=0)
    return said_P


def among_best(said_P: NDArray[np.float64], row_P: Ints, most: int) -> NDArray[np.bool_]:
    """[P] whether a candidate is among the `most` highest of its row, or level with the last of them. Rows ascend."""
    order = np.lexsort((-said_P, row_P))
    is_last = places_of(np.bincount(row_P)) == most - 1
    bar_B = np.full(int(row_P.max(initial=-1)) + 1, -np.inf)
    bar_B[row_P[order[is_last]]] = said_P[order[is_last]]
    return np.asarray(said_P >= bar_B[row_P])


def from_zero_to_one(said_P: NDArray[np.float64], row_P: Ints, num_rows: int) -> Floats:
    """[P] what the trees say, from 0 for a row's lowest candidate to 1 for its highest."""
    low_B, high_B = np.full(num_rows, np.inf), np.full(num_rows, -np.inf)
    np.minimum.at(low_B, row_P, said_P)
    np.maximum.at(high_B, row_P, said_P)
    spread_P = (high_B - low_B)[row_P]
    scaled_P = (said_P - low_B[row_P]) / np.where(spread_P > 0, spread_P, 1.0)
    return np.asarray(scaled_P, dtype=np.float32)
