"""Seconds of an AdamW step on the CPU, as an offloaded optimizer takes it: torch's two forms, DeepSpeed's; and with
moments of 8 bits, where bitsandbytes is installed; and the moments' bytes.

    python -m bench.adam [--parameters 67000000]

CPU seconds of one thread, so that what else runs on the machine counts little; the best of several steps. The weights
that come out are compared.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from deepspeed.ops.adam import DeepSpeedCPUAdam

from launch.errors import InputError
from training.saved.four_bits import bitsandbytes_for
from training.tuning.engine import has_cpu_adam

SETTINGS: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}
STEPS = 5
EIGHT_BITS = "bitsandbytes' AdamW8bit"
FORMS: dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "torch.optim.AdamW": lambda weights: torch.optim.AdamW(weights, **SETTINGS),
    "torch.optim.AdamW(fused=True)": lambda weights: torch.optim.AdamW(weights, fused=True, **SETTINGS),
    "DeepSpeedCPUAdam": lambda weights: DeepSpeedCPUAdam(weights, **SETTINGS),
    EIGHT_BITS: lambda weights: bitsandbytes_for("this row").optim.AdamW8bit(weights, **SETTINGS),
}


def main() -> None:
    """Measure all forms on the same numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench.adam")
    parser.add_argument("--parameters", type=int, default=67_000_000)
    count = parser.parse_args().parameters
    torch.set_num_threads(1)
    ends = {}
    for name, build in FORMS.items():
        if build is FORMS["DeepSpeedCPUAdam"] and not has_cpu_adam():
            print(f"{name:32} is not compiled on this machine")
            continue
        try:
            seconds, moments, ends[name] = measure(build, count)
        except InputError as error:
            print(f"{name:32} {error}")
            continue
        each = moments / count
        print(
            f"{name:32} {seconds:6.3f} CPU-seconds a step of {count / 1e6:.0f} M parameters, moments {each:.2f} bytes"
        )
    first = ends.pop("torch.optim.AdamW")
    for name, other in ends.items():
        furthest = float((other - first).abs().max())
        print(f"{name:32} after {STEPS} steps the weights (of size 1) differ from torch's by at most {furthest:.1e}")


def measure(
    build: Callable[[list[torch.Tensor]], torch.optim.Optimizer], count: int
) -> tuple[float, int, torch.Tensor]:
    """The quickest step, bytes of the moments, and the weights after all."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(count, generator=generator).requires_grad_()
    optimizer = build([weights])
    quickest = float("inf")
    for _ in range(STEPS):
        weights.grad = torch.randn(count, generator=generator)
        started = time.process_time()
        optimizer.step()
        quickest = min(quickest, time.process_time() - started)
    state = optimizer.state[weights].values()
    moments = sum(value.nbytes for value in state if isinstance(value, torch.Tensor))
    return quickest, moments, weights.detach()


if __name__ == "__main__":
    main()
