"""Random tables, and by loops what late interaction makes of them."""

import torch

from graph.late.item_tables import ItemTables

NUM_X, NUM_ITEMS = 20, 50
PAD = NUM_ITEMS
IDS = (range(NUM_X), range(NUM_X, NUM_ITEMS))
Row = dict[int, tuple[float, ...]]
"""Of one item: its candidates, by item, with their cosines by each table."""


def random_tables(*, seed: int = 0, dim: int = 6) -> ItemTables:
    """Items 3 and 30 know nothing by any table; 4, 5, 6 and 31, 32 are each the same."""
    random = torch.Generator().manual_seed(seed)
    whole = torch.randint(-127, 128, (3, NUM_ITEMS, dim), generator=random).to(torch.int8)
    whole[:, [3, 30]] = 0
    whole[:, [5, 6]], whole[:, 32] = whole[:, [4]], whole[:, 31]
    return ItemTables(whole, torch.randint(0, 9, (NUM_ITEMS,), generator=random).float())


def slow_cosine(tables: ItemTables, item: int, other: int, table: int) -> float:
    """0 where either has no length, or where they point away from each other."""
    one, two = (tables.whole[table, number].double() for number in (item, other))
    lengths = float(one.norm() * two.norm())
    return max(0.0, float(one @ two) / lengths) if lengths else 0.0


def slow_row(tables: ItemTables, item: int, ids: range, depth: int) -> Row:
    """Sort all candidates by each table in turn and take the first, with those that are as near as the last of them."""
    same = item in ids
    by_table: list[dict[int, float]] = []
    for table in range(3):
        known = table != 1 or same
        by_table.append({j: slow_cosine(tables, item, j, table) if known else 0.0 for j in ids if j != item})
    kept: set[int] = set()
    for cosines in by_table:
        last = sorted(cosines.values(), reverse=True)[min(depth, len(cosines)) - 1]
        kept |= {j for j, cosine in cosines.items() if cosine >= max(last - 1e-9, 0.02)}
    return {j: tuple(cosines[j] for cosines in by_table) for j in sorted(kept)}
