"""Configuration of `prepare`: where a pair comes from, what is kept of it, how it is split."""

from dataclasses import dataclass, field
from typing import Literal

from pairs.synthetic_words import MAX_ITEMS, THEMES

SplitRule = Literal["released", "time", "last_out", "user"]


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


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """One category pair, from its source to its samples."""

    name: str | None = None
    """Name of the pair; null: the two domains' names joined by a dash."""
    source: Literal["released", "amazon", "synthetic"] = "synthetic"
    """The released Art-Office form, raw Amazon reviews and metadata (2014, 2018, 2023), or the generator."""
    path: str | None = None
    """Folder of the raw files. Amazon: reviews and meta files of exactly two categories."""
    reviews_x: list[str] = field(default_factory=list)
    """Amazon, instead of `path`: review files of domain X."""
    reviews_y: list[str] = field(default_factory=list)
    """Amazon, instead of `path`: review files of domain Y."""
    meta_x: list[str] = field(default_factory=list)
    """Amazon, instead of `path`: metadata files of domain X."""
    meta_y: list[str] = field(default_factory=list)
    """Amazon, instead of `path`: metadata files of domain Y."""
    domains: list[str] = field(default_factory=list)
    """Display names of X and Y, used in prompts; empty: from the file names. X is the first in file-name order."""

    k_core: int = 1
    """Amazon: an item needs this many interactions, a user this many in each domain, to a joint fixpoint."""
    min_interactions: int = 1
    """Amazon: a user needs this many interactions in each domain (above k_core to matter)."""
    max_history: int = 100
    """Most recent interactions kept in a history."""
    min_history: int = 1
    """Interactions that a history needs for its sample to be kept."""

    splits: SplitRule | None = None
    """`released`; `time`: two global cuts; `last_out`: a user's last in each domain is test, the one before valid;
    `user`: users are divided. Null: `released` for a released pair, else `time`."""
    valid_share: float = 0.1
    """Share of the interactions between the two cuts (`time`), or of the users (`user`)."""
    test_share: float = 0.1
    """Share of the interactions after the later cut (`time`), or of the users (`user`)."""
    samples_per_user: int = 1
    """Train samples of one user in one domain at most: his last interactions before the cut."""
    split_seed: int = 1
    """Seed that divides the users (`user`); the recipe's own seed does not change the split."""

    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    """The generator, when `source` is synthetic."""

    def __post_init__(self) -> None:
        for name in ("k_core", "min_interactions", "max_history", "min_history", "samples_per_user"):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"pair.{name} must be at least 1, got {value}")
        for name in ("valid_share", "test_share"):
            share: float = getattr(self, name)
            if not 0 < share < 1:
                raise ValueError(f"pair.{name} must be between 0 and 1, got {share}")
        held_out = self.valid_share + self.test_share
        if held_out >= 1:
            raise ValueError(f"pair.valid_share + pair.test_share must be below 1, got {held_out}")
        if len(self.domains) not in (0, 2) or len(set(self.domains)) != len(self.domains):
            raise ValueError(f"pair.domains must be two different names or none, got {self.domains}")
        if (self.splits == "released") != (self.source == "released") and self.splits is not None:
            raise ValueError(f"pair.splits={self.splits} does not go with pair.source={self.source}")
        self._check_files()

    @property
    def split_rule(self) -> SplitRule:
        """`splits` with null resolved."""
        return self.splits or ("released" if self.source == "released" else "time")

    def _check_files(self) -> None:
        lists = {name: getattr(self, name) for name in ("reviews_x", "reviews_y", "meta_x", "meta_y")}
        given = [name for name, files in lists.items() if files]
        if given and self.source != "amazon":
            raise ValueError(f"pair.{given[0]} goes with pair.source=amazon, got pair.source={self.source}")
        if given and self.path is not None:
            raise ValueError(f"pair.path and pair.{given[0]} are both given; keep one")
        missing = [name for name in lists if name not in given]
        if given and missing:
            raise ValueError(f"pair.{missing[0]} is empty while pair.{given[0]} is given; list both domains' files")
        if self.path is not None and self.source == "synthetic":
            raise ValueError("pair.path is given while pair.source is synthetic; set pair.source to released or amazon")
