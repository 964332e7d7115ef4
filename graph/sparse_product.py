"""The product of a sparse matrix that is made for one step and a dense one, with the dense one's gradient."""

import warnings
from typing import Any

import torch
from torch import Tensor


def sparse_product(row_T: Tensor, column_T: Tensor, value_T: Tensor, num_rows: int, dense_KB: Tensor) -> Tensor:
    """A @ dense [num_rows, B], A [num_rows, K] given by its cells in order of rows; A has no gradient."""
    product: Tensor = _SparseProduct.apply(row_T, column_T, value_T, num_rows, dense_KB)  # type: ignore[no-untyped-call]
    return product


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, row_T: Tensor, column_T: Tensor, value_T: Tensor, num_rows: int, dense_KB: Tensor
    ) -> Tensor:  # Any: torch's own context
        context.save_for_backward(row_T, column_T, value_T)
        context.num_columns = len(dense_KB)
        return _csr(row_T, column_T, value_T, num_rows, len(dense_KB)) @ dense_KB

    @staticmethod
    def backward(context: Any, gradient_NB: Tensor) -> tuple[None, None, None, None, Tensor]:
        row_T, column_T, value_T = context.saved_tensors
        order_T = torch.argsort(column_T, stable=True)
        transposed = _csr(column_T[order_T], row_T[order_T], value_T[order_T], context.num_columns, len(gradient_NB))
        return None, None, None, None, transposed @ gradient_NB.contiguous()


def _csr(row_T: Tensor, column_T: Tensor, value_T: Tensor, num_rows: int, num_columns: int) -> Tensor:
    # torch says at the first product that this layout is in beta, and that it checks no invariants.
    warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)", category=UserWarning)
    offsets = torch.zeros(num_rows + 1, dtype=torch.int64, device=row_T.device)
    offsets[1:] = torch.bincount(row_T, minlength=num_rows).cumsum(0)
    return torch.sparse_csr_tensor(offsets, column_T, value_T, size=(num_rows, num_columns))
