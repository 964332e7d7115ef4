"""Cells of a product by blocks of rows beside the whole product."""

import pytest
import torch

from graph import sparse_product as module
from graph.sparse_product import cells_of_product, product_cells

ROWS, INNER, COLUMNS = 53, 30, 16


@pytest.mark.parametrize("block", [1, 7 * COLUMNS, ROWS * COLUMNS, 10**6])
def test_cells_and_gradients_are_those_of_the_whole_product_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", block)
    torch.manual_seed(1)
    row = torch.randint(0, ROWS - 10, (400,)).sort().values
    row[row >= 20] += 9  # rows without a cell of A, and the last
    column, value = torch.randint(0, INNER, (400,)), torch.randn(400)
    dense = torch.randn(INNER, COLUMNS, requires_grad=True)
    cell = torch.randint(0, ROWS * COLUMNS, (300,))  # some twice
    given = cells_of_product(row, column, value, dense, product_cells(cell, ROWS, COLUMNS))
    offsets = torch.zeros(ROWS + 1, dtype=torch.int64)
    offsets[1:] = torch.bincount(row, minlength=ROWS).cumsum(0)
    whole = torch.sparse_csr_tensor(offsets, column, value, size=(ROWS, INNER)) @ dense.detach()
    assert torch.equal(given, whole.flatten()[cell])
    upstream = torch.randn(300)
    (gradient,) = torch.autograd.grad((given * upstream).sum(), dense)
    at = torch.zeros(INNER, ROWS).index_put((column, row), value, accumulate=True)
    expected = at @ torch.zeros(ROWS * COLUMNS).index_add(0, cell, upstream).view(ROWS, COLUMNS)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 10**6)
    again = cells_of_product(row, column, value, dense, product_cells(cell, ROWS, COLUMNS))
    assert torch.equal(gradient, torch.autograd.grad((again * upstream).sum(), dense)[0])


@pytest.mark.parametrize("block", [1, 10**6])
def test_no_cells_are_a_product_with_a_gradient_of_zeros(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", block)
    nothing = torch.zeros(0, dtype=torch.int64)
    dense = torch.randn(INNER, COLUMNS, requires_grad=True)
    given = cells_of_product(nothing, nothing, nothing.float(), dense, product_cells(nothing, 0, COLUMNS))
    assert given.shape == (0,)
    assert not torch.autograd.grad(given.sum(), dense)[0].any()
