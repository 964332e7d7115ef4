"""Weights in 4 bits: adapters beside them, and the plain weights that come of both."""

import pytest
import torch
from torch import nn

from launch.errors import InputError
from training.config import LlmConfig, LoraConfig, ScratchConfig
from training.saved import four_bits
from training.saved.four_bits import bitsandbytes_for, has_four_bits, to_four_bits, whole_weights
from training.saved.tuned_weights import add_adapters, merge_adapters
from training.scratch import build_model
from training.tuning.deepspeed_file import read_deepspeed_file
from training.tuning.layers import decoder_layers, whole_size
from training.tuning.optimizer import check_optimizer

SIZES = ScratchConfig(hidden_size=64, num_layers=2, num_heads=2)
LORA = LoraConfig(enabled=True, rank=4, alpha=6.0, target_modules=["q_proj", "down_proj"], base="nf4")


def small_model() -> nn.Module:
    return build_model(SIZES, vocab_size=64, eos=1, pad=0, max_tokens=32, seed=1, dtype=torch.float32)


def adapted_model() -> nn.Module:
    model = build_model(SIZES, vocab_size=64, eos=1, pad=0, max_tokens=32, seed=1, dtype=torch.float32)
    to_four_bits(model, decoder_layers(model), torch.device("cpu"))
    return add_adapters(model, LORA)


def test_plain_weights_say_what_the_adapted_model_said() -> None:
    adapted, plain = adapted_model(), small_model()
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zero at first
            torch.nn.init.normal_(parameter, std=0.1)
    state = merge_adapters(whole_weights(dict(adapted.state_dict()), adapted), scale=6.0 / 4)
    plain.load_state_dict(state)
    tokens = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=tokens).logits, adapted(input_ids=tokens).logits)


def test_adapters_alone_learn_and_sizes_are_those_of_whole_weights() -> None:
    adapted, plain = adapted_model(), small_model()
    assert has_four_bits(adapted)
    assert not has_four_bits(plain)
    learning = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert learning == {name for name, _ in adapted.named_parameters() if ".lora_" in name}
    counted = sum(whole_size(parameter) for name, parameter in adapted.named_parameters() if ".lora_" not in name)
    assert counted == sum(parameter.numel() for parameter in plain.parameters())
    frozen = [parameter for name, parameter in adapted.named_parameters() if ".layers." in name and "lora" not in name]
    whole = [parameter for name, parameter in plain.named_parameters() if ".layers." in name]
    assert sum(parameter.nbytes for parameter in frozen) < 0.2 * sum(parameter.nbytes for parameter in whole)


def test_layers_whose_rows_are_no_whole_blocks_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    sizes = ScratchConfig(hidden_size=64, num_layers=1, num_heads=2, intermediate_size=96)
    model = build_model(sizes, vocab_size=64, eos=1, pad=0, max_tokens=32, seed=1, dtype=torch.float32)
    to_four_bits(model, decoder_layers(model), torch.device("cpu"))
    assert "left whole, their inputs being no multiple of 64: mlp.down_proj (96)" in caplog.text
    plain = build_model(sizes, vocab_size=64, eos=1, pad=0, max_tokens=32, seed=1, dtype=torch.float32).state_dict()
    for name, weight in whole_weights(dict(model.state_dict()), model).items():
        largest = plain[name].abs().max()
        assert (weight - plain[name]).abs().max() < 0.17 * largest
        changed = ".layers." in name and "norm" not in name and "down_proj" not in name
        assert torch.equal(weight, plain[name]) != changed


def test_a_decoder_without_such_layers_is_refused_and_one_with_few_is_told(caplog: pytest.LogCaptureFixture) -> None:
    model = build_model(SIZES, vocab_size=64, eos=1, pad=0, max_tokens=32, seed=1, dtype=torch.float32)
    with pytest.raises(InputError, match=r"\(llama\) has no linear layers that can be in 4 bits"):
        to_four_bits(model, [], torch.device("cpu"))
    layer = nn.ModuleDict({"experts": nn.LayerNorm(4096), "gate": nn.Linear(64, 8)})
    to_four_bits(model, [layer], torch.device("cpu"))
    assert "only 6 % of the decoder's weights are in linear layers" in caplog.text


def test_what_cannot_be_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"llm\.lora\.base=nf4 needs llm\.lora\.enabled=true"):
        LoraConfig(base="nf4")
    with pytest.raises(InputError, match=r"zero3\.json: it partitions weights \(stage 3\).*take zero2"):
        read_deepspeed_file(LlmConfig(lora=LORA, deepspeed="zero3"))
    with pytest.raises(InputError, match=r"zero3_offload\.json: it offloads the optimizer.*adamw_8bit"):
        read_deepspeed_file(LlmConfig(optimizer="adamw_8bit", deepspeed="zero3_offload"))
    monkeypatch.setattr(four_bits, "BITS", "no_such_package")
    with pytest.raises(InputError, match=r"needs the package no_such_package: pip install 'kinrec\[bits\]'"):
        bitsandbytes_for("llm.lora.base=nf4")
    with pytest.raises(InputError, match=r"llm\.optimizer=adamw_8bit needs the package"):
        check_optimizer(LlmConfig(optimizer="adamw_8bit"))
    check_optimizer(LlmConfig())
