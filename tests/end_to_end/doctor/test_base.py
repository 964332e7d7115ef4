"""A base model that the doctor loads, as far as that takes no weights, in a process of its own."""

import shutil
from pathlib import Path

import pytest
import torch

from launch.config import find_recipe, load_recipe
from launch.doctor.diagnoses import Diagnosis
from launch.doctor.recipe_files import check_closely
from training.config import ScratchConfig
from training.scratch import build_model, train_tokenizer

TITLES = [f"{first} {second}" for first in ("red", "blue", "green") for second in ("pen", "ink", "paper")]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(TITLES, vocab_size=320)
    sizes = ScratchConfig(hidden_size=32, num_layers=1, num_heads=2)
    build_model(
        sizes, vocab_size=len(tokenizer), eos=1, pad=0, max_tokens=64, seed=1, dtype=torch.float32
    ).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def base(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def close(*words: str) -> list[Diagnosis]:
    return list(check_closely(load_recipe(find_recipe("demo"), list(words)), list(words), seconds=120))


def test_a_whole_base_passes(base: Path) -> None:
    (diagnosis,) = close(f"--prompts.base={base}")
    assert (diagnosis.level, diagnosis.check) == ("pass", "base")


def test_a_base_with_cut_weights_fails(base: Path) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    (diagnosis,) = close(f"--prompts.base={base}")
    assert (diagnosis.level, diagnosis.check) == ("fail", "base")
    assert "cannot load a causal language model" in diagnosis.text
