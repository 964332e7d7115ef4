"""The loss made at the head: that of all logits and cross-entropy, to its gradients, whatever the chunks."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from training.config import LoraConfig, ScratchConfig
from training.lessons.batches import IGNORED, PaddedPrompts, positions
from training.saved.tuned_weights import add_adapters
from training.scratch import build_model
from training.tuning import head as head_module
from training.tuning.head import fuse_head, summed_loss
from training.tuning.losses import learnt_loss

VOCAB = 64


def tiny_model(*, dtype: torch.dtype = torch.float32, tied: bool = True) -> LlamaForCausalLM:
    config = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2, tie_embeddings=tied)
    return build_model(config, vocab_size=VOCAB, eos=1, pad=0, max_tokens=64, seed=3, dtype=dtype)


def tiny_batch(*, learnt: int = 7) -> PaddedPrompts:
    """Four prompts of 12 tokens, the last of them shorter, with answers of different lengths."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(2, VOCAB, (4, 12), generator=generator)
    mask = torch.ones_like(ids)
    mask[3, :4] = 0
    labels = ids[:, -learnt:].clone()
    labels[1, :3] = IGNORED
    labels[3, :5] = IGNORED
    return PaddedPrompts(ids, mask, positions(mask), labels)


def gradients(model: nn.Module, batch: PaddedPrompts, *, fused: bool) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = learnt_loss(model, batch, fused=fused)
    torch.autograd.backward(loss * 0.1)
    grads = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return float(loss.detach()), grads


def compare(model: nn.Module, batch: PaddedPrompts, *, rtol: float) -> None:
    slow, slow_grads = gradients(model, batch, fused=False)
    assert fuse_head(model)
    fast, fast_grads = gradients(model, batch, fused=True)
    assert fast == pytest.approx(slow, rel=rtol)
    assert fast_grads.keys() == slow_grads.keys()
    for name, slow_grad in slow_grads.items():
        torch.testing.assert_close(fast_grads[name], slow_grad, rtol=rtol, atol=rtol * float(slow_grad.abs().max()))


@pytest.mark.parametrize("chunk_numbers", [1, 5 * VOCAB, 10**6])
@pytest.mark.parametrize("tied", [True, False])
def test_loss_and_gradients_are_those_of_all_logits(
    monkeypatch: pytest.MonkeyPatch, chunk_numbers: int, tied: bool
) -> None:
    monkeypatch.setattr(head_module, "CHUNK_NUMBERS", chunk_numbers)
    compare(tiny_model(tied=tied), tiny_batch(), rtol=1e-5)


@pytest.mark.parametrize("chunk_numbers", [5 * VOCAB, 10**6])
def test_in_bf16_they_agree_to_its_rounding(monkeypatch: pytest.MonkeyPatch, chunk_numbers: int) -> None:
    monkeypatch.setattr(head_module, "CHUNK_NUMBERS", chunk_numbers)
    compare(tiny_model(dtype=torch.bfloat16), tiny_batch(), rtol=2e-2)


def test_with_adapters_only_they_learn() -> None:
    adapted = add_adapters(tiny_model(), LoraConfig(enabled=True, rank=2))
    compare(adapted, tiny_batch(), rtol=1e-5)
    assert all("lora" in name for name, weight in adapted.named_parameters() if weight.grad is not None)


def test_a_prompt_learnt_whole_is_scored_from_its_second_token() -> None:
    compare(tiny_model(), tiny_batch(learnt=11), rtol=1e-5)


def test_nothing_learnt_costs_nothing_and_gives_zero_gradients() -> None:
    model = tiny_model()
    fuse_head(model)
    nothing = PaddedPrompts(*(torch.ones((1, 1), dtype=torch.int64),) * 3, torch.full((1, 1), IGNORED))
    loss, grads = gradients(model, nothing, fused=True)
    assert loss == 0
    assert len(grads) == len(list(model.parameters()))
    assert all(not grad.any() for grad in grads.values())


def test_without_labels_the_model_answers_as_before() -> None:
    model, batch = tiny_model(), tiny_batch()
    with torch.no_grad():
        before = model(input_ids=batch.input_ids).logits
        fuse_head(model)
        torch.testing.assert_close(model(input_ids=batch.input_ids).logits, before, rtol=0, atol=0)


def test_validation_makes_no_gradients() -> None:
    hidden, weight = torch.randn(6, 8, requires_grad=True), torch.randn(VOCAB, 8, requires_grad=True)
    labels = torch.arange(6)
    with torch.no_grad():
        loss = summed_loss(hidden, weight, labels)
        assert float(loss) == pytest.approx(
            float(F.cross_entropy(hidden @ weight.T, labels, reduction="sum")), rel=1e-5
        )
    assert not loss.requires_grad


def gpt2() -> nn.Module:
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=1, n_head=2))


def with_adapters_on_the_head() -> nn.Module:
    return add_adapters(tiny_model(tied=False), LoraConfig(enabled=True, rank=2, target_modules=["lm_head"]))


@pytest.mark.parametrize("make", [gpt2, with_adapters_on_the_head, lambda: nn.Linear(2, 2)])
def test_other_heads_are_left_alone(make: Callable[[], nn.Module]) -> None:
    assert not fuse_head(make())
