"""The array-wise beam search does what the slow, obvious ones do."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from pairs.ragged import offsets_of
from training.answers import choices, foretold
from training.answers.beam_search import search_beams
from training.answers.choices import Continuations, FreeText, TitlesOnly
from training.answers.foretold import Reader, Unread
from training.answers.results import Beams, Results
from training.answers.title_trie import TitleTrie, TrieOnDevice, build_trie

VOCAB, END, PAD = 12, 1, 0
SHARPNESS = 2.0
CPU = torch.device("cpu")
GENERATOR = np.random.default_rng(3)
TITLES = [[*GENERATOR.integers(2, VOCAB, size=GENERATOR.integers(1, 7)).tolist(), END] for _ in range(120)]
DOMAINS = np.array([0] * 60 + [1] * 60)
LENGTHS = (3, 17, 9, 1, 30, 12, 5, 24, 8, 2, 19, 7, 28, 4, 15)
PROMPTS = [GENERATOR.integers(2, VOCAB, size=length).tolist() for length in LENGTHS]


def tiny_llama(**changes: Any) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.4,
        "bos_token_id": None, "eos_token_id": END, "pad_token_id": PAD,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).train(False)
    model.lm_head.weight.data *= SHARPNESS
    return model.double()  # in float32 the order of two beams can be a matter of rounding


def flat(answers: list[list[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    return np.concatenate(answers).astype(np.int32), offsets_of([len(answer) for answer in answers])


def titles_trie(max_tokens: int = 99) -> TitleTrie:
    popularity = np.zeros(len(TITLES), dtype=np.int64)
    return build_trie(*flat(TITLES), domain=DOMAINS, popularity=popularity, max_tokens=max_tokens)


def fast(prompts: list[list[int]], *, trie: TitleTrie | None = None, domain: int = 0, **options: Any) -> list[Beams]:
    choices = FreeText([END], CPU) if trie is None else TitlesOnly(TrieOnDevice.of(trie, CPU))
    start = 0 if trie is None else trie.start_of(domain)
    settings = {"num_beams": 4, "max_new_tokens": 8, "pad_token": PAD, **options}
    return search_beams(tiny_llama(), prompts, choices, start=[start] * len(prompts), **settings)


def slow(prompt: list[int], *, trie: TitleTrie | None = None, domain: int = 0, **options: Any) -> Beams:
    """One prompt at a time through transformers' own beam search."""

    def allowed(_: int, sequence: torch.Tensor) -> list[int]:
        assert trie is not None
        node = trie.start_of(domain)
        for token in sequence[len(prompt) :].tolist():
            if token in (END, PAD):
                return [PAD]
            node = next(child for child in trie.children(node) if trie.token[child] == token)
        return [int(trie.token[child]) for child in trie.children(node)]

    settings = {"num_beams": 4, "max_new_tokens": 8, "length_penalty": 0.0, **options}
    model = tiny_llama()
    out = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
        num_return_sequences=settings["num_beams"], return_dict_in_generate=True, output_scores=True,
        early_stopping=False, prefix_allowed_tokens_fn=None if trie is None else allowed, **settings,
    )  # fmt: skip
    tokens = []
    for sequence in out.sequences[:, len(prompt) :].tolist():
        tokens.append(sequence[: sequence.index(END) + 1] if END in sequence else sequence)
    return Beams(tokens=tokens, scores=out.sequences_scores.tolist(), leaves=[])


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_free_beams_are_those_of_transformers(length_penalty: float) -> None:
    searched = fast(PROMPTS, length_penalty=length_penalty)
    for beams, prompt in zip(searched, PROMPTS, strict=True):
        expected = slow(prompt, length_penalty=length_penalty)
        assert beams.tokens == expected.tokens
        assert beams.scores == pytest.approx(expected.scores, abs=1e-4)


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_constrained_beams_are_those_of_transformers(domain: int, length_penalty: float) -> None:
    trie = titles_trie()
    searched = fast(PROMPTS, trie=trie, domain=domain, length_penalty=length_penalty)
    for beams, prompt in zip(searched, PROMPTS, strict=True):
        expected = slow(prompt, trie=trie, domain=domain, length_penalty=length_penalty)
        assert beams.tokens == expected.tokens
        assert beams.scores == pytest.approx(expected.scores, abs=1e-4)


def test_enough_beams_rank_the_titles_by_their_exact_probability() -> None:
    """Against scoring every title of the domain by one plain forward pass each."""
    trie, model, prompt = titles_trie(), tiny_llama(), PROMPTS[1]
    expected = {}
    for item in np.flatnonzero(DOMAINS == 1):
        sequence = torch.tensor([prompt + TITLES[item]])
        with torch.inference_mode():
            log_probs = torch.log_softmax(model(sequence).logits[0, len(prompt) - 1 : -1], dim=-1)
        own = log_probs.gather(1, sequence[0, len(prompt) :, None])
        expected[tuple(TITLES[item])] = float(own.sum())
    ranked = sorted(expected, key=lambda title: -expected[title])
    (beams,) = fast([prompt], trie=trie, domain=1, num_beams=200)
    assert beams.tokens == [list(title) for title in ranked]
    assert beams.scores == pytest.approx([expected[title] for title in ranked], abs=1e-4)


def test_a_prompt_in_company_is_answered_as_if_alone() -> None:
    together = fast(PROMPTS, num_beams=5)
    for prompt, beams in zip(PROMPTS, together, strict=True):
        (alone,) = fast([prompt], num_beams=5)
        assert beams.tokens == alone.tokens
        assert beams.scores == pytest.approx(alone.scores, abs=1e-4)


