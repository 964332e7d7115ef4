"""The arithmetic that a plan takes a language model to have: its bytes, and on CPUs its speed.

    python -m training.plan.arithmetic

says what `auto` is on this machine's CPUs, by the function that the stages choose by. A plan asks a process of its own:
torch takes seconds and memory, which commands that start stages do without.
"""

import functools
from dataclasses import dataclass

from launch.plan.estimates import Machine
from launch.processes.children import answer, run_module
from training.config import Precision, PrecisionChoice

NATIVE_SPEED = 1.6
"""Of bf16 beside fp32 on CPUs that multiply it natively. BENCHMARKS.md, Pages and bf16: CPU seconds of a step of
SmolLM2-135M 10.95 in fp32 and 6.78, of a model from scratch .78 and .49; lists of titles are read 1.8 times as fast."""
EMULATED_SPEED = 0.1
"""On other CPUs. BENCHMARKS.md: the demo makes 1.77 steps/s in fp32 and .17."""
PROBE_SECONDS = 120.0


@dataclass(frozen=True)
class Assumed:
    """What a plan takes a model to compute in."""

    precision: Precision
    why: str = ""
    speed: float = 1.0
    """Beside the machine's, which is fp32's of CPUs and bf16's of GPUs."""

    @property
    def number(self) -> int:
        """Bytes of a number."""
        return 2 if self.precision == "bf16" else 4

    def __str__(self) -> str:
        return self.precision + (f" ({self.why})" if self.why else "")


def arithmetic_of(choice: PrecisionChoice, machine: Machine) -> Assumed:
    """That of a rank on `machine`, whose CPUs are taken to be those of this one."""
    if choice == "fp32":
        return Assumed("fp32", speed=machine.fp32_flops / machine.flops)
    if machine.on_gpus:
        return Assumed("bf16", "auto: GPUs are taken to multiply it natively" if choice == "auto" else "")
    native, unknown = auto_on_cpus()
    if native == "bf16":
        return Assumed("bf16", "auto: these CPUs multiply it natively" if choice == "auto" else "", NATIVE_SPEED)
    if choice == "auto":
        return Assumed("fp32", f"auto: {unknown or 'these CPUs multiply no bf16 natively'}")
    return Assumed("bf16", unknown) if unknown else Assumed("bf16", "which these CPUs only emulate", EMULATED_SPEED)


@functools.cache
def auto_on_cpus() -> tuple[Precision | None, str]:
    """What `auto` is on this machine's CPUs; None, and why, where nobody says."""
    outcome = run_module("training.plan.arithmetic", [], seconds=PROBE_SECONDS)
    said: Precision | None = next((line["precision"] for line in outcome.answers), None)
    return said, "" if said else f"torch does not say what these CPUs have: {outcome.why}"


def main() -> None:
    """Say it."""
    import torch

    from training.precision import resolve_precision

    answer(precision=resolve_precision("auto", torch.device("cpu")))


if __name__ == "__main__":
    main()
