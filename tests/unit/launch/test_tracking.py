"""Numbers in both places, one a tag and step, whatever was killed: JSON lines and what TensorBoard's loader shows."""

from pathlib import Path

import pytest

from launch.stage import Job
from launch.stages import stage_named
from launch.tracking import Tracker, open_tracker
from tests.distributed.curves import board_of, lines_of


def train(tracker: Tracker, steps: range, *, value: float) -> None:
    for step in steps:
        tracker.log({"loss": value + step}, step=step)
        if step % 4 == 0:
            tracker.log({"valid": value + step}, step=step)


def test_training_that_goes_on_takes_back_later_steps(tmp_path: Path) -> None:
    killed = Tracker(tmp_path, "finetune")
    killed.go_on(0)
    train(killed, range(1, 8), value=0.0)  # no close: it was killed
    again = Tracker(tmp_path, "finetune")
    again.go_on(5)
    train(again, range(6, 10), value=100.0)
    again.close()
    losses = [(step, float(step)) for step in range(1, 6)] + [(step, 100.0 + step) for step in range(6, 10)]
    expected = {"finetune/loss": losses, "finetune/valid": [(4, 4.0), (8, 108.0)]}
    assert lines_of(tmp_path, "finetune") == expected
    assert board_of(tmp_path, "finetune") == expected


def test_many_starts_and_one_that_got_nowhere(tmp_path: Path) -> None:
    for start in range(3):
        tracker = Tracker(tmp_path, "finetune")
        tracker.go_on(3 * start)
        train(tracker, range(3 * start + 1, 3 * start + 6), value=0.0)
        stuck = Tracker(tmp_path, "finetune")
        stuck.go_on(3 * start + 3)
    expected = {"finetune/loss": [(step, float(step)) for step in range(1, 10)], "finetune/valid": [(4, 4.0), (8, 8.0)]}
    stuck.close()
    assert lines_of(tmp_path, "finetune") == expected
    assert board_of(tmp_path, "finetune") == expected


@pytest.mark.parametrize("torn", ['{"step": 3, "tim', "{}\n", "[1]\n", "\0\0\0"])
def test_a_torn_line_is_left_out(tmp_path: Path, torn: str) -> None:
    first = Tracker(tmp_path, "pretrain")
    train(first, range(1, 3), value=0.0)
    with (tmp_path / "metrics" / "pretrain" / "metrics.jsonl").open("a") as file:
        file.write(torn)
    again = Tracker(tmp_path, "pretrain")
    again.go_on(2)
    train(again, range(3, 4), value=0.0)
    again.close()
    expected = {"pretrain/loss": [(1, 1.0), (2, 2.0), (3, 3.0)]}
    assert lines_of(tmp_path, "pretrain") == board_of(tmp_path, "pretrain") == expected


def open_stage_tracker(run_dir: Path, stage: str, *, values: dict[str, float]) -> None:
    """One start of a stage that has no steps."""
    job = Job(stage=stage_named(stage), config=None, seed=1, run_dir=run_dir, recipe_name="r")
    with open_tracker(job) as tracker:
        for tag, value in values.items():
            tracker.log({tag: value}, step=0)


def test_a_second_start_of_a_stage_that_begins_anew_leaves_its_own_numbers_only(tmp_path: Path) -> None:
    open_stage_tracker(tmp_path, "evaluate", values={"a": 1.0, "b": 2.0})
    open_stage_tracker(tmp_path, "evaluate", values={"a": 3.0})
    expected = {"evaluate/a": [(0, 3.0)]}
    assert lines_of(tmp_path, "evaluate") == board_of(tmp_path, "evaluate") == expected


def test_a_second_start_of_a_stage_that_goes_on_keeps_what_it_does_not_say_again(tmp_path: Path) -> None:
    open_stage_tracker(tmp_path, "retrieve", values={"train_speed": 1.0, "hit_rate": 2.0})
    open_stage_tracker(tmp_path, "retrieve", values={"test_speed": 3.0, "hit_rate": 4.0})
    expected = {"retrieve/train_speed": [(0, 1.0)], "retrieve/test_speed": [(0, 3.0)], "retrieve/hit_rate": [(0, 4.0)]}
    assert lines_of(tmp_path, "retrieve") == board_of(tmp_path, "retrieve") == expected


def test_only_the_rank_that_writes_writes(tmp_path: Path) -> None:
    silent = Tracker(None, "finetune")
    silent.go_on(3)
    silent.log({"loss": 1.0}, step=4)
    silent.close()
    assert list(tmp_path.iterdir()) == []


def test_one_start_is_one_event_file(tmp_path: Path) -> None:
    for start in range(2):
        tracker = Tracker(tmp_path, "finetune")
        tracker.go_on(start)
        train(tracker, range(start + 1, 5), value=0.0)
        tracker.close()
    assert len(list((tmp_path / "tensorboard" / "finetune").iterdir())) == 2
