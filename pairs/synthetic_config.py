"""Configuration of the built-in generator."""

from dataclasses import dataclass

from pairs.synthetic_words import MAX_ITEMS, THEMES


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """The built-in generator: two domains, users whose interests span both."""

    num_users: int = 2000
    """Users; every one buys in both domains."""
    items_per_domain: int = 480
    """Items of each domain, shared out among the themes."""
    mean_interactions: int = 18
    """Mean number of purchases of a user, both domains together."""
    seed: int = 1
    """Seed of the generator; the recipe's own seed does not change the data."""

    def __post_init__(self) -> None:
        if self.num_users < 10:
            raise ValueError(f"pair.synthetic.num_users must be at least 10, got {self.num_users}")
        if not 2 * len(THEMES) <= self.items_per_domain <= MAX_ITEMS:
            allowed = f"{2 * len(THEMES)}..{MAX_ITEMS}"
            raise ValueError(f"pair.synthetic.items_per_domain must be in {allowed}, got {self.items_per_domain}")
        if not 8 <= self.mean_interactions <= 100:
            raise ValueError(f"pair.synthetic.mean_interactions must be in 8..100, got {self.mean_interactions}")
