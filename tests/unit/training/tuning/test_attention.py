"""How layers are computed: which attention where, and that it says nothing of what comes out."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from launch.errors import InputError
from training.config import AttentionChoice, LlmConfig, LoraConfig, Precision, ScratchConfig
from training.saved.tuned_weights import add_adapters
from training.scratch import build_model
from training.tuning.layers import (
    attention_for,
    choose_attention,
    compile_layers,
    decoder_layers,
    set_attention,
    use_liger,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def tiny_model() -> LlamaForCausalLM:
    config = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2)
    return build_model(config, vocab_size=64, eos=1, pad=0, max_tokens=64, seed=3, dtype=torch.float32)


@pytest.mark.parametrize(
    ("choice", "device", "precision", "has_flash", "chosen"),
    [
        ("auto", CPU, "bf16", True, "eager"),
        ("auto", CPU, "fp32", True, "sdpa"),
        ("auto", GPU, "bf16", True, "flash"),
        ("auto", GPU, "fp32", False, "sdpa"),
        ("sdpa", CPU, "bf16", False, "sdpa"),
        ("eager", GPU, "bf16", True, "eager"),
        ("flash", GPU, "bf16", True, "flash"),
    ],
)
def test_auto_is_the_fastest_of_the_device(
    monkeypatch: pytest.MonkeyPatch,
    choice: AttentionChoice,
    device: torch.device,
    precision: Precision,
    has_flash: bool,
    chosen: str,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if has_flash else None)
    assert choose_attention(choice, device, precision) == chosen


def test_flash_without_a_gpu_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"llm\.attention=flash needs a GPU and the package flash_attn"):
        choose_attention("flash", CPU, "bf16")


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"twins": True}, "twins"), ({"judge": "auc"}, "of llm.judge=auc"), ({"task": "rank"}, "of llm.task=rank")],
)
def test_flash_is_not_for_masks_of_their_own(changes: dict[str, Any], what: str) -> None:
    masked = LlmConfig(**changes)
    assert attention_for(masked, GPU) == "sdpa"
    assert attention_for(LlmConfig(), GPU) == attention_for(masked, CPU) == "auto"
    with pytest.raises(InputError, match=f"llm.attention=flash cannot read .*{what}; set llm.attention=auto"):
        attention_for(replace(masked, attention="flash"), GPU)


@torch.no_grad()
def test_every_attention_gives_the_same_logits() -> None:
    model, ids = tiny_model(), torch.arange(2, 22).view(2, 10)
    logits = {}
    for choice in ("eager", "sdpa"):
        assert set_attention(model, choice, CPU, "fp32") == choice
        assert model.config._attn_implementation == choice
        logits[choice] = model(input_ids=ids).logits
    torch.testing.assert_close(logits["eager"], logits["sdpa"], rtol=1e-4, atol=1e-6)


def test_layers_are_seen_through_adapters() -> None:
    model = tiny_model()
    assert len(decoder_layers(model)) == 2
    assert len(decoder_layers(add_adapters(model, LoraConfig(enabled=True, rank=2)))) == 2


def test_a_model_without_a_list_of_layers_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    assert compile_layers(nn.Linear(2, 2)) == 0
    assert "nothing is compiled" in caplog.text


def test_without_a_compiler_layers_run_as_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    model = tiny_model()
    assert compile_layers(model) == 0
    assert "no no-such-compiler here; nothing is compiled" in caplog.text
    assert torch.isfinite(model(input_ids=torch.arange(8)[None]).logits).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
@pytest.mark.parametrize(
    ("own", "done"),
    [
        ({}, "True"),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, "True"),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1000"}, "False"),
        ({"LD_PRELOAD": "/lib/none.so"}, "False"),
    ],
)
def test_blocks_are_handed_back_unless_the_user_manages_memory(own: dict[str, str], done: str) -> None:
    words = "from training.tuning.allocator import hand_back_blocks as hand; print(hand())"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_PRE"))}
    said = subprocess.run([sys.executable, "-c", words], env=plain | own, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [done]


def test_kernels_of_liger_need_a_gpu_the_package_and_an_architecture_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    with pytest.raises(InputError, match=r"llm\.liger=true needs a GPU .*this is cpu: set llm\.liger=false"):
        use_liger(model, CPU)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.monkey_patch", None)
    with pytest.raises(InputError, match="pip install liger-kernel"):
        use_liger(model, GPU)
    asked: list[dict[str, object]] = []
    known = SimpleNamespace(
        MODEL_TYPE_TO_APPLY_LIGER_FN={"llama": None},
        _apply_liger_kernel_to_instance=lambda **given: asked.append(given),
    )
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.monkey_patch", known)
    use_liger(model, GPU)
    assert asked == [{"model": model, "fused_linear_cross_entropy": False, "cross_entropy": False}]
    monkeypatch.setattr(model.config, "model_type", "unheard_of")
    with pytest.raises(InputError, match="does not know the architecture unheard_of"):
        use_liger(model, GPU)
