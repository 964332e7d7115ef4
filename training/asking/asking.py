"""Understand a question put to a trained run: which domain is asked for, which items the titles of the history mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from launch.errors import InputError
from pairs.tables import Pair
from retrieval.grounding import TitleGrounder, in_words
from training.prompts.pieces import display_name


@dataclass(frozen=True)
class Matched:
    """One title of the history and the catalogue item that it was taken for."""

    asked: str
    item: int
    title: str
    domain: str
    exact: bool
    """Whether the words are the same; otherwise the item is the nearest by BM25."""


def find_domain(name: str, pair: Pair) -> int:
    """The domain called `name`, whatever its case; `X` and `Y` serve as well."""
    for domain, letter in enumerate("XY"):
        if _plain(name) in {_plain(pair.domain_names[domain]), letter.lower()}:
            return domain
    names = " or ".join(repr(known) for known in pair.domain_names)
    raise InputError(f"no domain {name!r} in the pair {pair.name}; ask for {names}")


def match_history(texts: Sequence[str], pair: Pair, grounder: TitleGrounder) -> list[Matched]:
    """The items of a history, oldest first. `DOMAIN: title` is looked up in that domain, a bare title in both."""
    if not texts:
        raise InputError('the history is empty; give at least one --history "title"')
    return [_match(text, pair, grounder) for text in texts]


def _match(text: str, pair: Pair, grounder: TitleGrounder) -> Matched:
    domain, title = _split(text, pair)
    item = int(grounder.ground([title], 1, domain=domain).items[0, 0])
    if item < 0:
        where = "either domain" if domain is None else pair.domain_names[domain]
        raise InputError(f"--history {text!r}: no title of {where} shares a word with it; give more of the title")
    title_there = pair.items.titles[item]
    return Matched(
        asked=text,
        item=item,
        title=title_there,
        domain=pair.domain_names[int(pair.items.domain[item])],
        exact=in_words(title_there) == in_words(title),
    )


def _split(text: str, pair: Pair) -> tuple[int | None, str]:
    """`DOMAIN: title` as both; a colon behind anything but a domain's name belongs to the title."""
    before, colon, after = text.partition(":")
    if colon:
        for domain, name in enumerate(pair.domain_names):
            if _plain(before) == _plain(name):
                return domain, after.strip()
    return None, text


def _plain(name: str) -> str:
    return display_name(name).casefold()
