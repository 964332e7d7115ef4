"""An optimizer step from a loss: gradients, their norm cut, weights moved; gradients may be of some rows only."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

SMALL = 1e-6
"""Beside a norm, as in `nn.utils.clip_grad_norm_`."""


def take_step(
    loss: Tensor, parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, *, clip: float
) -> Tensor:
    """One step, gradients given back at its end; their norm before it was cut."""
    trained = [*parameters]
    torch.autograd.backward(loss)
    norm = clip_norm(trained, clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def clip_norm(parameters: list[nn.Parameter], most: float) -> Tensor:
    """`nn.utils.clip_grad_norm_`, where gradients may be sparse; those have each row once afterwards, ascending."""
    given = [weight for weight in parameters if weight.grad is not None]
    if not any(weight.grad.is_sparse for weight in given if weight.grad is not None):
        norm: Tensor = nn.utils.clip_grad_norm_(given, most)
        return norm
    for weight in given:
        assert weight.grad is not None
        weight.grad = each_row_once(weight.grad)
    numbers = [numbers_of(weight.grad) for weight in given if weight.grad is not None]
    norm = torch.stack([torch.linalg.vector_norm(part) for part in numbers]).norm()
    share = most / (norm + SMALL)
    if share < 1:
        for part in numbers:
            part.mul_(share)
    return norm


def each_row_once(gradient: Tensor) -> Tensor:
    """A sparse gradient [I, K] with its rows added up, ascending; a dense one as it is."""
    if not gradient.is_sparse:
        return gradient
    row_R = gradient._indices()[0]
    return gradient if bool((row_R[1:] > row_R[:-1]).all()) else gradient.coalesce()


def numbers_of(gradient: Tensor) -> Tensor:
    """What a gradient holds, to be changed in place."""
    return gradient._values() if gradient.is_sparse else gradient
