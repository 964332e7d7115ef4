"""The report's section on the data: what the pair is like and what must be known before its numbers are trusted.

Every line stands only where the card holds its value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.report.card_values import look, share, small_share
from evaluation.report.data.facts import data_facts
from evaluation.report.data.reading import audit_findings, filter_table, reading_parts
from evaluation.report.data.section_tables import class_table, domain_table, split_table
from evaluation.report.report_parts import (
    Bullets,
    Figure,
    Figures,
    Folded,
    Heading,
    Part,
    Piece,
    text,
    warning,
)

Json = Mapping[str, Any]  # Any: plain JSON values
LONGEST_TITLE = 200


def data_parts(card: Json, figures: Sequence[Figure]) -> list[Part]:
    """The section, without its heading."""
    if not card:
        return [text("There is no data card.")]
    return [
        *_warnings(card),
        *data_facts(card),
        *_titled("By domain", domain_table(card)),
        *_titled("By split", split_table(card), *_how_to_read(card)),
        *_titled("Targets by how often train shows them", class_table(card)),
        *_titled("The data in plots", Figures(tuple(figures)) if figures else None),
        *_titled("Leak audit", audit_findings(card)),
        *_titled("What was read", *reading_parts(card)),
        *_titled("What the filters left", filter_table(card)),
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