def test_leaving_finished_prompts_in_the_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    compacted = fast(PROMPTS, trie=titles_trie())
    monkeypatch.setattr("training.answers.beam_search.COMPACT_BELOW", -1.0)
    kept = fast(PROMPTS, trie=titles_trie())
    assert [beams.tokens for beams in kept] == [beams.tokens for beams in compacted]


def test_every_constrained_beam_ends_at_a_title_of_its_domain() -> None:
    trie = titles_trie()
    titles = {tuple(TITLES[item]) for item in np.flatnonzero(DOMAINS == 0)}
    for beams in fast(PROMPTS, trie=trie, num_beams=7):
        assert {tuple(tokens) for tokens in beams.tokens} <= titles
        assert len({tuple(tokens) for tokens in beams.tokens}) == 7
        for tokens, leaf in zip(beams.tokens, beams.leaves, strict=True):
            assert all(TITLES[item] == tokens and DOMAINS[item] == 0 for item in trie.items_at(leaf))


def test_a_title_that_is_cut_still_leads_to_its_items() -> None:
    cut = titles_trie(max_tokens=2)
    (beams,) = fast(PROMPTS[:1], trie=cut, num_beams=90)
    assert {item for leaf in beams.leaves for item in cut.items_at(leaf)} == set(range(60))


def test_fewer_titles_than_beams_give_fewer_beams() -> None:
    trie = build_trie(
        *flat([[5, END], [5, 6, END]]), domain=np.zeros(2, int), popularity=np.zeros(2, int), max_tokens=9
    )
    (beams,) = fast([PROMPTS[0]], trie=trie)
    assert sorted(beams.tokens) == [[5, END], [5, 6, END]]


def test_equal_titles_share_a_leaf_the_popular_item_first() -> None:
    answers = [[7, 8, END], [5, END], [7, 8, END], [7, 8, END], [7, END]]
    trie = build_trie(
        *flat(answers), domain=np.array([0, 0, 0, 1, 0]), popularity=np.array([1, 9, 4, 2, 0]), max_tokens=9
    )
    node = trie.start_of(0)
    for token in answers[0]:
        node = next(child for child in trie.children(node) if trie.token[child] == token)
    assert trie.items_at(node).tolist() == [2, 0]
    assert list(trie.children(node)) == []


def test_the_trie_holds_what_a_nested_dictionary_holds() -> None:
    nested: dict[int, Any] = {}
    for domain, title in zip(DOMAINS.tolist(), TITLES, strict=True):
        place = nested.setdefault(domain, {})
        for token in title:
            place = place.setdefault(token, {})
    trie = titles_trie()

    def unfold(node: int) -> dict[int, Any]:
        return {int(trie.token[child]): unfold(child) for child in trie.children(node)}

    assert unfold(0) == nested
    assert sorted(trie.items.tolist()) == list(range(len(TITLES)))


def test_only_beams_that_cannot_win_any_more_are_dropped() -> None:
    rows = torch.tensor([0])
    two = torch.tensor([2])
    results = Results(1, 2, 5, CPU, torch.float64)
    running = torch.tensor([[-0.9, -1.1, -3.0]])
    assert results.drop_beaten(rows, running, two, 0.0).tolist() == running.tolist()  # no results to be beaten by
    ids = torch.zeros((1, 2), dtype=torch.long)
    both = torch.ones((1, 2), dtype=torch.bool)
    ended = Continuations(scores=torch.tensor([[-0.5, -1.0]]), beam=ids, token=ids, node=ids, ends=both)
    results.add(rows, ended, torch.zeros((1, 2, 5), dtype=torch.long), both, torch.tensor([1]), 0.0)
    assert results.drop_beaten(rows, running, two, 0.0).tolist() == [[pytest.approx(-0.9), -np.inf, -np.inf]]
    assert results.drop_beaten(rows, running - 1.2, two, 1.0).tolist() == [[-np.inf] * 3]  # -2.1 / 2 tokens < -1.0
    assert results.drop_beaten(rows, running - 1.0, two, 1.0).tolist() == (running - 1.0).tolist()


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The most tokens of a beam in each pass from now on."""
    counts: list[int] = []
    read = Reader.read

    def counted(self: Reader, unread: Unread, visible: torch.Tensor) -> Any:
        counts.append(int(unread.count.max()))
        return read(self, unread, visible)

    monkeypatch.setattr(Reader, "read", counted)
    return counts


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_reading_ahead_changes_nothing_but_how_often_the_model_is_asked(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trie, calls = titles_trie(), counted_reads(monkeypatch)
    far = fast(PROMPTS, trie=trie, num_beams=6)
    passes = len(calls)
    assert max(calls) > 1 + ahead
    calls.clear()
    monkeypatch.setattr(choices, "MOST_AHEAD", ahead)
    near = fast(PROMPTS, trie=trie, num_beams=6)
    assert max(calls) == 1 + ahead
    assert len(calls) > passes
    for beams, expected in zip(far, near, strict=True):
        assert beams.tokens == expected.tokens
        assert beams.leaves == expected.leaves
        assert beams.scores == pytest.approx(expected.scores, abs=1e-9)


def test_scores_that_are_more_than_the_heads_product_are_not_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token that is read would cost a whole vocabulary."""
    trie = titles_trie()
    expected = fast(PROMPTS, trie=trie)
    counts = counted_reads(monkeypatch)
    monkeypatch.setattr(foretold, "PLAIN_HEADS", set())
    for beams, plain in zip(fast(PROMPTS, trie=trie), expected, strict=True):
        assert beams.tokens == plain.tokens
        assert beams.scores == pytest.approx(plain.scores, abs=1e-9)
    assert max(counts) == 1
