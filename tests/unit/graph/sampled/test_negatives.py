"""What is drawn stands for a whole domain: a softmax's sum is estimated without bias."""

import torch

from graph.sampled.cells import gather_cells, sampled_cross_entropy_sum
from graph.sampled.negatives import Negatives, negatives_of, whole_domain

USERS = torch.tensor([0.0, 1, 2, 50, 300, 3, 0, 0, 9, 1])
SIZE = len(USERS)


def drawn_by(negatives: Negatives, generator: torch.Generator, number: int):  # type: ignore[no-untyped-def]
    return negatives.draw(torch.rand(number, generator=generator).double())


def test_items_are_drawn_as_often_as_their_share_says() -> None:
    drawn = drawn_by(negatives_of(USERS), torch.Generator().manual_seed(1), 200_000)
    share = (USERS.double() + 1) ** 0.75
    share /= share.sum()
    counts = torch.bincount(drawn.column, minlength=SIZE).double()
    assert bool(((counts / 200_000 - share).abs() < 5 * (share / 200_000).sqrt()).all())
    torch.testing.assert_close(drawn.log_weight.double(), -(share[drawn.column] * 200_000).log(), rtol=1e-4, atol=1e-5)


def test_the_ends_of_the_range_draw_the_first_and_the_last_item() -> None:
    drawn = negatives_of(USERS).draw(torch.tensor([0.0, 1 - 2.0**-33], dtype=torch.float64))
    assert drawn.column.tolist() == [0, SIZE - 1]


def test_the_sum_of_a_softmax_has_the_full_sum_as_its_expectation() -> None:
    """Two samples; candidates 3 and 8 (one of them twice) and the targets; uncorrected it would be far off."""
    torch.manual_seed(2)
    scores = torch.randn(2, SIZE)
    full = scores.exp().sum(dim=1)
    key, target = torch.tensor([3, 3, 8, SIZE + 8]), torch.tensor([0, 4])
    negatives, generator = negatives_of(USERS), torch.Generator().manual_seed(1)
    sums, raw = [], []
    for _ in range(3000):
        cells, cell = gather_cells(key, target, drawn_by(negatives, generator, 5), size=SIZE)
        assert cells.key[cell].tolist() == key.tolist()
        value = scores[cells.row, cells.column]
        sums.append(torch.zeros(2).index_add(0, cells.row, (value + cells.log_weight).exp()))
        raw.append(torch.zeros(2).index_add(0, cells.row, value.exp()))
    mean, deviation = torch.stack(sums).mean(dim=0), torch.stack(sums).std(dim=0) / 3000**0.5
    assert bool(((mean - full).abs() < 4 * deviation).all())
    assert bool(((torch.stack(raw).mean(dim=0) - full).abs() > 10 * deviation).all())


def test_a_candidate_is_scored_once_however_often_it_is_drawn() -> None:
    cells, _ = gather_cells(torch.tensor([3]), torch.tensor([3]), whole_domain(SIZE, USERS.device), size=SIZE)
    assert sorted(cells.column.tolist()) == list(range(SIZE))
    assert cells.column[cells.target].tolist() == [3]


def test_no_samples_lose_nothing() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    cells, _ = gather_cells(nothing, nothing, whole_domain(SIZE, USERS.device), size=SIZE)
    assert float(sampled_cross_entropy_sum(torch.zeros(0), cells, smoothing=0.0)) == 0
