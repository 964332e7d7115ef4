"""Temporary files of a run: below its folder, gone afterwards, usable for sockets however long the path is."""

import os
import socket
from pathlib import Path

import pytest

from launch.processes.temporary import TEMPORARY, remove_temporary, temporary_folder

SOCKET = "pymp-12345678/listener-12345678"  # as Python's multiprocessing names them


@pytest.mark.parametrize("length", [1, 200])
def test_a_socket_fits_below_it(tmp_path: Path, length: int) -> None:
    run_dir = tmp_path / ("x" * length)
    run_dir.mkdir()
    with temporary_folder(run_dir) as (folder, name):
        assert os.path.samefile(folder, name)
        place = Path(name) / SOCKET
        place.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
        assert (folder / SOCKET).exists()
    assert list(run_dir.iterdir()) == []


def test_what_a_killed_stage_left_goes_first(tmp_path: Path) -> None:
    (tmp_path / TEMPORARY / "old").mkdir(parents=True)
    with temporary_folder(tmp_path) as (folder, _):
        assert list(folder.iterdir()) == []


def test_a_link_in_its_place_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("a user's words", encoding="utf-8")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / TEMPORARY).symlink_to(outside)
    remove_temporary(run_dir)
    (run_dir / TEMPORARY).symlink_to(outside)
    with temporary_folder(run_dir) as (folder, _):
        (folder / "precious").write_text("ours", encoding="utf-8")
    assert (outside / "precious").read_text() == "a user's words"
