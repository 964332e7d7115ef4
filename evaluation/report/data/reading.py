"""What was read of a pair, what was left out and why, and what a leak audit found in the rest."""

from collections.abc import Mapping
from typing import Any

from evaluation.report.card_values import count, filter_steps, look
from evaluation.report.report_parts import Bullets, Part, Piece, Strong, Table, text

Json = Mapping[str, Any]  # Any: plain JSON values
CHECKS = {
    "train_later_than_held_out": "train targets later than a held-out one",
    "user_in_two_splits": "users in two splits",
    "user_later_in_earlier_split": "samples later than one that is held out of the same user",
    "history_later_than_target": "histories with an item later than the target",
    "target_in_history": "targets that are in their own history",
    "held_out_in_train": "held-out targets among an earlier split's interactions",
    "identical_histories": "held-out histories that equal another user's in an earlier split",
}


def reading_parts(card: Json) -> list[Part]:
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


def filter_table(card: Json) -> Part | None:
    """Interactions and users after each step."""
    steps = filter_steps(card)
    rows = [
        [step, *(count(kept[key]) if key in kept else "–" for key in ("X", "Y", "users", "users_of_both"))]
        for step, kept in steps
    ]
    titled = look(card, "filters.titled_items")
    if titled:
        rows.append(["items with a title in the catalogue", count(titled["X"]), count(titled["Y"]), "–", "–"])
    return Table(["step", "X", "Y", "users", "users of both"], rows) if steps else None


def audit_findings(card: Json) -> Part | None:
    """Every check and how often it struck."""
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
