"""Code of a model runs where the recipe allows it and nowhere else: no file of a run folder can allow it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from launch.artifacts import read_json, write_json
from launch.errors import InputError
from launch.tracking import Tracker
from tests.tiny_generation import write_answerable_run
from tests.tiny_prompts import write_tiny_run
from training.base_files import base_of_run
from training.base_model import load_model, load_tokenizer_folder, load_tuned_model
from training.prompts.config import PromptsConfig
from training.tokenize_prompts import tokenize_prompts

CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path({trace!r}).touch()
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture(autouse=True)
def _own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers copies the code that it runs; not into the cache of whoever runs the tests."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("transformers.utils.hub.HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run up to its tuned model, of a base with code of its own in tmp_path/base."""
    write_answerable_run(tmp_path / "run")
    base = Path(shutil.copytree(tmp_path / "run" / "llm" / "model", tmp_path / "base"))
    (base / "own_code.py").write_text(CODE.format(trace=str(tmp_path / "sprung")))
    config = read_json(base / "config.json")
    own = {"AutoConfig": "own_code.OwnConfig", "AutoModelForCausalLM": "own_code.OwnModel"}
    write_json(base / "config.json", {**config, "model_type": "own", "auto_map": own})
    shutil.rmtree(tmp_path / "run" / "llm" / "model")
    shutil.copytree(base, tmp_path / "run" / "llm" / "model")
    meta = read_json(tmp_path / "run" / "prompts" / "meta.json")
    write_json(tmp_path / "run" / "prompts" / "meta.json", {**meta, "base": str(base)})
    return tmp_path / "run"


def trusting(run_dir: Path) -> PromptsConfig:
    return PromptsConfig(base=str(run_dir.parent / "base"), trust_remote_code=True)


def test_flags_in_the_run_folder_allow_nothing(run_dir: Path, tmp_path: Path) -> None:
    meta = read_json(run_dir / "prompts" / "meta.json")
    write_json(run_dir / "prompts" / "meta.json", {**meta, "trust_remote_code": True, "allow_pickle": True})
    base = base_of_run(run_dir, replace(trusting(run_dir), trust_remote_code=False))
    assert (base.trust_remote_code, base.allow_pickle) == (False, False)
    with pytest.raises(InputError, match="cannot load a causal language model"):
        load_model(base, dtype=torch.float32)
    assert not (tmp_path / "sprung").exists()


def test_the_prompts_say_nothing_of_trust(tmp_path: Path) -> None:
    write_tiny_run(tmp_path)
    config = PromptsConfig(scratch_vocab=400, max_tokens=140, num_neighbours=1, max_history=4, trust_remote_code=True)
    tokenize_prompts(config, run_dir=tmp_path, seed=1, tracker=Tracker(None, "tokenize"))
    assert not {"trust_remote_code", "allow_pickle"} & set(read_json(tmp_path / "prompts" / "meta.json"))


def test_the_recipe_allows_the_code_of_its_base(run_dir: Path, tmp_path: Path) -> None:
    base = base_of_run(run_dir, trusting(run_dir))
    assert type(load_model(base, dtype=torch.float32)).__name__ == "OwnModel"
    assert (tmp_path / "sprung").exists()


def test_prompts_of_another_base_are_refused(run_dir: Path) -> None:
    """Or the run folder would choose whose code the recipe trusts."""
    with pytest.raises(InputError, match=r"prompts were written for .*base, the recipe's prompts\.base is scratch"):
        base_of_run(run_dir, replace(trusting(run_dir), base="scratch"))


def test_a_tuned_model_runs_its_base_s_code_only(run_dir: Path, tmp_path: Path) -> None:
    folder, base = run_dir / "llm" / "model", base_of_run(run_dir, trusting(run_dir))
    with pytest.raises(InputError, match="cannot load a causal language model"):
        load_tuned_model(folder, precision="fp32")
    assert not (tmp_path / "sprung").exists()
    assert type(load_tuned_model(folder, precision="fp32", base=base)).__name__ == "OwnModel"
    (folder / "own_code.py").write_text(CODE.format(trace=str(tmp_path / "strange")))
    with pytest.raises(InputError, match=r"own_code\.py is not the code of the base model"):
        load_tuned_model(folder, precision="fp32", base=base)
    with pytest.raises(InputError, match=r"own_code\.py is not the code of the base model"):
        load_tokenizer_folder(folder, base=base)
    assert not (tmp_path / "strange").exists()


@pytest.mark.parametrize("place", ["elsewhere--own_code.OwnModel", "../elsewhere--own_code.OwnModel"])
def test_a_tuned_model_cannot_name_code_elsewhere(run_dir: Path, place: str) -> None:
    config = run_dir / "llm" / "model" / "config.json"
    write_json(config, {**read_json(config), "auto_map": {"AutoConfig": place, "AutoModelForCausalLM": place}})
    with pytest.raises(InputError, match="names code of another folder"):
        load_tuned_model(config.parent, precision="fp32", base=base_of_run(run_dir, trusting(run_dir)))


def test_the_tuned_model_is_saved_with_its_code(run_dir: Path, tmp_path: Path) -> None:
    base = base_of_run(run_dir, trusting(run_dir))
    load_model(base, dtype=torch.float32).save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "own_code.py").read_bytes() == (base.files / "own_code.py").read_bytes()
    assert type(load_tuned_model(tmp_path / "saved", precision="fp32", base=base)).__name__ == "OwnModel"
