"""Late interaction (ColBERT, Khattab and Zaharia 2020, for items): every item of a history votes by itself.

For a history h of items i_p, a candidate j of domain D, and [.] the case "i_p is of D" or not:

    cos(i_p, j) = sum_t mix_t[.] max(0, cos_t(i_p, j)),   t = shared, within (same domain only), words; mix_t sum to 1
    recency_p   = latest [i_p is the last] - decay (items after i_p)
    votes(j)    = sum_p exp(recency_p + bias[.]) (cos(i_p, j) + 0.0001)^power[.]
    score(j)    = gain log(votes(j) + exp(floor)) + popularity log(n_j + 0.1)

The sum is over those p to whose item j is among the nearest (graph/late/nearest.py). n_j counts the users of j. The
tables are factorised from counts and words (graph/late/item_tables.py); only these few weights are learnt, from train
samples that the tables were told nothing of. One inner product of one user vector with an item's could not say as
much: with power above 1, what is near to a single item counts more than what is a little near to all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graph.config import TABLES, VECTOR_COLUMNS
from graph.histories import Entries, entries_of
from graph.late.item_tables import ItemTables
from graph.late.nearest import NearestItems, nearest_items

SMALL = 1e-4  # keeps the power of no likeness differentiable


@dataclass(frozen=True)
class VoteGraph:
    """What is voted with for the items `nearest.ids` of one domain."""

    nearest: NearestItems
    num_users: Tensor  # [size]


class LateInteraction(nn.Module):
    """The weights above, towards one domain; pairs are [other domain's item, same domain's item]."""

    def __init__(self) -> None:
        super().__init__()

        def weight(*values: float) -> nn.Parameter:
            return nn.Parameter(torch.tensor(values))

        # Where training starts: an item of the other domain has half a vote, likeness counts nearly squared.
        self.decay, self.latest, self.bias = weight(0.1), weight(0.3), weight(-0.7, 0.0)
        self.mix_other, self.mix_same = weight(0.0, 0.4), weight(0.0, 0.0, 0.7)
        self.power, self.floor = weight(2.5, 2.5), weight(-5.0)
        self.gain, self.popularity = weight(2.0), weight(0.3)

    def forward(self, graph: VoteGraph, history_BL: Tensor, pad: int) -> Tensor:
        """Scores [B, size]."""
        ids, num_rows = graph.nearest.ids, len(history_BL)
        if num_rows == 0:  # nothing to score, yet every weight has a gradient, zero
            return history_BL.new_zeros((0, len(ids)), dtype=torch.float32) + self.nothing()
        row_P, candidate_P, vote_P = self.vote_pairs(graph, history_BL, pad)
        votes = torch.zeros(num_rows * len(ids), device=history_BL.device)
        votes = votes.index_add(0, row_P * len(ids) + candidate_P, vote_P)
        return self.mixed(votes.view(num_rows, len(ids)), graph.num_users)

    def vote_pairs(self, graph: VoteGraph, history_BL: Tensor, pad: int) -> tuple[Tensor, Tensor, Tensor]:
        """The addends of `votes`: (row, candidate, how much), each [P]."""
        ids = graph.nearest.ids
        entries = entries_of(history_BL, pad)
        near = graph.nearest.of(entries.item)
        same_N = entries.is_of(ids.start, len(ids))
        same_P = same_N[near.entry]
        cosine_P = (near.cosines * self._mix()[same_P]).sum(dim=1)
        log_P = self._log_weight(entries, same_N)[near.entry] + self.power[same_P] * (cosine_P + SMALL).log()
        return entries.row[near.entry], near.candidate, log_P.exp()

    def mixed(self, votes: Tensor, users: Tensor) -> Tensor:
        """The score of candidates out of their votes and users."""
        return self.gain * (votes + self.floor.exp()).log() + self.popularity * (users + 0.1).log()

    def nothing(self) -> Tensor:
        """Zero, with a gradient for every weight."""
        return torch.stack([weight.sum() for weight in self.parameters()]).sum() * 0

    def user_vectors(self, tables: ItemTables, history_BL: Tensor, ids: range, pad: int) -> Tensor:
        """The first columns of the history's items in each table, weighted as they vote [B, 3 * 64]."""
        entries = entries_of(history_BL, pad)
        weight_N = self._log_weight(entries, entries.is_of(ids.start, len(ids))).exp()
        parts = []
        for table in range(len(TABLES)):
            item_NK = tables.of(entries.item, table)[:, :VECTOR_COLUMNS] * weight_N[:, None]
            summed_BK = torch.zeros(len(history_BL), item_NK.shape[1], device=history_BL.device)
            parts.append(nn.functional.normalize(summed_BK.index_add(0, entries.row, item_NK), dim=1))
        return torch.cat(parts, dim=1)

    def _log_weight(self, entries: Entries, same_N: Tensor) -> Tensor:
        """What a history item's vote weighs, by its age and domain [N]."""
        return self.latest * (entries.age == 0) - self.decay * entries.age + self.bias[same_N]

    def _mix(self) -> Tensor:
        """Shares of the tables in a likeness [2, 3], of the other domain's items and of the same's."""
        shared, words = self.mix_other.softmax(dim=0)
        return torch.stack([torch.stack([shared, torch.zeros_like(shared), words]), self.mix_same.softmax(dim=0)])


def vote_graphs(tables: ItemTables, num_x: int, *, depth: int) -> tuple[VoteGraph, VoteGraph]:
    """Towards X and towards Y; each item's nearest are looked for when it is first asked about."""
    num_items = tables.whole.shape[1]
    x_graph, y_graph = (
        VoteGraph(nearest_items(tables, ids, depth=depth), tables.num_users[ids.start : ids.stop])
        for ids in (range(num_x), range(num_x, num_items))
    )
    return x_graph, y_graph
