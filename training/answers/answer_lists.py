"""From generated texts to catalogue items: what each text stands for, and a ranked list of the asked domain.

Rules, for one sample with texts t_1 .. t_K, best first, and their scores s_1 >= .. >= s_K:

- `grounded`: the item that t_b stands for. A title of the asked domain that was written exactly stands for the items
  that bear it; any other text for the best by BM25 over the titles of *both* domains; ties go by train popularity, then
  by id. -1 where nothing matches (an empty text). `in_domain` says whether that item is of the asked domain.
- the list holds items of the asked domain only. First, in the order of the texts, the items that a text names exactly
  (a title can belong to several, the popular first), or else the grounded one; their score is 1 + exp(s_b - s_1).
  Then what BM25 of the texts finds in the domain, scored by the best of (BM25 over the text's highest BM25) / b.
- an item stands where it first appears; scores are made to fall strictly, so that no reader has to break ties.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from evaluation.ranked_lists import NO_ITEM, RankedLists
from pairs.ragged import places_of, rows_of
from pairs.tables import Ints, Items
from retrieval.grounding import TitleGrounder
from training.prompts.pieces import clean_title

T = TypeVar("T")
FILLER = np.iinfo(np.int64).max
"""The place of an item that no text names: behind all that are named."""


@dataclass(frozen=True)
class Answers:
    """What was generated for B samples, and what it stands for."""

    lists: RankedLists
    texts: list[list[str]]
    text_scores: list[list[float]]
    grounded: list[list[int]]
    in_domain: list[list[bool]]


class ExactTitles:
    """Title -> the items that bear it, the most popular first, then by id."""

    def __init__(self, items: Items) -> None:
        self._domain = items.domain
        self._items: dict[str, list[int]] = {}
        for item in np.lexsort((np.arange(items.num_items), -items.train_count)).tolist():
            self._items.setdefault(clean_title(items.titles[item]), []).append(item)

    def named(self, text: str, domain: int) -> list[int]:
        """The items of `domain` whose title is `text`."""
        return [item for item in self._items.get(" ".join(text.split()), []) if self._domain[item] == domain]


def rank_answers(
    sample: Ints,
    *,
    domain: Ints,
    texts: list[list[str]],
    text_scores: list[list[float]],
    exact: ExactTitles,
    grounder: TitleGrounder,
    items: Items,
    depth: int,
) -> Answers:
    """Ground the texts of B samples and rank the items of each sample's `domain` [B]."""
    rows = rows_of([len(written) for written in texts])
    flat = [text for answers in texts for text in answers]
    beam = places_of([len(written) for written in texts])
    scores = np.array([score for answers in text_scores for score in answers], dtype=np.float64)
    asked = domain[rows]

    written = [exact.named(text, int(where)) for text, where in zip(flat, asked, strict=True)]
    grounded = _ground(flat, written, grounder)
    in_domain = (grounded != NO_ITEM) & (items.domain[grounded] == asked)
    first = np.zeros(len(sample))
    first[rows[beam == 0]] = scores[beam == 0]
    named = _named(written, grounded, in_domain)
    likelihood = 1 + np.exp(scores - first[rows])
    filled = _fill(flat, asked, beam, grounder=grounder, depth=depth)

    entries = [(rows[text], item, likelihood[text], place) for text, item, place in [named]]
    entries += [(rows[text], item, score, np.full(len(item), FILLER)) for text, item, score in filled]
    row, item, score, place = (np.concatenate(column) for column in zip(*entries, strict=True))
    return Answers(
        lists=_rank(sample, row, item, score, place, depth),
        texts=texts,
        text_scores=text_scores,
        grounded=_regroup(grounded.tolist(), texts),
        in_domain=_regroup(in_domain.tolist(), texts),
    )


def _ground(texts: list[str], written: list[list[int]], grounder: TitleGrounder) -> Ints:
    """The item that each text stands for, or -1; `written`: the items of the asked domain that it names exactly."""
    if not texts:
        return np.zeros(0, dtype=np.int64)
    nearest = grounder.ground(texts, 1).items[:, 0].tolist()
    return np.array([items[0] if items else near for items, near in zip(written, nearest, strict=True)], np.int64)


def _named(written: list[list[int]], grounded: Ints, in_domain: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Text, item and place in the order of naming of every item of the asked domain that a text stands for."""
    stands_for = [
        items or ([item] if inside else [])
        for items, item, inside in zip(written, grounded.tolist(), in_domain.tolist(), strict=True)
    ]
    text = rows_of([len(items) for items in stands_for])
    item = np.array([item for items in stands_for for item in items], dtype=np.int64)
    return text, item, np.arange(len(item))


def _fill(
    texts: list[str], asked: Ints, beam: Ints, *, grounder: TitleGrounder, depth: int
) -> list[tuple[Ints, Ints, npt.NDArray[np.float64]]]:
    """Text, item and score of what BM25 finds, one triple of arrays a domain."""
    written = np.array([bool(text.strip()) for text in texts], dtype=bool)
    filled = []
    for domain in (0, 1):
        of_domain = np.flatnonzero((asked == domain) & written)
        if not len(of_domain):
            continue
        items, scores = grounder.ground([texts[place] for place in of_domain], depth, domain=domain)
        kept = (items != NO_ITEM) & (scores > 0)
        share = np.where(kept, scores, 0) / np.maximum(scores[:, :1], np.finfo(np.float32).tiny)
        share /= 1 + beam[of_domain][:, None]
        text = np.broadcast_to(of_domain[:, None], items.shape)
        filled.append((text[kept], items[kept], share[kept].astype(np.float64)))
    return filled


def _rank(sample: Ints, row: Ints, item: Ints, score: npt.NDArray[np.float64], place: Ints, depth: int) -> RankedLists:
    """The best `depth` entries of each row, every item once; named items by place, the others by score, then id."""
    by = np.lexsort((item, -score, place, row))
    _, first = np.unique(row[by] * (item.max(initial=0) + 1) + item[by], return_index=True)
    by = by[np.sort(first)]
    row, item, score = row[by], item[by], score[by]
    column = np.arange(len(row)) - np.searchsorted(row, row)
    kept = column < depth
    items = np.full((len(sample), depth), NO_ITEM, dtype=np.int64)
    scores = np.full((len(sample), depth), -np.inf, dtype=np.float32)
    items[row[kept], column[kept]] = item[kept]
    scores[row[kept], column[kept]] = score[kept]
    for next_column in range(1, depth):
        below = np.nextafter(scores[:, next_column - 1], np.float32(-np.inf))
        scores[:, next_column] = np.minimum(scores[:, next_column], below)
    return RankedLists(sample=sample, items=items, scores=scores)


def _regroup(flat: list[T], like: list[list[str]]) -> list[list[T]]:
    """`flat` cut into lists as long as those of `like`."""
    taken = iter(flat)
    return [[next(taken) for _ in texts] for texts in like]
