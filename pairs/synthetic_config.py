"""Configuration of the built-in generator."""

from dataclasses import dataclass
from typing import Literal

from launch.options.fields import Decides, Means
from pairs.synthetic.words import MAX_ITEMS, THEMES

Compression = Literal["gzip", "zstd", "none"]

MIN_ITEMS = 2 * len(THEMES)
MAX_EXACT_USERS = 100_000
MAX_SAMPLED_USERS = 1_000_000_000
MAX_SAMPLED_ITEMS = 10_000_000
MIN_SHARD_USERS = 10


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """The built-in generator: two domains, users whose interests span both."""

    generator: Decides[Literal["exact", "sampled"]] = "exact"
    """exact: knows every purchase's true probabilities, and so the best hit rate that is possible; up to some 20,000
    users. sampled: 10^4 to 10^7 users, in shards."""
    num_users: Decides[int] = 2000
    """Users; every one buys in both domains, but for `single_domain_share`."""
    items_per_domain: Decides[int] = 480
    """Items of each domain, shared out among the themes."""
    mean_interactions: Decides[int] = 18
    """Mean number of purchases of a user, both domains together."""
    seed: Decides[int] = 1
    """Seed of the generator; the recipe's own seed does not change the data."""
    compression: Means[Compression] = "gzip"
    """How the raw files are packed (sampled only)."""
    shard_users: Decides[int] = 100_000
    """Users whose reviews share a file of each domain (sampled only)."""
    workers: Means[int | None] = None
    """Processes that write shards; null: as many as cores. The result does not depend on it (sampled only)."""
    single_domain_share: Decides[float] = 0.0
    """Share of the users who buy in one domain only (sampled only)."""

    def __post_init__(self) -> None:
        if self.generator == "exact":
            self._check_exact()
        else:
            self._check_sampled()
        if not 8 <= self.mean_interactions <= 100:
            raise ValueError(f"pair.synthetic.mean_interactions must be in 8..100, got {self.mean_interactions}")
        if self.seed < 0:
            raise ValueError(f"pair.synthetic.seed must not be negative, got {self.seed}")

    def _check_exact(self) -> None:
        self._check_counts(most_users=MAX_EXACT_USERS, most_items=MAX_ITEMS, more="pair.synthetic.generator=sampled")
        for name in ("compression", "shard_users", "workers", "single_domain_share"):
            value = getattr(self, name)
            if value != getattr(type(self), name):  # the default
                raise ValueError(f"pair.synthetic.{name}={value} goes with pair.synthetic.generator=sampled, got exact")

    def _check_sampled(self) -> None:
        self._check_counts(most_users=MAX_SAMPLED_USERS, most_items=MAX_SAMPLED_ITEMS)
        if self.shard_users < MIN_SHARD_USERS:
            raise ValueError(f"pair.synthetic.shard_users must be at least {MIN_SHARD_USERS}, got {self.shard_users}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"pair.synthetic.workers must be at least 1, got {self.workers}")
        if not 0 <= self.single_domain_share < 1:
            raise ValueError(
                f"pair.synthetic.single_domain_share must be at least 0 and below 1, got {self.single_domain_share}"
            )

    def _check_counts(self, *, most_users: int, most_items: int, more: str | None = None) -> None:
        advice = f"; {more} makes more" if more else ""
        if self.num_users < 10:
            raise ValueError(f"pair.synthetic.num_users must be at least 10, got {self.num_users}")
        if self.num_users > most_users:
            raise ValueError(f"pair.synthetic.num_users must be at most {most_users}, got {self.num_users}{advice}")
        if not MIN_ITEMS <= self.items_per_domain <= most_items:
            given = self.items_per_domain
            more_items = advice if given > most_items else ""
            raise ValueError(
                f"pair.synthetic.items_per_domain must be in {MIN_ITEMS}..{most_items}, got {given}{more_items}"
            )
