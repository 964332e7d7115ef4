"""The stage as a process: files and manifest, the same bytes twice, and after a kill."""

import gzip
import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from launch.artifacts import read_json
from pairs.attributes.replace import hash_title
from pairs.tables import load_pair

ROOT = Path(__file__).parents[2]
RECIPE = """
name: small
pair: {source: synthetic, splits: user, synthetic: {num_users: 400, items_per_domain: 96}}
"""
FILES = ["card.json", "items.parquet", "test.arrow", "train.arrow", "users.parquet", "valid.arrow"]
SHARDS = [f"{split}.parquet/part-00000.parquet" for split in ("test", "train", "valid")]
DIES = """
import os, signal, sys
from pairs.prepare import main

wanted, ending = sys.argv.pop(1).split(":")

def die_before(event, args):
    if event == wanted and str(args[1 if event == "os.rename" else 0]).endswith(ending):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die_before)
main()
"""


def command_of(folder: Path) -> list[str]:
    recipe = folder / "small.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return [sys.executable, "-m", "pairs.prepare", "--config", str(recipe)]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    return command_of(tmp_path)


def start(command: list[str], run_dir: Path) -> subprocess.CompletedProcess[str]:
    words = [*command, f"--run_dir={run_dir}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def digests(run_dir: Path) -> dict[str, str]:
    files = sorted(path for path in (run_dir / "pair").rglob("*") if path.is_file())
    return {str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ended = start(command_of(folder), folder / "run")
    assert ended.returncode == 0, ended.stderr
    return folder / "run"


def test_stage_writes_every_table_and_its_manifest(whole: Path) -> None:
    assert sorted(path.name for path in (whole / "pair").iterdir() if path.is_file()) == FILES
    outputs = read_json(whole / "manifests" / "prepare.json")["outputs"]
    assert {f"pair/{name}" for name in (*FILES, *SHARDS)} < set(outputs)
    assert set(outputs) == set(digests(whole))


def test_nothing_but_the_tables_is_left_behind(whole: Path) -> None:
    assert {path.name for path in (whole / "pair").iterdir()} == {
        *FILES, "raw", "train.parquet", "valid.parquet", "test.parquet",
    }  # fmt: skip
    assert not list(whole.rglob(".*"))


def test_killed_and_started_again_gives_the_same_bytes(tmp_path: Path, command: list[str], whole: Path) -> None:
    run_dir = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, f"--run_dir={run_dir}"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (run_dir / "pair" / ".scratch.partial").is_dir() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run_dir / "manifests" / "prepare.json").is_file(), "it had finished before the kill"
    assert start(command, run_dir).returncode == 0
    assert digests(run_dir) == digests(whole)
    assert not list(run_dir.rglob(".*"))


@pytest.mark.parametrize(
    ("moment", "there", "missing"),
    [
        ("os.mkdir:/bands", ".scratch.partial", ".scratch.partial/bands"),
        ("os.rename:/ready/train.arrow", ".scratch.partial/ready/train.parquet", "items.parquet"),
        ("os.rename:/pair/items.parquet", ".scratch.partial/ready/test.arrow", "items.parquet"),
        ("os.rename:/pair/users.parquet", "items.parquet", "users.parquet"),
        ("os.rename:/pair/train.parquet", "users.parquet", "train.parquet"),
        ("os.rename:/pair/card.json", "valid.arrow", "card.json"),
    ],
    ids=["reading", "first samples", "before the items", "after the items", "among the samples", "before the card"],
)
def test_killed_at_any_moment_and_started_again_gives_the_same_bytes(
    tmp_path: Path, command: list[str], whole: Path, moment: str, there: str, missing: str
) -> None:
    run_dir = tmp_path / "killed"
    killed = start([sys.executable, "-c", DIES, moment, *command[3:]], run_dir)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (run_dir / "pair" / there).exists()
    assert not (run_dir / "pair" / missing).exists()
    assert start(command, run_dir).returncode == 0
    assert digests(run_dir) == digests(whole)
    assert not list(run_dir.rglob(".*"))


OWN_TABLES = """
name: own
pair:
  source: tables
  domains: [tea, cups]
  reviews_x: [{folder}/tea_2019.csv, {folder}/tea_2020.jsonl.gz]
  reviews_y: [{folder}/cups.parquet]
  meta_x: [{folder}/items.csv]
  meta_y: [{folder}/items.csv]
  columns: {{user: who, item: what, time: when, title: name, attributes: [kind]}}
  llm_attributes: {{source: answers, answers: {folder}/answers.jsonl}}
  users: either
  splits: user
"""


def write_own_tables(folder: Path) -> None:
    rng = np.random.default_rng(0)
    bought = pl.DataFrame(
        {
            "who": [f"u{n}" for n in rng.integers(0, 60, size=900)],
            "what": [f"i{n}" for n in rng.integers(0, 30, size=900)],
            "when": rng.integers(1_500_000_000, 1_600_000_000, size=900),
        }
    )
    bought[:300].write_csv(folder / "tea_2019.csv")
    (folder / "tea_2020.jsonl.gz").write_bytes(gzip.compress(bought[300:450].write_ndjson().encode()))
    bought[450:].with_columns(pl.from_epoch("when")).write_parquet(folder / "cups.parquet")
    ids = [f"i{n}" for n in range(30)]
    names = pl.DataFrame({"what": ids, "name": [f"thing, {i}" for i in ids], "kind": "home"})
    names.write_csv(folder / "items.csv")
    answer = {"title_hash": hash_title("tea", "thing, i0"), "attributes": ["Green Leaf"]}
    (folder / "answers.jsonl").write_text(json.dumps(answer) + "\n", encoding="utf-8")


def test_tables_of_ones_own_are_prepared(tmp_path: Path) -> None:
    write_own_tables(tmp_path)
    recipe = tmp_path / "own.yaml"
    recipe.write_text(OWN_TABLES.format(folder=tmp_path), encoding="utf-8")
    ended = start([sys.executable, "-m", "pairs.prepare", "--config", str(recipe)], tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    pair = load_pair(tmp_path / "run")
    assert pair.domain_names == ("tea", "cups")
    asked = [item for item, words in enumerate(pair.items.attributes) if words == "green leaf"]
    assert [(pair.items.source_ids[item], pair.items.titles[item]) for item in asked] == [("i0", "thing, i0")]
    assert set(pair.items.attributes) == {"green leaf", "home"}
    card = read_json(tmp_path / "run" / "pair" / "card.json")
    assert [file["rows"] for file in card["reading"]["files"]] == [300, 150, 30, 450, 30]
    assert card["llm_attributes"]["answered"] == 1
    external = read_json(tmp_path / "run" / "manifests" / "prepare.json")["external"]
    assert {Path(name).name for name in external} == {
        "tea_2019.csv", "tea_2020.jsonl.gz", "cups.parquet", "items.csv", "answers.jsonl",
    }  # fmt: skip


def test_missing_path_ends_in_one_line(tmp_path: Path, command: list[str]) -> None:
    ended = start([*command, "--pair.source=released", "--pair.splits=released"], tmp_path / "run")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("kinrec: error: pair.path is not given; add --pair.path=FOLDER")
    assert "Traceback" not in ended.stderr
