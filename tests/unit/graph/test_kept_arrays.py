"""What a start before this one left is taken as it is, or seen to be damaged and made anew."""

import logging
from pathlib import Path

import numpy as np
import pytest

from graph.kept_arrays import is_whole, shared_array
from tests.graph_runs import ALONE

TABLE = np.arange(600, dtype=np.int16).reshape(20, 30)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def overwrite(path: Path) -> None:
    path.write_bytes(b"\x00" * path.stat().st_size)


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "table.npy"
    assert np.array_equal(shared_array(path, lambda: TABLE, ALONE), TABLE)
    assert np.array_equal(shared_array(path, lambda: TABLE + 1, ALONE), TABLE)


def test_it_is_mapped_and_what_one_writes_is_his_own(tmp_path: Path) -> None:
    path = tmp_path / "table.npy"
    one, other = (shared_array(path, lambda: TABLE, ALONE) for _ in range(2))
    assert type(one) is np.ndarray
    assert isinstance(one.base, np.memmap)
    one += 1
    assert np.array_equal(one, TABLE + 1)
    assert np.array_equal(other, TABLE)
    assert np.array_equal(np.load(path), TABLE)


@pytest.mark.parametrize("harm", [cut_short, empty, overwrite])
def test_a_damaged_array_is_made_anew_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: object) -> None:
    path = tmp_path / "table.npy"
    shared_array(path, lambda: TABLE, ALONE)
    assert callable(harm)
    harm(path)
    with caplog.at_level(logging.WARNING, logger="graph.kept_arrays"):
        assert np.array_equal(shared_array(path, lambda: TABLE + 1, ALONE), TABLE + 1)
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("harm", [cut_short, empty, flip, overwrite])
def test_a_damaged_archive_is_not_whole(tmp_path: Path, harm: object) -> None:
    path = tmp_path / "block.npz"
    assert not is_whole(path)
    np.savez(path, allow_pickle=False, table=TABLE)
    assert is_whole(path)
    assert callable(harm)
    harm(path)
    assert not is_whole(path)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "table.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert not is_whole(tmp_path / "table.npy")
