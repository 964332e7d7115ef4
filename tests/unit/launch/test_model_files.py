"""Folders of models: whole and safe ones pass; each of the others is refused in one line that names what is wrong."""

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import launch.model_files
from launch.errors import InputError
from launch.model_files import check_model_folder

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
ASK_FOR_FOLDER = "give a folder with *.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a model, as far as they are looked at here."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 99)
    return tmp_path


def list_shards(folder: Path, *names: object) -> None:
    weights = {f"weight.{place}": name for place, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))


def list_pickles(folder: Path, *names: object) -> None:
    weights = {f"weight.{place}": name for place, name in enumerate(names)}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weights}))


def weights_as(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as refused:
        check_model_folder(folder, where="a.key=it")
    return str(refused.value)


def test_whole_folder_passes(folder: Path) -> None:
    check_model_folder(folder, where="a.key=it")


def test_all_listed_shards_are_enough(folder: Path) -> None:
    weights_as(folder, "one.safetensors")
    (folder / "two.safetensors").write_bytes(b"\0")
    list_shards(folder, "one.safetensors", "two.safetensors")
    check_model_folder(folder, where="a.key=it")


def test_pickle_beside_safetensors_does_no_harm(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\0")
    check_model_folder(folder, where="a.key=it")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (
            lambda folder: (folder / "config.json").unlink(),
            "no config.json there; give the folder of a transformers model",
        ),
        (
            lambda folder: (folder / "adapter_config.json").write_text("{}"),
            "holds an adapter; merge it into its base model and give that folder",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), f"no weights there; {ASK_FOR_FOLDER}"),
        (
            lambda folder: weights_as(folder, "pytorch_model.bin"),
            f"weights are pickles (pytorch_model.bin), which can run code; {ASK_FOR_FOLDER}",
        ),
        (
            lambda folder: weights_as(folder, "model.pt"),
            f"weights are pickles (model.pt), which can run code; {ASK_FOR_FOLDER}",
        ),
        (
            lambda folder: weights_as(folder, "model.pth"),
            f"weights are pickles (model.pth), which can run code; {ASK_FOR_FOLDER}",
        ),
        (
            lambda folder: list_shards(folder, "model.safetensors", "model-2.safetensors"),
            "model-2.safetensors is missing; download the folder again",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_text(POINTER),
            "model.safetensors is a git-lfs pointer, not weights; run git lfs pull",
        ),
    ],
    ids=["config", "adapter", "weights", "bin", "pt", "pth", "shard", "pointer"],
)
def test_folder_is_refused_in_one_line(folder: Path, spoil: Callable[[Path], object], line: str) -> None:
    spoil(folder)
    assert refusal(folder) == f"a.key=it: {line}"


def test_adapter_without_its_base_model_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\0")
    assert "holds an adapter" in refusal(tmp_path)


@pytest.mark.parametrize(
    "content", ["[]", "{", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1, "b": "x"}}', '{"weight_map": {"a": 1}}']
)
def test_spoilt_list_of_shards_is_refused(folder: Path, content: str) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(content)
    assert refusal(folder) == f"{index}: not a valid list of shards; download the folder again"


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/hostname", "a/../../other.safetensors"])
def test_shard_outside_of_the_folder_is_refused(folder: Path, name: str) -> None:
    list_shards(folder, "model.safetensors", name)
    assert "names a file outside of its folder" in refusal(folder)


def test_pickles_pass_only_where_they_are_asked_for(folder: Path) -> None:
    weights_as(folder, "pytorch_model.bin")
    check_model_folder(folder, where="a.key=it", allow_pickle=True)
    with pytest.raises(InputError, match=r"which can run code; set a\.switch"):
        check_model_folder(folder, where="a.key=it", pickle_fix="set a.switch")


@pytest.mark.parametrize("name", ["weights.bin", "weights.pkl", "weights", "model.safetensors.bin"])
def test_pickle_that_a_list_of_safetensors_names_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\0")
    list_shards(folder, "model.safetensors", name)
    assert refusal(folder) == f"a.key=it: weights are pickles ({name}), which can run code; {ASK_FOR_FOLDER}"
    check_model_folder(folder, where="a.key=it", allow_pickle=True)


def test_pickle_of_any_name_that_a_list_of_pickles_names_is_one(folder: Path) -> None:
    weights_as(folder, "weights.dat")
    list_pickles(folder, "weights.dat")
    assert refusal(folder) == f"a.key=it: weights are pickles (weights.dat), which can run code; {ASK_FOR_FOLDER}"
    check_model_folder(folder, where="a.key=it", allow_pickle=True)


def test_list_of_pickles_beside_safetensors_does_no_harm(folder: Path) -> None:
    list_pickles(folder, "gone.bin")
    check_model_folder(folder, where="a.key=it")


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["one.bin", "two.bin"], "a.key=it: two.bin is missing; download the folder again"),
        (["one.bin", "../two.bin"], "names a file outside of its folder"),
    ],
)
def test_list_of_pickles_that_are_allowed_is_checked_too(folder: Path, names: list[str], line: str) -> None:
    weights_as(folder, "one.bin")
    list_pickles(folder, *names)
    with pytest.raises(InputError) as refused:
        check_model_folder(folder, where="a.key=it", allow_pickle=True)
    assert line in str(refused.value)


def test_folder_without_weights_is_refused_even_where_pickles_may_be_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"a\.key=it: nothing to load; look again"):
        check_model_folder(folder, where="a.key=it", allow_pickle=True, no_weights="nothing to load; look again")


def test_checking_loads_no_heavy_library() -> None:
    tree = ast.parse(Path(launch.model_files.__file__).read_text(encoding="utf-8"))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert sorted(str(name) for name in imported) == ["json", "launch.errors", "pathlib"]
