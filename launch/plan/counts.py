"""How much data a recipe is about: of the prepared pair, of the generator, or as the user says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.config import Recipe
from launch.errors import InputError

INTERACTIONS = 12
"""Of a user, both domains, where nobody says: the mean of Amazon's 5-core pairs."""
HELD_OUT = 0.1
"""Share of the samples in valid, and as many in test, where the pair is not prepared."""


@dataclass(frozen=True)
class PairSizes:
    """Sizes of a pair."""

    users: int
    items: int
    """Of both domains."""
    interactions: int
    train: int
    """Samples."""
    held_out: int
    """Samples of valid and test together."""
    source: str
    """Where these numbers come from."""
    one_domain: int = 0
    """Users of one domain who teach; never asked."""
    of_one_domain: int = 0
    """Their interactions."""

    @property
    def teachers(self) -> int:
        """Users who say what goes together and what sells."""
        return self.users + self.one_domain

    @property
    def taught(self) -> int:
        """Interactions of these."""
        return self.interactions + self.of_one_domain

    @property
    def kindred(self) -> int:
        """Samples of whom may be kindred to somebody: train's and a row of each who only teaches."""
        return self.train + self.one_domain


def read_counts(
    recipe: Recipe, run_dir: Path, *, users: int | None, items: int | None, interactions: int | None
) -> PairSizes:
    """Sizes as given, of the prepared pair, or of the recipe's generator; InputError where nobody knows."""
    if users is not None and items is not None:
        return guessed(users, items, interactions or users * INTERACTIONS, "given")
    card = run_dir / "pair" / "card.json"
    if card.is_file():
        return of_card(card)
    pair = recipe.sections["pair"]
    if pair.source == "synthetic":
        told = pair.synthetic
        of_each = told.items_per_domain
        return guessed(told.num_users, 2 * of_each, told.num_users * told.mean_interactions, "the recipe's generator")
    raise InputError(
        f"how much data there is, is not known before `kinrec prepare` (no {card}); say it: --users=N --items=N "
        "[--interactions=N]"
    )


def of_card(card: Path) -> PairSizes:
    """The counts of a prepared pair."""
    try:
        told: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        samples = {split: int(told["samples"][split]["all"]) for split in ("train", "valid", "test")}
        return PairSizes(
            users=int(told["users"]["all"]),
            items=sum(int(count) for count in told["items"].values()),
            interactions=sum(int(told["interactions"][split]["all"]) for split in samples),
            train=samples["train"],
            held_out=samples["valid"] + samples["test"],
            source=str(card),
            one_domain=int(told.get("graph_only_users", 0)),
            of_one_domain=int(told.get("graph_only_interactions", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{card}: not the card of a pair; run `kinrec prepare` again") from error


def guessed(users: int, items: int, interactions: int, source: str) -> PairSizes:
    """Sizes of a pair that is not prepared: a sample a user and domain in train, as the splits make them."""
    if min(users, items, interactions) < 1:
        raise InputError(f"users, items and interactions must be at least 1, got {users}, {items}, {interactions}")
    train = 2 * users
    return PairSizes(users, items, interactions, train, round(2 * HELD_OUT * train), source)
