"""Which folders are taken for a local model; the others are refused in one line, and none of their code is run."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from launch.errors import InputError
from pairs.attributes.local_model import find_model, open_local_model
from pairs.attributes_config import LlmAttributesConfig
from training.scratch import train_tokenizer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "whole"
    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2}
    shape = LlamaConfig(vocab_size=320, num_attention_heads=2, bos_token_id=None, eos_token_id=1, **sizes)
    LlamaForCausalLM(shape).save_pretrained(path)
    train_tokenizer(["a cup"], vocab_size=260).save_pretrained(path)
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "tiny")


def open_model(model: Path | str, **changes: Any) -> object:
    settings = LlmAttributesConfig(source="local", model=str(model), answers="a.jsonl", **{"device": "cpu", **changes})
    return open_local_model(settings)


class Trap:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]  # any argument will do


def weights_as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(folder / "sprung")))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def lose_a_weight(folder: Path) -> None:
    change_config(folder, num_hidden_layers=3)


def bring_own_code(folder: Path) -> None:
    (folder / "code.py").write_text(f"open({str(folder / 'sprung')!r}, 'w')\nclass Model: ...\nclass Config: ...\n")
    change_config(
        folder, model_type="own", auto_map={"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    )


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (weights_as_pickle, r"weights are pickles \(pytorch_model.bin\), which can run code; give a folder with"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights there; give a folder with"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json there; give the folder of a transformers"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot load a causal language model"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot load a causal language model and its tokenizer"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 99), "cannot load a causal language model"),
        (lose_a_weight, r"its weights lack model\.layers\.2\.\S+; download it again"),
        (bring_own_code, "cannot load a causal language model"),
    ],
)
def test_folder_that_is_no_whole_and_safe_model_is_refused(
    folder: Path, spoil: Callable[[Path], object], named: str
) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=named) as refusal:
        open_model(folder)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (folder / "sprung").exists(), "no code of the folder was run"


def test_pickle_beside_safetensors_is_not_read(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(folder / "sprung")))
    open_model(folder)
    assert not (folder / "sprung").exists()


def test_pickle_trap_is_one(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["/no/such", "./no", "~/no/such", "no_such", "no/such/folder", "no/"])
def test_missing_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"model=.*: no such folder; give that of a transformers model"):
        find_model(name)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub" / "models--org--tiny"


def test_model_in_the_hubs_cache_is_found_without_a_network(whole: Path, hub: Path) -> None:
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("0" * 40)
    shutil.copytree(whole, hub / "snapshots" / ("0" * 40))
    open_model("org/tiny")
    weights_as_pickle(hub / "snapshots" / ("0" * 40))
    with pytest.raises(InputError, match="model=org/tiny: weights are pickles"):
        open_model("org/tiny")


@pytest.mark.usefixtures("hub")
def test_hub_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    real: Any = huggingface_hub.snapshot_download

    def watched(name: str, **options: Any) -> object:
        asked.append(not options["local_files_only"])
        assert not any(pattern.endswith((".py", ".bin", "*")) for pattern in options["allow_patterns"])
        return real(name, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", watched)
    with pytest.raises(InputError, match="not in the hub's cache; nothing is downloaded here: download the model's"):
        open_model("org/tiny")
    assert asked == [False]


def test_device_is_a_gpu_only_if_there_is_one(folder: Path) -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = open_model(folder, device="auto")
    assert model.model.device.type == expected


@pytest.mark.parametrize("device", ["graphics", "cuda:99"])
def test_device_that_is_not_there_is_refused(folder: Path, device: str) -> None:
    with pytest.raises(InputError, match=rf"pair\.llm_attributes\.device={device}: "):
        open_model(folder, device=device)
