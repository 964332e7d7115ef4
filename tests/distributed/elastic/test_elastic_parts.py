"""Retrieval and generation go on with another number of ranks: parts of two, one and three end in the same bytes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from launch.artifacts import sha256_file
from launch.distributed import World
from launch.tracking import Tracker
from retrieval.config import RetrievalConfig
from retrieval.neighbours import retrieve
from retrieval.ways import ByExpectation
from tests.ranks import run_ranks
from tests.retrieval_runs import write_expected, write_run
from tests.tiny_generation import FREE, SCRATCH, write_answerable_run
from training.answers import parts as parts_module
from training.generate import generate

pytestmark = pytest.mark.slow
RETRIEVAL = RetrievalConfig(num_neighbours=4, block=2, item_dim=8, text_dim=6)


class Stop:
    """Stands for a function that a stage calls again and again: stops dead at one of the calls, on every rank."""

    def __init__(self, function: Any, at: int | None) -> None:
        self.function = function
        self.left = at

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        return self.function(*args, **kwargs)


def write_retrievable_run(run_dir: Path) -> None:
    write_run(run_dir)
    write_expected(run_dir)


def retrieve_until(world: World, run_dir: Path, at: int | None = None) -> None:
    """Search for the neighbours of the first `at` blocks, or of all."""
    stop = Stop(ByExpectation.answer, at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ByExpectation, "answer", lambda *args: stop(*args))
        run(retrieve, at, RETRIEVAL, run_dir=run_dir, seed=5, world=world, tracker=Tracker(None, "retrieve"))


def generate_until(world: World, run_dir: Path, at: int | None = None) -> None:
    """Write `at` parts a rank, or all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "write_part", Stop(parts_module.write_part, at))
        tracker = Tracker(None, "generate")
        run(generate, at, FREE, base=SCRATCH, run_dir=run_dir, seed=1, world=world, tracker=tracker)


def run(stage: Any, at: int | None, *args: Any, **kwargs: Any) -> None:
    try:
        stage(*args, **kwargs)
    except KeyboardInterrupt:
        assert at is not None


def digests(run_dir: Path, folders: tuple[str, ...]) -> dict[str, str]:
    files = [path for name in folders for path in (run_dir / name).rglob("*") if path.is_file()]
    return {path.relative_to(run_dir).as_posix(): sha256_file(path) for path in files}


def count_parts(run_dir: Path) -> int:
    return len([path for path in run_dir.rglob("parts/*/*.parquet") if not path.name.startswith(".")])


@pytest.mark.parametrize("stage", ["retrieve", "generate"])
def test_parts_of_2_1_3_ranks(tmp_path: Path, stage: str) -> None:
    write, until, folders = {
        "retrieve": (write_retrievable_run, retrieve_until, ("neighbours",)),
        "generate": (write_answerable_run, generate_until, ("lists", "generated")),
    }[stage]
    whole, changed = tmp_path / "whole", tmp_path / "changed"
    write(whole)
    shutil.copytree(whole, changed)
    run_ranks(until, 1, whole)
    expected = digests(whole, folders)
    assert expected
    run_ranks(until, 2, changed, 1 if stage == "generate" else 3)
    after_two = count_parts(changed)
    run_ranks(until, 1, changed, 1)
    after_one = count_parts(changed)
    assert 0 < after_two < after_one
    run_ranks(until, 3, changed)
    assert digests(changed, folders) == expected
