"""Configuration of `prepare`: where a pair comes from, what is kept of it, how it is split."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from launch.options.fields import Decides, Means
from pairs.attributes_config import LlmAttributesConfig
from pairs.synthetic_config import SyntheticConfig

LeakCheck = Literal[
    "user_in_two_splits",
    "user_later_in_earlier_split",
    "history_later_than_target",
    "train_later_than_held_out",
    "target_in_history",
    "held_out_in_train",
    "identical_histories",
]
AttributeKind = Literal["categories", "brand", "features"]
SplitRule = Literal["released", "given", "time", "last_out", "last_one_out", "user"]
SPLIT_AS_IT_IS: dict[str, SplitRule] = {"released": "released", "samples": "given"}
"""Sources of samples, which are taken as they are, and the word for their splits."""
SIFTING = (
    *("min_rating", "time_from", "time_to", "duplicates", "users", "k_core", "min_interactions", "max_history"),
    *("min_history", "valid_share", "test_share", "samples_per_user"),
)
"""What says which interactions are kept, and how samples are made of them."""
BYTES_PER_INTERACTION = 1024
"""Peak bytes for each interaction that is worked on at the same time, measured (bench/pairs.py), with room."""


@dataclass(frozen=True, kw_only=True)
class ColumnsConfig:
    """Which column of other people's tables is what (`source: tables`)."""

    user: Decides[str] = "user"
    """Interactions: the user's id."""
    item: Decides[str] = "item"
    """Interactions and items: the item's id."""
    time: Decides[str] = "time"
    """Interactions: when."""
    time_format: Decides[str | None] = None
    """How `time` is written, as in strptime ("%Y-%m-%d %H:%M:%S"); null: a number of seconds, milli-, micro- or
    nanoseconds (told apart by size), or a date column of a Parquet file."""
    rating: Decides[str | None] = None
    """Interactions: the rating; null: none."""
    title: Decides[str | None] = "title"
    """Items: the title; null: none."""
    attributes: Decides[list[str]] = field(default_factory=list)
    """Items: columns of text, or lists of text, whose words are the attributes."""


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """One category pair, from its source to its samples."""

    name: Decides[str | None] = None
    """Name of the pair; null: the two domains' names joined by a dash."""
    source: Decides[Literal["released", "samples", "amazon", "tables", "synthetic"]] = "synthetic"
    """The released Art-Office form; samples and items of your own; raw Amazon reviews (or "ratings only" CSVs) and
    metadata of 2014, 2018 or 2023; Parquet, CSV or JSON-lines tables with the columns that `columns` names; or the
    generator."""
    path: Decides[str | None] = None
    """Folder of the raw files. Amazon: reviews and meta files of exactly two categories."""
    reviews_x: Decides[list[str]] = field(default_factory=list)
    """Amazon (instead of `path`) and tables: files of interactions of domain X."""
    reviews_y: Decides[list[str]] = field(default_factory=list)
    """The same of domain Y."""
    meta_x: Decides[list[str]] = field(default_factory=list)
    """Amazon (instead of `path`) and tables: files of items of domain X; none only without `require_title`."""
    meta_y: Decides[list[str]] = field(default_factory=list)
    """The same of domain Y."""
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    """The columns of other people's tables."""
    ratings_order: Decides[Literal["auto", "user_item", "item_user"]] = "auto"
    """"Ratings only" CSVs without a header: user,item,rating,timestamp (2014) or item,user,rating,timestamp (2018);
    auto: by the form of the ids, refused where they do not tell."""
    max_bad_share: Decides[float] = 1e-4
    """Share of a file's rows that may be unusable: left out, counted in the card, and warned of. More stop the run."""
    attributes: Decides[list[AttributeKind]] = field(default_factory=lambda: ["categories", "brand"])
    """Amazon: what an item's attributes are the words of. Features are sentences: many words, few that tell."""
    max_title_chars: Decides[int] = 1000
    """Longer titles are cut at a word."""
    domains: Decides[list[str]] = field(default_factory=list)
    """Display names of X and Y, used in prompts; empty: from the file names. X is the first in file-name order."""

    min_rating: Decides[float | None] = None
    """Amazon and tables: interactions rated lower, or not rated, are left out."""
    time_from: Decides[str | None] = None
    """Amazon and tables: interactions before this date or time (ISO 8601; UTC unless it says otherwise) are
    left out."""
    time_to: Decides[str | None] = None
    """Amazon and tables: interactions at this date or time, or after it, are left out."""
    duplicates: Decides[Literal["first", "last", "all"]] = "first"
    """What is kept of a user's interactions with one item; all: repeat purchases are real (see `audit_allow`)."""
    users: Decides[Literal["both", "either"]] = "both"
    """Whether a user needs the floors below in each domain or in one; the card counts users of one domain only."""
    graph_users: Decides[Literal["none", "one_domain"]] = "none"
    """one_domain: users who miss the floors in one domain but keep them in the other teach what goes together and what
    sells when, graphs and baselines, and are never asked (pair/graph_only.parquet); where there are times, with what
    they did as long as it may be known. Of samples and released pairs: the users of the file `one_domain`."""
    require_title: Decides[bool] = True
    """Whether an item without a title is left out; otherwise its id stands for the title."""
    k_core: Decides[int] = 1
    """Amazon: an item needs this many interactions, a user this many in each domain, to a joint fixpoint."""
    min_interactions: Decides[int] = 1
    """Amazon: a user needs this many interactions in each domain (above k_core to matter)."""
    max_history: Decides[int] = 100
    """Most recent interactions kept in a history."""
    min_history: Decides[int] = 1
    """Interactions that a history needs for its sample to be kept."""

    splits: Decides[SplitRule | None] = None
    """`released`, `given`: as the samples say, if there are any; `time`: two global cuts; `last_out`: a user's last in
    each domain is test, the one before valid; `last_one_out`: a user's last of all is test, the one before valid,
    whatever their domains; `user`: users are divided. Null: as the samples say, else `time`."""
    valid_share: Decides[float] = 0.1
    """Share of the interactions between the two cuts (`time`), or of the users (`user`)."""
    test_share: Decides[float] = 0.1
    """Share of the interactions after the later cut (`time`), or of the users (`user`)."""
    samples_per_user: Decides[int] = 1
    """Train samples of one user in one domain (`last_one_out`: in both together) at most: his last interactions before
    the cut."""
    split_seed: Decides[int] = 1
    """Seed that divides the users (`user`) and draws in which order items are numbered (samples, amazon and tables);
    the recipe's own seed changes neither."""

    memory_gib: Means[float] = 2.0
    """Memory that the preparation of interactions keeps to, about; what does not fit waits on disk in the run's folder.
    The catalogue's ids and a few numbers for every item, user and sample come on top. The result does not depend on
    it."""

    llm_attributes: LlmAttributesConfig = field(default_factory=LlmAttributesConfig)
    """Attributes by a language model."""

    audit_allow: Decides[list[LeakCheck] | None] = None
    """Findings of the leak audit that do not end the run. Null: none, but `target_in_history` where repeat purchases
    are meant: with `duplicates=all`, and in a released pair, whose samples are taken as they were published."""

    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    """The generator, when `source` is synthetic."""

    def __post_init__(self) -> None:
        for name in ("k_core", "min_interactions", "max_history", "min_history", "samples_per_user", "max_title_chars"):
            value: int = getattr(self, name)
            if value < 1:
                raise ValueError(f"pair.{name} must be at least 1, got {value}")
        for name in ("valid_share", "test_share"):
            share: float = getattr(self, name)
            if not 0 < share < 1:
                raise ValueError(f"pair.{name} must be between 0 and 1, got {share}")
        if not 0 <= self.max_bad_share < 1:
            raise ValueError(f"pair.max_bad_share must be at least 0 and below 1, got {self.max_bad_share}")
        if not self.memory_gib > 0:
            raise ValueError(f"pair.memory_gib must be positive, got {self.memory_gib}")
        held_out = self.valid_share + self.test_share
        if held_out >= 1:
            raise ValueError(f"pair.valid_share + pair.test_share must be below 1, got {held_out}")
        if len(self.domains) not in (0, 2) or len(set(self.domains)) != len(self.domains):
            raise ValueError(f"pair.domains must be two different names or none, got {self.domains}")
        own_rule = SPLIT_AS_IT_IS.get(self.source)
        if self.splits is not None and (own_rule or self.splits) != self.splits:
            raise ValueError(f"pair.splits={self.splits} does not go with pair.source={self.source}")
        if self.splits in SPLIT_AS_IT_IS.values() and own_rule is None:
            raise ValueError(f"pair.splits={self.splits} does not go with pair.source={self.source}")
        begin, end = self.time_window
        if begin is not None and end is not None and begin >= end:
            raise ValueError(f"pair.time_from={self.time_from} must be before pair.time_to={self.time_to}")
        given = [name for name in SIFTING if getattr(self, name) != getattr(PairConfig, name)]
        if given and own_rule:
            raise ValueError(f"pair.{given[0]} does not go with pair.source={self.source}, which is taken as it is")
        if self.graph_users != "none" and self.users == "either":
            raise ValueError(f"pair.graph_users={self.graph_users} does not go: pair.users=either has all")
        self._check_files()

    @property
    def floor(self) -> int:
        """Interactions that a user needs in each domain."""
        return max(self.k_core, self.min_interactions)

    @property
    def band_rows(self) -> int:
        """Interactions that are worked on at the same time."""
        return max(int(self.memory_gib * 2**30 / BYTES_PER_INTERACTION), 1)

    @property
    def time_window(self) -> tuple[int | None, int | None]:
        """`time_from` and `time_to` in seconds."""
        return _seconds("time_from", self.time_from), _seconds("time_to", self.time_to)

    @property
    def allowed_findings(self) -> list[LeakCheck]:
        """`audit_allow` with null resolved."""
        if self.audit_allow is not None:
            return self.audit_allow
        return ["target_in_history"] if self.duplicates == "all" or self.source == "released" else []

    @property
    def split_rule(self) -> SplitRule:
        """`splits` with null resolved."""
        return self.splits or SPLIT_AS_IT_IS.get(self.source, "time")

    def _check_files(self) -> None:
        lists = {name: getattr(self, name) for name in ("reviews_x", "reviews_y", "meta_x", "meta_y")}
        given = [name for name, files in lists.items() if files]
        if given and self.source not in ("amazon", "tables"):
            raise ValueError(f"pair.{given[0]} goes with pair.source=amazon or tables, got pair.source={self.source}")
        if self.source == "tables" and self.path is not None:
            raise ValueError(
                "pair.path does not go with pair.source=tables; list pair.reviews_x, meta_x, reviews_y, meta_y"
            )
        if given and self.path is not None:
            raise ValueError(f"pair.path and pair.{given[0]} are both given; keep one")
        missing = [name for name in lists if name not in given]
        if not self.require_title and missing == ["meta_x", "meta_y"]:
            missing = []
        if (given or self.source == "tables") and missing:
            raise ValueError(
                f"pair.{missing[0]} is empty; list both domains' files (no metadata: pair.require_title=false)"
            )
        if self.path is not None and self.source == "synthetic":
            raise ValueError("pair.path is given while pair.source is synthetic; set pair.source")


def _seconds(name: str, moment: str | None) -> int | None:
    if moment is None:
        return None
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise ValueError(f"pair.{name} must be a date like 2015-01-31, or a time, got {moment!r}") from error
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
