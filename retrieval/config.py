"""The recipe's `retrieval` section: which score, which vectors, which index, how many neighbours."""

from dataclasses import dataclass, field
from typing import Literal

from launch.options.fields import Decides, Means
from retrieval.indexes.config import IndexConfig

CANDIDATES = 300
"""Users of whom those are taken who cover together what is expected."""


@dataclass(frozen=True, kw_only=True)
class PartWeights:
    """How much each part counts in a hybrid vector; the score is the weighted mean of the parts' cosines."""

    model: Decides[float] = 0.5
    """User vectors of the graph model."""
    items: Decides[float] = 0.5
    """TF-IDF bag of the history's items, projected. 0.5 beside text 1.0 was chosen on the valid split of Art-Office."""
    text: Decides[float] = 1.0
    """TF-IDF words of the history's titles and attributes, projected."""

    def __post_init__(self) -> None:
        for name in ("model", "items", "text"):
            if getattr(self, name) < 0:
                raise ValueError(f"retrieval.weights.{name} must not be negative, got {getattr(self, name)}")
        if self.model + self.items + self.text == 0:
            raise ValueError("retrieval.weights: at least one weight must be above 0")


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """Find the most similar users of train, and of one domain, for every sample; of train, for those with lists
    (`graph.train_lists`)."""

    score: Decides[Literal["posterior", "vectors"]] = "posterior"
    """posterior: who has what the graph model's evidence expects of the sample; vectors: whose `vectors` are near.
    A graph model without evidence leaves vectors alone."""
    coverage: Decides[bool] = True
    """Each next user for what the earlier ones lack, out of the 300 best; only read where `score` is posterior."""
    recent_items: Decides[int | None] = None
    """Only so many of the latest items of such a user count for `posterior`; null: all. With `prompts.neighbour_items`
    users are chosen by what a prompt is going to show of them."""
    most_holders: Decides[int | None] = 65_536
    """Train histories that `posterior` looks up for a sample: those with its likeliest expected items, until they are
    so many; who is found is scored by all that is expected. null: all histories that hold anything of it, which are
    the more the more users there are. neighbours/quality.json has what is missed."""
    vectors: Decides[Literal["model", "items", "text", "hybrid"]] = "hybrid"
    """What users are compared by: one part alone, or all of them with `weights`."""
    weights: PartWeights = PartWeights()
    """Only read where `vectors` is hybrid."""
    similarity: Decides[Literal["cosine", "inner_product"]] = "cosine"
    """Whether long vectors score higher; inner_product needs `vectors: model`, the other parts are of length one."""
    num_neighbours: Decides[int] = 10
    """Train users written for every sample; fewer only where fewer may be used."""
    past_only: Decides[bool | None] = None
    """Only neighbours whose history ends before the sample's target; null: exactly when the pair has times."""
    index: IndexConfig = field(default_factory=IndexConfig)
    """How the nearest by `vectors` are sought."""
    block: Means[int] = 4096
    """Samples answered, and written to a resumable part, at a time."""
    item_dim: Decides[int] = 256
    """Width of the item-overlap part (truncated SVD)."""
    text_dim: Decides[int] = 256
    """Width of the text part (truncated SVD)."""
    max_fit_rows: Decides[int] = 200_000
    """Train histories, and train items, that the two projections are fitted on at most (drawn with the seed)."""
    quality_at: Decides[list[int]] = field(default_factory=lambda: [1, 5, 10])
    """The k of the hit rates in neighbours/quality.json; those above `num_neighbours` are left out."""

    def __post_init__(self) -> None:
        for name in ("num_neighbours", "block", "item_dim", "text_dim", "max_fit_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"retrieval.{name} must be at least 1, got {getattr(self, name)}")
        if self.recent_items is not None and self.recent_items < 1:
            raise ValueError(f"retrieval.recent_items must be at least 1 or null, got {self.recent_items}")
        if self.most_holders is not None and self.most_holders < 1:
            raise ValueError(f"retrieval.most_holders must be at least 1 or null, got {self.most_holders}")
        if any(k < 1 for k in self.quality_at):
            raise ValueError(f"retrieval.quality_at must hold numbers of at least 1, got {self.quality_at}")
        if self.similarity == "inner_product" and self.vectors != "model":
            raise ValueError(
                f"retrieval.similarity: inner_product needs retrieval.vectors=model, got {self.vectors}; use cosine"
            )

    def part_weights(self) -> dict[str, float]:
        """The parts in use and their weights, which sum to 1."""
        if self.vectors != "hybrid":
            return {self.vectors: 1.0}
        used = {name: getattr(self.weights, name) for name in ("model", "items", "text")}
        total = sum(used.values())
        return {name: weight / total for name, weight in used.items() if weight > 0}
