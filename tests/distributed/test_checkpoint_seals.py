"""Checkpoints of the fine-tune: damaged ones are passed over, those of strangers are refused unread."""

import logging
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from launch.artifacts import read_json, sha256_file, write_json
from launch.distributed import World
from launch.errors import InputError
from launch.seals import list_files, seal_files
from launch.state_key import STATE_FOLDER, state_key
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune, run_until_killed
from tests.ranks import run_ranks
from training.saved.resume import SEAL, list_positions

pytestmark = pytest.mark.slow
CONFIG = replace(TINY, eval_every=6)


class Spring:
    """What a pickle can do to whoever loads it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.trace), "w"))


def set_springs(last: Path) -> None:
    for file in last.rglob("*.pt"):
        torch.save({"optimizer": Spring(last.parent / "sprung")}, file)


def flip_optimizer(last: Path) -> str:
    file = next(last.rglob("*optim_states.pt"))
    with file.open("r+b") as opened:
        middle = file.stat().st_size // 2
        opened.seek(middle)
        byte = opened.read(1)[0]
        opened.seek(middle)
        opened.write(bytes([byte ^ 1]))
    return f"{file.relative_to(last).as_posix()} has other content than was written"


def tear(last: Path) -> str:
    file = next(last.rglob("*model_states.pt"))
    file.write_bytes(file.read_bytes()[:100])
    return f"{file.relative_to(last).as_posix()} has other content than was written"


def lose(last: Path) -> str:
    file = last / "random_states_1.pkl"
    file.unlink()
    return "random_states_1.pkl is missing"


def add(last: Path) -> str:
    (last / "custom_checkpoint_0.pkl").write_bytes(pickle.dumps(Spring(last.parent / "sprung")))
    return "custom_checkpoint_0.pkl was not there when it was sealed"


def spoil_seal(last: Path) -> str:
    (last / SEAL).write_bytes((last / SEAL).read_bytes()[:50])
    return "seal.json is not a seal"


def forge_seal(last: Path) -> str:
    """A stranger knows the key's name, which stands in every seal, and not the key."""
    file = next(last.rglob("*optim_states.pt"))
    torch.save({"optimizer": Spring(last.parent / "sprung")}, file)
    seal = seal_files(last, list_files(last, seal=SEAL), key=None)
    was = read_json(last / SEAL)
    write_json(last / SEAL, {**seal, "key": was["key"], "hmac": was["hmac"]})
    return "seal.json was altered"


def seal_elsewhere(last: Path) -> str:
    set_springs(last)
    write_json(last / SEAL, seal_files(last, list_files(last, seal=SEAL), key=b"the key of a stranger"))
    return "its seal was made with another key"


def leave_unsealed(last: Path) -> str:
    set_springs(last)
    (last / SEAL).unlink()
    return "it has no seal"


DAMAGE = (flip_optimizer, tear, lose, add, spoil_seal, forge_seal)
STRANGERS = (seal_elsewhere, leave_unsealed)


def stop_at_step_five(world: World, folder: Path) -> None:
    """Checkpoints of steps 2 and 4, and beside them a run that was never stopped."""
    run_finetune(world, folder / "whole", CONFIG)
    run_until_killed(world, folder / "stopped", CONFIG, step=5)


def go_on_everywhere(world: World, folder: Path) -> dict[str, object]:
    """What this rank said in every spoilt run, in one start of the ranks."""
    said: dict[str, object] = {spoil.__name__: finish(world, folder / spoil.__name__) for spoil in DAMAGE}
    said |= {spoil.__name__: refusal(world, folder / spoil.__name__) for spoil in STRANGERS}
    own = os.environ[STATE_FOLDER]
    os.environ[STATE_FOLDER] = str(folder / "a_file")
    said["no_place"] = refusal(world, folder / "moved")
    os.environ[STATE_FOLDER] = str(folder / "another_state")
    said["moved"] = refusal(world, folder / "moved")
    world.barrier()
    if world.is_main:
        shutil.rmtree(folder / "moved" / "llm" / "checkpoints")
    world.barrier()
    said["removed"] = finish(world, folder / "moved")
    os.environ[STATE_FOLDER] = own
    return said


