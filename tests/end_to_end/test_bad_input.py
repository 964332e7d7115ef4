"""Wrong input ends with one clear line and status 2, and leaves nothing half-written."""

import gzip
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.runs import ROOT, TINY, kinrec

ITEMS = "idBefore,item_title,idAfter,item_attribute\n"
HISTORY = "{user}\t2\t0|0|0\t3|1|1\t{target}|2|2\t\n"


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A released pair of three items a domain that prepares without complaint."""
    folder = tmp_path / "released"
    folder.mkdir()
    for name, first in (("art", 0), ("office", 3)):
        rows = "".join(f"{i},{name} thing {i},{first + i},{name} words\n" for i in range(3))
        (folder / f"{name}_items.csv").write_text(ITEMS + rows, encoding="utf-8")
    for split, users in (("train", range(4)), ("valid", range(4, 6)), ("test", range(6, 8))):
        lines = "".join(HISTORY.format(user=u, target=t) for u in users for t in (1, 4))
        (folder / f"{split}.txt").write_text(lines, encoding="utf-8")
    return folder


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(*words: str) -> str:
    """The one line that a refusal ends with."""
    ended = kinrec(*words, timeout=120)
    assert ended.returncode == 2, ended.stderr[-3000:]
    assert "Traceback" not in ended.stderr
    line = ended.stderr.rstrip().splitlines()[-1]
    assert line.startswith("kinrec: error: ")
    assert ended.stderr.count("kinrec: error: ") == 1
    return line


def prepare(tmp_path: Path, folder: Path, *words: str) -> list[str]:
    return [
        "prepare",
        str(recipe(tmp_path, f"pair: {{source: released, path: {folder}, domains: [art, office]}}\n")),
        f"--run_dir={tmp_path / 'run'}",
        *words,
    ]


def nothing_written(run_dir: Path) -> bool:
    left = [path for path in run_dir.rglob("*") if path.is_file() and path.name not in {"recipe.yaml", "lock"}]
    return all(path.parent.name in {"logs", "metrics", "prepare", "manifests"} for path in left) and not any(
        path.name == "prepare.json" for path in left
    )


def truncate_gzip(folder: Path) -> None:
    whole = gzip.compress((folder / "train.txt").read_bytes())
    (folder / "train.txt").unlink()
    (folder / "train.txt.gz").write_bytes(whole[: len(whole) // 2])


def put_fifo(folder: Path) -> None:
    (folder / "train.txt").unlink()
    os.mkfifo(folder / "train.txt")


def put_folder(folder: Path) -> None:
    (folder / "art_items.csv").unlink()
    (folder / "art_items.csv").mkdir()


def copy_packed(folder: Path) -> None:
    (folder / "valid.txt.gz").write_bytes(gzip.compress((folder / "valid.txt").read_bytes()))


def append(name: str, line: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(line)

    return change


def keep_one_domain(folder: Path) -> None:
    lines = "".join(HISTORY.format(user=u, target=1).replace("3|1|1\t", "") for u in range(4))
    (folder / "train.txt").write_text(lines, encoding="utf-8")


def test_the_unchanged_pair_is_accepted(tmp_path: Path, released: Path) -> None:
    ended = kinrec(*prepare(tmp_path, released))
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(lambda folder: (folder / "train.txt").unlink(), "train.txt", id="missing file"),
        pytest.param(truncate_gzip, "train.txt.gz", id="truncated gzip"),
        pytest.param(put_fifo, "train.txt: is a FIFO", id="FIFO"),
        pytest.param(put_folder, "art_items.csv: is a folder", id="folder"),
        pytest.param(copy_packed, "valid.txt.gz are both there", id="plain and packed"),
        pytest.param(append("train.txt", "9\t2\t0|0\t4|1|1\t\n"), "train.txt", id="wrong number of fields"),
        pytest.param(append("art_items.csv", "9,only two\n"), "art_items.csv", id="catalogue row too short"),
        pytest.param(append("train.txt", HISTORY.format(user=9, target=77)), "77", id="item outside the catalogue"),
        pytest.param(append("test.txt", HISTORY.format(user=0, target=1)), "user 0", id="user in two splits"),
        pytest.param(lambda folder: (folder / "office_items.csv").write_text(ITEMS), "office", id="empty domain"),
    ],
)
def test_broken_pair_is_refused(tmp_path: Path, released: Path, change: Callable[[Path], None], named: str) -> None:
    change(released)
    assert named in refused(*prepare(tmp_path, released))
    assert nothing_written(tmp_path / "run")


def test_users_of_one_domain_that_are_not_there_are_missed(tmp_path: Path, released: Path) -> None:
    line = refused(*prepare(tmp_path, released, "--pair.graph_users=one_domain"))
    assert "one_domain.txt[.gz]: no such file; add the users of one domain, or set pair.graph_users=none" in line
    assert nothing_written(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("graph: {epohcs: 3}\n", "graph.epohcs"),
        ("graph: {schedule: {epochs: many}}\n", "graph.schedule.epochs"),
        ("graf: {}\n", "graf"),
    ],
)
def test_broken_recipe_is_refused_before_anything_starts(tmp_path: Path, text: str, named: str) -> None:
    assert named in refused("run", str(recipe(tmp_path, text)), f"--run_dir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_run_folder_of_another_recipe_is_refused(tmp_path: Path, released: Path) -> None:
    assert kinrec(*prepare(tmp_path, released)).returncode == 0
    line = refused("run", str(TINY), f"--run_dir={tmp_path / 'run'}")
    assert "belongs to the recipe 'mine'" in line


def test_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").touch()
    assert "not the folder of a run" in refused("run", str(TINY), f"--run_dir={tmp_path / 'letters'}")


def test_file_size_limit_is_the_users_to_mend(tmp_path: Path) -> None:
    limit = 4096

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    words = ["prepare", str(TINY), f"--run_dir={tmp_path / 'run'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "launch.cli", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lower,
    )
    assert ended.returncode == 2, ended.stderr[-3000:]
    assert "file-size limit" in ended.stderr.rstrip().splitlines()[-1]
    assert not list((tmp_path / "run").rglob("*.partial"))
    assert not (tmp_path / "run" / "manifests" / "prepare.json").exists()


@pytest.fixture
def copied_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A finished run that a test may break."""
    return Path(shutil.copytree(tiny_run, tmp_path / "copied"))


@pytest.mark.slow
def test_stale_artifact_is_refused_by_a_single_stage(copied_run: Path) -> None:
    with (copied_run / "pair" / "items.parquet").open("ab") as file:
        file.write(b"x")
    line = refused("evaluate", str(TINY), f"--run_dir={copied_run}", "--evaluation.refine_top=3")
    assert "prepare is stale" in line
    assert "items.parquet" in line


@pytest.mark.slow
def test_results_of_another_seed_are_refused_by_a_single_stage(copied_run: Path) -> None:
    line = refused("evaluate", str(TINY), f"--run_dir={copied_run}", "--seed=2")
    assert "prepare is stale: its seed was 1, now 2; run `kinrec prepare` first" in line


@pytest.mark.slow
def test_model_folder_without_weights_is_refused(copied_run: Path, tmp_path: Path) -> None:
    empty = tmp_path / "model"
    empty.mkdir()
    (empty / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    line = refused("tokenize", str(TINY), f"--run_dir={copied_run}", f"--prompts.base={empty}")
    assert str(empty) in line
    assert "weights" in line
