"""Samples out of plain rows, generated ones too, and their division into batches of users."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from pairs.tables import SPLITS, Samples, Split

Timed = tuple[int, int]  # item, time
Row = tuple[int, list[Timed], Timed]  # user, history, target
NUM_X, NUM_ITEMS, NUM_USERS = 5, 9, 7
DOMAIN_OF = np.array([0] * NUM_X + [1] * (NUM_ITEMS - NUM_X), dtype=np.int8)

moments = st.tuples(st.integers(0, NUM_ITEMS - 1), st.integers(1, 40))
few_items = st.tuples(st.integers(0, 1), st.integers(1, 2))  # so that histories are equal now and then
rows_lists = st.lists(
    st.tuples(
        st.integers(0, NUM_USERS - 1),
        st.lists(moments, min_size=1, max_size=6) | st.lists(few_items, min_size=4, max_size=6),
        moments,
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: sorted(rows, key=lambda row: row[0]))
splits_of_rows = st.fixed_dictionaries(dict.fromkeys(SPLITS, rows_lists))
borders = st.sets(st.integers(0, NUM_USERS), max_size=4)


def samples_of(rows: Sequence[Row], *, first: int = 0, timed: bool = True) -> Samples:
    """The rows as arrays, numbered from `first`."""
    histories = [event for _, history, _ in rows for event in history]
    target = np.array([item for _, _, (item, _) in rows], dtype=np.int64)
    return Samples(
        sample=np.arange(first, first + len(rows), dtype=np.int64),
        user=np.array([user for user, _, _ in rows], dtype=np.int64),
        domain=(target >= NUM_X).astype(np.int64),
        target=target,
        history=np.array([item for item, _ in histories], dtype=np.int64),
        offsets=np.cumsum([0, *(len(history) for _, history, _ in rows)]).astype(np.int64),
        history_time=np.array([time for _, time in histories], dtype=np.int64) if timed else None,
        target_time=np.array([time for _, _, (_, time) in rows], dtype=np.int64) if timed else None,
    )


def splits_of(rows: Mapping[Split, Sequence[Row]], *, timed: bool = True) -> dict[Split, Samples]:
    """Every split as arrays, numbered through."""
    tables: dict[Split, Samples] = {}
    for split in SPLITS:
        first = sum(len(table) for table in tables.values())
        tables[split] = samples_of(rows[split], first=first, timed=timed)
    return tables


def cut_users(splits: Mapping[Split, Samples], cuts: Iterable[int]) -> list[dict[Split, Samples]]:
    """Batches of the users [0, cut), [cut, next cut), ...; some may be empty."""
    bounds = [0, *sorted(cuts), NUM_USERS]
    return [
        {
            split: table.take(np.flatnonzero((table.user >= begin) & (table.user < end)))
            for split, table in splits.items()
        }
        for begin, end in pairwise(bounds)
    ]
