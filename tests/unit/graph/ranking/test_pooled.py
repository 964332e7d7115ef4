"""Tables of cells beside loops over rows."""

import pytest
import torch

from graph.ranking.pooled import cell_rows
from graph.sampled.cells import Cells

ROWS = 5


def cells_of(row: torch.Tensor, column: torch.Tensor, size: int) -> Cells:
    return Cells(ROWS, size, row, column, torch.zeros(len(row)), torch.zeros(ROWS, dtype=torch.int64))


@pytest.mark.parametrize("size", [40, 2**31])  # keys of four bytes, and of eight
@pytest.mark.parametrize("order", ["candidates, then the drawn", "any"])
def test_a_table_holds_each_rows_cells_by_column_for_every_system(size: int, order: str) -> None:
    generator = torch.Generator().manual_seed(2)
    flat = torch.randperm(ROWS * 40, generator=generator)[:90]
    flat = flat[flat // 40 != 3]  # a row of no cells
    if order != "any":
        flat = torch.cat([flat[:60].sort().values, flat[60:].sort().values])
    row, column = flat // 40, flat % 40 + size - 40
    table = cell_rows(cells_of(row, column, size))
    for system in range(2):
        score = torch.randn(len(row), generator=generator)
        pooled = table.filled(score)
        width = int(torch.bincount(row).max())
        assert pooled.column.shape == pooled.score.shape == (ROWS, width)
        for one in range(ROWS):
            cells = sorted((int(column[cell]), float(score[cell])) for cell in torch.nonzero(row == one)[:, 0])
            filling = [(size, -torch.inf)] * (width - len(cells))
            given = [*zip(pooled.column[one].tolist(), pooled.score[one].tolist(), strict=True)]
            assert given == cells + filling, system


@pytest.mark.parametrize("num_rows", [0, 2])
def test_rows_without_cells_are_a_table_without_places(num_rows: int) -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    pooled = cell_rows(Cells(num_rows, 7, nothing, nothing, nothing.float(), nothing)).filled(nothing.float())
    assert pooled.column.shape == pooled.score.shape == (num_rows, 0)
