"""What `bench.graph` says of a step of preset `code` beside the released code's, each in a process of its own."""

import json
import os
import subprocess
import sys

import torch

from bench.released.measure import BATCH
from launch.plan.control_groups import available_memory
from training.precision import resolve_precision

DENSE_BYTES = 11 * 2**30
"""What must be free for a dense step of 384 samples."""
PARTS = (64, 192)
"""Samples of the dense steps that stand for it where there is less."""


def measure_released(steps: int) -> dict[str, float]:
    """CPU seconds and MiB of a step of 384 samples, one thread, and how far two equal models' losses are apart.

    `exact`: the same loss, worked out without what nobody reads. `fast`: next items from a sampled softmax, infomax
    from an eighth of the histories, Adam on the rows that have gradients. `half`: also bfloat16 in the encoders, where
    the processor has it, and then what `speedup` is of.
    """
    is_whole = available_memory() > DENSE_BYTES
    dense = _asked("dense", steps) if is_whole else _continued(steps)
    exact, fast = (_asked(kind, steps) for kind in ("exact", "fast"))
    has_half = resolve_precision("auto", torch.device("cpu")) == "bf16"
    half = _asked("half", steps) if has_half else fast
    losses = _asked("compare", steps)
    return {
        "released_is_measured_whole": float(is_whole),
        "released_step_seconds": dense["seconds"],
        "released_peak_mib": dense["peak_mib"],
        "exact_step_seconds": exact["seconds"],
        "fast_step_seconds": fast["seconds"],
        "half_step_seconds": half["seconds"],
        "speedup_exact": dense["seconds"] / exact["seconds"],
        "memory_ratio_exact": exact["peak_mib"] / dense["peak_mib"],
        "speedup_float32": dense["seconds"] / fast["seconds"],
        "memory_ratio_float32": fast["peak_mib"] / dense["peak_mib"],
        "speedup": dense["seconds"] / half["seconds"],
        "memory_ratio": half["peak_mib"] / dense["peak_mib"],
        "loss_difference": losses["loss_difference"],
    }


def _continued(steps: int) -> dict[str, float]:
    """A dense step of 384 samples on the line through smaller ones: what is not of the tables is of the samples."""
    small, large = (_asked("dense", steps, batch=batch) for batch in PARTS)
    further = (BATCH - PARTS[1]) / (PARTS[1] - PARTS[0])
    return {name: large[name] + further * (large[name] - small[name]) for name in large}


def _asked(kind: str, steps: int, *, batch: int = BATCH) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.released.measure", kind, "--steps", str(steps), "--batch", str(batch)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{kind}, {batch} samples: {numbers}", file=sys.stderr, flush=True)
    return numbers
