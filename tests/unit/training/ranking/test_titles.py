"""Titles that are cut for ranking keep their first tokens and their end token."""

import numpy as np

from tests.unit.training.ranking.test_packing import END, LENGTHS, TITLES, title


def test_a_cut_title_has_its_first_tokens_and_its_end() -> None:
    cut = TITLES.cut(2)
    for item in range(len(LENGTHS)):
        tokens = cut.tokens[cut.offsets[item] : cut.offsets[item + 1]].tolist()
        whole = title(item)
        assert tokens == (whole if len(whole) <= 3 else [*whole[:2], END])
    assert (LENGTHS > 3).any()
    assert TITLES.cut(None) is TITLES
    np.testing.assert_array_equal(TITLES.cut(99).tokens, TITLES.tokens)
