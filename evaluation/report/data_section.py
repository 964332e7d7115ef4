"""The report's section on the data: what the pair is like and what must be known before its numbers are trusted.

Every line stands only where the card holds its value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.report.card_values import count, day, filter_steps, look, share, small_share
from evaluation.report.data_tables import class_table, domain_table, split_table
from evaluation.report.report_parts import (
    Bullets,
    Figure,
    Figures,
    Folded,
    Heading,
    Part,
    Piece,
    Strong,
    Table,
    text,
    warning,
)

Json = Mapping[str, Any]  # Any: plain JSON values
LONGEST_TITLE = 200

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
CHECKS = {
    "train_later_than_held_out": "train targets later than a held-out one",
    "user_in_two_splits": "users in two splits",
    "user_later_in_earlier_split": "samples later than one that is held out of the same user",
    "history_later_than_target": "histories with an item later than the target",
    "target_in_history": "targets that are in their own history",
    "held_out_in_train": "held-out targets among an earlier split's interactions",
    "identical_histories": "held-out histories that equal another user's in an earlier split",
}


def data_parts(card: Json, figures: Sequence[Figure]) -> list[Part]:
    """The section, without its heading."""
    if not card:
        return [text("There is no data card.")]
    return [
        *_warnings(card),
        *_facts(card),
        *_titled("By domain", domain_table(card)),
        *_titled("By split", split_table(card), *_how_to_read(card)),
        *_titled("Targets by how often train shows them", class_table(card)),
        *_titled("The data in plots", Figures(tuple(figures)) if figures else None),
        *_titled("Leak audit", _audit(card)),
        *_titled("What was read", *_reading(card)),
        *_titled("What the filters left", _filters(card)),
        *_examples(card),
    ]


def _titled(title: str, *parts: Part | None) -> list[Part]:
    """The parts below their heading; nothing if the first is missing."""
    there = [part for part in parts if part is not None]
    return [Heading(3, title), *there] if parts and parts[0] is not None else []


def _warnings(card: Json) -> list[Part]:
    parts: list[Part] = []
    if look(card, "order") == "synthetic":
        alternation = look(card, "order_evidence.fully_alternating_histories")
        seen = "" if alternation is None else f" ({share(alternation)} of the histories alternate as far as they can)"
        parts.append(
            warning(
                "The order of the histories is synthetic: there are no timestamps, and the two domains were zipped "
                f"together, one item of each in turn{seen}. Which item of one domain follows which of the other means "
                'nothing here, and "next" is next inside its own domain only.'
            )
        )
    twins = look(card, "twin_users_share")
    if twins is not None and twins >= 0.5:
        parts.append(
            warning(
                f"{share(twins)} of the users have twins, two samples with the same history and a target in each "
                "domain: the samples are not independent. Intervals are over users for this reason."
            )
        )
    close = look(card, "id_closeness.all")
    if look(card, "id_closeness.ids_follow_purchases"):
        parts.append(
            warning(
                f"The items' ids follow the order of purchases: {small_share(close['targets'])} of the targets lie "
                f"within {look(card, 'id_closeness.within')} ids of an item of their own history, "
                f"{small_share(close['by_chance'])} would by chance. "
                "Whatever reads an id, or breaks ties by it, knows more than it should."
            )
        )
    return parts


def _facts(card: Json) -> list[Part]:
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


def _how_to_read(card: Json) -> list[Part]:
    if look(card, "popularity_drift") is None:
        return []
    return [
        text(
            "Drift is the Jensen-Shannon distance of a split's targets from train's (0 equal, 1 nothing in common). In "
            "parentheses stands what as many targets drawn from train's own distribution give: few targets are far "
            "from it by chance alone, so only the difference tells."
        )
    ]


def _audit(card: Json) -> Part | None:
    entries = [_finding(check, finding) for check, finding in (look(card, "audit") or {}).items()]
    return Bullets(tuple(entries)) if entries else None


def _finding(check: str, finding: Json) -> tuple[Piece, ...]:
    words, times_found = CHECKS.get(check, check.replace("_", " ")), finding.get("found")
    if times_found is None:
        return (f"{words}: not known, there are no timestamps",)
    if not times_found:
        return (f"{words}: none",)
    allowed = {
        True: "; the recipe allows it",
        False: "; the recipe does not allow it",
        None: "; no more than by chance",
    }
    return (
        f"{words}: ",
        Strong(count(times_found)),
        f" ({finding.get('example', '')}{allowed[finding.get('allowed')]})",
    )


def _reading(card: Json) -> list[Part]:
    """What was left out when the raw files were read."""
    files = look(card, "reading.files")
    if not files:
        return []
    rows, bad = sum(file["rows"] for file in files), look(card, "reading.bad_rows") or 0
    said: list[Part] = [text(f"{count(rows)} rows were read, {count(bad)} were left out; files: {len(files)}.")]
    if bad:
        said.append(
            Table(
                ["file", "rows", "left out", "why"],
                [
                    [file["file"], count(file["rows"]), count(number), why]
                    for file in files
                    for why, number in file["bad"].items()
                ],
            )
        )
    for key, words in (
        ("items_with_conflicting_titles", "Items that the metadata gives several titles (the first is taken)"),
        ("titles_cut", "Titles that were cut because they are too long"),
    ):
        sizes = [look(card, f"reading.{key}.{letter}") for letter in "XY"]
        if None not in sizes and any(sizes):
            said.append(text(f"{words}: {count(sizes[0])} in X, {count(sizes[1])} in Y."))
    return said


def _filters(card: Json) -> Part | None:
    steps = filter_steps(card)
    rows = [
        [step, *(count(kept[key]) if key in kept else "–" for key in ("X", "Y", "users", "users_of_both"))]
        for step, kept in steps
    ]
    titled = look(card, "filters.titled_items")
    if titled:
        rows.append(["items with a title in the catalogue", count(titled["X"]), count(titled["Y"]), "–", "–"])
    return Table(["step", "X", "Y", "users", "users of both"], rows) if steps else None


def _examples(card: Json) -> list[Part]:
    """Titles that generated text can hardly tell apart."""
    names = look(card, "domains") or ["X", "Y"]
    entries: list[tuple[Piece, ...]] = []
    for letter, name in zip("XY", names, strict=True):
        for titles in look(card, f"near_duplicate_titles.{letter}.examples") or []:
            entries.append((f"{name}: ", " / ".join(f"“{_cut(title)}”" for title in titles)))
    return [Folded("Examples of titles that are nearly the same", (Bullets(tuple(entries)),))] if entries else []


def _cut(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else f"{title[:LONGEST_TITLE].rstrip()}…"
