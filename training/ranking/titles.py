"""Every item's title as the model reads and writes it, in prompts/titles/: tokenised once, then mapped."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launch.artifacts import atomic_folder, read_json
from launch.errors import InputError
from pairs.ragged import offsets_of, segments
from pairs.tables import Ints
from training.prompts.pieces import OPENING, OWN, REQUEST, Pieces, Tokens


@dataclass(frozen=True)
class Titles:
    """Tokens of all titles, each with the end token."""

    tokens: Tokens  # [sum of lengths]
    offsets: Ints  # [I + 1]
    empty: tuple[Tokens, Tokens]
    """A prompt without any history, for each asked domain."""

    @property
    def lengths(self) -> Ints:
        """[I]"""
        return np.diff(self.offsets)

    def cut(self, most_tokens: int | None) -> "Titles":
        """Titles of at most so many tokens before their end tokens; null: as they are."""
        if most_tokens is None:
            return self
        kept = np.minimum(self.lengths, most_tokens + 1)
        tokens, offsets = self.tokens[segments(self.offsets[:-1], kept)], offsets_of(kept)
        tokens[offsets[1:] - 1] = self.tokens[self.offsets[1:] - 1]
        return Titles(tokens, offsets, self.empty)


def titles_of(pieces: Pieces) -> Titles:
    """The answers among a prompt's pieces."""
    offsets = pieces.offsets[pieces.answer :]
    empty = [np.concatenate([pieces.piece(part) for part in (OPENING + d, OWN, REQUEST + d)]) for d in (0, 1)]
    return Titles(pieces.tokens[offsets[0] :], offsets - offsets[0], (empty[0], empty[1]))


def write_titles(run_dir: Path, titles: Titles) -> None:
    """Write prompts/titles/."""
    with atomic_folder(_folder(run_dir)) as partial:
        np.save(partial / "tokens.npy", titles.tokens)
        np.save(partial / "offsets.npy", titles.offsets)
        for domain, prompt in enumerate(titles.empty):
            np.save(partial / f"empty_{domain}.npy", prompt)


def read_candidate_titles(run_dir: Path) -> Titles:
    """What is read of each title to rank it: `prompts.max_candidate_tokens` of it."""
    return read_titles(run_dir).cut(read_json(run_dir / "prompts" / "meta.json").get("candidate_tokens"))


def read_titles(run_dir: Path) -> Titles:
    """prompts/titles/, memory-mapped."""
    folder = _folder(run_dir)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; run `kinrec tokenize` first")
    names = ("tokens", "offsets", "empty_0", "empty_1")
    tokens, offsets, *empty = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in names)
    return Titles(tokens, offsets, (empty[0], empty[1]))


def _folder(run_dir: Path) -> Path:
    return run_dir / "prompts" / "titles"
