"""The skeleton of training calls in order, keeps the best, ends early, and goes on where it was stopped."""

import math
from dataclasses import dataclass, field

import pytest
import torch

from launch import steps
from launch.distributed import World
from launch.errors import InputError
from launch.steps import Reached, Rhythm, Wishes, learn
from launch.stopping import Stopped

ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
RHYTHM = Rhythm(total=7, log_every=2, judge_every=3, save_every=2)


@dataclass
class Diary:
    """Writes down what is asked of it; its validations give the values that it was told."""

    values: dict[int, float | None] = field(default_factory=dict)
    """None: the validation is broken off, the first time."""
    lines: list[str] = field(default_factory=list)
    saved: list[Reached] = field(default_factory=list)

    def agree(self, step: int, wishes: Wishes) -> Wishes:
        return wishes

    def step(self, step: int) -> None:
        self.lines.append(f"step {step}")

    def log(self, done: int) -> None:
        self.lines.append(f"log {done}")

    def judge(self, done: int) -> float | None:
        self.lines.append(f"judge {done}")
        return self.values.get(done, 0.0)

    def keep(self) -> None:
        self.lines.append("keep")

    def save(self, reached: Reached) -> None:
        self.lines.append(f"save {reached.step}")
        self.saved.append(reached)

    def settle(self) -> None:
        self.lines.append("settle")


def run(diary: Diary, rhythm: Rhythm = RHYTHM, reached: Reached | None = None) -> Reached:
    return learn(diary, rhythm, reached or Reached(), label="test", world=ALONE)


def test_things_come_in_their_order_and_the_last_step_is_judged_not_saved() -> None:
    diary = Diary({3: 0.5, 6: 0.4, 7: 0.6})
    assert run(diary) == Reached(step=7, best_step=7, best_value=0.6)
    assert diary.lines == [
        *("step 0", "step 1", "log 2", "save 2"),
        *("step 2", "judge 3", "keep", "step 3", "log 4", "save 4"),
        *("step 4", "step 5", "log 6", "judge 6", "save 6"),
        *("step 6", "log 7", "judge 7", "keep", "settle"),
    ]
    assert diary.saved[1:] == [Reached(4, 3, 0.5), Reached(6, 3, 0.5)]


def test_an_equal_value_is_no_better_one() -> None:
    assert run(Diary({3: 0.5, 6: 0.5, 7: 0.5})).best_step == 3


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_weights_whose_validation_gives_no_number_are_not_kept(value: float) -> None:
    diary = Diary({3: 0.5, 6: value})
    with pytest.raises(InputError, match=r"valid gives .* at step 6"):
        run(diary)
    assert diary.lines[-2:] == ["log 6", "judge 6"]
    assert diary.saved[-1] == Reached(4, 3, 0.5)


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
    values: dict[int, float | None] = {3: 0.5, 6: 0.7, 7: 0.6}
    whole = Diary(values)
    end = run(whole)
    rest = Diary(values)
    assert run(rest, reached=whole.saved[place]) == end
    assert whole.lines[whole.lines.index(f"save {whole.saved[place].step}") + 1 :] == rest.lines


class Told:
    """A rank that is told to stop when it looks for the `number`th time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.left = number
        monkeypatch.setattr(steps, "is_asked", self)

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("done", range(8))
def test_stopped_anywhere_and_gone_on_is_as_never_stopped(done: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[int, float | None] = {3: 0.5, 6: 0.7, 7: 0.6}
    whole = Diary(values)
    end = run(whole)
    first = Diary(values)
    Told(monkeypatch, done)
    if done == 7:  # past the last step there is nothing to stop
        assert run(first) == end
        return
    with pytest.raises(Stopped, match=f"step {done}"):
        run(first)
    assert [saved.step for saved in first.saved].count(done) == (done > 0), "saved once, and at once"
    rest = Diary(values)
    Told(monkeypatch, 99)
    assert run(rest, reached=first.saved[-1] if done else None) == end
    work = [line for line in whole.lines if not line.startswith(("save", "settle"))]
    assert [line for line in [*first.lines, *rest.lines] if not line.startswith(("save", "settle"))] == work


@pytest.mark.parametrize("at", [3, 6, 7])
def test_a_validation_that_was_broken_off_comes_first(at: int) -> None:
    values: dict[int, float | None] = {3: 0.5, 6: 0.7, 7: 0.6}
    end = run(Diary(values))
    first = Diary({**values, at: None})
    with pytest.raises(Stopped, match=f"step {at}"):
        run(first)
    assert first.saved[-1].unjudged
    assert first.lines[-3:] == [f"judge {at}", f"save {at}", "settle"]
    again = Diary({**values, at: None})  # and once more
    with pytest.raises(Stopped):
        run(again, reached=first.saved[-1])
    assert again.lines == [f"judge {at}", "settle"], "it is saved already"
    rest = Diary(values)
    assert run(rest, reached=first.saved[-1]) == end
    assert rest.lines[0] == f"judge {at}"


def test_a_checkpoint_comes_by_the_clock_too() -> None:
    diary = Diary()
    run(diary, Rhythm(total=4, log_every=9, judge_every=9, save_every=9, save_minutes=1e-9))
    assert [reached.step for reached in diary.saved] == [1, 2, 3]
