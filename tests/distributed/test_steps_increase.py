"""kill -9 in mid-training: the next start takes back the steps that it does again, in both places."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graph.pretrain import pretrain
from launch.distributed import init_world
from launch.tracking import Tracker
from tests.distributed.curves import Curves, board_of, lines_of
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune
from tests.graph_runs import ALONE, tiny, write_run
from tests.ranks import rank_context

STEPS = 24
FINETUNE = replace(TINY, max_steps=STEPS, eval_every=3, checkpoint_every=5, epochs=10)
TIMES = ("per_second", "_seconds", "save_share", "memory_gib", "mfu")


def train_graph(run_dir: Path) -> None:
    torch.set_num_threads(1)
    tracker = Tracker(run_dir, "pretrain")
    pretrain(tiny("best", epochs=30, patience=30), run_dir=run_dir, seed=7, world=ALONE, tracker=tracker)
    tracker.close()


def train_language_model(run_dir: Path) -> None:
    torch.set_num_threads(1)
    with init_world() as world:
        run_finetune(world, run_dir, FINETUNE)


def kill_in_mid_training(train: Callable[[Path], None], run_dir: Path, stage: str, *, after: int) -> int:
    """SIGKILL a start once it has told of a step beyond `after`; the last step that it told of."""
    process = rank_context().Process(target=train, args=(run_dir,))
    process.start()
    deadline = time.monotonic() + 120
    while (told := last_step(run_dir, stage)) <= after:
        assert process.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < deadline, f"it did not get beyond step {after}"
        time.sleep(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return told


def last_step(run_dir: Path, stage: str) -> int:
    path = run_dir / "metrics" / stage / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return max((int(json.loads(line)["step"]) for line in lines[:-1]), default=0)


def without_times(curves: Curves) -> Curves:
    return {tag: points for tag, points in curves.items() if not tag.endswith(TIMES)}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_steps_increase_after_kill9(tmp_path: Path, stage: str) -> None:
    train, prepare = (train_graph, write_run) if stage == "pretrain" else (train_language_model, prepare_run)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    prepare(whole)
    prepare(killed)
    for run_dir, kills in ((whole, ()), (killed, (12,))):
        for after in kills:
            kill_in_mid_training(train, run_dir, stage, after=after)
        process = rank_context().Process(target=train, args=(run_dir,))
        process.start()
        process.join()
        assert process.exitcode == 0
    lines = lines_of(killed, stage)
    for points in lines.values():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps))
    board = board_of(killed, stage)
    assert {tag: [step for step, _ in points] for tag, points in board.items()} == {
        tag: [step for step, _ in points] for tag, points in lines.items()
    }
    for tag, points in lines.items():
        assert [value for _, value in board[tag]] == pytest.approx([value for _, value in points])
    assert without_times(lines) == without_times(lines_of(whole, stage)), "the curve is not that of a run without kills"
    assert len(list((killed / "tensorboard" / stage).iterdir())) == 2, "more than one event file a start"
