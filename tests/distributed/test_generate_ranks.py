"""Two ranks write the bytes that one rank writes."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from launch.artifacts import sha256_file
from launch.distributed import World
from launch.tracking import Tracker
from tests.ranks import run_ranks
from tests.tiny_generation import CONSTRAINED, FREE, SCRATCH, generate_alone, parts_alone, write_answerable_run
from training.answers.config import GenerationConfig
from training.generate import generate

FILES = ("lists/llm_valid.parquet", "lists/llm_test.parquet", "generated/generation.json")


def generate_on(world: World, run_dir: Path, config: GenerationConfig) -> int:
    generate(config, base=SCRATCH, run_dir=run_dir, seed=1, world=world, tracker=Tracker(None, "generate"))
    return world.size


def generate_on_second(world: World, run_dir: Path) -> list[Path]:
    """The first rank was killed at once."""
    return parts_alone(CONSTRAINED, run_dir, "valid", world) if world.rank == 1 else []


@pytest.mark.slow
def test_two_ranks_write_what_one_rank_writes(tmp_path: Path) -> None:
    write_answerable_run(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    generate_alone(FREE, tmp_path / "one")
    assert run_ranks(generate_on, 2, tmp_path / "two", FREE) == [2, 2]
    for name in FILES:
        assert sha256_file(tmp_path / "two" / name) == sha256_file(tmp_path / "one" / name)


@pytest.mark.slow
def test_a_run_killed_on_two_ranks_ends_on_one_with_the_same_bytes(tmp_path: Path) -> None:
    write_answerable_run(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    run_ranks(generate_on, 2, tmp_path / "whole", CONSTRAINED)
    nothing, parts = run_ranks(generate_on_second, 2, tmp_path / "killed")
    assert nothing == []
    assert len(parts) >= 2
    assert all(first.stem[:12] != "0" * 12 for first in parts)
    assert all(before.stem[13:] != after.stem[:12] for before, after in pairwise(parts)), "every other part"
    generate_alone(CONSTRAINED, tmp_path / "killed")
    for name in FILES:
        assert sha256_file(tmp_path / "killed" / name) == sha256_file(tmp_path / "whole" / name)
