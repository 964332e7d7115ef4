"""A finished run and the next command: a typo, a missing file, a failed start. Nothing that was finished is lost."""

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.runs import TINY, kinrec


@pytest.fixture
def run_dir(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "run", symlinks=True)


def contents(run_dir: Path) -> dict[str, str]:
    """Digest of every file but the lock, logs, and what a failed start left to go on with."""
    return {
        path.relative_to(run_dir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run_dir.rglob("*"))
        if path.is_file() and path.name != "lock" and not {"logs", ".parked"} & set(path.parts)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("--llm.deepspeed=zero9", "llm.deepspeed=zero9: no such file"),
        ("--prompts.base=/nowhere/model", "prompts.base=/nowhere/model: no such file or folder"),
        ("--launch.accelerate=nothing", "launch.accelerate: no such file"),
    ],
)
def test_a_mistyped_value_is_refused_before_anything_starts(run_dir: Path, override: str, words: str) -> None:
    before = contents(run_dir)
    changed = ("--llm.lr=0.5",) if "accelerate" in override else ()  # means alone start nothing
    ended = kinrec("run", str(TINY), f"--run_dir={run_dir}", "--graph.schedule.epochs=1", override, *changed)
    assert ended.returncode == 2
    assert words in ended.stderr.splitlines()[-1]
    assert "runs again" not in ended.stderr
    assert contents(run_dir) == before


@pytest.mark.slow
def test_a_start_that_fails_brings_the_earlier_result_and_its_recipe_back(run_dir: Path) -> None:
    before = contents(run_dir)
    # Too short for a prompt: only tokenize itself can tell.
    ended = kinrec("run", str(TINY), f"--run_dir={run_dir}", "--prompts.max_tokens=8")
    assert ended.returncode == 2, ended.stderr[-2000:]
    assert "tokenize: runs again, prompts.max_tokens was 160, now 8" in ended.stderr
    assert contents(run_dir) == before
    assert kinrec("status", str(run_dir)).stdout.count("finished in") == 7


@pytest.mark.slow
def test_a_runs_own_recipe_means_that_run(run_dir: Path) -> None:
    ended = kinrec("run", str(run_dir / "recipe.yaml"))
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stderr.count("still holds, skipped") == 7


@pytest.mark.slow
def test_a_damaged_recipe_is_said_in_a_line_and_the_next_run_mends_it(run_dir: Path) -> None:
    recipe = (run_dir / "recipe.yaml").read_bytes()
    (run_dir / "recipe.yaml").write_bytes(recipe[: len(recipe) // 2])
    asked = kinrec("recommend", str(run_dir), "--domain", "kitchen", "--history", "tea")
    assert asked.returncode == 2
    assert "recipe.yaml: damaged; run the recipe again" in asked.stderr.splitlines()[-1]
    ended = kinrec("run", str(TINY), f"--run_dir={run_dir}")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stderr.count("still holds, skipped") == 7
    assert (run_dir / "recipe.yaml").read_bytes() == recipe


@pytest.mark.slow
def test_a_flipped_byte_is_told_by_every_command(run_dir: Path) -> None:
    items = run_dir / "pair" / "items.parquet"
    content = bytearray(items.read_bytes())
    content[len(content) // 2] ^= 1
    items.write_bytes(content)
    asked = kinrec("recommend", str(run_dir), "--domain", "kitchen", "--history", "tea")
    assert asked.returncode == 2
    line = asked.stderr.splitlines()[-1]
    assert "prepare is stale: pair/items.parquet has other content than was written" in line
    assert f"run `kinrec run {run_dir}/recipe.yaml` first" in line
    status = kinrec("status", str(run_dir)).stdout
    assert "stale: pair/items.parquet has other content" in status
    assert "hr@10" not in status
    compared = kinrec("compare", str(run_dir), str(run_dir))
    assert compared.returncode == 2
    assert "evaluate is stale" in compared.stderr.splitlines()[-1]
