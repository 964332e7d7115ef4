"""Gradients of rows only, beside the same as whole tables: their norm, their clipping, the step they lead to."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graph.learning.row_adam import RowAdam
from graph.learning.take_step import clip_norm, take_step

ROWS = torch.tensor([1, 4, 5, 8])


def some_weights() -> list[nn.Parameter]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(9, 3)), nn.Parameter(torch.randn(3, 2))]


def loss_of(weights: list[nn.Parameter], rows: Tensor, *, sparse: bool) -> Tensor:
    vectors = nn.functional.embedding(rows, weights[0], sparse=sparse)
    loss: Tensor = ((vectors @ weights[1]).sin() * (1 + torch.arange(len(rows)))[:, None]).sum()
    return loss


@pytest.mark.parametrize("most", [0.5, 1e9])
@pytest.mark.parametrize("rows", [ROWS, torch.tensor([5, 1, 5, 8])], ids=["once", "one of them twice"])
def test_the_norm_and_the_cut_gradients_are_those_of_whole_tables(rows: Tensor, most: float) -> None:
    whole, few = some_weights(), some_weights()
    loss_of(whole, rows, sparse=False).backward()  # type: ignore[no-untyped-call]
    loss_of(few, rows, sparse=True).backward()  # type: ignore[no-untyped-call]
    assert few[0].grad is not None
    assert few[0].grad.is_sparse
    expected = nn.utils.clip_grad_norm_(whole, most)
    torch.testing.assert_close(clip_norm(few, most), expected)
    for mine, other in zip(few, whole, strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad.to_dense(), other.grad)


def test_steps_by_sparse_gradients_are_those_by_whole_ones() -> None:
    whole, few = some_weights(), some_weights()
    optimizers = []
    for weights in (whole, few):
        groups: list[dict[str, Any]] = [{"params": weights[:1], "rows": True}, {"params": weights[1:]}]
        optimizers.append(RowAdam(groups, 0.1, (0.9, 0.98), 1e-8, 0.2))
    start = whole[0].detach().clone()
    for rows in (ROWS, torch.tensor([0, 4]), torch.tensor([8, 0, 8])):
        norms = [
            take_step(loss_of(weights, rows, sparse=weights is few), weights, optimizer, clip=1.0)
            for weights, optimizer in zip((whole, few), optimizers, strict=True)
        ]
        torch.testing.assert_close(norms[0], norms[1])
    for mine, other in zip(few, whole, strict=True):
        assert mine.grad is None
        torch.testing.assert_close(mine, other)
    moved = (whole[0] != start).any(dim=1)
    assert torch.nonzero(moved)[:, 0].tolist() == [0, 1, 4, 5, 8]


def test_a_row_whose_gradient_is_zero_waits_in_either_form() -> None:
    ends = []
    for sparse in (False, True):
        weights = some_weights()
        optimizer = RowAdam([{"params": weights[:1], "rows": True}], 0.1, (0.9, 0.98), 1e-8, 0.0)
        take_step(loss_of(weights, ROWS, sparse=sparse), weights, optimizer, clip=1e9)
        vectors = nn.functional.embedding(ROWS, weights[0], sparse=sparse)
        take_step((vectors * torch.tensor([1.0, 0.0, 2.0, 0.0])[:, None]).sum(), weights, optimizer, clip=1e9)
        ends.append(weights[0].detach())
    torch.testing.assert_close(ends[0], ends[1])
