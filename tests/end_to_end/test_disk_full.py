"""A disk that fills up in any stage: one line, status 2, no manifest; with space the same command finishes, equal."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.stages import STAGES, Stage
from tests.end_to_end.runs import TINY, final_files, kinrec, processes_of

KIB = 1024
LARGE = 512 * 1024
"""KiB: more than the run needs."""


class Disk:
    """A small file system whose size can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.mounted = self._mount(f"size={LARGE}k", "tmpfs", str(folder))

    def leave_free(self, room: int) -> None:
        """So many KiB free and no more."""
        free = subprocess.run(
            ["df", "--output=used", "-k", str(self.folder)], capture_output=True, text=True, check=True
        )
        assert self._mount(f"remount,size={int(free.stdout.split()[-1]) + room}k", str(self.folder))

    def enlarge(self) -> None:
        """More free than the run needs."""
        assert self._mount(f"remount,size={LARGE}k", str(self.folder))

    def _mount(self, options: str, *words: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, *words]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A file system that can fill up; only the superuser may have one."""
    made = Disk(tmp_path_factory.mktemp("small") / "disk")
    if not made.mounted:
        pytest.skip("only the superuser may mount a small file system to fill")
    yield made
    subprocess.run(["umount", "-l", str(made.folder)], check=True)


def room_for(stage: Stage, whole: Path) -> int:
    """KiB: half of what the stage's results take."""
    outputs = json.loads((whole / "manifests" / f"{stage.name}.json").read_text(encoding="utf-8"))["outputs"]
    return int(sum(output["bytes"] for output in outputs.values()) // (2 * KIB))


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_full_disk_ends_a_stage_in_one_line_and_it_goes_on_with_space(disk: Disk, tiny_run: Path, stage: Stage) -> None:
    """Each stage goes on from what the test before it has finished."""
    run_dir = disk.folder / "run"
    command = [stage.name, str(TINY), f"--run_dir={run_dir}"]
    disk.leave_free(room_for(stage, tiny_run))
    ended = kinrec(*command)
    assert ended.returncode == 2, ended.stderr[-4000:]
    errors = [line for line in ended.stderr.splitlines() if line.startswith("kinrec: error: ")]
    assert errors, ended.stderr[-4000:]
    assert {line for line in errors if "no space left on the device" not in line} == set()
    assert "Traceback" not in ended.stderr, ended.stderr[-6000:]
    assert not (run_dir / "manifests" / f"{stage.name}.json").exists()
    assert processes_of(run_dir) == []
    disk.enlarge()
    ended = kinrec(*command)
    assert ended.returncode == 0, ended.stderr[-4000:]
    names = {name for name in final_files(run_dir) if not name.startswith("report/")}
    whole = final_files(tiny_run)
    assert {name: digest for name, digest in final_files(run_dir).items() if whole[name] != digest} == {}
    assert names
