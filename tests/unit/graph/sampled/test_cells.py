"""Cells beside sets of Python's."""

import pytest
import torch

from graph.sampled import cells as cells_module
from graph.sampled.cells import gather_cells, short_keys
from graph.sampled.negatives import Drawn

SIZE, ROWS = 50, 6


@pytest.mark.parametrize("largest_short", [0, ROWS * SIZE - 1, ROWS * SIZE])
def test_cells_are_the_distinct_candidates_in_order_and_then_the_fresh_of_the_drawn(
    monkeypatch: pytest.MonkeyPatch, largest_short: int
) -> None:
    monkeypatch.setattr(cells_module, "LARGEST_SHORT", largest_short)
    generator = torch.Generator().manual_seed(1)
    key = torch.randint(0, ROWS * SIZE, (200,), generator=generator)
    target = torch.randint(0, SIZE, (ROWS,), generator=generator)
    drawn = Drawn(torch.tensor([3, 7, 7, 20, 49]), torch.arange(5.0) + 1)
    cells, cell = gather_cells(key, target, drawn, size=SIZE)
    candidates = sorted({*key.tolist(), *(row * SIZE + column for row, column in enumerate(target.tolist()))})
    fresh = [
        (row * SIZE + column, weight)
        for row in range(ROWS)
        for column, weight in zip(drawn.column.tolist(), drawn.log_weight.tolist(), strict=True)
        if row * SIZE + column not in candidates
    ]
    assert len(fresh) > ROWS
    assert cells.key.tolist() == candidates + [key for key, _ in fresh]
    assert cells.log_weight.tolist() == [0.0] * len(candidates) + [weight for _, weight in fresh]
    assert cell.tolist() == [candidates.index(one) for one in key.tolist()]
    assert cells.key[cells.target].tolist() == [row * SIZE + column for row, column in enumerate(target.tolist())]
    assert {column.dtype for column in (cells.row, cells.column, cells.target, cell)} == {torch.int64}


@pytest.mark.parametrize("end", [2**31 - 1, 2**31, 256 * 10_000_000])
def test_no_key_is_cut_where_keys_are_shortened(end: int) -> None:
    key = torch.tensor([0, 5, end - 1])
    short = short_keys(key, end)
    assert short.tolist() == key.tolist()
    assert (short.dtype == torch.int32) == (end < 2**31)
