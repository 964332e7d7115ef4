"""Seconds of an AdamW step on the CPU, as an offloaded optimizer takes it: torch's two forms, DeepSpeed's.

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

from training.tuning.engine import has_cpu_adam

SETTINGS: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.95), "weight_decay": 0.1}
STEPS = 5
FORMS: dict[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "torch.optim.AdamW": lambda weights: torch.optim.AdamW(weights, **SETTINGS),
    "torch.optim.AdamW(fused=True)": lambda weights: torch.optim.AdamW(weights, fused=True, **SETTINGS),
    "DeepSpeedCPUAdam": lambda weights: DeepSpeedCPUAdam(weights, **SETTINGS),
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
        seconds, ends[name] = measure(build, count)
        print(f"{name:32} {seconds:6.3f} CPU-seconds a step of {count / 1e6:.0f} M parameters")
    first, *others = ends.values()
    furthest = max(float((other - first).abs().max()) for other in others)
    print(f"after {STEPS} steps the weights (of size 1) differ by at most {furthest:.1e}")


def measure(build: Callable[[list[torch.Tensor]], torch.optim.Optimizer], count: int) -> tuple[float, torch.Tensor]:
    """The quickest step, and the weights after all."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(count, generator=generator).requires_grad_()
    optimizer = build([weights])
    quickest = float("inf")
    for _ in range(STEPS):
        weights.grad = torch.randn(count, generator=generator)
        started = time.process_time()
        optimizer.step()
        quickest = min(quickest, time.process_time() - started)
    return quickest, weights.detach()


if __name__ == "__main__":
    main()
