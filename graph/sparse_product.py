"""The product of a sparse matrix that is made for one step and a dense one, or some cells of it, with the dense one's
gradient.

Shapes: the sparse matrix [N, K] has T cells, the dense one is [K, B], M cells of the product are asked for.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NUMBERS_AT_ONCE = 1 << 19
"""Of the product, on a CPU: what stays in its cache is made in less than half the time."""


@dataclass(frozen=True)
class ProductCells:
    """Which cells of a product [num_rows, num_columns] are asked for, by blocks of rows."""

    num_rows: int
    num_columns: int
    cell: Tensor  # [M], row * num_columns + column
    rows_at_once: int
    order: Tensor | None  # [M], by block; None where there is one block
    count: list[int]
    """Cells of each block."""


def product_cells(cell_M: Tensor, num_rows: int, num_columns: int) -> ProductCells:
    """Any cells, in any order."""
    at_once = max(1, NUMBERS_AT_ONCE // max(1, num_columns))
    if cell_M.device.type != "cpu" or num_rows <= at_once:
        return ProductCells(num_rows, num_columns, cell_M, max(1, num_rows), None, [len(cell_M)])
    block_M = (cell_M // (at_once * num_columns)).int()
    count = torch.bincount(block_M, minlength=-(-num_rows // at_once)).tolist()
    return ProductCells(num_rows, num_columns, cell_M, at_once, torch.sort(block_M, stable=True).indices, count)


def sparse_product(row_T: Tensor, column_T: Tensor, value_T: Tensor, num_rows: int, dense_KB: Tensor) -> Tensor:
    """A @ dense [num_rows, B], A [num_rows, K] given by its cells in order of rows; A has no gradient."""
    product: Tensor = _SparseProduct.apply(row_T, column_T, value_T, num_rows, dense_KB)  # type: ignore[no-untyped-call]
    return product


def cells_of_product(row_T: Tensor, column_T: Tensor, value_T: Tensor, dense_KB: Tensor, asked: ProductCells) -> Tensor:
    """Some cells of the same [M]."""
    cells: Tensor = _CellsOfProduct.apply(row_T, column_T, value_T, dense_KB, asked)  # type: ignore[no-untyped-call]
    return cells


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, row_T: Tensor, column_T: Tensor, value_T: Tensor, num_rows: int, dense_KB: Tensor
    ) -> Tensor:  # Any: torch's own context
        context.save_for_backward(row_T, column_T, value_T)
        context.num_columns = len(dense_KB)
        return _csr(_offsets(row_T, num_rows), column_T, value_T, len(dense_KB)) @ dense_KB

    @staticmethod
    def backward(context: Any, gradient_NB: Tensor) -> tuple[None, None, None, None, Tensor]:
        row_T, column_T, value_T = context.saved_tensors
        gradient_KB = _transposed_product(row_T, column_T, value_T, context.num_columns, gradient_NB)
        return None, None, None, None, gradient_KB


class _CellsOfProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, row_T: Tensor, column_T: Tensor, value_T: Tensor, dense_KB: Tensor, asked: ProductCells
    ) -> Tensor:  # Any: torch's own context
        context.save_for_backward(row_T, column_T, value_T)
        context.num_columns, context.asked = len(dense_KB), asked
        offsets = _offsets(row_T, asked.num_rows)
        if asked.order is None:
            product_NB = _csr(offsets, column_T, value_T, len(dense_KB)) @ dense_KB
            return product_NB.flatten().index_select(0, asked.cell)
        cell_M, parts = asked.cell.index_select(0, asked.order), []
        for block, cell in enumerate(torch.split(cell_M, asked.count)):
            start = block * asked.rows_at_once
            own = offsets[start : start + asked.rows_at_once + 1]
            inside = slice(int(own[0]), int(own[-1]))
            product = _csr(own - own[0], column_T[inside], value_T[inside], len(dense_KB)) @ dense_KB
            parts.append(product.flatten().index_select(0, cell - start * asked.num_columns))
        return dense_KB.new_empty(len(cell_M)).scatter_(0, asked.order, torch.cat(parts))

    @staticmethod
    def backward(context: Any, gradient_M: Tensor) -> tuple[None, None, None, Tensor, None]:
        (row_T, column_T, value_T), asked = context.saved_tensors, context.asked
        gradient = gradient_M.new_zeros(asked.num_rows * asked.num_columns).index_add_(0, asked.cell, gradient_M)
        gradient_NB = gradient.view(asked.num_rows, asked.num_columns)  # sorts no cells
        return None, None, None, _transposed_product(row_T, column_T, value_T, context.num_columns, gradient_NB), None


def _transposed_product(
    row_T: Tensor, column_T: Tensor, value_T: Tensor, num_columns: int, gradient_NB: Tensor
) -> Tensor:
    order_T = torch.argsort(column_T, stable=True)
    offsets = _offsets(column_T, num_columns)
    return _csr(offsets, row_T[order_T], value_T[order_T], len(gradient_NB)) @ gradient_NB.contiguous()


def _offsets(row_T: Tensor, num_rows: int) -> Tensor:
    offsets = torch.zeros(num_rows + 1, dtype=torch.int64, device=row_T.device)
    offsets[1:] = torch.bincount(row_T, minlength=num_rows).cumsum(0)
    return offsets


def _csr(offsets: Tensor, column_T: Tensor, value_T: Tensor, num_columns: int) -> Tensor:
    # torch says at the first product that this layout is in beta, and that it checks no invariants.
    warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)", category=UserWarning)
    return torch.sparse_csr_tensor(offsets, column_T, value_T, size=(len(offsets) - 1, num_columns))
