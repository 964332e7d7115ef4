"""Adam by rows: AdamW where all rows have gradients, else rows without one stay where they are."""

import copy
from typing import Any

import torch
from torch import Tensor

from graph.learning.row_adam import RowAdam

LR, BETAS, EPS, DECAY = 0.1, (0.9, 0.98), 1e-8, 0.2


def slow_step(row: Tensor, gradient: Tensor, moments: tuple[Tensor, Tensor], step: int) -> None:
    """One row, number by number."""
    for k in range(len(row)):
        moments[0][k] = BETAS[0] * moments[0][k] + (1 - BETAS[0]) * gradient[k]
        moments[1][k] = BETAS[1] * moments[1][k] + (1 - BETAS[1]) * gradient[k] ** 2
        mean = moments[0][k] / (1 - BETAS[0] ** step)
        square = moments[1][k] / (1 - BETAS[1] ** step)
        row[k] = row[k] * (1 - LR * DECAY) - LR * mean / (square**0.5 + EPS)


def test_rows_with_a_gradient_move_and_the_others_wait() -> None:
    torch.manual_seed(1)
    table, other = torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(2))
    groups: list[dict[str, Any]] = [{"params": [table], "rows": True}, {"params": [other]}]
    optimizer = RowAdam(groups, LR, BETAS, EPS, DECAY)
    expected = table.detach().clone()
    moments = (torch.zeros(4, 3), torch.zeros(4, 3))
    plain = torch.nn.Parameter(other.detach().clone())
    beside = torch.optim.AdamW([plain], LR, BETAS, EPS, DECAY)
    for step, rows in enumerate(([0, 2], [2], [0, 1]), start=1):
        gradient = torch.zeros(4, 3)
        gradient[rows] = torch.randn(len(rows), 3)
        table.grad, other.grad, plain.grad = gradient, torch.ones(2) * step, torch.ones(2) * step
        optimizer.step()
        beside.step()
        for row in rows:
            slow_step(expected[row], gradient[row], (moments[0][row], moments[1][row]), step)
        torch.testing.assert_close(table.detach(), expected)
        torch.testing.assert_close(other.detach(), plain.detach())
        assert table.grad is gradient


def test_with_gradients_everywhere_it_is_adamw_and_its_state_goes_on() -> None:
    torch.manual_seed(1)
    table = torch.nn.Parameter(torch.randn(4, 3))
    plain = torch.nn.Parameter(table.detach().clone())
    optimizer = RowAdam([{"params": [table], "rows": True}], LR, BETAS, EPS, DECAY)
    beside = torch.optim.AdamW([plain], LR, BETAS, EPS, DECAY)
    for _ in range(3):
        table.grad = torch.randn(4, 3)
        plain.grad = table.grad.clone()
        optimizer.step()
        beside.step()
        state = copy.deepcopy(optimizer.state_dict())
        optimizer = RowAdam([{"params": [table], "rows": True}], LR, BETAS, EPS, DECAY)
        optimizer.load_state_dict(state)
    torch.testing.assert_close(table.detach(), plain.detach())
