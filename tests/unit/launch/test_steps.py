"""The skeleton of training calls in order, keeps the best, ends early, and goes on where it was stopped."""

from dataclasses import dataclass, field

import pytest
import torch

from launch.distributed import World
from launch.steps import Reached, Rhythm, learn

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
RHYTHM = Rhythm(total=7, log_every=2, judge_every=3, save_every=2)


@dataclass
class Diary:
    """Writes down what is asked of it; its validations give the values that it was told."""

    values: dict[int, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    saved: list[Reached] = field(default_factory=list)

    def step(self, step: int) -> None:
        self.lines.append(f"step {step}")

    def log(self, done: int) -> None:
        self.lines.append(f"log {done}")

    def judge(self, done: int) -> float:
        self.lines.append(f"judge {done}")
        return self.values.get(done, 0.0)

    def keep(self) -> None:
        self.lines.append("keep")

    def save(self, reached: Reached) -> None:
        self.lines.append(f"save {reached.step}")
        self.saved.append(reached)


def run(diary: Diary, rhythm: Rhythm = RHYTHM, reached: Reached | None = None) -> Reached:
    return learn(diary, rhythm, reached or Reached(), label="test", world=ALONE)


def test_things_come_in_their_order_and_the_last_step_is_judged_not_saved() -> None:
    diary = Diary({3: 0.5, 6: 0.4, 7: 0.6})
    assert run(diary) == Reached(step=7, best_step=7, best_value=0.6)
    assert diary.lines == [
        *("step 0", "step 1", "log 2", "save 2"),
        *("step 2", "judge 3", "keep", "step 3", "log 4", "save 4"),
        *("step 4", "step 5", "log 6", "judge 6", "save 6"),
        *("step 6", "log 7", "judge 7", "keep"),
    ]
    assert diary.saved[1:] == [Reached(4, 3, 0.5), Reached(6, 3, 0.5)]


def test_an_equal_value_is_no_better_one() -> None:
    assert run(Diary({3: 0.5, 6: 0.5, 7: 0.5})).best_step == 3


def test_validations_are_saved_where_asked_once_each() -> None:
    diary = Diary()
    run(diary, Rhythm(total=6, log_every=9, judge_every=2, save_every=2, save_judged=True))
    assert [reached.step for reached in diary.saved] == [2, 4, 6]


@pytest.mark.parametrize(("patience", "last"), [(1, 4), (2, 6), (3, 8), (None, 10)])
def test_training_ends_after_fruitless_validations(patience: int | None, last: int) -> None:
    rhythm = Rhythm(total=10, log_every=9, judge_every=2, save_every=9, save_judged=True, patience=patience)
    diary = Diary({2: 0.9})
    assert run(diary, rhythm) == Reached(last, 2, 0.9)
    assert run(diary, rhythm, diary.saved[-1]) == Reached(last, 2, 0.9)
    assert diary.lines.count(f"judge {last}") == 1, "a finished training took a step more"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_going_on_from_any_checkpoint_does_the_rest(place: int) -> None:
    values = {3: 0.5, 6: 0.7, 7: 0.6}
    whole = Diary(values)
    end = run(whole)
    rest = Diary(values)
    assert run(rest, reached=whole.saved[place]) == end
    assert whole.lines[whole.lines.index(f"save {whole.saved[place].step}") + 1 :] == rest.lines
