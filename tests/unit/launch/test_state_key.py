"""The user's key: made once whoever is first, private, in the place that the user names."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from launch.errors import InputError
from launch.state_key import state_folder, state_key


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KINREC_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_key_is_made_once_and_only_its_owner_reads_it(state: Path) -> None:
    key = state_key()
    assert len(key) == 32
    assert state_key() == key
    path = state / "seal" / "key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (state, path.parent)} == {0o700}
    assert sorted(file.name for file in state.iterdir()) == ["seal"]


def test_all_who_are_first_at_once_get_one_key(state: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: state_key(), range(64)))
    assert len(keys) == 1
    assert sorted(file.name for file in state.iterdir()) == ["seal"]


def test_two_users_have_two_keys(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = state_key()
    monkeypatch.setenv("KINREC_STATE", str(tmp_path / "other"))
    assert state_key() != key


def test_the_folder_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KINREC_STATE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/a/state")
    assert state_folder() == Path("/a/state/kinrec")
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", ignored)
        assert state_folder() == tmp_path / ".local" / "state" / "kinrec"
    monkeypatch.setenv("KINREC_STATE", "~/mine")
    assert state_folder() == tmp_path / "mine"


def test_a_damaged_key_is_refused_with_the_fix(state: Path) -> None:
    state_key()
    (state / "seal" / "key").write_bytes(b"short")
    with pytest.raises(InputError, match=r"damaged, a key has 32 bytes; remove .*seal to get a new one"):
        state_key()


def test_an_unusable_folder_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KINREC_STATE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set KINREC_STATE to a folder of your own"):
        state_key()
