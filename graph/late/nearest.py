"""Of each item those of one domain that are nearest to it by any of the tables; found when they are first asked for."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from graph.companions.mapped import expand
from graph.config import TABLES
from graph.late.item_tables import CosineRoom, ItemTables

LEAST_COSINE = 0.02
MOST_TIED = 10
"""So many times `depth` at most by one table: a tie that goes on behind it is left out whole."""
CELLS_AT_ONCE = 1 << 24
"""Cosines by one table that are held together, whatever the domain's size."""
ITEMS_AT_ONCE = 512
PARTS = ("row", "offsets", "candidate", "cosines")
"""Of nearest items, as they are written."""
TIED_AT_ONCE = 32
"""Rows that are looked through whole."""


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

    @property
    def num_rows(self) -> int:
        """Rows that are there; the tensors above may have room for more."""
        return int((self.row >= 0).sum())

    @property
    def parts(self) -> dict[str, Tensor]:
        """What is there of `PARTS`."""
        offsets = self.offsets[: self.num_rows + 1]
        values = (self.row, offsets, self.candidate[: offsets[-1]], self.cosines[: offsets[-1]])
        return dict(zip(PARTS, values, strict=True))

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
        at_once = max(1, min(ITEMS_AT_ONCE, CELLS_AT_ONCE // len(self.ids)))
        room = CosineRoom(at_once, len(self.ids), item_N.device, columns=self.tables.whole.shape[2])
        lengths, candidates, cosines = [], [], []
        for some_S in self._parts_of(missing_M, at_once):
            entry_P, candidate_P, cosine_P3 = self._search(self.tables, some_S, room)
            lengths.append(torch.bincount(entry_P, minlength=len(some_S)))
            candidates.append(candidate_P.to(torch.int32))
            cosines.append(cosine_P3.to(torch.float16))
        rows, cells = self.num_rows, int(self.offsets[self.num_rows])
        self.offsets = _with_more(self.offsets, rows + 1, torch.cat(lengths).cumsum(0) + cells)
        self.candidate = _with_more(self.candidate, cells, torch.cat(candidates))
        self.cosines = _with_more(self.cosines, cells, torch.cat(cosines))
        self.row[missing_M] = torch.arange(len(missing_M), device=self.row.device) + rows

    def forget(self) -> None:
        """Let all rows go; those that are asked for again are made again."""
        assert self.tables is not None
        anew = nearest_items(self.tables, self.ids, depth=self.depth)
        self.row, self.offsets, self.candidate, self.cosines = anew.row, anew.offsets, anew.candidate, anew.cosines

    def _parts_of(self, item_M: Tensor, most: int) -> list[Tensor]:
        """Ascending items, at most so many at a time, each time of one domain."""
        before, behind = torch.searchsorted(item_M, torch.tensor([self.ids.start, self.ids.stop]).to(item_M)).tolist()
        parts = (item_M[:before], item_M[before:behind], item_M[behind:])
        return [some_S for part in parts if len(part) for some_S in torch.split(part, most)]

    def _search(self, tables: ItemTables, item_S: Tensor, room: CosineRoom) -> tuple[Tensor, Tensor, Tensor]:
        """(which of the items, all of one domain; candidate; cosines [P, 3]) in order of items and candidates."""
        size, same = len(self.ids), int(item_S[0]) in self.ids
        said, keys = {}, []
        for table, name in enumerate(TABLES):
            if name == "within" and not same:
                continue
            cosine_SD = said[table] = tables.cosines(item_S, self.ids, table, room)
            if same:
                cosine_SD[torch.arange(len(item_S), device=item_S.device), item_S - self.ids.start] = 0
            row_E, column_E = nearest_of(cosine_SD, self.depth)
            keys.append(row_E * size + column_E)
        key_P = torch.unique(torch.cat(keys))
        entry_P, candidate_P = key_P // size, key_P % size
        cosine_P3 = torch.zeros(len(key_P), len(TABLES), device=key_P.device)
        for table, cosine_SD in said.items():
            cosine_P3[:, table] = cosine_SD[entry_P, candidate_P].clamp_min(0)
        return entry_P, candidate_P, cosine_P3


def nearest_of(cosine_AD: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """(row, column) of the `depth` largest of each row that are `LEAST_COSINE` or more, and of those as large as the
    last of them; where these would be more than `MOST_TIED` times `depth`, all as large as the last are left out."""
    most = min(depth, cosine_AD.shape[1])
    best_AK, column_AK = cosine_AD.topk(min(depth + 1, cosine_AD.shape[1]), dim=1)
    last_A1 = best_AK[:, most - 1 : most].clamp_min(LEAST_COSINE)
    goes_on_A = (best_AK[:, most:] >= last_A1).any(dim=1)
    row_E, place_E = torch.nonzero((best_AK[:, :most] >= last_A1) & ~goes_on_A[:, None], as_tuple=True)
    rows, columns = [row_E], [column_AK[row_E, place_E]]
    tied_T = torch.nonzero(goes_on_A)[:, 0]
    for row_T in torch.split(tied_T, TIED_AT_ONCE):
        some_TD, last_T1 = cosine_AD[row_T], last_A1[row_T]
        tied_TD = some_TD >= last_T1
        too_many_T1 = tied_TD.sum(dim=1, keepdim=True) > MOST_TIED * depth
        row_E, column_E = torch.nonzero(torch.where(too_many_T1, some_TD > last_T1, tied_TD), as_tuple=True)
        rows.append(row_T[row_E])
        columns.append(column_E)
    return torch.cat(rows), torch.cat(columns)


def _with_more(values: Tensor, used: int, more: Tensor) -> Tensor:
    """`more` behind the first `used` rows, in the same tensor while it has room: a copy each time would cost the square
    of what there is."""
    need = used + len(more)
    if need > len(values):
        grown = values.new_empty((max(need, len(values) * 3 // 2), *values.shape[1:]))
        grown[:used] = values[:used]
        values = grown
    values[used:need] = more
    return values


def nearest_items(tables: ItemTables, ids: range, *, depth: int) -> NearestItems:
    """Nothing is found yet."""
    num_items = tables.whole.shape[1]
    row = torch.full((num_items + 1,), -1, dtype=torch.int64, device=tables.whole.device)
    return NearestItems(ids, depth, tables, row)
