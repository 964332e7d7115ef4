"""The candidates of a sample: what the scorers and the lists of other stages nominate, and its own history.

All systems are then scored at these alone: a sample costs the same however many items its domain has. What a source
nominates is exact but for words, whose nominees come from rare words. A target that no source nominates, or that a
system ranks below the pool's depth, is not ranked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluation.candidates.asked import Nomination, Scorer, answer_of
from evaluation.matrices import Floats
from evaluation.ranked_lists import NO_ITEM, RankedLists
from pairs.ragged import places_of
from pairs.tables import Ints, Samples


@dataclass(frozen=True)
class Nominees:
    """The candidates of a batch, and the answers that they came from."""

    items: Ints
    """[B, P] ascending in each row, the domain's end behind them."""
    depth: int
    """Places below which nobody is ranked."""
    answers: Mapping[int, Nomination] = field(default_factory=dict)
    """By the `id` of the scorer."""


@dataclass(frozen=True)
class Pool:
    """Who nominates."""

    scorers: Mapping[str, Scorer]
    lists: Mapping[str, RankedLists]
    """Aligned with the samples that are asked about."""
    depth: int
    """Items that each nominates."""

    def nominees(self, rows: Ints, samples: Samples, domain: int, ids: range) -> Nominees:
        """Those of some samples of one domain.

        Args:
            rows: their rows in the lists.
            ids: the domain's items.
        """
        answers = {id(scorer): answer_of(scorer, samples, domain, ids) for scorer in self.scorers.values()}
        named = [answer.best(self.depth) for answer in answers.values()]
        named += [lists.items[rows, : self.depth] for lists in self.lists.values()]
        row = np.concatenate([samples.item_rows, *(np.repeat(np.arange(len(rows)), part.shape[1]) for part in named)])
        item = np.concatenate([samples.history, *(part.ravel() for part in named)])
        inside = (item >= ids.start) & (item < ids.stop) & (item != NO_ITEM)
        width = ids.stop + 1
        keys = np.unique(row[inside] * width + item[inside])
        lengths_B = np.bincount(keys // width, minlength=len(rows))
        items_BP = np.full((len(rows), max(1, int(lengths_B.max(initial=0)))), ids.stop, dtype=np.int64)
        items_BP[keys // width, places_of(lengths_B)] = keys % width
        return Nominees(items_BP, self.depth, answers)


def scores_at(scorer: Scorer, samples: Samples, domain: int, nominees: Nominees, ids: range) -> Floats:
    """[B, P] a scorer's scores of the candidates, -inf behind them; from its answer where the batch has it."""
    answer = nominees.answers.get(id(scorer)) or answer_of(scorer, samples, domain, ids)
    scores_BP = answer.at(np.minimum(nominees.items, ids.stop - 1))
    return np.where(nominees.items < ids.stop, scores_BP, np.float32(-np.inf))
