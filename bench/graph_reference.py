"""What one would write first: item graphs with dictionaries, propagation with index_add, a plain SASRec.

`bench.graph` holds the graph stage against these; nothing else uses them.
"""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from graph.batches import Batch, next_items
from graph.edges import DISTANCES, NUM_GAPS, Companions, Edges
from graph.item_graph import ItemGraph
from pairs.tables import Ints, Samples


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


def looped_companions(train: Samples, *, window: int) -> Companions:
    """`graph.edges.companion_pairs` with dictionaries and loops."""
    half = NUM_GAPS // 2
    class_of = [int(np.searchsorted(DISTANCES, distance)) for distance in range(window + 1)]
    gaps_of_user: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for row, user in enumerate(train.user.tolist()):
        items = [*train.history_of(row).tolist(), int(train.target[row])]
        gap_of = gaps_of_user[user]
        for place, before in enumerate(items):
            for distance, after in enumerate(items[place + 1 : place + 1 + window], start=1):
                if before == after:
                    continue
                near = class_of[distance]
                for pair, gap in (((before, after), near), ((after, before), near + half)):
                    known = gap_of.get(pair)
                    if known is None or (gap % half, gap) < (known % half, known):
                        gap_of[pair] = gap
    counts: dict[tuple[int, int], list[int]] = {}
    for gap_of in gaps_of_user.values():
        for pair, gap in gap_of.items():
            counts.setdefault(pair, [0] * NUM_GAPS)[gap] += 1
    pairs = sorted(counts)
    number_of = {pair: number for number, pair in enumerate(pairs)}
    users = sorted(gaps_of_user)
    owned = [sorted((number_of[pair], gap) for pair, gap in gaps_of_user[user].items()) for user in users]
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    flat = np.array([both for own in owned for both in own], dtype=np.int64).reshape(-1, 2)
    return Companions(
        source=columns[:, 0],
        target=columns[:, 1],
        gap_counts=np.array([counts[pair] for pair in pairs], dtype=np.float32).reshape(-1, NUM_GAPS),
        users=np.array(users, dtype=np.int64),
        user_offsets=np.cumsum([0, *map(len, owned)]).astype(np.int64),
        user_pair=flat[:, 0],
        user_gap=flat[:, 1],
    )


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


def same_arrays(left: Edges | Companions, right: Edges | Companions) -> bool:
    """Whether two results agree in every column, kinds of numbers aside."""
    columns: list[tuple[Ints, Ints]] = [(vars(left)[name], vars(right)[name]) for name in vars(left)]
    return all(np.array_equal(mine, other) for mine, other in columns)
