"""Ranks at work, killed, cut off: as status shows them."""

import json
import time
from pathlib import Path

from launch.stages import stage_named
from launch.state.history import history_path
from launch.status.ranks import duration, rank_lines
from launch.status.status import render_status
from launch.watch.marks import watch_folder
from tests.unit.launch.watch.beat_files import a_beat, write_beat

FINETUNE = stage_named("finetune")


def lines_of(run_dir: Path, *, at_work: bool = False) -> list[str]:
    """What is said below the stage."""
    return rank_lines(run_dir, FINETUNE, at_work=at_work, now=time.time())


def test_running_stage_shows_ranks_hosts_step_rate_time_left_and_metrics(tmp_path: Path) -> None:
    for rank in (0, 1):
        write_beat(watch_folder(tmp_path, "finetune"), a_beat(rank))
    metrics = tmp_path / "metrics" / "finetune" / "metrics.jsonl"
    metrics.parent.mkdir(parents=True)
    metrics.write_text(json.dumps({"step": 40, "time": 1, "finetune/loss": 4.5}) + '\n{"step": 41, "ti')
    assert lines_of(tmp_path) == [
        "2 of 2 rank(s) on node1, node2: finetune, step 41 of 300, 2/s, 2 min left",
        "loss 4.5 (step 40)",
    ]


def test_metrics_of_an_earlier_start_are_not_shown_as_present(tmp_path: Path) -> None:
    write_beat(watch_folder(tmp_path, "finetune"), a_beat(0, ranks=1))
    metrics = tmp_path / "metrics" / "finetune" / "metrics.jsonl"
    metrics.parent.mkdir(parents=True)
    metrics.write_text(json.dumps({"step": 40, "time": 1000.5, "finetune/loss": 4.5}) + "\n")
    first, second = (json.dumps({"time": began, "event": "start"}) + "\n" for began in (1000.0, 1001.0))
    history_path(tmp_path, FINETUNE).write_text(first)
    assert "loss 4.5 (step 40)" in lines_of(tmp_path)
    history_path(tmp_path, FINETUNE).write_text(first + second)
    assert "loss 4.5 (step 40)" not in lines_of(tmp_path)


def test_killed_rank_is_told_from_one_that_runs(tmp_path: Path) -> None:
    folder = watch_folder(tmp_path, "finetune")
    write_beat(folder, a_beat(0))
    write_beat(folder, a_beat(1, alive=time.time() - 60))
    shown = lines_of(tmp_path)
    assert shown[0].startswith("1 of 2 rank(s) on node1")
    assert shown[1].startswith("rank 1 was killed or cut off: last beat ")
    assert shown[1].endswith("on node2 (finetune, step 41 of 300)")


def test_ranks_that_live_make_a_stage_run_though_the_lock_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "finetune.started.json").write_text("{}")
    write_beat(watch_folder(tmp_path, "finetune"), a_beat(0))
    line = next(line for line in render_status(tmp_path).splitlines() if "finetune " in line)
    assert line.split() == ["finetune", "running"]


def test_beats_of_strangers_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    write_beat(watch_folder(tmp_path, "finetune"), a_beat(0, host="\x1b[31mred", phase="a\nb"))
    assert all(line.isprintable() for line in render_status(tmp_path).splitlines())


def test_durations_in_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 90, 600, 9000)] == ["0 s", "90 s", "10 min", "2 h 30 min"]
