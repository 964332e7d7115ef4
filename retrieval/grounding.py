"""From generated text to catalogue items: an exact title first, then BM25 over the titles of both domains.

Ties, of which titles that occur twice are the most frequent, go to the item bought more often in train, then to the
lower id. Text without a word that any title has is grounded to no item.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import bm25s
import numpy as np
from bm25s.tokenization import Tokenizer

from launch.errors import InputError
from launch.state.kept import NOTHING_KEPT, Arrays, KeptArrays
from pairs.tables import Ints, Items
from retrieval.fixed_point import Floats

WORD = re.compile(r"(?u)\b\w+\b")
"""Single letters and digits count, and there are no stop words: sizes and packs are what tells titles apart."""


class Grounded(NamedTuple):
    """Items of each text, best first; item -1, score -inf where there are no more."""

    items: Ints  # [N, k]
    scores: Floats  # [N, k], BM25; an exact title's is lifted above all others'


class TitleGrounder:
    """An index over a catalogue's titles."""

    def __init__(self, items: Items, *, kept: KeptArrays = NOTHING_KEPT) -> None:
        """`kept` is what the run keeps; a place is an item's among those that are bought most often."""
        arrays = kept.arrays("title_words", lambda: index_titles(items))
        self._item_at, self._starts = arrays["item_at"], arrays["starts"]
        self._places, self._likeness = arrays["places"], arrays["likeness"]
        self._title_keys, self._title_places = arrays["title_keys"], arrays["title_places"]
        self._domain_at = items.domain[self._item_at]
        self._titles = items.titles
        self._words = {word: number for number, word in enumerate(arrays["words"].tobytes().decode().split("\n"))}
        self._scores = np.zeros(items.num_items, dtype=np.float32)
        """0 between one text and the next."""

    def ground(self, texts: Sequence[str], k: int, *, domain: int | None = None) -> Grounded:
        """The k items with the nearest titles, of both domains or of one, for each text; equal texts only once."""
        different = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        items = np.full((len(different), k), -1, dtype=np.int64)
        scores = np.full((len(different), k), -np.inf, dtype=np.float32)
        for text, row in different.items():
            words = [self._words[word] for word in WORD.findall(text.lower()) if word in self._words]
            if words:
                places, likeness = self._nearest(text, words, k, domain=domain)
                items[row, : len(places)], scores[row, : len(places)] = self._item_at[places], likeness
        rows = np.array([different[text] for text in texts], dtype=np.int64)
        return Grounded(items[rows], scores[rows])

    def _nearest(self, text: str, words: list[int], k: int, *, domain: int | None) -> tuple[Ints, Floats]:
        """Scores only titles that share a word with the text: the catalogue's size does not matter."""
        spans = [slice(int(self._starts[word]), int(self._starts[word + 1])) for word in words]
        for span in spans:
            self._scores[self._places[span]] += self._likeness[span]
        places = np.concatenate([self._places[span] for span in spans])
        exact = self._named(in_words(text))
        if len(exact):  # they share all words, so they are among the places
            self._scores[exact] = np.nextafter(self._scores[places].max(), np.float32(np.inf))
        inside = places if domain is None else places[self._domain_at[places] == domain]
        best = first_places(self._scores, inside, k, most_times=len(spans))
        likeness = self._scores[best].copy()
        self._scores[places] = 0
        return best, likeness

    def _named(self, words: str) -> Ints:
        """The places of titles that are these words."""
        key = title_key(words)
        begin, end = (int(np.searchsorted(self._title_keys, key, side=side)) for side in ("left", "right"))
        places = self._title_places[begin:end]
        same = [in_words(self._titles[self._item_at[place]]) == words for place in places]
        return np.asarray(places[np.array(same, dtype=bool)], dtype=np.int64)


def index_titles(items: Items) -> Arrays:
    """The index as arrays: for each word the places of the titles that have it, with BM25 of the word in them."""
    item_at = np.lexsort((np.arange(items.num_items), -items.train_count))  # place -> item: ties go first
    titles = [items.titles[item] for item in item_at]
    tokenizer = Tokenizer(splitter=WORD.findall, stopwords=[])
    tokens = tokenizer.tokenize(titles, return_as="ids", allow_empty=False, show_progress=False)
    if not any(tokens):
        raise InputError("no title of the catalogue has a word; text cannot be grounded")
    vocabulary = tokenizer.get_vocab_dict()
    index = bm25s.BM25()
    index.index((tokens, vocabulary), create_empty_token=False, show_progress=False)
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    assert [vocabulary[word] for word in words] == list(range(len(words))), "words are numbered without a gap"
    keys = np.array([title_key(in_words(title)) for title in titles], dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    return {
        "item_at": item_at.astype(np.int64),
        "words": np.frombuffer("\n".join(words).encode(), dtype=np.uint8),
        "starts": np.asarray(index.scores["indptr"]),
        "places": np.asarray(index.scores["indices"]),
        "likeness": np.asarray(index.scores["data"]),
        "title_keys": keys[order],
        "title_places": order.astype(np.int64),
    }


def title_key(words: str) -> int:
    """A number that other titles hardly ever have; who finds it looks at the title."""
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little", signed=True)


def in_words(text: str) -> str:
    """A title as the words that are compared: lower case, without punctuation."""
    return " ".join(WORD.findall(text.lower()))


def first_places(scores: Floats, places: Ints, k: int, *, most_times: int) -> Ints:
    """Of some places, the k with the largest scores above 0, best first, ties by lower place.

    Args:
        most_times: how often a place may be named.
    """
    values = scores[places]
    if len(values) > k * most_times:
        places = places[values >= np.partition(values, len(values) - k * most_times)[len(values) - k * most_times]]
    places = np.unique(places)
    places = places[scores[places] > 0]
    return np.asarray(places[np.argsort(-scores[places], kind="stable")[:k]], dtype=np.int64)
