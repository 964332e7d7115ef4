"""What optimizers really do: their rates and gradients at each step, read off while the real training runs."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook


@dataclass
class Watch:
    """The calls of `step`, in order. ZeRO steps its parts one by one: `merge` puts those of one step together."""

    rates: list[list[float]] = field(default_factory=list)
    """Learning rate of each parameter group."""
    squares: list[float] = field(default_factory=list)
    """Sum of squared gradients, as the optimizer sees them: after clipping."""

    def norms(self, calls_per_step: int = 1) -> list[float]:
        """Gradient norm of each step."""
        parts = [self.squares[at : at + calls_per_step] for at in range(0, len(self.squares), calls_per_step)]
        return [math.sqrt(sum(part)) for part in parts]


@contextmanager
def watch_optimizers() -> Iterator[Watch]:
    """Every optimizer step of this process inside the block."""
    watch = Watch()

    def note(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:  # Any: whatever step was given
        groups = optimizer.param_groups
        grads = [weight.grad for group in groups for weight in group["params"] if weight.grad is not None]
        watch.rates.append([float(group["lr"]) for group in groups])
        watch.squares.append(sum(float(grad.double().square().sum()) for grad in grads))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield watch
    finally:
        handle.remove()
