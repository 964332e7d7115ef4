"""Adam that, of large tables, works only on the rows that a step has a gradient for.

The others stay as they are, with their moments, as in `torch.optim.SparseAdam`: they are neither decayed nor carried on
by momentum. Where every row has a gradient it is AdamW. Gradients are dense tensors, so that ranks can sum them, or on
a single rank sparse ones of the rows that were needed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graph.learning.take_step import each_row_once

ROWS = "rows"
"""The key of a parameter group that is updated by rows."""
AT_ONCE = 1024
"""Rows, on a CPU: what is worked out of them stays in its cache."""


class RowAdam(torch.optim.AdamW):
    """AdamW whose groups with `rows=True` hold tables [I, K]."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # as torch
        """One step; groups without `rows` as AdamW has it."""
        assert closure is None
        tables = [(group, table) for group in self.param_groups if group.get(ROWS) for table in group["params"]]
        gradients = [table.grad for _, table in tables]
        for (group, table), gradient in zip(tables, gradients, strict=True):
            if gradient is not None:
                self._step_rows(table, gradient, group)
            table.grad = None  # AdamW leaves out what has no gradient
        super().step()
        for (_, table), gradient in zip(tables, gradients, strict=True):
            table.grad = gradient
        return None

    def _step_rows(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:  # Any: as torch has groups
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        state["step"] += 1
        first, second = group["betas"]
        done = float(state["step"])
        of_all_R, gradient_RK = _rows(gradient)
        size = len(of_all_R) if table.is_cuda else AT_ONCE
        for row_C, gradient_CK in zip(torch.split(of_all_R, size), torch.split(gradient_RK, size), strict=True):
            mean_CK = state["exp_avg"][row_C].lerp_(gradient_CK, 1 - first)
            square_CK = state["exp_avg_sq"][row_C].mul_(second).addcmul_(gradient_CK, gradient_CK, value=1 - second)
            state["exp_avg"][row_C], state["exp_avg_sq"][row_C] = mean_CK, square_CK
            length_CK = (square_CK / (1 - second**done)).sqrt_().add_(group["eps"])
            kept_CK = table[row_C].mul_(1 - group["lr"] * group["weight_decay"])
            table[row_C] = kept_CK.addcdiv_(mean_CK, length_CK, value=-group["lr"] / (1 - first**done))


def _rows(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that have a gradient [R], and it [R, K]; those of which it is zero wait, whether it says so or not."""
    if gradient.is_sparse:
        merged = each_row_once(gradient)
        row_R, gradient_RK = merged._indices()[0], merged._values()
    else:
        row_R, gradient_RK = torch.arange(len(gradient), device=gradient.device), gradient
    some_R = torch.linalg.vector_norm(gradient_RK, ord=1, dim=1) != 0
    return (row_R, gradient_RK) if bool(some_R.all()) else (row_R[some_R], gradient_RK[some_R])
