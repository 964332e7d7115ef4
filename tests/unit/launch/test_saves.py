"""Checkpoints by the clock, how long training waits for them, and those that are written beside it."""

import logging
import threading
from collections.abc import Mapping

import pytest
import torch

from graph.learning.state import copied
from launch.saves import Saves, Writer


class Clock:
    """A clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("launch.saves.time.monotonic", lambda: self.now)


class Notes:
    """A tracker that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, Mapping[str, float]]] = []

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        self.lines.append((step, values))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def save(kept: Saves, clock: Clock, step: int, *, after: float, seconds: float) -> None:
    clock.now += after
    with kept.measured(step):
        clock.now += seconds


def test_a_checkpoint_is_due_when_the_last_is_old_and_not_of_this_step(clock: Clock) -> None:
    kept = Saves(label="test", at=3, tracker=None)
    clock.now += 89
    assert not kept.are_due(4, 1.5)
    clock.now += 1
    assert kept.are_due(4, 1.5)
    assert not kept.are_due(3, 1.5)
    assert not kept.are_due(4, None)
    save(kept, clock, 4, after=0, seconds=10)
    clock.now += 89
    assert not kept.are_due(5, 1.5), "counted from the end of the last"


def test_the_share_of_the_time_that_training_waits_is_told(clock: Clock) -> None:
    notes = Notes()
    kept = Saves(label="test", at=0, tracker=notes)  # type: ignore[arg-type]  # no files needed
    save(kept, clock, 5, after=9, seconds=1)
    save(kept, clock, 9, after=30, seconds=10)
    assert notes.lines == [
        (5, {"save_seconds": 1.0, "save_share": 0.1}),
        (9, {"save_seconds": 10.0, "save_share": 0.25}),
    ]


def test_saves_that_take_more_than_their_share_are_named_once_with_the_cure(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Saves(label="finetune", at=0, tracker=None)
    with caplog.at_level(logging.WARNING):
        save(kept, clock, 1, after=10, seconds=1)  # ten per cent, of next to nothing
        save(kept, clock, 2, after=1200, seconds=60)  # below five
        assert caplog.messages == []
        save(kept, clock, 3, after=900, seconds=100)
        save(kept, clock, 4, after=900, seconds=100)
    assert caplog.messages == [
        "finetune: writing checkpoints takes 10 % of the time; raise checkpoint_every and checkpoint_minutes"
    ]


def test_a_writer_works_beside_and_one_after_the_other() -> None:
    writer, written, may_go_on = Writer(), [], threading.Event()

    def first() -> None:
        assert may_go_on.wait(20)
        written.append(1)

    writer.write(first)
    assert written == [], "training went on meanwhile"
    may_go_on.set()
    writer.write(lambda: written.append(2))
    assert written[0] == 1
    writer.join()
    assert written == [1, 2]


def test_what_goes_wrong_beside_is_raised_where_training_waits() -> None:
    writer = Writer()

    def fill_the_disk() -> None:
        raise OSError(28, "No space left on device")

    writer.write(fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        writer.join()
    writer.join()


def test_later_steps_do_not_change_what_is_being_written() -> None:
    weight = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(weight.parameters(), lr=0.1)
    weight(torch.ones(2)).sum().backward()
    optimizer.step()
    copy = copied({"weights": weight.state_dict(), "optimizer": optimizer.state_dict()})
    was = {name: value.clone() for name, value in weight.state_dict().items()}
    steps = float(optimizer.state_dict()["state"][0]["step"])
    optimizer.step()
    assert all(torch.equal(copy["weights"][name], value) for name, value in was.items())
    assert not torch.equal(weight.weight, was["weight"])
    assert float(copy["optimizer"]["state"][0]["step"]) == steps
