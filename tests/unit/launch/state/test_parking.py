"""Parking: nothing that was paid for goes before its successor is finished, nor does anything outside the run."""

import os
from pathlib import Path

import pytest

import launch.state.parking as parking
from launch.errors import InputError
from launch.stage import open_stage
from launch.state.manifests import read_manifest
from launch.state.parking import complete_moves, settle, slots
from launch.state.starts import begin, revive
from tests.unit.launch.state.stage_runs import PREPARE, PRETRAIN, intent, job, run_all, why_not, write


def files_below(run_dir: Path) -> dict[str, str]:
    """Every file of a run by name, but the lock."""
    return {
        path.relative_to(run_dir).as_posix(): path.read_text()
        for path in run_dir.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_a_start_that_fails_leaves_the_finished_result_as_it_was(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "metrics/pretrain/metrics.jsonl", "numbers")
    before = files_below(tmp_path)
    with pytest.raises(RuntimeError), open_stage(job(tmp_path, "pretrain", width=2)):
        assert not (tmp_path / "graph").exists()
        raise RuntimeError
    assert files_below(tmp_path) == before
    assert why_not(tmp_path, PRETRAIN) is None


def test_a_killed_start_keeps_what_was_finished_until_its_successor_is(tmp_path: Path) -> None:
    run_all(tmp_path, "first")
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    write(tmp_path, "graph/checkpoints/step-1.pt", "state")
    assert [slot.manifest() is not None for slot in slots(tmp_path, PRETRAIN)] == [True]
    with open_stage(job(tmp_path, "pretrain", width=2)):
        assert (tmp_path / "graph/checkpoints/step-1.pt").read_text() == "state"
        write(tmp_path, "graph/model.safetensors", "second")
    assert (tmp_path / "graph/model.safetensors").read_text() == "second"
    assert not (tmp_path / ".parked").exists()


def test_going_back_to_the_old_recipe_brings_its_result_back(tmp_path: Path) -> None:
    run_all(tmp_path, "first")
    old = intent(tmp_path, PRETRAIN)
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    write(tmp_path, "graph/checkpoints/step-1.pt", "state")
    assert revive(tmp_path, PRETRAIN, old)
    assert (tmp_path / "graph/model.safetensors").read_text() == "first"
    assert why_not(tmp_path, PRETRAIN) is None
    assert not (tmp_path / "graph/checkpoints").exists()


def test_checkpoints_of_a_failed_start_wait_and_it_goes_on_with_them(tmp_path: Path) -> None:
    run_all(tmp_path, "first")
    with pytest.raises(OSError, match="full"), open_stage(job(tmp_path, "pretrain", width=2)):
        write(tmp_path, "graph/checkpoints/step-1.pt", "state")
        raise OSError("full")
    assert not (tmp_path / "graph/checkpoints").exists()
    assert begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2)), "it resumes"
    assert (tmp_path / "graph/checkpoints/step-1.pt").read_text() == "state"


def test_a_failed_first_start_keeps_its_checkpoints_in_place(tmp_path: Path) -> None:
    with open_stage(job(tmp_path, "prepare")):
        write(tmp_path, "pair/items.parquet", "items")
    with pytest.raises(OSError, match="full"), open_stage(job(tmp_path, "pretrain")):
        write(tmp_path, "graph/checkpoints/step-1.pt", "state")
        raise OSError("full")
    assert begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN))
    assert (tmp_path / "graph/checkpoints/step-1.pt").is_file()


def test_other_intent_never_sees_the_checkpoints_of_a_stopped_start(tmp_path: Path) -> None:
    run_all(tmp_path)
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    write(tmp_path, "graph/checkpoints/step-1.pt", "state")
    write(tmp_path, "lists/graph_valid.parquet", "list")
    write(tmp_path, "lists/llm_valid.parquet", "another stage's")
    assert not begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=3))
    assert not (tmp_path / "graph").exists(), "an empty folder could look finished"
    assert not (tmp_path / "lists/graph_valid.parquet").exists()
    assert (tmp_path / "lists/llm_valid.parquet").is_file()


@pytest.mark.parametrize("moves", range(6))
def test_parking_that_is_killed_between_two_renames_is_completed(
    tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(tmp_path, "first")
    for name in ("vectors/a.npy", "vectors/b.npy", "checkpoints/c.pt"):
        write(tmp_path, f"graph/{name}", name)
    with open_stage(job(tmp_path, "pretrain")):
        for name in ("model.safetensors", "vectors/a.npy", "vectors/b.npy"):
            write(tmp_path, f"graph/{name}", name)
    before = files_below(tmp_path)
    done = [0]

    def killed(folder: Path) -> None:
        done[0] += 1
        if done[0] > moves:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parking, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt) if moves < 4 else pytest.raises((KeyboardInterrupt, SystemExit)):
            begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
            raise SystemExit
    assert read_manifest(tmp_path, PRETRAIN) is None, "half of a result must not look finished"
    complete_moves(tmp_path, PRETRAIN)
    assert settle(tmp_path, PRETRAIN)
    assert files_below(tmp_path) == before


def test_a_users_own_file_in_a_stages_folder_survives_the_next_result(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "graph/notes.txt", "mine")
    with open_stage(job(tmp_path, "pretrain", width=2)):
        write(tmp_path, "graph/model.safetensors", "second")
    assert (tmp_path / "graph/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["pair", "manifests", "logs", ".parked"])
def test_folders_that_are_links_are_refused_and_what_they_lead_to_stays(tmp_path: Path, name: str) -> None:
    run_dir, outside = tmp_path / "run", tmp_path / "outside"
    run_all(run_dir)
    write(outside, "precious.txt", "kept")
    if (run_dir / name).exists():
        (run_dir / name).rename(outside / name)
        (run_dir / name).symlink_to(outside / name)
    else:
        (run_dir / name).symlink_to(outside)
    before = files_below(outside)
    with pytest.raises(InputError, match=rf"{name}: a symbolic link"):
        begin(run_dir, PREPARE, intent(run_dir, PREPARE, width=2))
    assert files_below(outside) == before


def test_a_link_inside_is_moved_as_a_link_and_its_goal_is_not_touched(tmp_path: Path) -> None:
    run_dir, outside = tmp_path / "run", tmp_path / "outside"
    run_all(run_dir)
    write(outside, "deep/precious.txt", "kept")
    (run_dir / "pair" / "more").symlink_to(outside / "deep")
    with open_stage(job(run_dir, "prepare", width=2)):
        write(run_dir, "pair/items.parquet", "other")
    assert (outside / "deep/precious.txt").read_text() == "kept"
    assert os.readlink(run_dir / "pair" / "more") == str(outside / "deep")


def test_half_written_files_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    run_all(tmp_path)
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    write(tmp_path, "graph/.model.safetensors.99.partial", "half")
    write(tmp_path, "graph/.vectors.99.partial/train.npy", "half")
    assert begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    assert not list((tmp_path / "graph").rglob("*partial*"))


def test_a_damaged_index_of_what_waits_loses_nothing(tmp_path: Path) -> None:
    run_all(tmp_path, "first")
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    (index,) = (tmp_path / ".parked").rglob("slot.json")
    index.write_text("{")
    assert settle(tmp_path, PRETRAIN)
    assert (tmp_path / "graph/model.safetensors").read_text() == "first"
    assert why_not(tmp_path, PRETRAIN) is None
