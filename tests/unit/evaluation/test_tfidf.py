"""The one TF-IDF equals what scikit-learn gives each of its three users, and stands an empty catalogue."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from evaluation.tfidf import EVERY_WORD, TELLING_WORDS, Vocabulary, Words

TEXTS = ["The ink, black INK 5 ml", "a brush no. 5", "Émile's paper-and-ink", "", "ink brush a5"]


@pytest.mark.parametrize(
    ("vocabulary", "dtype", "settings"),
    [
        (EVERY_WORD, np.float32, {}),
        (TELLING_WORDS, np.float64, {"token_pattern": r"(?u)\b\w+\b", "stop_words": "english", "min_df": 2}),
    ],
)
def test_vectors_are_scikit_learns_own(
    vocabulary: Vocabulary, dtype: npt.DTypeLike, settings: dict[str, object]
) -> None:
    expected = TfidfVectorizer(sublinear_tf=True, dtype=dtype, **settings).fit_transform(TEXTS)
    vectors = Words(TEXTS, vocabulary, dtype=dtype).vectors(TEXTS)
    assert vectors.dtype == dtype
    assert np.array_equal(vectors.toarray(), expected.toarray())
    fitted = Words(TEXTS, vocabulary, dtype=dtype).fitted
    assert np.array_equal(fitted.data, expected.data)
    assert np.array_equal(fitted.indices, expected.indices)


def test_telling_words_are_no_stop_words_and_in_two_texts() -> None:
    words = Words(["the ink of a pen", "the ink of x", "a pen of x"], TELLING_WORDS)
    assert words.num_words == 3  # ink, pen, x


@pytest.mark.parametrize("texts", [["", ""], ["!", "--"], ["once", "twice"]])
def test_texts_without_a_word_have_rows_of_no_width(texts: list[str]) -> None:
    assert Words(texts, TELLING_WORDS).vectors([*texts, "more"]).shape == (3, 0)
