"""What one would write first: item graphs with dictionaries, propagation with index_add, a plain SASRec.

`bench.graph` holds the graph stage against these; nothing else uses them.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from graph.batches import Batch, next_items
from graph.companions.mapped import FoundPairs
from graph.companions.pair_keys import DISTANCES, NUM_GAPS
from graph.edges import Edges
from graph.item_graph import ItemGraph
from pairs.tables import Ints, Samples

Pair = tuple[int, int]


def looped_successors(train: Samples, item_domain: npt.NDArray[np.int8], *, within_domain: bool) -> Edges:
    """`graph.edges.successor_edges` with a set and a loop."""
    seen: set[tuple[int, int, int]] = set()
    domain_of = item_domain.tolist()
    for row, user in enumerate(train.user.tolist()):
        items = [*train.history_of(row).tolist(), int(train.target[row])]
        streams = [items]
        if within_domain:
            streams = [[item for item in items if domain_of[item] == domain] for domain in (0, 1)]
        for stream in streams:
            for source, target in pairwise(stream):
                seen.add((user, source, target))
    counts = Counter((source, target) for _, source, target in seen)
    rows = np.array([(*pair, counts[pair]) for pair in sorted(counts)], dtype=np.int64).reshape(-1, 3)
    return Edges(rows[:, 0], rows[:, 1], rows[:, 2])


@dataclass(frozen=True)
class LoopedCompanions:
    """Ordered pairs of items in one train history (targets included), and who has them."""

    users: dict[Pair, dict[int, int]]
    """(item, companion) -> user -> the nearest distance class, the companion after the item preferred."""

    @property
    def counts(self) -> dict[Pair, list[int]]:
        """(item, companion) -> users by class."""
        return {
            pair: np.bincount(list(gap_of.values()), minlength=NUM_GAPS).tolist() for pair, gap_of in self.users.items()
        }

    def least(self, item: int, ids: range, max_companions: int) -> int:
        """Users that a pair of an item needs, at least 1, so that no more than `max_companions` are left."""
        shared = sorted((len(whose) for (one, other), whose in self.users.items() if one == item and other in ids))
        return shared[-max_companions - 1] + 1 if len(shared) > max_companions else 1

    def pairs_of(
        self,
        items: list[int],
        users: list[int] | None,
        *,
        ids: range,
        max_companions: int,
        text_IK: "np.typing.NDArray[np.float32]",
    ) -> FoundPairs:
        """`CompanionGraph.pairs_of`."""
        entry: list[int] = []
        candidate: list[int] = []
        counts: list[list[int]] = []
        likeness: list[float] = []
        for place, item in enumerate(items):
            least = self.least(item, ids, max_companions)
            for one, other in sorted(self.users):
                if one != item or other not in ids:
                    continue
                whose = {user: gap for user, gap in self.users[one, other].items() if not users or user != users[place]}
                if len(whose) >= least:
                    entry.append(place)
                    candidate.append(other - ids.start)
                    counts.append(np.bincount(list(whose.values()), minlength=NUM_GAPS).tolist())
                    likeness.append(float(text_IK[one] @ text_IK[other]))
        return FoundPairs(
            torch.tensor(entry, dtype=torch.int64),
            torch.tensor(candidate, dtype=torch.int64),
            torch.tensor(counts, dtype=torch.float32).view(-1, NUM_GAPS),
            torch.tensor(likeness, dtype=torch.float32),
        )


def looped_companions(train: Samples, *, window: int) -> LoopedCompanions:
    """With dictionaries and loops."""
    half = NUM_GAPS // 2
    class_of = [int(np.searchsorted(DISTANCES, distance)) for distance in range(window + 1)]
    users: dict[Pair, dict[int, int]] = defaultdict(dict)
    for row, user in enumerate(train.user.tolist()):
        items = [*train.history_of(row).tolist(), int(train.target[row])]
        for place, before in enumerate(items):
            for distance, after in enumerate(items[place + 1 : place + 1 + window], start=1):
                if before == after:
                    continue
                near = class_of[distance]
                for pair, gap in (((before, after), near), ((after, before), near + half)):
                    known = users[pair].get(user)
                    if known is None or (gap % half, gap) < (known % half, known):
                        users[pair][user] = gap
    return LoopedCompanions(dict(users))


def same_pairs(mine: FoundPairs, other: FoundPairs) -> bool:
    """Whether two answers are alike: places, candidates and counts exactly."""
    exact: list[tuple[Tensor, Tensor]] = [
        (getattr(mine, name), getattr(other, name)) for name in ("entry", "candidate", "gap_counts")
    ]
    return all(torch.equal(*both) for both in exact) and torch.allclose(mine.likeness, other.likeness, atol=1e-6)


def edge_ends(graph: ItemGraph) -> tuple[Tensor, Tensor]:
    """(source, target) of every edge [E]."""
    return graph.keys // graph.num_items, graph.keys % graph.num_items


def added_up(ends: tuple[Tensor, Tensor], weight_E: Tensor, table_IK: Tensor) -> Tensor:
    """`ItemGraph.neighbour_mean` edge by edge: what each target sends, weighted, added up at the source."""
    source_E, target_E = ends
    return torch.zeros_like(table_IK).index_add(0, source_E, weight_E[:, None] * table_IK[target_E])


class PlainSasrec(nn.Module):
    """SASRec (Kang and McAuley 2018) out of PyTorch's own parts: one table, one encoder, tied scores."""

    def __init__(self, *, num_items: int, num_x: int, width: int, blocks: int, max_history: int, dropout: float):
        super().__init__()
        self.pad, self.num_x = num_items, num_x
        self.items = nn.Embedding(num_items + 1, width, padding_idx=num_items)
        self.positions = nn.Parameter(torch.zeros(max_history, width))
        self.drop = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            width, nhead=1, dim_feedforward=width, dropout=dropout, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, blocks, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        nn.init.normal_(self.items.weight, std=0.02)

    def forward(self, history_BL: Tensor) -> Tensor:
        """States [B, L, K] of histories that begin at the first position: what follows them is never seen."""
        length = history_BL.shape[1]
        x_BLK = self.drop(self.items(history_BL) + self.positions[:length])
        mask_LL = nn.Transformer.generate_square_subsequent_mask(length, device=x_BLK.device)
        states_BLK: Tensor = self.encoder(x_BLK, mask=mask_LL, is_causal=True)
        return states_BLK

    def loss(self, batch: Batch, *, every_position: bool) -> tuple[Tensor, int]:
        """Softmax over all items of the next item's domain, averaged, at each position or at the last; and how many."""
        next_BL = next_items(batch, pad=self.pad)
        if not every_position:
            next_BL[:, :-1] = self.pad
        next_BL = self._to_the_front(next_BL, batch.history)
        states_BLK = self(self._to_the_front(batch.history, batch.history))
        total, count = states_BLK.new_zeros(()), 0
        for first, end in ((0, self.num_x), (self.num_x, self.pad)):
            chosen_BL = (next_BL >= first) & (next_BL < end)
            scores_PD = states_BLK[chosen_BL] @ self.items.weight[first:end].T
            total = total + nn.functional.cross_entropy(scores_PD, next_BL[chosen_BL] - first, reduction="sum")
            count += int(chosen_BL.sum())
        return total / max(1, count), count

    def _to_the_front(self, columns_BL: Tensor, history_BL: Tensor) -> Tensor:
        """Columns that go with left-padded histories, with the padding moved behind."""
        padding_B = (history_BL == self.pad).sum(dim=1)
        place_L = torch.arange(columns_BL.shape[1], device=columns_BL.device)
        return columns_BL.gather(1, (place_L + padding_B[:, None]) % columns_BL.shape[1])


def same_arrays(left: Edges, right: Edges) -> bool:
    """Whether two results agree in every column, kinds of numbers aside."""
    columns: list[tuple[Ints, Ints]] = [(vars(left)[name], vars(right)[name]) for name in vars(left)]
    return all(np.array_equal(mine, other) for mine, other in columns)
