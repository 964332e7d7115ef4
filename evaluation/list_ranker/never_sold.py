"""Items that nobody has bought, as far as is known, stand where their words put them: the final list over time.

An item that the likeness of words has at place p takes place p of the final list; the others keep their order around
it. A catalogue is made of what was bought at some time: where the split is one of time, that nobody has bought an item
*yet* says that somebody will, and trees that may judge it by that read the future. So the trees have no say in it;
where they are fitted for knowledge of some age, they learn from lists without such items, too.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.matrices import Floats
from pairs.tables import Ints


@dataclass(frozen=True)
class Slots:
    """Places in the lists of a batch, each for one item."""

    row: Ints  # [S], of the batch
    column: Ints  # [S], of the domain's items
    place: Ints  # [S], from 0; equal ones stand together


def put_into(final_BC: Floats, slots: Slots) -> None:
    """Move items to their slots, in place; what may not be recommended (-inf) stays out."""
    if len(slots.row) == 0:
        return
    order = np.argsort(slots.row, kind="stable")
    rows, starts = np.unique(slots.row[order], return_index=True)
    for row, of_row in zip(rows.tolist(), np.split(order, starts[1:]), strict=True):
        column_S, place_S = slots.column[of_row], slots.place[of_row]
        allowed_S = np.isfinite(final_BC[row, column_S])
        column_S, place_S = column_S[allowed_S], place_S[allowed_S]
        if len(column_S):
            final_BC[row, column_S] = _between(np.delete(final_BC[row], column_S), place_S)


def _between(others_C: Floats, place_S: Ints) -> Floats:
    """[S] scores that have as many better ones, of the others and of these, as the places say."""
    before_S = np.searchsorted(np.sort(place_S), place_S, side="left")  # of these
    above_S = place_S - before_S  # of the others
    best = others_C[np.isfinite(others_C)]
    most = min(len(best), int(above_S.max()) + 1)
    if most == 0:
        return -before_S.astype(np.float32)
    best = -np.sort(-np.partition(best, len(best) - most)[len(best) - most :])
    high_S = np.where(above_S == 0, best[0] + 1, best[np.clip(above_S - 1, 0, most - 1)])
    low_S = np.where(above_S >= most, best[-1] - 1, best[np.clip(above_S, 0, most - 1)])
    share_S = 1 - (before_S + 1) / (len(place_S) + 1)
    return np.asarray(low_S + (high_S - low_S) * share_S, dtype=np.float32)
