"""What a tuned model is asked, whether it writes or ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pairs.tables import Ints
from training.answers.answer_lists import Answers
from training.answers.config import GenerationConfig
from training.ranking.candidates import CandidateLists


@dataclass(frozen=True)
class Questions:
    """Prompts of B samples and the items that may be ranked."""

    sample: Ints  # [B]
    prompts: Sequence[Sequence[int]]
    domain: Ints  # [B], the asked
    candidates: CandidateLists


class Answering(Protocol):
    """A loaded model that answers."""

    @property
    def config(self) -> GenerationConfig: ...

    @property
    def settings(self) -> dict[str, object]:
        """What generated/generation.json says of how it answers."""
        ...

    def answer(self, asked: Questions) -> Answers:
        """Ranked lists and the texts that they come from, for a batch."""
        ...

    def tokens(self, prompt_lengths: Ints, candidates: CandidateLists) -> Ints:
        """[B] tokens that are read at once of each question."""
        ...
