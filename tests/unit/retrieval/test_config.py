"""The retrieval section refuses what cannot be meant, by its dotted name."""

from typing import Any

import pytest

from retrieval.config import PartWeights, RetrievalConfig
from retrieval.indexes.config import IndexConfig


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_neighbours": 0}, r"retrieval\.num_neighbours must be at least 1, got 0"),
        ({"block": -3}, r"retrieval\.block must be at least 1, got -3"),
        ({"recent_items": 0}, r"retrieval\.recent_items must be at least 1 or null, got 0"),
        ({"quality_at": [1, 0]}, r"retrieval\.quality_at"),
        ({"index": {"nprobe": 0}}, r"retrieval\.index\.nprobe must be at least 1, got 0"),
        ({"index": {"nlist": 4, "nprobe": 5}}, r"retrieval\.index\.nprobe must be at most nlist \(4\), got 5"),
        ({"similarity": "inner_product", "vectors": "hybrid"}, r"retrieval\.similarity: inner_product needs"),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalConfig(**{**wrong, "index": IndexConfig(**wrong.get("index", {}))})


def test_weights_must_not_be_negative_or_all_zero() -> None:
    with pytest.raises(ValueError, match=r"retrieval\.weights\.text must not be negative"):
        PartWeights(text=-1)
    with pytest.raises(ValueError, match=r"retrieval\.weights"):
        PartWeights(model=0, items=0, text=0)


def test_part_weights_sum_to_one_and_leave_out_zeros() -> None:
    weights = PartWeights(model=3, items=1, text=0)
    assert RetrievalConfig(weights=weights).part_weights() == {"model": 0.75, "items": 0.25}
    assert RetrievalConfig(vectors="items").part_weights() == {"items": 1.0}
