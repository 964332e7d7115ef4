"""Values of the data card, which may lack any of them: cards of older runs do."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]  # Any: plain JSON values
SPLITS = ("train", "valid", "test")
LONGEST_NAME = 25
STEPS = {
    "read": "read",
    "rated": "rated well enough",
    "in_window": "inside the time window",
    "without_repeats": "each purchase once",
    "with_title": "item has a title",
    "kept": "enough per user and item",
}
"""The filters' steps in words; `titled_items` counts items and is no step."""


def look(value: Any, path: str) -> Any:  # Any: plain JSON values
    """The value at a path such as `users.train`; None where there is none."""
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def present_splits(by_split: Any) -> list[str]:  # Any: plain JSON values
    """The splits that an entry of the card has something for, in order."""
    return [split for split in SPLITS if look(by_split, split)]


def count(value: float) -> str:
    """12,345; what is no whole number keeps its digits."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"


def share(value: float) -> str:
    """0.1234 as 12.3 %."""
    return f"{100 * value:.1f} %"


def small_share(value: float) -> str:
    """0.0005787 as 0.0579 %."""
    return f"{100 * value:.3g} %"


def day(date: str) -> str:
    """The day of a time."""
    return date[:10]


def domain_label(card: Json, letter: str) -> str:
    """`X: art`, short enough for a legend."""
    names = look(card, "domains") or ["X", "Y"]
    name = shorten(str(names["XY".index(letter)]))
    return letter if name == letter else f"{letter}: {name}"


def shorten(name: str, longest: int = LONGEST_NAME) -> str:
    """A name of the data that fits a legend."""
    line = "".join(letter if letter.isprintable() else " " for letter in name)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def filter_steps(card: Json) -> list[tuple[str, Json]]:
    """The filters' steps, in words and in order, with what was there after each."""
    filters = look(card, "filters") or {}
    return [
        (STEPS.get(step, step.replace("_", " ")), kept)
        for step, kept in filters.items()
        if step != "titled_items" and "X" in kept and "Y" in kept
    ]
