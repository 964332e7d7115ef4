"""Every item's title as the model reads and writes it, in prompts/titles/: tokenised once, then mapped."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launch.artifacts import atomic_folder
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


def titles_of(pieces: Pieces, *, most_tokens: int | None = None) -> Titles:
    """The answers among a prompt's pieces, each cut to at most `most_tokens` before its end token."""
    starts, lengths = pieces.offsets[pieces.answer : -1], pieces.lengths[pieces.answer :]
    kept = lengths if most_tokens is None else np.minimum(lengths, most_tokens + 1)
    tokens, offsets = pieces.tokens[segments(starts, kept)], offsets_of(kept)
    tokens[offsets[1:] - 1] = pieces.tokens[starts + lengths - 1]
    empty = [np.concatenate([pieces.piece(part) for part in (OPENING + d, OWN, REQUEST + d)]) for d in (0, 1)]
    return Titles(tokens, offsets, (empty[0], empty[1]))


def write_titles(run_dir: Path, titles: Titles) -> None:
    """Write prompts/titles/."""
    with atomic_folder(_folder(run_dir)) as partial:
        np.save(partial / "tokens.npy", titles.tokens)
        np.save(partial / "offsets.npy", titles.offsets)
        for domain, prompt in enumerate(titles.empty):
            np.save(partial / f"empty_{domain}.npy", prompt)


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
