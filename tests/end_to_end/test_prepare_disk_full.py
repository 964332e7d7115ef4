"""A disk that fills up in any phase of the preparation: one line, status 2, nothing left; afterwards it just runs.

A limit on the size of files stands for the disk: sorted runs, samples on their way, the catalogue, shards and the
mapped files have different sizes, so that each limit stops another phase.
"""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.raw_pairs import write_raw_files

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of raw files of two categories."""
    folder = tmp_path_factory.mktemp("raw")
    raw = write_raw_files(folder / "raw", num_users=900, num_items=200)
    path = folder / "small.yaml"
    path.write_text(f"name: small\npair: {{source: amazon, path: {raw}, splits: last_out}}\n", encoding="utf-8")
    return path


def prepare(recipe: Path, run_dir: Path, *, limit: int | None) -> subprocess.CompletedProcess[str]:
    def lower() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    words = [sys.executable, "-m", "pairs.prepare", "--config", str(recipe), f"--run_dir={run_dir}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, preexec_fn=lower)


def sizes_on_the_way(recipe: Path, run_dir: Path) -> list[int]:
    """The sizes of the files of a run that nothing stops, small to large."""
    assert prepare(recipe, run_dir, limit=None).returncode == 0
    return sorted({path.stat().st_size for path in (run_dir / "pair").rglob("*") if path.is_file()})


def test_full_disk_in_any_phase_ends_in_one_line_and_leaves_nothing(tmp_path: Path, recipe: Path) -> None:
    sizes = sizes_on_the_way(recipe, tmp_path / "whole")
    for limit in (2000, *(size - 1 for size in sizes if size > 2000)):
        ended = prepare(recipe, tmp_path / "run", limit=limit)
        assert ended.returncode == 2, (limit, ended.stderr[-2000:])
        last = ended.stderr.rstrip().splitlines()[-1]
        assert last.startswith("kinrec: error: "), (limit, ended.stderr[-2000:])
        assert "file-size limit" in last
        assert "Traceback" not in ended.stderr
        assert not list((tmp_path / "run").rglob(".*"))
        assert not (tmp_path / "run" / "manifests" / "prepare.json").exists()
    assert prepare(recipe, tmp_path / "run", limit=None).returncode == 0
    for path in (tmp_path / "whole" / "pair").rglob("*"):
        if path.is_file():
            again = tmp_path / "run" / "pair" / path.relative_to(tmp_path / "whole" / "pair")
            assert again.read_bytes() == path.read_bytes()
