"""Lists learnt by their titles' likelihoods: the loss and its gradients are those of a pass over each title alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from tests.unit.training.ranking.test_packing import EMPTY, LISTS, PAD, PROMPTS, TITLES, items_of, model, title
from training.lessons.batches import IGNORED
from training.lessons.list_data import ListBatch
from training.ranking.candidates import CandidateLists
from training.ranking.packing import pack
from training.ranking.scores import TitleScore
from training.tuning.head import fuse_head
from training.tuning.list_loss import ListOutcome, learn_lists

__all__ = ["model"]  # the fixture
ROWS = (0, 2)
TEMPERATURE = 3.0
TWO = CandidateLists(LISTS.items, np.array([0, 5, 8]))


def said(model: LlamaForCausalLM, prompt: list[int], item: int) -> torch.Tensor:
    sequence = torch.tensor([prompt + title(item)])
    steps = F.log_softmax(model(input_ids=sequence).logits[0, :-1], dim=1).gather(1, sequence[0, 1:, None])[:, 0]
    return steps[len(prompt) - 1 :].sum()


def slow_loss(model: LlamaForCausalLM, weight: float, written: float) -> torch.Tensor:
    total = torch.zeros(())
    for row in ROWS:
        items = items_of(row).tolist()
        scores = [
            said(model, PROMPTS[row], item) - weight * said(model, EMPTY[row % 2].tolist(), item) for item in items
        ]
        total = (
            total
            - F.log_softmax(torch.stack(scores) / TEMPERATURE, dim=0)[0]
            - written * said(model, PROMPTS[row], items[0])
        )
    return total


def batch(weight: float, written: float) -> ListBatch:
    empty = [EMPTY[row % 2].tolist() for row in ROWS]
    lists = pack([PROMPTS[row] for row in ROWS], TWO, TITLES, pad=PAD, empty=empty if weight else None)
    labels = lists.input_ids.masked_fill((lists.part != 1) | (written == 0), IGNORED)
    return ListBatch(lists, labels, written, TitleScore(weight), TEMPERATURE)


def gradients(model: LlamaForCausalLM, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    torch.autograd.backward(loss * 0.1)
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("weight", "written"), [(0.0, 0.0), (1.0, 0.0), (0.5, 0.25)])
def test_loss_and_gradients_are_those_of_single_passes(
    model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch, fused: bool, weight: float, written: float
) -> None:
    monkeypatch.setattr("training.tuning.head.CHUNK_NUMBERS", 7 * model.config.vocab_size)
    slow = slow_loss(model, weight, written)
    expected = gradients(model, slow)
    if fused:
        assert fuse_head(model)
    fast = learn_lists(model, batch(weight, written), fused=fused).loss
    made = gradients(model, fast)
    assert float(fast.detach()) == pytest.approx(float(slow.detach()), rel=1e-5)
    assert made.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(made[name], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max()))


@torch.no_grad()
def test_titles_without_history_do_not_change_those_behind_a_prompt(model: LlamaForCausalLM) -> None:
    alone, with_priors = (batch(weight, 0.0).lists for weight in (0.0, 1.0))
    assert with_priors.streams == 2
    masks = [lists.inputs(model)["attention_mask"] for lists in (alone, with_priors)]
    T = with_priors.part.shape[1]
    first = with_priors.part < with_priors.stride
    seen = (masks[1][:, 0] == 0) & first[:, :, None] & ~first[:, None, :]
    assert not seen.any(), "a first stream's token sees one of the second"
    assert int((with_priors.part >= 0).sum()) > int((alone.part >= 0).sum())
    assert alone.part.shape[1] < T


@pytest.mark.parametrize("fused", [False, True])
def test_a_rank_without_work_has_a_loss_of_nothing_and_gradients(model: LlamaForCausalLM, fused: bool) -> None:
    none = CandidateLists(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    lists = pack([], none, TITLES, pad=PAD, empty=[])
    if fused:
        fuse_head(model)
    nothing = torch.full_like(lists.input_ids, IGNORED)
    outcome = learn_lists(model, ListBatch(lists, nothing, 0.0, TitleScore(1.0)), fused=fused)
    assert outcome.measured().tolist() == [0, 0, 0]
    loss = outcome.loss
    made = gradients(model, loss)
    assert loss.item() == 0
    assert made
    assert not any(gradient.any() for gradient in made.values())


def test_what_is_measured_of_lists_is_what_their_scores_say() -> None:
    none = -torch.inf
    scores = torch.tensor([[2.0, 1.0, 3.0, 2.0], [1.0, 0.0, none, none], [4.0, none, none, none], [none] * 4])
    measured = ListOutcome(torch.tensor(7.0), scores).measured().tolist()
    assert measured == pytest.approx([7.0, (1 + 0.5) / 3 + 1 + 1, 2])
