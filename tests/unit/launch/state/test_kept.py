"""Arrays that a run keeps: read back as they were made, and made anew where a file does not hold."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from launch.artifacts import write_json
from launch.stages import stage_named
from launch.state.kept import Arrays, KeptArrays
from launch.state.manifests import manifest_path

MADE: Arrays = {
    "whole": np.arange(6, dtype=np.int8).reshape(2, 3),
    "none": np.zeros((0, 4), np.float32),
    "ids": np.arange(3),
}


class Maker:
    """Counts how often it is asked."""

    def __init__(self, arrays: Arrays = MADE) -> None:
        self.arrays, self.times = arrays, 0

    def __call__(self) -> Arrays:
        self.times += 1
        return self.arrays


def equal(first: Arrays, second: Arrays) -> bool:
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and np.array_equal(first[name], second[name]) for name in first
    )


def test_what_was_made_is_read_back_and_made_no_more(tmp_path: Path) -> None:
    make = Maker()
    assert equal(KeptArrays(tmp_path, "a").arrays("tables", make), MADE)
    assert equal(KeptArrays(tmp_path, "a").arrays("tables", make), MADE)
    assert make.times == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tables.safetensors"]


def test_a_file_of_something_else_is_made_anew(tmp_path: Path) -> None:
    KeptArrays(tmp_path, "a").arrays("tables", Maker({"whole": np.ones(3)}))
    make = Maker()
    assert equal(KeptArrays(tmp_path, "b").arrays("tables", make), MADE)
    assert equal(KeptArrays(tmp_path, "b").arrays("tables", make), MADE)
    assert make.times == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_its_head(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def no_file(path: Path) -> None:
    path.write_bytes(b"\xff" * 4096)


@pytest.mark.parametrize("damage", [cut, cut_in_its_head, empty, flip, no_file])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    KeptArrays(tmp_path, "a").arrays("tables", Maker())
    damage(tmp_path / "tables.safetensors")
    make = Maker()
    assert equal(KeptArrays(tmp_path, "a").arrays("tables", make), MADE)
    assert equal(KeptArrays(tmp_path, "a").arrays("tables", make), MADE)
    assert make.times == 1


def test_where_nothing_can_be_written_it_is_made_for_the_process_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "asked").write_text("a file where the folder would be: not even root writes below it")
    kept, make = KeptArrays(tmp_path / "asked", "a"), Maker()
    with caplog.at_level(logging.WARNING):
        assert equal(kept.arrays("tables", make), MADE)
        assert equal(kept.arrays("others", make), MADE)
    assert make.times == 2
    assert [record.getMessage() for record in caplog.records if "cannot be written" in record.getMessage()] == [
        f"{tmp_path / 'asked'} cannot be written (File exists): made for this process alone"
    ]


def test_a_writer_that_is_killed_leaves_no_file_that_is_taken(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, numpy, launch.artifacts\n"
        "from pathlib import Path\n"
        "from launch.state.kept import KeptArrays\n"
        "launch.artifacts._flush = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"  # all is written, none renamed
        "KeptArrays(Path(sys.argv[1]), 'a').arrays('tables', lambda: {'whole': numpy.ones(9)})\n"
    )
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, env=os.environ | path)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "tables.safetensors").exists()
    make = Maker()
    assert equal(KeptArrays(tmp_path, "a").arrays("tables", make), MADE)
    assert make.times == 1


def test_a_run_marks_what_it_keeps_with_what_its_stages_wrote_wherever_it_lies(tmp_path: Path) -> None:
    manifest = {"config": {}, "seed": 1, "inputs": {}, "external": {}, "outputs": {}, "fingerprint": "f"}
    here, there = tmp_path / "here", tmp_path / "there"
    write_json(manifest_path(here, stage_named("evaluate")), manifest)
    KeptArrays.of_run(here).arrays("tables", Maker())
    here.rename(there)
    make = Maker({"whole": np.ones(3)})
    assert equal(KeptArrays.of_run(there).arrays("tables", make), MADE)
    assert make.times == 0
    write_json(manifest_path(there, stage_named("evaluate")), manifest | {"fingerprint": "g"})
    KeptArrays.of_run(there).arrays("tables", make)
    assert make.times == 1
