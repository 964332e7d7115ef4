"""A damaged byte in the best weights of a fine-tune never gets into llm/model: it is seen, and they are made anew."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import training.finetune as finetune_module
from launch.artifacts import sha256_file
from launch.distributed import World
from launch.errors import InputError
from launch.state_key import STATE_FOLDER
from tests.distributed.finetune_ranks import TINY, prepare_run, run_finetune, run_until_killed
from tests.ranks import run_ranks

pytestmark = pytest.mark.slow


def flip(best: Path) -> None:
    """One bit of the weights."""
    path = best / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def everything(world: World, folder: Path) -> dict[str, object]:
    """What this rank said, in one start of the ranks: best weights of step 3, killed before step 5."""
    run_finetune(world, folder / "whole")
    run_until_killed(world, folder / "stopped", TINY, step=5)
    if world.is_main:
        flip(folder / "stopped" / "llm" / "checkpoints" / "best")
    world.barrier()
    said: dict[str, object] = {"stopped": warnings_of(world, folder / "stopped")}
    fit = vars(finetune_module)["fit"]

    def fit_and_spoil(*words: object, **named: object) -> Path:
        best: Path = fit(*words, **named)
        if world.is_main:
            flip(best)
        world.barrier()
        return best

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_module, "fit", fit_and_spoil)
        with pytest.raises(InputError) as refused:
            run_finetune(world, folder / "spoilt")
    said["refused"] = str(refused.value)
    said["spoilt"] = warnings_of(world, folder / "spoilt")
    return said


def warnings_of(world: World, run_dir: Path) -> list[str]:
    """Go on to the end; what the log warned of."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("training.saved.resume")
    log.addHandler(handler)
    run_finetune(world, run_dir)
    log.removeHandler(handler)
    return said


@dataclass(frozen=True)
class Went:
    """Where the runs are, and what the two ranks said."""

    folder: Path
    ranks: list[dict[str, object]]

    def model(self, name: str) -> dict[str, str]:
        return {file.name: sha256_file(file) for file in (self.folder / name / "llm" / "model").iterdir()}

    def best(self, name: str) -> Path:
        return self.folder / name / "llm" / "checkpoints" / "best"


@pytest.fixture(scope="module")
def went(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Went]:
    folder = tmp_path_factory.mktemp("runs")
    prepare_run(folder / "whole")
    for name in ("stopped", "spoilt"):
        shutil.copytree(folder / "whole", folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_FOLDER, str(tmp_path_factory.mktemp("state")))
        yield Went(folder, run_ranks(everything, 2, folder))


def test_best_weights_that_were_damaged_since_are_made_anew(went: Went) -> None:
    why = "damaged (model.safetensors has other content than was written); training starts from the beginning"
    assert [said["stopped"] for said in went.ranks] == [[f"{went.best('stopped')}: {why}"], []]
    assert went.model("stopped") == went.model("whole")


def test_best_weights_that_are_damaged_at_the_end_are_refused_by_all_ranks(went: Went) -> None:
    why = "damaged (model.safetensors has other content than was written); start the stage again, it trains them anew"
    assert [said["refused"] for said in went.ranks] == [f"{went.best('spoilt')}: {why}"] * 2
    assert went.model("spoilt") == went.model("whole")


def test_the_seal_stays_with_the_checkpoints(went: Went) -> None:
    assert "seal.json" not in went.model("whole")
