"""Positions set out in groups of rows of about one length, beside all places of all rows."""

import torch

from graph.attention.places import GROUPS, Places
from graph.noise import Noise

ROWS, LENGTH, WIDTH = 12, 11, 3


def some_real() -> torch.Tensor:
    torch.manual_seed(1)
    real = torch.rand(ROWS, LENGTH) < torch.rand(ROWS, 1)
    real[3], real[4] = False, True
    return real


def test_each_row_is_in_one_group_with_its_positions_in_front() -> None:
    real, x = some_real(), torch.randn(ROWS, LENGTH, WIDTH)
    places = Places.of(real)
    assert 1 < len(places.groups) <= GROUPS
    seen = []
    for group, cells in zip(places.groups, places.set_out(x[real], places.all), strict=True):
        for row, place, given in zip(group.row.tolist(), group.place, cells, strict=True):
            expected = x[row][real[row]]
            torch.testing.assert_close(given[: len(expected)], expected)
            assert not bool(given[len(expected) :].any())
            assert place[: len(expected)].tolist() == torch.nonzero(real[row])[:, 0].tolist()
            seen.append(row)
    assert sorted(seen) == torch.nonzero(real.any(dim=1))[:, 0].tolist()


def test_states_lie_where_they_were_asked_for() -> None:
    real, x = some_real(), torch.randn(ROWS, LENGTH, WIDTH)
    asked = real & (torch.rand(ROWS, LENGTH) < 0.5)
    places = Places.of(real)
    chosen = places.those(asked)
    assert 0 < len(chosen) < len(places.all.row)
    given = places.states(x[real][chosen], places.all.take(chosen))
    torch.testing.assert_close(given, x * asked[:, :, None])


def test_weights_are_dropped_as_in_a_square_of_all_places() -> None:
    real, squares = some_real(), torch.rand(ROWS, LENGTH, LENGTH)
    places = Places.of(real)
    whole, parts = Noise(1, 2, torch.arange(ROWS)), Noise(1, 2, torch.arange(ROWS))
    expected = whole.dropout(squares, 0.4)
    given = places.drop_weights(
        [
            squares[group.row[:, None, None], group.place[:, :, None], group.place[:, None, :]]
            for group in places.groups
        ],
        0.4,
        parts,
    )
    for group, part in zip(places.groups, given, strict=True):
        for row, dropped in zip(group.row.tolist(), part, strict=True):
            own = torch.nonzero(real[row])[:, 0]
            torch.testing.assert_close(dropped[: len(own), : len(own)], expected[row][own][:, own])
    torch.testing.assert_close(parts.table_uniform(5), whole.table_uniform(5))
