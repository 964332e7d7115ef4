"""The n-th smallest by counting is the n-th of the sorted list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.samples.cut import nth_smallest
from pairs.tables import Ints

WIDE = 2**61
numbers = st.one_of(
    st.lists(st.integers(-WIDE, WIDE), min_size=1, max_size=40),
    st.lists(st.integers(-3, 3), min_size=1, max_size=60),
    st.lists(st.integers(1_400_000_000, 1_400_000_000 + 10**6), min_size=1, max_size=60),
)


def pieces_of(values: list[int], cuts: list[int]) -> list[Ints]:
    bounds = sorted(min(cut, len(values)) for cut in cuts)
    array = np.array(values, dtype=np.int64)
    return [array[a:b] for a, b in zip([0, *bounds], [*bounds, len(values)], strict=True)]


@settings(max_examples=200, deadline=None)
@given(
    values=numbers,
    cuts=st.lists(st.integers(0, 60), max_size=4),
    share=st.floats(0, 1),
    bins=st.sampled_from([2, 3, 65536]),
)
def test_it_equals_the_place_in_the_sorted_list(values: list[int], cuts: list[int], share: float, bins: int) -> None:
    place = min(int(share * len(values)), len(values) - 1)
    pieces = pieces_of(values, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pairs.samples.cut.BINS", bins)
        assert nth_smallest(lambda: iter(pieces), place) == sorted(values)[place]


@pytest.mark.parametrize("place", [0, 17, 499_999, 999_998])
def test_a_wide_range_needs_few_passes(place: int) -> None:
    values = np.random.default_rng(0).integers(-(2**40), 2**40, size=999_999)
    passes = 0

    def pieces() -> list[Ints]:
        nonlocal passes
        passes += 1
        return np.array_split(values, 7)

    assert nth_smallest(pieces, place) == np.sort(values)[place]
    assert passes <= 4
