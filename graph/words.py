"""The items' words: the bipartite item-attribute graph, TF-IDF rows, and text vectors to start tables from."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer, TfidfTransformer

from pairs.tables import Items

Floats: TypeAlias = npt.NDArray[np.float32]
Matrix: TypeAlias = "sp.csr_matrix[np.float32]"
WORD = r"[^\W_]+"


@dataclass(frozen=True)
class WordTables:
    """What the words say; rows are items."""

    attributes: Matrix
    """[I, V] ones where an item has an attribute of the attribute graph."""
    tfidf: Matrix
    """[I, W] of titles and attributes together, rows of length one (or zero)."""


def read_words(items: Items) -> WordTables:
    """Count the words of the catalogue."""
    both = [f"{title} {attributes}" for title, attributes in zip(items.titles, items.attributes, strict=True)]
    counts = _count(both, least_items=2)
    tfidf = TfidfTransformer(sublinear_tf=True).fit_transform(counts) if counts.shape[1] else counts
    return WordTables(_attributes(items), sp.csr_matrix(tfidf, dtype=np.float32))


def text_vectors(tfidf: Matrix, dim: int, *, seed: int) -> Floats:
    """Truncated SVD of the TF-IDF rows [I, dim], each of length one (or zero); zeros fill up a small vocabulary.

    Columns are in order of importance, so the first few are a smaller table.
    """
    rank = min(dim, min(tfidf.shape) - 1)
    vectors = np.zeros((tfidf.shape[0], dim), dtype=np.float32)
    if rank >= 1:
        vectors[:, :rank] = TruncatedSVD(rank, random_state=seed).fit_transform(tfidf)
    return unit_rows(vectors)


def unit_rows(vectors: Floats) -> Floats:
    """Each row at length one; rows of (nearly) no length become zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    return unit


def _attributes(items: Items) -> Matrix:
    """An attribute is kept when more than one item of X, or more than one of Y, has it.

    Where the catalogue has no attributes, the titles' words without stop words serve.
    """
    has_attributes = any(items.attributes)
    counts = _count(items.attributes if has_attributes else items.titles, least_items=1)
    counts.data[:] = 1.0
    x_items = counts[: items.num_x].sum(axis=0).A1
    y_items = counts[items.num_x :].sum(axis=0).A1
    return sp.csr_matrix(counts[:, (x_items > 1) | (y_items > 1)])


def _count(texts: list[str], *, least_items: int) -> Matrix:
    vectorizer = CountVectorizer(token_pattern=WORD, stop_words=list(ENGLISH_STOP_WORDS), dtype=np.float32)
    try:
        counts = sp.csr_matrix(vectorizer.fit_transform(texts))
    except ValueError:  # sklearn: "empty vocabulary": no item has a word
        return sp.csr_matrix(np.zeros((len(texts), 0), dtype=np.float32))
    items_with = np.bincount(counts.indices, minlength=counts.shape[1])
    return sp.csr_matrix(counts[:, items_with >= least_items])
