"""What training carries from step to step beside weights, and copies for a checkpoint."""

import resource
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graph.objective import TERMS
from launch.distributed import World
from pairs.tables import Samples


@dataclass
class EpochSums:
    """What the steps since the last line of the log, and those of this epoch, came to on this rank."""

    losses: Tensor = field(default_factory=lambda: torch.zeros(len(TERMS)))
    counts: Tensor = field(default_factory=lambda: torch.zeros(len(TERMS)))
    sequences: int = 0
    started: float = field(default_factory=time.monotonic)


def copied(state: Any) -> Any:  # Any: nested, as torch.save takes it
    """A copy of a nested state, its tensors on the CPU, that further steps do not change."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [copied(value) for value in state]
    return state


def peak_memory_gib(world: World) -> float:
    """Most memory this rank has held: on its GPU, or in the process."""
    if world.device.type == "cuda":
        return torch.cuda.max_memory_allocated(world.device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def some_of(samples: Samples, most: int, *, seed: int) -> Samples:
    """The samples or, of more than `most`, so many of them, drawn, in their order."""
    if len(samples) <= most:
        return samples
    rows = np.random.default_rng([seed, most]).choice(len(samples), most, replace=False)
    return samples.take(np.sort(rows).astype(np.int64))
