"""Over cells as over whole domains: scores, losses, gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graph.batches import make_batch
from graph.build import Graphs
from graph.config import GraphConfig
from graph.load import load_blocks, make_ranker, prepare, with_left_out
from graph.noise import Noise
from graph.objective import TERMS, Forward, Objective, count_terms
from graph.sampled.losses import sampled_losses
from graph.sampled.negatives import Drawn, is_sampled, whole_domain
from graph.sampled.thinning import drawn_cells, kept_share
from tests.graph_runs import ALONE, NUM_ITEMS, tiny, write_run

Sums = tuple[Tensor, Tensor]


class Asked:
    """A perturbed ranker and a batch of train samples, some of no block."""

    def __init__(self, run_dir: Path, config: GraphConfig, *, times: bool = False) -> None:
        train = write_run(run_dir, times=times)["train"]
        prepared = with_left_out(prepare(run_dir, config, ALONE), load_blocks(run_dir, seed=1), run_dir, ALONE)
        self.graphs: Graphs = prepared.graphs
        assert self.graphs.left_out is not None
        self.config = config
        self.objective = Objective(make_ranker(prepared, config, seed=1, device=ALONE.device), config)
        torch.manual_seed(3)
        with torch.no_grad():
            for weight in self.objective.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        self.batch = make_batch(train, np.arange(0, 60), max_history=6, pad=NUM_ITEMS, device=ALONE.device)
        block = self.graphs.left_out.block_of(self.batch.sample)
        assert 3 < int((block >= 0).sum()) < 57

    def dense(self) -> Sums:
        forward = Forward(self.objective, self.graphs, self.batch, Noise(1, 0, self.batch.sample))
        return forward.targets

    def sampled(self, drawn: dict[int, Drawn]) -> Sums:
        sums = []
        for domain in (0, 1):
            rows = self.batch.take(torch.nonzero(self.batch.domain == domain)[:, 0])
            smoothing = self.config.loss.label_smoothing
            ranker = self.objective.ranker
            sums.append(sampled_losses(ranker, self.graphs, rows, domain, drawn[domain], smoothing=smoothing))
        return sums[0][0] + sums[1][0], sums[0][1] + sums[1][1]

    def whole(self) -> dict[int, Drawn]:
        return {domain: whole_domain(len(self.graphs.ids(domain)), ALONE.device) for domain in (0, 1)}

    def gradients(self, loss: Tensor) -> list[Tensor]:
        weights = [*self.objective.ranker.parameters()]
        given = torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
        return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, given, strict=True)]


@pytest.mark.parametrize("absent", ["", "evidence_near", "evidence_words", "evidence_floor", "late_words", "no times"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_with_all_items_losses_and_gradients_are_the_full_softmaxs(
    tmp_path: Path, smoothing: float, absent: str
) -> None:
    switches = {absent: False} if absent.startswith(("evidence", "late")) else {}
    config = tiny("best", window=4, label_smoothing=smoothing, **switches)
    asked = Asked(tmp_path, config, times=absent != "no times")
    assert asked.graphs.evidence is not None
    assert (asked.graphs.evidence[0].clock is None) == (absent == "no times")
    for full, estimated in zip(asked.dense(), asked.sampled(asked.whole()), strict=True):
        assert float(full.detach()) > 1
        torch.testing.assert_close(estimated, full, rtol=1e-5, atol=1e-5)
        given, expected = asked.gradients(estimated), asked.gradients(full)
        assert sum(bool(gradient.any()) for gradient in expected) > 10
        scale = max(float(gradient.abs().max()) for gradient in expected)
        for mine, theirs in zip(given, expected, strict=True):
            torch.testing.assert_close(mine / scale, theirs / scale, rtol=1e-5, atol=1e-5)


def test_the_more_is_drawn_the_nearer_is_the_loss(tmp_path: Path) -> None:
    asked = Asked(tmp_path, tiny(window=1, max_companions=1, nearest=1))
    assert asked.graphs.negatives is not None
    full = torch.stack(asked.dense()).detach()
    errors = []
    random = torch.Generator().manual_seed(1)
    for num_drawn in (4, 64, 1024):
        drawn = {
            domain: asked.graphs.negatives[domain].draw(torch.rand(num_drawn, generator=random).double())
            for domain in (0, 1)
        }
        errors.append(float((torch.stack(asked.sampled(drawn)).detach() / full - 1).abs().max()))
    assert errors[0] > 3 * errors[2]
    assert errors[2] < 0.02


@pytest.mark.parametrize("budget", [4, 12])
def test_a_budget_of_candidates_estimates_the_softmaxs_sum(tmp_path: Path, budget: int) -> None:
    asked = Asked(tmp_path, tiny())
    rows = asked.batch.take(torch.nonzero(asked.batch.domain == 1)[:, 0])
    drawn = Drawn(torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    ranker, graphs = asked.objective.ranker, asked.graphs
    whole = sampled_losses(ranker, graphs, rows, 1, drawn, smoothing=0.0)[1]
    few = [
        sampled_losses(ranker, graphs, rows, 1, drawn, smoothing=0.0, budget=budget, noise=Noise(1, step, rows.sample))[
            1
        ]
        for step in range(30)
    ]
    sums = torch.stack(few).detach()
    assert float(sums.std()) > 0, "nothing was left out"
    # The logarithm of a noisy sum is a little below that of its mean.
    assert float(sums.mean()) == pytest.approx(float(whole.detach()), rel=0.15 / budget**0.5)
    roomy = sampled_losses(
        ranker, graphs, rows, 1, drawn, smoothing=0.0, budget=NUM_ITEMS, noise=Noise(1, 0, rows.sample)
    )[1]
    assert torch.equal(roomy, whole)


def test_kept_cells_stand_for_all_of_their_row() -> None:
    row = torch.tensor([0] * 50 + [1] * 3)
    mass = torch.cat([torch.rand(50, generator=torch.Generator().manual_seed(1)), torch.ones(3)])
    target = torch.tensor([7, 51])
    share = kept_share(row, mass, target, budget=10)
    assert share[50:].tolist() == [1.0] * 3
    assert float(share[7]) == 1
    assert float(share[:50].min()) >= 0.5 * 10 / 50
    assert 9 < float(share[:50].sum()) < 12
    sums = []
    for step in range(400):
        kept = drawn_cells(share, torch.arange(53), Noise(1, step, target))
        assert bool(kept[target].all())
        sums.append(float((mass / share)[:50][kept[:50]].sum()))
    assert np.mean(sums) == pytest.approx(float(mass[:50].sum()), rel=0.03)


def test_a_step_without_samples_of_a_domain_has_gradients(tmp_path: Path) -> None:
    config = tiny(sampled_negatives=8, full_softmax_items=0)
    asked = Asked(tmp_path, config)
    batch = asked.batch.take(torch.nonzero(asked.batch.domain == 0)[:, 0])
    count = count_terms(asked.graphs, batch, config.loss)
    loss, sums = asked.objective(asked.graphs, batch, Noise(1, 0, batch.sample), count)
    loss.backward()
    assert all(weight.grad is not None for weight in asked.objective.parameters())
    assert {term.name for term, value in zip(TERMS, sums.tolist(), strict=True) if value} == {"target", "fused"}


def test_small_domains_keep_the_full_softmax() -> None:
    loss = tiny(sampled_negatives=8, full_softmax_items=100).loss
    assert not is_sampled(loss, 100)
    assert is_sampled(loss, 101)
    assert not is_sampled(tiny(sampled_negatives=0, full_softmax_items=100).loss, 10**7)
