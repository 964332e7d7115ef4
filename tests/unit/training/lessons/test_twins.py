"""`llm.twins`: two prompts of one user in one row teach what each would alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from launch.distributed import World
from pairs.tables import load_samples
from tests.tiny_prompts import CONFIG, write_tokenized_run
from training.base_model import load_tokenizer_folder
from training.config import Learn, LlmConfig, ScratchConfig
from training.finetune import read_lessons, users_of
from training.lessons.batches import PromptData, collate, read_prompts
from training.lessons.twins import ALONE, LEAST_SHARED, ROW_PROMPTS, TwinData, pack_twins, shared_start, with_twins
from training.prompts.pieces import Ints
from training.scratch import build_model
from training.tuning.head import fuse_head
from training.tuning.losses import learnt_loss, twin_loss
from training.tuning.steps import Plan, shares


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_tokenized_run(folder, replace(CONFIG, order="own_first"))
    return folder


def lessons(run_dir: Path, learn: Learn) -> TwinData:
    words = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")
    data = read_lessons(run_dir, "train", LlmConfig(twins=True, learn=learn), words, seed=1)
    assert isinstance(data, TwinData)
    return data


def tiny_model(*, fused: bool) -> PreTrainedModel:
    size = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2)
    model = build_model(size, vocab_size=400, eos=1, pad=0, max_tokens=200, seed=3, dtype=torch.float32)
    assert not fused or fuse_head(model)
    return model


def gradients(model: PreTrainedModel, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def a_pair_and_others(data: TwinData, others: int) -> Ints:
    """Twins and prompts of as many other users."""
    pairs = np.flatnonzero(data.twin > np.arange(len(data)))
    return np.array([pairs[0], data.twin[pairs[0]], *pairs[1 : 1 + others]])


@pytest.mark.parametrize("others", [0, 1, 2, 3])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("learn", ["answer", "items", "prompt"])
def test_losses_and_gradients_are_those_of_the_prompts_apart(
    run_dir: Path, learn: Learn, fused: bool, others: int
) -> None:
    data, model = lessons(run_dir, learn), tiny_model(fused=fused)
    rows = a_pair_and_others(data, others)
    batch = data.batch(rows, step_rows=rows, pad=0)
    assert len(batch.input_ids) == 1 + (others + 1) // 2
    assert int(batch.times.sum()) == data.learnt_lengths[rows].sum()
    loss = twin_loss(model, batch, fused=fused)
    apart = [learnt_loss(model, collate(data.prompts, row[None], pad=0), fused=fused) for row in rows]
    summed = torch.stack(apart).sum()
    assert float(loss) == pytest.approx(float(summed), rel=1e-5)
    for together, separate in zip(gradients(model, loss), gradients(model, summed), strict=True):
        torch.testing.assert_close(together, separate, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("changed", "watched"), [(1, 2), (2, 1), (1, 0), (3, 2), (2, 3)])
def test_what_one_prompt_says_changes_nothing_of_another(run_dir: Path, changed: int, watched: int) -> None:
    """Parts 0 to 2 are twins; a row of two that are none has 0 and 3."""
    data, model = lessons(run_dir, "answer"), tiny_model(fused=False)
    rows = a_pair_and_others(data, 2)
    batch = pack_twins(data.prompts, rows, data.twin, pad=0)
    other = replace(batch, input_ids=batch.input_ids.where(batch.part != changed, 7))
    assert not torch.equal(batch.input_ids, other.input_ids)
    with torch.no_grad():
        seen, seen_too = (model(**one.inputs(model)).logits[batch.part == watched] for one in (batch, other))
    assert len(seen)
    assert torch.equal(seen, seen_too)


@pytest.mark.parametrize("learn", ["answer", "items", "prompt"])
def test_twins_are_of_one_user_and_read_what_they_share_once(run_dir: Path, learn: Learn) -> None:
    data = lessons(run_dir, learn)
    paired = np.flatnonzero(data.twin != ALONE)
    assert len(paired) > 0.8 * len(data)
    assert np.array_equal(data.twin[data.twin[paired]], paired)
    samples = load_samples(run_dir, "train")
    user = samples.user[samples.row_of(np.asarray(data.prompts.dataset["sample"]))]
    assert np.array_equal(user[paired], user[data.twin[paired]])
    for row in paired[paired < data.twin[paired]]:
        rows = np.array([row, data.twin[row]])
        batch = data.batch(rows, step_rows=rows, pad=0)
        tokens = [data.prompts.dataset[int(place)]["input_ids"] for place in rows]
        same = [left == right for left, right in zip(tokens[0][:-1], tokens[1][:-1], strict=False)]
        shared = same.index(False) if False in same else len(same)
        assert shared >= LEAST_SHARED * min(map(len, tokens))
        assert batch.input_ids.shape == (1, data.lengths[rows].sum())
        work = data.work(rows)
        assert work.tokens == len(tokens[0]) + len(tokens[1]) - shared == batch.input_ids.numel()
        assert work.scored == len(batch.label)
        assert work.squares == len(tokens[0]) ** 2 + len(tokens[1]) ** 2 - shared**2


def test_prompts_that_begin_unlike_stay_alone(tmp_path: Path) -> None:
    write_tokenized_run(tmp_path, CONFIG)  # what kindred users bought comes first
    prompts = read_prompts(tmp_path, "train")
    data = with_twins(prompts, users_of(prompts, tmp_path))
    alone = np.flatnonzero(data.twin == ALONE)
    assert len(alone) > 0.8 * len(data)
    assert np.array_equal(data.lengths[alone], prompts.lengths[alone])
    assert len(data.batch(alone, step_rows=alone, pad=0).input_ids) == len(alone)


def prompts_of(texts: list[list[int]]) -> PromptData:
    table: Any = datasets.Dataset.from_dict({"input_ids": texts})
    lengths = np.array([len(ids) for ids in texts])
    return PromptData(table, lengths, np.ones_like(lengths))


def test_a_users_prompts_are_paired_two_by_two_where_they_share_enough() -> None:
    texts = [
        [1, 2, 3, 4],
        [9, 9, 9, 9],
        [1, 2, 3, 5],
        [1, 2, 3, 6],
        [9, 8, 8, 8, 8, 8],
        [9, 7, 7, 7, 7, 7],
        [1, 2, 3, 7],
    ]
    data = with_twins(prompts_of(texts), np.array([5, 3, 5, 5, 4, 4, 5]))
    assert data.twin.tolist() == [2, ALONE, 0, 6, ALONE, ALONE, 3]
    assert data.shared.tolist() == [0, 0, 3, 0, 0, 0, 3]


def test_no_prompts_are_a_batch_without_a_loss(run_dir: Path) -> None:
    data, model = lessons(run_dir, "items"), tiny_model(fused=True)
    nothing = np.zeros(0, dtype=np.int64)
    loss = twin_loss(model, data.batch(nothing, step_rows=nothing, pad=0), fused=True)
    assert float(loss) == 0
    assert all(not gradient.any() for gradient in gradients(model, loss))


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 50))
@settings(deadline=None, max_examples=60)
def test_steps_hold_every_sample_once_and_keep_twins_with_one_rank(count: int, half: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    twin = np.full(count, ALONE)
    pairs = order[: 2 * rng.integers(0, count // 2 + 1)].reshape(-1, 2)
    twin[pairs[:, 0]], twin[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    plan = Plan(rng.integers(5, 9, size=count), global_batch=2 * half, seed=seed, twin=twin)
    for epoch in range(2):
        steps = [plan.rows(epoch * plan.steps_per_epoch + step) for step in range(plan.steps_per_epoch)]
        assert np.array_equal(np.sort(np.concatenate(steps)), np.arange(count))
        assert max(map(len, steps)) <= 2 * half
        assert sum(0 < (twin[rows] != ALONE).sum() < len(rows) for rows in steps) <= 1, "one step has both kinds"
        for rows in steps:
            of_ranks = [share for rank in range(3) for share in shares_of(rows, rank)]
            assert np.array_equal(np.sort(np.concatenate(of_ranks)), np.sort(rows))
            assert max(map(len, of_ranks)) <= 2
            together = sum(len(share) == 2 and twin[share[0]] == share[1] for share in of_ranks)
            assert 2 * together == (twin[rows] != ALONE).sum()


def shares_of(rows: Ints, rank: int) -> list[Ints]:
    world = World(rank=rank, size=3, local_rank=rank, device=torch.device("cpu"))
    return list(shares(rows, micro_steps=3, per_device_batch=2, world=world, together=ROW_PROMPTS))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.lists(st.integers(0, 2), min_size=1, max_size=6))
@settings(deadline=None)
def test_what_two_prompts_begin_with_leaves_each_a_token(first: list[int], second: list[int]) -> None:
    shared = shared_start(np.array(first), np.array(second))
    assert shared < min(len(first), len(second))
    assert first[:shared] == second[:shared]
    rest = min(len(first), len(second)) - 1 - shared
    assert rest == 0 or first[shared] != second[shared]
