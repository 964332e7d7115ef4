"""Where attributes come from: prompts in, answers out. An endpoint (endpoint) or a model at hand (local_model)."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol


class NoAnswer(Exception):  # noqa: N818  it is caught and counted
    """There is no answer to this prompt, however often it was asked; a later run may have more luck."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked about one title; filled in when it is needed, for there may be millions."""

    title_hash: str
    template: str
    domain: str
    title: str

    @property
    def text(self) -> str:
        """The whole prompt."""
        return self.template.replace("{domain}", self.domain).replace("{title}", self.title)


class AttributeSource(Protocol):
    """Something that answers prompts."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def answer(self, prompts: Sequence[Prompt]) -> Generator[tuple[str, str | NoAnswer], None, None]:
        """Title hash and answer of every prompt once, in any order, each as soon as it is there.

        Closing the generator ends the work. InputError where no prompt can be answered.
        """
        ...
