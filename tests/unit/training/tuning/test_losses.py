"""The loss: of answers only, summed, blind to padding. Each claim against the obvious computation."""

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from launch.distributed import World
from training.config import ScratchConfig
from training.lessons.batches import (
    IGNORED,
    PaddedPrompts,
    PromptData,
    collate,
    learn_whole_prompts,
    positions,
    read_prompts,
)
from training.prompts.pieces import Ints
from training.scratch import build_model
from training.tuning.losses import learnt_loss
from training.tuning.steps import Plan, shares

PAD = 0
VOCAB = 64


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    config = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2)
    built = build_model(config, vocab_size=VOCAB, eos=1, pad=PAD, max_tokens=64, seed=3, dtype=torch.float32)
    for parameter in built.parameters():  # larger than at the start, so that attention is not nearly uniform
        parameter.data *= 4
    return built


@pytest.fixture(scope="module")
def data() -> PromptData:
    return make_data([(9, 3), (20, 5), (6, 1), (14, 2)])


def make_data(sizes: list[tuple[int, int]]) -> PromptData:
    """Random prompts of (tokens with the answer, tokens of the answer)."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, VOCAB, size=length).astype(np.int32) for length, _ in sizes]
    dataset = datasets.Dataset.from_dict({"input_ids": rows})
    lengths, answers = (np.array(column, dtype=np.int64) for column in zip(*sizes, strict=True))
    return PromptData(dataset, lengths, answers)


def slow_loss(model: LlamaForCausalLM, data: PromptData, row: int) -> float:
    """One prompt alone, no padding, token by token."""
    ids = torch.tensor(data.dataset[row]["input_ids"])
    logits = model(input_ids=ids[None]).logits[0]
    first = len(ids) - int(data.learnt_lengths[row])
    return float(sum(F.cross_entropy(logits[place - 1], ids[place]) for place in range(first, len(ids))))


def world(rank: int, size: int) -> World:
    return World(rank=rank, size=size, local_rank=rank, device=torch.device("cpu"))


@torch.no_grad()
def test_the_loss_is_the_sum_over_learnt_tokens(model: LlamaForCausalLM, data: PromptData) -> None:
    fast = learnt_loss(model, collate(data, np.arange(4), pad=PAD))
    assert float(fast) == pytest.approx(sum(slow_loss(model, data, row) for row in range(4)), rel=1e-5)


@torch.no_grad()
def test_padding_does_not_change_the_loss(model: LlamaForCausalLM, data: PromptData) -> None:
    together = float(learnt_loss(model, collate(data, np.arange(4), pad=PAD)))
    alone = sum(float(learnt_loss(model, collate(data, np.array([row]), pad=PAD))) for row in range(4))
    assert together == pytest.approx(alone, rel=1e-5)


@torch.no_grad()
def test_the_content_of_padding_does_not_matter(model: LlamaForCausalLM, data: PromptData) -> None:
    batch = collate(data, np.arange(4), pad=PAD)
    other = PaddedPrompts(
        torch.where(batch.attention_mask == 1, batch.input_ids, 7),
        batch.attention_mask,
        batch.position_ids,
        batch.labels,
    )
    assert torch.equal(learnt_loss(model, other), learnt_loss(model, batch))


@torch.no_grad()
def test_the_loss_ignores_the_prompt(model: LlamaForCausalLM, data: PromptData) -> None:
    ids = torch.tensor(data.dataset[1]["input_ids"])[None]
    answers_only = ids.clone()
    answers_only[:, : -int(data.learnt_lengths[1])] = IGNORED
    ours = float(learnt_loss(model, collate(data, np.array([1]), pad=PAD)))
    theirs = {name: float(model(input_ids=ids, labels=labels).loss) for name, labels in
              {"answers": answers_only, "everything": ids}.items()}  # fmt: skip
    assert ours == pytest.approx(theirs["answers"] * int(data.learnt_lengths[1]), rel=1e-5)
    assert ours != pytest.approx(theirs["everything"] * (ids.shape[1] - 1), rel=0.1)


@torch.no_grad()
def test_whole_prompts_are_learnt_but_for_their_first_token(model: LlamaForCausalLM, data: PromptData) -> None:
    ids = torch.tensor(data.dataset[1]["input_ids"])[None]
    whole = learn_whole_prompts(data)
    alone = float(learnt_loss(model, collate(whole, np.array([1]), pad=PAD)))
    assert alone == pytest.approx(float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1), rel=1e-5)
    together = float(learnt_loss(model, collate(whole, np.arange(4), pad=PAD)))
    each = [float(learnt_loss(model, collate(whole, np.array([row]), pad=PAD))) for row in range(4)]
    assert together == pytest.approx(sum(each), rel=1e-5)


def test_every_padded_gradient_is_finite(model: LlamaForCausalLM, data: PromptData) -> None:
    model.zero_grad()
    torch.autograd.backward(learnt_loss(model, collate(data, np.arange(4), pad=PAD)))
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


def test_a_rank_without_work_adds_nothing(model: LlamaForCausalLM, data: PromptData) -> None:
    model.zero_grad()
    loss = learnt_loss(model, collate(data, np.array([], dtype=np.int64), pad=PAD))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


def test_positions_count_from_the_first_real_token() -> None:
    assert positions(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]


def test_an_epoch_holds_every_sample_once() -> None:
    plan = Plan(np.arange(103) % 17, global_batch=8, seed=1)
    epochs = [np.concatenate([plan.rows(13 * epoch + step) for step in range(13)]) for epoch in (0, 1)]
    assert plan.steps_per_epoch == 13
    assert sorted(epochs[0]) == list(range(103))
    assert sorted(epochs[1]) == list(range(103))
    assert epochs[0].tolist() != epochs[1].tolist()


def test_a_step_follows_from_the_seed_alone() -> None:
    lengths = np.arange(200) % 31
    forward, jumped = (Plan(lengths, global_batch=8, seed=5) for _ in range(2))
    steps = [forward.rows(step).tolist() for step in range(60)]
    assert jumped.rows(41).tolist() == steps[41]
    assert Plan(lengths, global_batch=8, seed=6).rows(41).tolist() != steps[41]


def test_batches_hold_samples_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(10, 200, size=4000)
    plan = Plan(lengths, global_batch=16, seed=1)
    batches = [lengths[plan.rows(step)] for step in range(plan.steps_per_epoch)]
    padded = sum(int(batch.max()) * len(batch) for batch in batches)
    assert padded < 1.1 * lengths.sum()


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 5, 12])
def test_ranks_share_a_step_out_once(size: int, count: int) -> None:
    micro_steps = -(-12 // (2 * size))
    parts: list[list[Ints]] = [
        list(shares(np.arange(count), micro_steps=micro_steps, per_device_batch=2, world=world(rank, size)))
        for rank in range(size)
    ]
    assert all(len(part) == micro_steps for part in parts)
    assert all(len(rows) <= 2 for part in parts for rows in part)
    assert sorted(int(row) for part in parts for rows in part for row in rows) == list(range(count))


def test_prompts_are_read_with_their_lengths(tmp_path: Path) -> None:
    table = {"sample": [4, 9], "input_ids": [[5, 6, 7], [8, 9]], "prompt_length": [2, 1]}
    datasets.Dataset.from_dict(table).save_to_disk(str(tmp_path / "prompts" / "train"))
    data = read_prompts(tmp_path, "train")
    assert data.lengths.tolist() == [3, 2]
    assert data.learnt_lengths.tolist() == [1, 1]
    assert collate(data, np.array([0]), pad=PAD).labels.tolist() == [[7]]
