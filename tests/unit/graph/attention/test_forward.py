"""What a training step leaves out, beside one that works everything out: rows of tables, twins, a sampled softmax."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graph.attention.forward import AttentionForward
from graph.batches import Batch, epoch_batches, make_batch
from graph.build import Graphs
from graph.config import GraphConfig
from graph.load import make_ranker, prepare
from graph.noise import Noise
from graph.objective import Forward, Objective
from graph.sampled.negatives import whole_domain
from pairs.history_keys import twin_groups
from tests.graph_runs import ALONE, NUM_ITEMS, tiny, write_run

STILL = {"dropout": 0.0, "propagation_dropout": 0.0}


class Asked:
    """A perturbed model and a batch of train samples with twins among them."""

    def __init__(self, run_dir: Path, config: GraphConfig) -> None:
        train = write_run(run_dir)["train"]
        prepared = prepare(run_dir, config, ALONE)
        self.config, self.graphs = config, prepared.graphs
        self.objective = Objective(make_ranker(prepared, config, seed=1, device=ALONE.device), config)
        torch.manual_seed(3)
        with torch.no_grad():
            for weight in self.objective.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        self.batch: Batch = make_batch(train, np.arange(0, 40), max_history=6, pad=NUM_ITEMS, device=ALONE.device)

    def forward(self) -> AttentionForward:
        return Forward(self.objective, self.graphs, self.batch, Noise(1, 0, self.batch.sample)).encoded

    def sums(self, forward: AttentionForward) -> Tensor:
        infomax = [forward.infomax(domain) for domain in (0, 1)] if self.config.loss.infomax_weight else []
        return torch.stack([*forward.next_items, *infomax, forward.align()])

    def gradients(self, loss: Tensor) -> list[Tensor]:
        weights = [*self.objective.parameters()]
        given = torch.autograd.grad(loss, weights, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, given, strict=True)]

    def agree(self, one: Tensor, other: Tensor) -> None:
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        mine, theirs = self.gradients(one.sum()), self.gradients(other.sum())
        scale = max(float(gradient.abs().max()) for gradient in theirs)
        assert scale > 0.1
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a / scale, b / scale, rtol=1e-5, atol=1e-5)


class WholeTables(AttentionForward):
    """Propagates every row."""

    def _items(self) -> Tensor | None:
        return None


class AllStates(AttentionForward):
    """Works out the states of all positions."""

    def _asked_positions(self) -> Tensor | None:
        return None


def another(asked: Asked, kind: type[AttentionForward], config: GraphConfig | None = None) -> AttentionForward:
    model, discriminators = asked.objective.ranker.attention, asked.objective.discriminators
    noise = Noise(1, 0, asked.batch.sample)
    return kind(model, discriminators, asked.graphs, asked.batch, noise, config or asked.config)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("preset", ["paper", "code"])
@pytest.mark.parametrize("alignment", ["mse", "mmd"])
def test_rows_that_a_batch_needs_give_losses_and_gradients_of_whole_tables(
    tmp_path: Path, layers: int, preset: str, alignment: str
) -> None:
    asked = Asked(tmp_path, tiny(preset, layers=layers, alignment=alignment))  # type: ignore[arg-type]  # a preset
    few = asked.forward()
    assert few.tables.items[0].node is not None
    asked.agree(asked.sums(few), asked.sums(another(asked, WholeTables)))


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_states_that_are_read_give_losses_and_gradients_of_all(tmp_path: Path, share: float) -> None:
    asked = Asked(tmp_path, tiny("code", predicted_positions=2, infomax_share=share))
    few, every = asked.forward(), another(asked, AllStates)
    if share < 1:
        assert int(few.states.shared.any(dim=2).sum()) < int(every.states.shared.any(dim=2).sum())
    asked.agree(asked.sums(few), asked.sums(every))


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_rows_only_are_those_of_whole_tables(tmp_path: Path, tied: bool) -> None:
    chosen = {"full_softmax_items": 0, "sampled_negatives": 6, "table_optimizer": "rows", "tie_head": tied}
    asked = Asked(tmp_path, tiny("code", **chosen))
    gradients = []
    for _ in range(2):
        asked.objective.zero_grad(set_to_none=True)
        asked.sums(asked.forward()).sum().backward()  # type: ignore[no-untyped-call]
        given = {name: weight.grad for name, weight in asked.objective.named_parameters()}
        gradients.append({name: gradient for name, gradient in given.items() if gradient is not None})
        assert len(given) == len(gradients[-1])
        asked.objective.keep_rows_only()
    sparse = {name for name, gradient in gradients[1].items() if gradient.is_sparse}
    assert len(sparse) == (4 if tied else 6), "tables of three streams and of attributes, heads of two domains"
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradient.to_dense(), gradients[0][name], rtol=1e-4, atol=1e-4)


def test_twins_encoded_once_count_twice(tmp_path: Path) -> None:
    asked = Asked(tmp_path, tiny("code", infomax_weight=0.0, **STILL))
    merged = asked.forward()
    assert len(merged.own.history) < len(asked.batch) - 10
    apart = asked.sums(merged)
    singles = torch.zeros_like(apart)
    whole, batch = asked.batch, asked.batch
    for row in range(len(whole)):
        asked.batch = whole.take(torch.tensor([row]))
        singles = singles + asked.sums(asked.forward())
    asked.batch = batch
    asked.agree(apart, singles)


def test_twins_have_one_corruption_and_count_twice_in_infomax(tmp_path: Path) -> None:
    asked = Asked(tmp_path, tiny("code"))
    merged = asked.forward()
    together = torch.stack([merged.infomax(0), merged.infomax(1)])
    whole, singles = asked.batch, torch.zeros(2)
    for row in range(len(whole)):
        asked.batch = whole.take(torch.tensor([row]))
        alone = asked.forward()
        singles = singles + torch.stack([alone.infomax(0), alone.infomax(1)])
    torch.testing.assert_close(together, singles, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("tied", [False, True])
def test_with_all_items_drawn_the_next_item_losses_are_the_full_softmaxs(
    tmp_path: Path, smoothing: float, tied: bool
) -> None:
    asked = Asked(tmp_path, tiny("paper", label_smoothing=smoothing, tie_head=tied))
    full, estimated = asked.forward(), another(asked, WholeTables)
    assert full.drawn == (None, None)
    estimated.drawn = tuple(whole_domain(len(asked.graphs.ids(domain)), ALONE.device) for domain in (0, 1))
    asked.agree(torch.stack(estimated.next_items), torch.stack(full.next_items))


def test_the_more_is_drawn_the_nearer_are_the_next_item_losses(tmp_path: Path) -> None:
    asked = Asked(tmp_path, tiny("code", tie_head=True, infomax_weight=0.0, **STILL))
    full = torch.stack(asked.forward().next_items).detach()
    errors = []
    for num_drawn in (4, 4096):
        drawn = {"sampled_negatives": num_drawn, "full_softmax_items": 0}
        asked.objective.config = tiny("code", tie_head=True, infomax_weight=0.0, **drawn, **STILL)
        sampled = asked.forward()
        assert sampled.tables.items[0].node is not None
        errors.append(float((torch.stack(sampled.next_items).detach() / full - 1).abs().max()))
    assert errors[1] < min(0.03, errors[0])


def test_a_share_of_the_histories_estimates_infomax(tmp_path: Path) -> None:
    asked = Asked(tmp_path, tiny("code", **STILL))
    graphs: Graphs = asked.graphs
    expected = float(asked.forward().infomax(0).detach())
    asked.objective.config = tiny("code", infomax_share=0.5, **STILL)
    estimates = []
    for step in range(60):
        forward = Forward(asked.objective, graphs, asked.batch, Noise(1, step, asked.batch.sample)).encoded
        estimates.append(float(forward.infomax(0).detach()))
    assert np.mean(estimates) == pytest.approx(expected, rel=0.1)
    assert np.std(estimates) > 0


def test_a_batch_of_which_infomax_draws_no_history_learns_all_else(tmp_path: Path) -> None:
    asked = Asked(tmp_path, tiny("code", infomax_share=1e-9))
    forward = asked.forward()
    assert len(forward.chosen_V) == 0
    sums = asked.sums(forward)
    assert [float(forward.infomax(domain).detach()) for domain in (0, 1)] == [0.0, 0.0]
    sums.sum().backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for weight in asked.objective.parameters()]
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_twins_are_in_one_batch_when_they_are_to_be_together(tmp_path: Path) -> None:
    train = write_run(tmp_path)["train"]
    group = twin_groups(train)
    pairs = {(int(user), tuple(train.history_of(row).tolist())): int(group[row]) for row, user in enumerate(train.user)}
    assert len(pairs) == len(set(pairs.values())) == int(group.max()) + 1 < len(train)
    batches = epoch_batches(len(train), global_batch=16, seed=1, epoch=0, group=group)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(train)))
    torn = sum(len(np.unique(group[rows])) for rows in batches) - len(pairs)
    assert torn <= len(batches) - 1, "only where a batch ends is a pair torn apart"
    assert not np.array_equal(batches[0], epoch_batches(len(train), global_batch=16, seed=1, epoch=1, group=group)[0])
