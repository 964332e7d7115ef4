"""What a pair is, in a few lines: its source, users, items, split, times and order."""

from collections.abc import Mapping
from typing import Any

from evaluation.report.card_values import count, day, look
from evaluation.report.report_parts import Bullets, Part, Strong

Json = Mapping[str, Any]  # Any: plain JSON values
SOURCES = {
    "released": "a released pair, split by its authors",
    "samples": "tables of items and samples, taken as they are",
    "amazon": "raw Amazon reviews and metadata",
    "tables": "tables of interactions and items",
    "synthetic": "the built-in generator: no real shopper is in it",
}
SPLIT_RULES = {
    "released": "as released: users are divided",
    "given": "as the samples were given; a user can be in several splits",
    "time": "two cuts in time for everybody: train up to the first, valid up to the second, test after it",
    "last_out": "a user's last interaction in each domain is test, the one before it valid",
    "last_one_out": "a user's last interaction is test, the one before it valid, whatever their domains",
    "user": "users are divided at random",
}


def data_facts(card: Json) -> list[Part]:
    """One line for each fact that the card holds."""
    lines: list[tuple[str, str | None]] = [
        ("Source", _in_words(SOURCES, look(card, "source"))),
        ("Users", _users(card)),
        ("Items", _total(card, "items", "in both domains together")),
        ("Split", _split(card)),
        ("Time range", _time_range(card)),
        ("Order", _order(card)),
        ("Best that can be expected", _achievable(card)),
    ]
    entries = tuple((Strong(f"{name}:"), f" {words}.") for name, words in lines if words is not None)
    return [Bullets(entries)] if entries else []


def _in_words(words: Mapping[str, str], key: str | None) -> str | None:
    return None if key is None else words.get(key, key)


def _users(card: Json) -> str | None:
    everybody, disjoint = look(card, "users.all"), look(card, "users.disjoint")
    if everybody is None:
        return None
    said = f"{count(everybody)} in all"
    if disjoint is not None:
        said += "; no user is in two splits" if disjoint else "; a user can be in several splits"
    needed, of_one = look(card, "users_needed_in.domains"), look(card, "users_needed_in.users_of_one_domain_only")
    if needed == "both":
        said += "; only users with interactions in both domains were kept"
    elif of_one is not None:
        said += f"; {count(of_one)} of the users kept have interactions in one domain only"
    teaching = look(card, "graph_only_users")
    if teaching is not None:
        said += f"; {count(teaching)} more of one domain teach and are never asked"
    return said


def _total(card: Json, key: str, where: str) -> str | None:
    sizes = [look(card, f"{key}.{letter}") for letter in "XY"]
    return None if None in sizes else f"{count(sum(sizes))} {where}"


def _split(card: Json) -> str | None:
    rule = _in_words(SPLIT_RULES, look(card, "split_rule"))
    cuts = look(card, "cuts")
    return rule if rule is None or not cuts else f"{rule}; the cuts are {' and '.join(str(cut) for cut in cuts)}"


def _time_range(card: Json) -> str | None:
    ranges = [times for times in (look(card, "time_range") or {}).values() if times]
    if not ranges:
        return None
    first, last = min(times["targets"][0] for times in ranges), max(times["targets"][1] for times in ranges)
    begin = min(times["histories_from"] for times in ranges)
    return f"interactions from {day(begin)} on, targets from {day(first)} to {day(last)}"


def _order(card: Json) -> str | None:
    order, timed = look(card, "order"), look(card, "order_evidence.timestamps")
    if order is None or timed is None:
        return None
    return f"{order}, {'by timestamps' if timed else 'without timestamps'}"


def _achievable(card: Json) -> str | None:
    """What the generator knows of its own pair."""
    best = look(card, "generator.achievable_hr@10")
    return None if best is None else f"HR@10 {best:.4f}, known from the generator: {look(card, 'generator.meaning')}"
