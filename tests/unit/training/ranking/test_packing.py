"""One pass over all candidates says what a pass over each of them says."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from pairs.tables import Ints
from training.config import ScratchConfig
from training.lessons.batches import IGNORED
from training.lessons.list_data import ListBatch
from training.ranking.candidates import CandidateLists
from training.ranking.likelihood import Priors, title_likelihoods
from training.ranking.packing import pack, packed_lengths
from training.ranking.scores import VerdictTokens, candidate_scores, listwise_loss
from training.ranking.titles import Titles
from training.scratch import build_model
from training.tuning.list_loss import learn_lists

VOCAB, PAD, END = 50, 0, 1
VERDICT = VerdictTokens(yes=7, no=9)
RNG = np.random.default_rng(4)
LENGTHS = RNG.integers(1, 6, size=12)
EMPTY = (np.array([4, 5], dtype=np.int32), np.array([6], dtype=np.int32))
TITLES = Titles(
    RNG.integers(2, VOCAB, size=LENGTHS.sum()).astype(np.int32), np.concatenate([[0], LENGTHS.cumsum()]), EMPTY
)
TITLES.tokens[TITLES.offsets[1:] - 1] = END
PROMPTS = [RNG.integers(2, VOCAB, size=length).tolist() for length in (9, 4, 14)]
LISTS = CandidateLists(np.array([0, 3, 5, 7, 11, 2, 4, 6]), np.array([0, 5, 5, 8]))


@pytest.fixture
def model() -> LlamaForCausalLM:
    config = ScratchConfig(hidden_size=32, num_layers=2, num_heads=2)
    built = build_model(config, vocab_size=VOCAB, eos=END, pad=PAD, max_tokens=64, seed=3, dtype=torch.float32)
    for parameter in built.parameters():
        parameter.data *= 3
    built.set_attn_implementation("eager")
    return built


def title(item: int) -> list[int]:
    return [int(token) for token in TITLES.tokens[TITLES.offsets[item] : TITLES.offsets[item + 1]]]


def slow_score(model: LlamaForCausalLM, prompt: list[int], item: int) -> float:
    """By a pass of its own."""
    logits = model(input_ids=torch.tensor([prompt + title(item)])).logits[0, -1]
    return float(logits[VERDICT.yes] - logits[VERDICT.no])


def items_of(row: int) -> Ints:
    return LISTS.items[LISTS.offsets[row] : LISTS.offsets[row + 1]]


@torch.no_grad()
def test_packed_scores_are_those_of_single_passes(model: LlamaForCausalLM) -> None:
    scores = candidate_scores(model, pack(PROMPTS, LISTS, TITLES, pad=PAD), VERDICT)
    assert scores.shape == (3, 5)
    for row, prompt in enumerate(PROMPTS):
        slow = [slow_score(model, prompt, item) for item in items_of(row).tolist()]
        np.testing.assert_allclose(scores[row, : len(slow)].numpy(), slow, rtol=1e-4, atol=1e-4)
        assert torch.isneginf(scores[row, len(slow) :]).all()


@torch.no_grad()
def test_the_order_of_the_candidates_says_nothing(model: LlamaForCausalLM) -> None:
    turned = CandidateLists(LISTS.items[[4, 2, 0, 3, 1, 6, 7, 5]], LISTS.offsets)
    scores, other = (
        candidate_scores(model, pack(PROMPTS, lists, TITLES, pad=PAD), VERDICT) for lists in (LISTS, turned)
    )
    np.testing.assert_allclose(other[0].numpy(), scores[0, [4, 2, 0, 3, 1]].numpy(), rtol=1e-4, atol=1e-4)


def test_lengths_are_those_of_packed_rows() -> None:
    lengths = packed_lengths(np.array([len(prompt) for prompt in PROMPTS]), LISTS, TITLES)
    packed = pack(PROMPTS, LISTS, TITLES, pad=PAD)
    assert lengths.tolist() == (packed.part >= 0).sum(dim=1).tolist()
    assert packed.input_ids.shape[1] == lengths.max()


def test_the_listwise_loss_is_that_of_its_formula() -> None:
    scores = torch.tensor([[1.0, 2.0, 0.5], [3.0, -torch.inf, -torch.inf], [0.0, 1.0, -torch.inf]])
    slow = [-np.log(np.exp(1) / np.exp([1, 2, 0.5]).sum()), 0.0, -np.log(1 / (1 + np.e))]
    assert float(listwise_loss(scores, torch.isfinite(scores))) == pytest.approx(sum(slow), rel=1e-6)


def test_a_rank_without_work_has_a_loss_of_nothing_and_gradients(model: LlamaForCausalLM) -> None:
    none = CandidateLists(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    lists = pack([], none, TITLES, pad=PAD)
    loss = learn_lists(model, ListBatch(lists, torch.full_like(lists.input_ids, IGNORED), 0.0, VERDICT)).loss
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    assert loss.item() == 0
    model.zero_grad()


@pytest.mark.parametrize("whole", [False, True])
def test_ranking_and_writing_in_one_pass_are_the_sum_of_both(model: LlamaForCausalLM, whole: bool) -> None:
    """The target comes first, so that its title stands behind the prompt as an answer does."""
    lists = pack([PROMPTS[0], PROMPTS[2]], CandidateLists(LISTS.items, np.array([0, 5, 8])), TITLES, pad=PAD)
    learnt = (lists.part == 1) | (whole & (lists.part == 0) & (lists.position_ids > 0))
    labels = lists.input_ids.masked_fill(~learnt, IGNORED)
    both = float(learn_lists(model, ListBatch(lists, labels, 0.25, VERDICT)).loss)
    slow = 0.0
    for prompt, items in ((PROMPTS[0], items_of(0)), (PROMPTS[2], items_of(2))):
        scores = torch.tensor([slow_score(model, prompt, item) for item in items.tolist()])
        slow += float(-F.log_softmax(scores, dim=0)[0])
        sequence = torch.tensor([prompt + title(int(items[0]))])
        said = F.log_softmax(model(input_ids=sequence).logits[0], dim=1)
        start = 1 if whole else len(prompt)
        slow -= 0.25 * sum(float(said[at - 1, sequence[0, at]]) for at in range(start, sequence.shape[1]))
    assert both == pytest.approx(slow, rel=1e-4)


def slow_likelihood(model: LlamaForCausalLM, prompt: list[int], item: int) -> float:
    sequence = torch.tensor([prompt + title(item)])
    said = F.log_softmax(model(input_ids=sequence).logits[0], dim=1)
    return float(sum(said[at - 1, sequence[0, at]] for at in range(len(prompt), sequence.shape[1])))


@pytest.mark.parametrize("plain", [True, False])
@torch.no_grad()
def test_likelihoods_are_those_of_single_passes(
    model: LlamaForCausalLM, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.ranking.likelihood.CHUNK_NUMBERS", 3 * VOCAB)
    if not plain:
        monkeypatch.setattr("training.ranking.likelihood.PLAIN_HEADS", set())
    likely = title_likelihoods(model, pack(PROMPTS, LISTS, TITLES, pad=PAD))
    for row, prompt in enumerate(PROMPTS):
        slow = [slow_likelihood(model, prompt, item) for item in items_of(row).tolist()]
        np.testing.assert_allclose(likely[row, : len(slow)].numpy(), slow, rtol=1e-4)
        assert torch.isneginf(likely[row, len(slow) :]).all()


@torch.no_grad()
def test_priors_are_likelihoods_without_a_history(model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ranking.likelihood.AT_ONCE", 2)
    priors = Priors(model, TITLES, pad=PAD, device=torch.device("cpu"))
    items, domain = np.array([3, 0, 3, 7, 11, 3]), np.array([0, 0, 0, 0, 0, 1])
    slow = [slow_likelihood(model, EMPTY[at].tolist(), item) for item, at in zip(items.tolist(), domain, strict=True)]
    for _ in range(2):  # made, then kept
        np.testing.assert_allclose(priors.of(items, domain), slow, rtol=1e-4)


def test_padding_makes_no_nan(model: LlamaForCausalLM) -> None:
    mask = pack(PROMPTS, LISTS, TITLES, pad=PAD).inputs(model)["attention_mask"]
    assert ((mask == 0).sum(dim=-1) > 0).all(), "every token sees at least itself"