def finish(world: World, run_dir: Path) -> list[str]:
    """Go on to the end; what the log warned of."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("training.saved.resume")
    log.addHandler(handler)
    run_finetune(world, run_dir, CONFIG)
    log.removeHandler(handler)
    return said


def refusal(world: World, run_dir: Path) -> str:
    with pytest.raises(InputError) as refused:
        run_finetune(world, run_dir, CONFIG)
    return str(refused.value)


@dataclass(frozen=True)
class Went:
    """Where the runs are, how each was spoilt, and what the two ranks said."""

    folder: Path
    why: dict[str, str]
    ranks: list[dict[str, list[str] | str]]

    def last(self, name: str) -> Path:
        return self.folder / name / "llm" / "checkpoints" / "step-000000004"

    def model(self, name: str) -> dict[str, str]:
        return {file.name: sha256_file(file) for file in (self.folder / name / "llm" / "model").iterdir()}


@pytest.fixture(scope="module")
def went(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Went]:
    folder = tmp_path_factory.mktemp("runs")
    prepare_run(folder / "whole")
    shutil.copytree(folder / "whole", folder / "stopped")
    (folder / "a_file").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_FOLDER, str(tmp_path_factory.mktemp("state")))
        run_ranks(stop_at_step_five, 2, folder)
        positions = list_positions(folder / "stopped" / "llm" / "checkpoints")
        assert [path.name for path in positions] == ["step-000000002", "step-000000004"]
        why = {}
        for spoil in (*DAMAGE, *STRANGERS):
            run_dir = Path(shutil.copytree(folder / "stopped", folder / spoil.__name__))
            why[spoil.__name__] = spoil(run_dir / "llm" / "checkpoints" / positions[-1].name)
        shutil.copytree(folder / "stopped", folder / "moved")
        yield Went(folder, why, run_ranks(go_on_everywhere, 2, folder))


@pytest.mark.parametrize("name", [spoil.__name__ for spoil in DAMAGE])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(went: Went, name: str) -> None:
    line = f"{went.last(name)}: damaged ({went.why[name]}); going back to the one before it"
    assert [said[name] for said in went.ranks] == [[line], []]
    assert went.model(name) == went.model("whole")


@pytest.mark.parametrize("name", [spoil.__name__ for spoil in STRANGERS])
def test_a_checkpoint_of_a_stranger_is_refused_with_the_way_out(went: Went, name: str) -> None:
    last = went.last(name)
    assert {said[name] for said in went.ranks} == {
        f"{last}: {went.why[name]}, so it was not written by this user on this machine, and loading it could run code; "
        f"remove {last.parent} to start the fine-tune anew, or set KINREC_STATE to the folder with the key that it was "
        "sealed with"
    }
    assert last.is_dir()


def test_no_code_of_any_checkpoint_ran(went: Went) -> None:
    assert not list(went.folder.rglob("sprung"))


def test_the_way_out_of_a_refusal_works(went: Went) -> None:
    assert all("its seal was made with another key" in said["moved"] for said in went.ranks)
    assert [said["removed"] for said in went.ranks] == [[], []]
    assert went.model("moved") == went.model("whole")


def test_no_place_for_the_key_is_said_by_every_rank_before_training(went: Went) -> None:
    (line,) = {str(said["no_place"]) for said in went.ranks}
    assert "cannot keep the key that checkpoints are sealed with" in line
    assert "set KINREC_STATE" in line


def test_the_key_is_not_in_the_run_folder(went: Went) -> None:
    key = state_key()
    for file in (went.folder / "stopped").rglob("*"):
        assert not file.is_file() or (key not in file.read_bytes() and key.hex() not in file.read_text("latin-1"))
