"""Of each item those of one domain that are nearest to it by any of the tables; found when they are first asked for."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from graph.companions.mapped import expand
from graph.config import TABLES
from graph.late.item_tables import ItemTables

LEAST_COSINE = 0.02
MOST_TIED = 10
"""So many times `depth` at most by one table: a tie that goes on behind it is left out whole."""
CELLS_AT_ONCE = 1 << 26
"""Cosines by one table that are held together, whatever the domain's size."""
ITEMS_AT_ONCE = 512


@dataclass(frozen=True)
class Near:
    """Pairs of one asked item and one candidate each, P of them."""

    entry: Tensor  # [P], index of the item among those asked for
    candidate: Tensor  # [P], counted from the domain's first item
    cosines: Tensor  # [P, 3], 0 or more; `within` is 0 for an item of the other domain


@dataclass
class NearestItems:
    """The rows of all items that were asked for so far.

    An item's row is the union of the `depth` nearest by each table, those as near as the last of them included: no id
    decides. Where that would be more than `MOST_TIED` times as many, all as near as the last are left out: many items
    with the same few words say little of each other. The item itself is not in it.
    """

    ids: range
    depth: int
    tables: ItemTables | None
    """None: no other items will be asked for."""
    row: Tensor  # [I + 1], of the parts below; -1 for those not asked for
    offsets: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))  # [rows + 1]
    candidate: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int32))  # [E]
    cosines: Tensor = field(default_factory=lambda: torch.zeros(0, len(TABLES), dtype=torch.float16))  # [E, 3]

    def of(self, item_N: Tensor) -> Near:
        """The nearest of each item; KeyError for an item without a row where there are no tables to make one."""
        self.find(item_N)
        entry_P, cell_P = expand(self.offsets, self.row[item_N])
        return Near(entry_P, self.candidate[cell_P].long(), self.cosines[cell_P].float())

    @torch.no_grad()
    def find(self, item_N: Tensor) -> None:
        """Make the rows of those that have none yet."""
        missing_M = torch.unique(item_N[self.row[item_N] < 0])
        if len(missing_M) == 0:
            return
        if self.tables is None:
            raise KeyError(f"no nearest items were kept of {missing_M[:5].tolist()}")
        lengths, candidates, cosines = [self.offsets.diff()], [self.candidate], [self.cosines]
        at_once = max(1, min(ITEMS_AT_ONCE, CELLS_AT_ONCE // len(self.ids)))
        for some_S in missing_M.split(at_once):
            entry_P, candidate_P, cosine_P3 = self._search(self.tables, some_S)
            lengths.append(torch.bincount(entry_P, minlength=len(some_S)))
            candidates.append(candidate_P.to(torch.int32))
            cosines.append(cosine_P3.to(torch.float16))
        self.row[missing_M] = torch.arange(len(missing_M), device=self.row.device) + len(self.offsets) - 1
        self.offsets = torch.cat([self.offsets[:1], torch.cat(lengths).cumsum(0)])
        self.candidate, self.cosines = torch.cat(candidates), torch.cat(cosines)

    def _search(self, tables: ItemTables, item_S: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(which of the items, candidate, cosines [P, 3]) in order of items and candidates."""
        same_S = (item_S >= self.ids.start) & (item_S < self.ids.stop)
        by_table = [tables.cosines(item_S, self.ids, table).clamp_min(0) for table in range(len(TABLES))]
        by_table[TABLES.index("within")] *= same_S[:, None]
        row_R = torch.nonzero(same_S)[:, 0]
        near_SD = torch.zeros(by_table[0].shape, dtype=torch.bool, device=item_S.device)
        for cosine_SD in by_table:
            cosine_SD[row_R, item_S[row_R] - self.ids.start] = 0
            last_S1 = cosine_SD.topk(min(self.depth, len(self.ids)), dim=1).values[:, -1:].clamp_min(LEAST_COSINE)
            tied_SD = cosine_SD >= last_S1
            too_many_S1 = tied_SD.sum(dim=1, keepdim=True) > MOST_TIED * self.depth
            near_SD |= torch.where(too_many_S1, cosine_SD > last_S1, tied_SD)
        entry_P, candidate_P = torch.nonzero(near_SD, as_tuple=True)
        return entry_P, candidate_P, torch.stack([cosine_SD[entry_P, candidate_P] for cosine_SD in by_table], dim=1)


def nearest_items(tables: ItemTables, ids: range, *, depth: int) -> NearestItems:
    """Nothing is found yet."""
    num_items = tables.whole.shape[1]
    row = torch.full((num_items + 1,), -1, dtype=torch.int64, device=tables.whole.device)
    return NearestItems(ids, depth, tables, row)
