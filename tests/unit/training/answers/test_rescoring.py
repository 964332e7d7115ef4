"""Beams ordered anew have the scores of single passes, and stand best first."""

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tests.unit.training.ranking.test_packing import EMPTY, PAD, model, slow_likelihood, title
from training.answers.rescoring import Rescoring
from training.answers.results import Beams

__all__ = ["model"]  # the fixture
DOMAIN = np.array([0, 1, 0])
FOUND = [
    Beams([title(3), title(5), title(8)], [-4.0, -5.0, -6.0], [3, 5, 8]),
    Beams([title(3), title(1)], [-2.0, -2.5], [3, 1]),
    Beams([title(11)], [-1.0], [11]),
]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("at_once", [2, 64])
@torch.no_grad()
def test_scores_are_those_of_single_passes(
    model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch, at_once: int, length_penalty: float
) -> None:
    monkeypatch.setattr("training.ranking.likelihood.AT_ONCE", at_once)
    rescoring = Rescoring(model, EMPTY, 0.7, length_penalty, PAD, torch.device("cpu"))
    for before, after, asked in zip(FOUND, rescoring.order(FOUND, DOMAIN), DOMAIN.tolist(), strict=True):
        expected = {
            leaf: score - 0.7 * slow_likelihood(model, EMPTY[asked].tolist(), leaf) / len(tokens) ** length_penalty
            for tokens, score, leaf in zip(before.tokens, before.scores, before.leaves, strict=True)
        }
        assert after.scores == pytest.approx([expected[leaf] for leaf in after.leaves], abs=1e-4)
        assert after.scores == sorted(after.scores, reverse=True)
        assert after.tokens == [title(leaf) for leaf in after.leaves]
        assert sorted(after.leaves) == sorted(before.leaves)


def test_without_a_weight_the_order_stays(model: LlamaForCausalLM) -> None:
    assert Rescoring(model, EMPTY, 0.0, 0.0, PAD, torch.device("cpu")).order(FOUND, DOMAIN) == FOUND
