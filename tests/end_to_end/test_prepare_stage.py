"""The stage as a process: files and manifest, the same bytes twice, and after a kill."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.artifacts import read_json

ROOT = Path(__file__).parents[2]
RECIPE = """
name: small
pair: {source: synthetic, splits: user, synthetic: {num_users: 400, items_per_domain: 96}}
"""
FILES = ["card.json", "items.parquet", "test.parquet", "train.parquet", "users.parquet", "valid.parquet"]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return [sys.executable, "-m", "pairs.prepare", "--config", str(recipe)]


def start(command: list[str], run_dir: Path) -> subprocess.CompletedProcess[str]:
    words = [*command, f"--run_dir={run_dir}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def digests(run_dir: Path) -> dict[str, str]:
    files = sorted(path for path in (run_dir / "pair").rglob("*") if path.is_file())
    return {str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_stage_writes_every_table_and_its_manifest(tmp_path: Path, command: list[str]) -> None:
    ended = start(command, tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "run" / "pair").iterdir() if path.is_file()) == FILES
    assert "pair/train.parquet" in read_json(tmp_path / "run" / "manifests" / "prepare.json")["outputs"]


def test_killed_and_started_again_gives_the_same_bytes(tmp_path: Path, command: list[str]) -> None:
    assert start(command, tmp_path / "whole").returncode == 0
    words = [*command, f"--run_dir={tmp_path / 'killed'}"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "pair").is_dir() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "manifests" / "prepare.json").is_file(), "it had finished before the kill"
    assert start(command, tmp_path / "killed").returncode == 0
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_missing_path_ends_in_one_line(tmp_path: Path, command: list[str]) -> None:
    ended = start([*command, "--pair.source=released", "--pair.splits=released"], tmp_path / "run")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("kinrec: error: pair.path is not given; add --pair.path=FOLDER")
    assert "Traceback" not in ended.stderr
