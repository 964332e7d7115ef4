"""What waits comes back whole: after kills between two renames, the last of several, never over what is there."""

import os
from pathlib import Path

import pytest

import launch.state.parking as parking
from launch.stage import open_stage
from launch.state.manifests import read_manifest
from launch.state.parking import settle, slots
from launch.state.starts import begin, revive
from tests.unit.launch.state.stage_runs import PRETRAIN, intent, job, run_all, why_not, write

FILES = ("model.safetensors", "vectors/a.npy", "vectors/b.npy")


def contents(run_dir: Path, top: str = "graph") -> dict[str, str]:
    """Every file below a folder of the run."""
    folder = run_dir / top
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def pretrain(run_dir: Path, text: str, width: int = 1) -> None:
    with open_stage(job(run_dir, "pretrain", width)):
        for name in FILES:
            write(run_dir, f"graph/{name}", text)


@pytest.mark.parametrize("moves", range(1, 5))
def test_a_result_that_is_coming_back_is_not_finished_before_all_of_it_is_there(
    tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(tmp_path)
    pretrain(tmp_path, "first")
    before = contents(tmp_path)
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    done = [0]

    def killed(folder: Path) -> None:
        done[0] += 1
        if done[0] == moves:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parking, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            settle(tmp_path, PRETRAIN)
    assert (read_manifest(tmp_path, PRETRAIN) is None) or contents(tmp_path) == before
    settle(tmp_path, PRETRAIN)  # as the next start does
    assert contents(tmp_path) == before
    assert why_not(tmp_path, PRETRAIN) is None


def test_a_start_completes_the_moves_of_one_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_all(tmp_path)
    pretrain(tmp_path, "first")

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parking, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    assert contents(tmp_path) == {}
    assert [slot.manifest() is not None for slot in slots(tmp_path, PRETRAIN)] == [True], "one result, in one slot"


def test_of_several_finished_results_the_last_comes_back(tmp_path: Path) -> None:
    run_all(tmp_path)
    for number, text in ((1, "first"), (2, "second")):
        pretrain(tmp_path, text, number)
        begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=9))
        parked = next(slot for slot in slots(tmp_path, PRETRAIN) if slot.manifest() is not None)
        parked.folder.rename(tmp_path / f"kept-{number}")
        (tmp_path / "manifests" / "pretrain.started.json").unlink()
    for number in (2, 1):  # the order of their names is not that of their times
        folder = tmp_path / ".parked" / "pretrain" / f"slot-{3 - number}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"kept-{number}").rename(folder)
        os.utime(folder, (number, number))
    assert settle(tmp_path, PRETRAIN)
    assert contents(tmp_path)["model.safetensors"] == "second"


def test_two_stopped_starts_of_one_recipe_wait_beside_each_other(tmp_path: Path) -> None:
    run_all(tmp_path)
    parking.park(tmp_path, PRETRAIN)  # the finished result
    for text in ("one", "two"):
        (tmp_path / "manifests" / "pretrain.started.json").unlink(missing_ok=True)
        write(tmp_path, "graph/checkpoints/step-1.pt", text)
        parking.park(tmp_path, PRETRAIN)
    states = [contents(slot.files).get("checkpoints/step-1.pt") for slot in slots(tmp_path, PRETRAIN)]
    assert sorted(filter(None, states)) == ["one", "two"]


def test_a_users_file_whose_place_is_taken_is_kept_beside(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "graph/notes.txt", "mine")
    with open_stage(job(tmp_path, "pretrain", width=2)):
        write(tmp_path, "graph/model.safetensors", "second")
        write(tmp_path, "graph/notes.txt", "the stage's")
    assert (tmp_path / "graph/notes.txt").read_text() == "the stage's"
    assert contents(tmp_path, "kept") == {"graph/notes.txt": "mine"}


def test_logged_numbers_of_a_failed_start_are_not_the_earlier_results(tmp_path: Path) -> None:
    run_all(tmp_path)
    write(tmp_path, "metrics/pretrain/metrics.jsonl", "first")
    with pytest.raises(RuntimeError), open_stage(job(tmp_path, "pretrain", width=2)):
        assert not (tmp_path / "metrics" / "pretrain").exists()
        write(tmp_path, "metrics/pretrain/metrics.jsonl", "second")
        raise RuntimeError
    assert contents(tmp_path, "metrics/pretrain") == {"metrics.jsonl": "first"}


def test_only_a_result_of_just_this_recipe_is_revived(tmp_path: Path) -> None:
    run_all(tmp_path, "first")
    begin(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=2))
    assert not revive(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN, width=3))
    assert contents(tmp_path) == {}
    assert revive(tmp_path, PRETRAIN, intent(tmp_path, PRETRAIN))


def test_a_link_waits_as_a_link_and_what_it_leads_to_is_no_file_of_the_run(tmp_path: Path) -> None:
    run_dir, outside = tmp_path / "run", tmp_path / "outside"
    run_all(run_dir)
    write(outside, "precious.txt", "kept")
    (run_dir / "graph" / "more").symlink_to(outside)
    begin(run_dir, PRETRAIN, intent(run_dir, PRETRAIN, width=2))
    assert not os.path.lexists(run_dir / "graph" / "more")
    (slot,) = slots(run_dir, PRETRAIN)
    assert os.readlink(slot.files / "graph" / "more") == str(outside)
    assert sorted(name for name in slot.record()["files"] if name.startswith("graph/")) == [
        "graph/model.safetensors",
        "graph/more",
    ]
    assert (outside / "precious.txt").read_text() == "kept"
