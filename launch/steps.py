"""The skeleton of a training loop: steps in order; now and then a line of the log, a validation, a checkpoint.

What a step, a validation and a checkpoint are, the learner says. When they come, which is the best and where it ends
is said here, for the graph and the language model alike.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from launch.progress import progress

if TYPE_CHECKING:
    from launch.distributed import World


@dataclass(frozen=True)
class Reached:
    """How far training is. Data order, noise and learning rate follow from the step and the seed, so that with the
    weights and the optimizer's state this is all that a resumed run needs."""

    step: int = 0
    """Optimizer steps done."""
    best_step: int = 0
    """The steps done at the best validation; 0: not measured yet."""
    best_value: float = float("-inf")
    """What that validation gave; the higher the better."""


@dataclass(frozen=True)
class Rhythm:
    """When things come, in optimizer steps."""

    total: int
    log_every: int
    judge_every: int
    """The last step is followed by a validation in any case."""
    save_every: int
    save_judged: bool = False
    """Whether every validation is followed by a checkpoint, the last one too."""
    patience: int | None = None
    """Validations without a better one after which training ends."""

    def is_over(self, reached: Reached) -> bool:
        """Whether no step is left to take."""
        fruitless = (reached.step - reached.best_step) // self.judge_every
        return reached.step >= self.total or (self.patience is not None and fruitless >= self.patience)


class Learner(Protocol):
    """What is trained. All ranks call all of it in the same order."""

    def step(self, step: int) -> None:
        """One optimizer step; `step` counts from 0."""
        ...

    def log(self, done: int) -> None:
        """Losses since the last time."""
        ...

    def judge(self, done: int) -> float:
        """A validation: the higher the better."""
        ...

    def keep(self) -> None:
        """The weights as they are now are the best so far."""
        ...

    def save(self, reached: Reached) -> None:
        """Write a checkpoint."""
        ...


def learn(learner: Learner, rhythm: Rhythm, reached: Reached, *, label: str, world: "World") -> Reached:
    """Train from where `reached` stands until no step is left, or validations stop getting better."""
    for step in progress(range(reached.step, rhythm.total), label=label, world=world):
        if rhythm.is_over(reached):
            break
        learner.step(step)
        done = step + 1
        reached = replace(reached, step=done)
        if done % rhythm.log_every == 0 or done == rhythm.total:
            learner.log(done)
        judged = done % rhythm.judge_every == 0 or done == rhythm.total
        if judged:
            value = learner.judge(done)
            if value > reached.best_value:
                reached = replace(reached, best_step=done, best_value=value)
                learner.keep()
        if (judged and rhythm.save_judged) or (done % rhythm.save_every == 0 and done < rhythm.total):
            learner.save(reached)
    return reached
