"""The skeleton of a training loop: steps in order; now and then a line of the log, a validation, a checkpoint.

What a step, a validation and a checkpoint are, the learner says. When they come, which is the best, where it ends and
where it stops when it is told to is said here, for the graph and the language model alike.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, Protocol

from launch.errors import InputError
from launch.progress import progress
from launch.saves import Saves
from launch.stopping import Stopped, is_asked, work_begins
from launch.watch.beats import beat, long

if TYPE_CHECKING:
    from launch.distributed import World
    from launch.tracking import Tracker


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
    unjudged: bool = False
    """Whether the validation that is due at this step was broken off."""


@dataclass(frozen=True)
class Wishes:
    """What a rank would have all ranks do before the next step."""

    stop: bool = False
    """Save and end: the rank was told to."""
    save: bool = False
    """Write a checkpoint: the last is long ago."""


@dataclass(frozen=True)
class Rhythm:
    """When things come, in optimizer steps."""

    total: int
    log_every: int
    judge_every: int
    """The last step is followed by a validation in any case."""
    save_every: int
    save_minutes: float | None = None
    """Minutes after the last checkpoint, by rank 0's clock, at which there is another."""
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

    def agree(self, step: int, wishes: Wishes) -> Wishes:
        """What some rank wishes; before step `step`, counted from 0, and in a sum that this makes anyway."""
        ...

    def step(self, step: int) -> None:
        """One optimizer step."""
        ...

    def log(self, done: int) -> None:
        """Losses since the last time."""
        ...

    def judge(self, done: int) -> float | None:
        """A validation: the higher the better; None on all ranks if it was broken off because one is to stop."""
        ...

    def keep(self) -> None:
        """The weights as they are now are the best so far."""
        ...

    def save(self, reached: Reached) -> None:
        """Write a checkpoint, or begin to: what comes next may not change it."""
        ...

    def settle(self) -> None:
        """Return when the checkpoint is whole."""
        ...


def learn(
    learner: Learner, rhythm: Rhythm, reached: Reached, *, label: str, world: "World", tracker: "Tracker | None" = None
) -> Reached:
    """Train from where `reached` stands until no step is left, or validations stop getting better.

    Where a rank is told to stop, all write a checkpoint and raise `Stopped`. InputError where a validation gives no
    number.
    """
    work_begins()
    saves = Saves(label=label, at=reached.step, tracker=tracker)

    def judge(reached: Reached) -> Reached:
        beat(phase="validation")
        value = learner.judge(reached.step)
        if value is None:
            stop(replace(reached, unjudged=True))
        if not math.isfinite(value):
            raise InputError(
                f"{label}: valid gives {value} at step {reached.step}: the weights are no numbers any more and are not "
                "kept; lower the learning rate, then start again: it goes on from the last checkpoint"
            )
        reached = replace(reached, unjudged=False)
        if value > reached.best_value:
            reached = replace(reached, best_step=reached.step, best_value=value)
            with long("keeping the best weights"):
                learner.keep()
        return reached

    def save(reached: Reached) -> None:
        with long("checkpoint"), saves.measured(reached.step):
            learner.save(reached)

    def stop(reached: Reached) -> NoReturn:
        if saves.at != reached.step:
            save(reached)
        with long("checkpoint"):
            learner.settle()
        raise Stopped(f"step {reached.step}")

    if reached.unjudged:
        reached = judge(reached)
    for step in progress(range(reached.step, rhythm.total), label=label, world=world, first=reached.step):
        if rhythm.is_over(reached):
            break
        late = world.is_main and saves.are_due(reached.step, rhythm.save_minutes)
        agreed = learner.agree(step, Wishes(stop=is_asked(), save=late))
        if agreed.stop:
            stop(reached)
        if agreed.save:
            save(reached)
        learner.step(step)
        done = step + 1
        reached = replace(reached, step=done)
        if done % rhythm.log_every == 0 or done == rhythm.total:
            learner.log(done)
        judged = done % rhythm.judge_every == 0 or done == rhythm.total
        if judged:
            reached = judge(reached)
        if (judged and rhythm.save_judged) or (done % rhythm.save_every == 0 and done < rhythm.total):
            save(reached)
    with long("checkpoint"):
        learner.settle()
    return reached
