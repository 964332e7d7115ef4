"""Base models that would train from random numbers, or not at all, are refused in one line before anything is spent."""

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from launch.errors import InputError
from launch.tracking import Tracker
from tests.tiny_prompts import CONFIG, WORDS, write_tiny_run
from training.base_files import find_base
from training.base_model import load_model, load_tokenizer, load_tuned_model
from training.config import ScratchConfig
from training.scratch import build_model, train_tokenizer
from training.tokenize_prompts import tokenize_prompts

SIZES = ScratchConfig(hidden_size=64, num_layers=2, num_heads=2, intermediate_size=64)
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("tied"), tied=True)


def write_base(path: Path, *, tied: bool) -> Path:
    tokenizer = train_tokenizer([f"{first} {second}" for first in WORDS for second in WORDS], vocab_size=320)
    model = build_model(SIZES, vocab_size=len(tokenizer), eos=1, pad=0, max_tokens=64, seed=1, dtype=torch.float32)
    if model.config.tie_word_embeddings != tied:
        config = model.config.__class__(**{**model.config.to_dict(), "tie_word_embeddings": tied})
        model = LlamaForCausalLM(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def base(untied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untied, tmp_path / "base"))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    write_tiny_run(tmp_path / "run")
    return tmp_path / "run"


def change_weights(base: Path, change: Callable[[Weights], Weights]) -> None:
    weights = change(load_file(base / "model.safetensors"))
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


def change_config(base: Path, **values: object) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, **values}))


def tokenize(base: Path, run_dir: Path) -> None:
    config = replace(CONFIG, base=str(base), max_tokens=400)
    tokenize_prompts(config, run_dir=run_dir, seed=1, tracker=Tracker(None, "tokenize"))


def refusal(base: Path, run_dir: Path) -> str:
    with pytest.raises(InputError) as refused:
        tokenize(base, run_dir)
    assert not (run_dir / "prompts" / "meta.json").exists()
    line = str(refused.value)
    assert "\n" not in line
    return line


WEIGHTS: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "missing layer": (
        lambda weights: {name: value for name, value in weights.items() if ".layers.1." not in name},
        r"its weights lack 9 of 21.*model\.layers\.1\.",
    ),
    "missing head": (
        lambda weights: {name: value for name, value in weights.items() if name != "lm_head.weight"},
        r"its weights lack 1 of 21.*lm_head\.weight",
    ),
    "foreign names": (
        lambda weights: {f"transformer.{name}": value for name, value in weights.items()},
        "its weights lack 21 of 21",
    ),
    "layers more than the configuration": (
        lambda weights: weights | {"model.layers.2.mlp.up_proj.weight": torch.ones(64, 64)},
        r"holds weights that its config.json has no place for.*model\.layers\.2\.mlp\.up_proj\.weight",
    ),
    "other shapes": (
        lambda weights: weights | {"model.norm.weight": torch.ones(32)},
        "cannot load a causal language model",
    ),
}


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_weights_that_do_not_fit_the_model_are_refused_before_a_prompt_is_written(
    base: Path, run_dir: Path, name: str
) -> None:
    change, line = WEIGHTS[name]
    change_weights(base, change)
    said = refusal(base, run_dir)
    assert re.search(line, said), said


def test_loading_itself_refuses_random_numbers(base: Path) -> None:
    change_weights(base, WEIGHTS["missing layer"][0])
    with pytest.raises(InputError, match="its weights lack 9 of 21"):
        load_model(find_base(str(base)), dtype=torch.float32)
    with pytest.raises(InputError, match="its weights lack 9 of 21"):
        load_tuned_model(base, precision="fp32")


def test_a_tied_head_is_not_missed(tied: Path, run_dir: Path) -> None:
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    tokenize(tied, run_dir)
    assert (run_dir / "prompts" / "meta.json").is_file()
    model = load_model(find_base(str(tied)), dtype=torch.float32)
    state = model.state_dict()
    assert torch.equal(state["model.embed_tokens.weight"], state["lm_head.weight"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(base: Path, value: float) -> None:
    def spoil(weights: Weights) -> Weights:
        weights["model.layers.1.mlp.up_proj.weight"][3, 5] = value
        return weights

    change_weights(base, spoil)
    with pytest.raises(InputError, match=r"model\.layers\.1\.mlp\.up_proj\.weight holds values that are not finite"):
        load_model(find_base(str(base)), dtype=torch.bfloat16)
    with pytest.raises(InputError, match="not finite"):
        load_tuned_model(base, precision="fp32")


@pytest.mark.parametrize("architecture", ["LlamaForSequenceClassification", "BertForMaskedLM"])
def test_a_model_for_something_else_is_refused(base: Path, run_dir: Path, architecture: str) -> None:
    change_config(base, architectures=[architecture])
    assert f"is a {architecture}, not a causal language model" in refusal(base, run_dir)


def test_another_architecture_in_its_configuration_is_refused(base: Path, run_dir: Path) -> None:
    change_config(base, model_type="gpt2", architectures=["GPT2LMHeadModel"], n_embd=64, n_head=2, n_layer=2)
    assert "its weights lack" in refusal(base, run_dir)


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "fp8", "unheard_of"])
def test_quantised_weights_are_refused(base: Path, run_dir: Path, method: str) -> None:
    change_config(base, quantization_config={"quant_method": method, "bits": 4})
    assert f"its weights are quantised ({method})" in refusal(base, run_dir)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null"])
def test_a_damaged_configuration_is_refused(base: Path, run_dir: Path, content: str) -> None:
    (base / "config.json").write_text(content)
    assert "config.json" in refusal(base, run_dir)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_refused(base: Path, run_dir: Path, content: str) -> None:
    (base / "tokenizer.json").write_text(content)
    assert "tokenizer" in refusal(base, run_dir)


def test_a_tokenizer_larger_than_the_embedding_is_refused(base: Path, run_dir: Path) -> None:
    tokenizer = load_tokenizer(find_base(str(base)))
    tokenizer.add_tokens([f"<own {number}>" for number in range(20)])
    tokenizer.save_pretrained(base)
    assert "its tokenizer has 332 tokens, its embedding 320 rows" in refusal(base, run_dir)


TEMPLATES = {
    "fails": ("{{ raise_exception('users are not allowed') }}", "users are not allowed"),
    "syntax": ("{% for %}", "its chat template fails"),
    "type": ("{{ messages + 3 }}", "its chat template fails"),
    "endless": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "does not come to an end",
    ),
    "power": ("{{ 9 ** (9 ** 9) }}", "does not come to an end"),
    "large": ("{{ 'x' * 99999999999 }}", "its chat template fails"),
    "mute": ("hello", "does not show the user's message"),
}


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_a_bad_chat_template_is_refused_in_bounded_time(
    base: Path, run_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.prompts.pieces.TEMPLATE_SECONDS", 2.0)
    template, line = TEMPLATES[name]
    (base / "chat_template.jinja").write_text(template)
    begin = time.monotonic()
    assert line in refusal(base, run_dir)
    assert time.monotonic() - begin < 60
