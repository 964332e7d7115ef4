"""What ends a fine-tune in one line before it spoils what is kept, and what it steps over."""

import math
from dataclasses import dataclass

from launch.errors import InputError

USUAL_SHARE = 0.9
"""Of the running mean that a step leaves as it is."""
SETTLED = 10
"""Steps that the running mean is made of at least, before a step is judged by it."""
MOST_SKIPPED = 10
"""Steps skipped in a row after which the loss has not spiked, but risen."""


def check_counts(*, samples: int, ranks: int, global_batch: int, together: int = 1) -> None:
    """InputError where some of the ranks would never have work."""
    if samples < ranks:
        raise InputError(
            f"prompts/train holds {samples} sample(s) for {ranks} ranks; start at most {max(samples, 1)} "
            "(launch.processes) or train on more (prompts.max_train_samples)"
        )
    check_global_batch(global_batch, ranks=ranks, together=together)


def check_global_batch(global_batch: int, *, ranks: int, together: int = 1) -> None:
    """InputError where a step has fewer samples, of which so many stay `together`, than there are ranks."""
    if -(-global_batch // together) < ranks:
        by_rows = f", {together} a row (llm.twins)" if together > 1 else ""
        raise InputError(
            f"llm.global_batch is {global_batch}{by_rows}, fewer than the {ranks} ranks that share it: some would "
            f"never work; raise it to {together * ranks} or more, or start fewer ranks (launch.processes)"
        )


def check_finite_step(norm: float, *, step: int) -> None:
    """InputError where the gradients of a step were no numbers: its weights must not be saved.

    The norm is that of all ranks, so all of them refuse together; a loss that is no number has no finite gradients.
    """
    if not math.isfinite(norm):
        raise InputError(
            f"the gradient's norm is {norm} at step {step}: nothing of this step was saved; lower llm.lr or raise "
            "llm.warmup_ratio, then start again: it goes on from the last checkpoint"
        )


@dataclass
class SpikeGuard:
    """Tells spikes of the loss from the usual. What it has seen is part of a checkpoint."""

    factor: float | None
    """A step's loss over the usual that makes a spike; None: nothing does."""
    usual: float = 0.0
    """The running mean of the losses of steps that were taken."""
    steps: int = 0
    """How many."""
    skipped: int = 0
    """In a row, up to now."""

    def is_spike(self, loss: float) -> bool:
        """Whether the step with this mean loss is to leave the weights as they are. InputError where that has been so
        for too long. All ranks give the same loss."""
        if self.factor is not None and self.steps >= SETTLED and loss > self.factor * self.usual:
            self.skipped += 1
            if self.skipped > MOST_SKIPPED:
                raise InputError(
                    f"the loss was over llm.skip_spikes={self.factor} times the usual {self.usual:.4g} in "
                    f"{self.skipped} steps in a row: that is no spike; lower llm.lr or raise llm.skip_spikes"
                )
            return True
        self.skipped = 0
        share = USUAL_SHARE if self.steps else 0.0
        self.usual = share * self.usual + (1 - share) * loss
        self.steps += 1
        return False
