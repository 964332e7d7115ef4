"""Starts are written down with what became of them, and a job that gets nowhere is not started a third time."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from launch.stages import stage_named
from launch.state.history import NoProgress, history_path, position, read_history, recorded
from launch.stopping import Stopped

FINETUNE = stage_named("finetune")


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    return monkeypatch


def start(run_dir: Path, *, ends: BaseException | None = None) -> None:
    try:
        with recorded(run_dir, FINETUNE, ranks=2):
            if ends is not None:
                raise ends
    except (Stopped, ValueError, KeyboardInterrupt, SystemExit):
        pass


def get_on(run_dir: Path, step: int) -> None:
    folder = run_dir / "llm" / "checkpoints" / f"step-{step:09d}"
    folder.mkdir(parents=True)
    (folder / "position.json").write_text("{}", encoding="utf-8")


def events(run_dir: Path) -> list[tuple[str, str]]:
    return [(line["event"], line["why"]) for line in read_history(run_dir, FINETUNE)]


def test_every_end_has_its_word(tmp_path: Path) -> None:
    start(tmp_path)
    start(tmp_path, ends=Stopped("step 3"))
    start(tmp_path, ends=ValueError("a fault\nand more"))
    start(tmp_path, ends=SystemExit(143))
    assert events(tmp_path) == [
        *[("start", ""), ("finished", "")],
        *[("start", ""), ("stopped", "step 3")],
        *[("start", ""), ("failed", "a fault")],
        *[("start", ""), ("failed", "ended with status 143")],
    ]
    line = json.loads(history_path(tmp_path, FINETUNE).read_text().splitlines()[0])
    assert list(line) == ["time", "event", "host", "job", "restart", "ranks", "position", "why"]
    assert (line["job"], line["restart"], line["ranks"]) == (None, 0, 2)


def test_the_position_moves_with_what_is_kept_and_not_with_what_is_half_written(tmp_path: Path) -> None:
    empty = position(tmp_path, FINETUNE)
    get_on(tmp_path, 2)
    two = position(tmp_path, FINETUNE)
    half = tmp_path / "llm" / "checkpoints" / ".step-000000004.partial"
    half.mkdir()
    (half / "model.pt").touch()
    (tmp_path / "llm" / "checkpoints" / ".best.12.partial").touch()
    assert empty != two == position(tmp_path, FINETUNE)


@pytest.mark.usefixtures("chain")
def test_a_third_start_that_finds_nothing_new_is_refused(tmp_path: Path) -> None:
    start(tmp_path, ends=Stopped(None))
    start(tmp_path, ends=Stopped(None))
    with pytest.raises(NoProgress, match="finetune: SLURM has started job 7 2 times without getting on"):
        start(tmp_path)
    assert len(events(tmp_path)) == 4


@pytest.mark.usefixtures("chain")
def test_an_earlier_result_that_the_first_start_moves_away_is_no_progress(tmp_path: Path) -> None:
    get_on(tmp_path, 7)
    manifest = {"config": {}, "seed": 1, "inputs": {}, "external": {}, "outputs": {}, "fingerprint": ""}
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "finetune.json").write_text(json.dumps(manifest), encoding="utf-8")
    with recorded(tmp_path, FINETUNE, ranks=2):
        (tmp_path / "manifests" / "finetune.json").unlink()
        shutil.rmtree(tmp_path / "llm")
    start(tmp_path, ends=Stopped(None))
    with pytest.raises(NoProgress):
        start(tmp_path)


@pytest.mark.usefixtures("chain")
def test_a_job_that_gets_on_is_started_for_ever(tmp_path: Path) -> None:
    for step in range(5):
        start(tmp_path, ends=Stopped(f"step {step}"))
        start(tmp_path, ends=Stopped(f"step {step}"))
        get_on(tmp_path, step)
    start(tmp_path)


@pytest.mark.parametrize(("job", "restart"), [("", "0"), ("7", "0"), ("8", "2")])
def test_who_starts_by_hand_or_anew_is_never_refused(
    tmp_path: Path, chain: pytest.MonkeyPatch, job: str, restart: str
) -> None:
    for _ in range(2):
        start(tmp_path, ends=Stopped(None))
    chain.setenv("SLURM_JOB_ID", job)
    chain.setenv("SLURM_RESTART_COUNT", restart)
    start(tmp_path)
    assert events(tmp_path)[-1] == ("finished", "")


@pytest.mark.usefixtures("chain")
def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    start(tmp_path, ends=Stopped(None))
    with history_path(tmp_path, FINETUNE).open("a", encoding="utf-8") as file:
        file.write('{"event": "sta\n[1]\n\0\n')
    start(tmp_path, ends=Stopped(None))
    with pytest.raises(NoProgress):
        start(tmp_path)


def test_position_may_be_read_while_folders_come_and_go(tmp_path: Path) -> None:
    over = threading.Event()

    def move() -> None:
        while not over.is_set():
            shutil.copytree(finished / "llm", tmp_path / "llm")
            shutil.rmtree(tmp_path / "llm")

    finished = tmp_path / "finished"
    get_on(finished, 1)
    (finished / "llm" / "model").mkdir()
    (finished / "llm" / "model" / "config.json").write_text("{}", encoding="utf-8")
    mover = threading.Thread(target=move)
    mover.start()
    try:
        seen = {position(tmp_path, FINETUNE) for _ in range(3000)}
    finally:
        over.set()
        mover.join()
    assert position(tmp_path, FINETUNE) in seen
