"""A GPU finds bit for bit what the CPU finds."""

import numpy as np
import pytest
import torch

from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.build import index_of
from retrieval.indexes.config import IndexConfig

TORCH = IndexConfig(kind="exact", backend="torch")
EXACT = {"torch": TORCH, "faiss": IndexConfig(kind="exact", backend="faiss")}
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def unit_vectors(count: int, dim: int, seed: int) -> Floats:
    return to_grid(to_unit_length(np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)))


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("k", [1, 20, 3000])  # 3000: beyond what FAISS does on a GPU
@pytest.mark.parametrize("tf32", [False, True])
def test_the_gpu_equals_the_cpu(kind: str, k: int, tf32: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", tf32)
    keys = np.concatenate([unit_vectors(5000, 300, 1)] * 2)  # every key twice: ties
    queries, ids = unit_vectors(700, 300, 2), np.arange(10_000)
    expected = index_of(TORCH, keys, ids, device=torch.device("cpu")).index.search(queries, k)
    result = index_of(EXACT[kind], keys, ids, device=torch.device("cuda", 0)).index.search(queries, k)
    assert np.array_equal(result[1], expected[1])
    assert np.array_equal(result[0], expected[0])
