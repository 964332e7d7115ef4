"""The k-th largest value of each row is that of a sort, of whatever rows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.kth_largest import kth_largest


def rows_of_kind(kind: str, num_columns: int) -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    values = random.normal(size=(9, num_columns)).astype(np.float32)
    if kind == "sparse":
        values[random.random(values.shape) > 0.05] = 0
    elif kind == "excluded":
        values[random.random(values.shape) > 0.05] = -np.inf
        values[4] = -np.inf
    elif kind == "whole":
        values = random.integers(0, 3, values.shape).astype(np.float32)
    return values


@pytest.mark.parametrize("kind", ["dense", "sparse", "excluded", "whole"])
@pytest.mark.parametrize(("num_columns", "k"), [(1, 1), (30, 30), (500, 7), (2000, 100), (3001, 1), (300, 299)])
def test_it_is_what_a_sort_finds(kind: str, num_columns: int, k: int) -> None:
    values = rows_of_kind(kind, num_columns)
    assert kth_largest(values, k).tolist() == np.sort(values, axis=1)[:, num_columns - k].tolist()


def test_rows_are_left_as_they_were() -> None:
    values = rows_of_kind("sparse", 700)
    before = values.copy()
    kth_largest(values[::2], 9)
    assert np.array_equal(values, before)
