"""Find the raw files of a pair: those that the recipe lists, or the two categories in its folder, by name.

A category's file may be in shards, NAME_00000 and so on, from 0 or 1 without a gap: they are one domain's.
"""

import logging
import re
from collections import Counter
from pathlib import Path

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.finding.look_inside import holds_reviews
from pairs.finding.same_files import refuse_same_files
from pairs.reading.raw_files import RawFiles, existing_folder, refuse_other_than_file

SUFFIX = r"(?:_(?P<shard>\d{5,}))?(?:\.jsonl?|(?P<csv>\.csv))(?:\.gz|\.zst)?"
META = re.compile(rf"meta_(?P<name>.+?){SUFFIX}")
REVIEWS = re.compile(rf"(?P<plainly>reviews_|ratings_)?(?P<name>(?!meta_).+?)(?:_5)?{SUFFIX}")
Shards = dict[str, list[tuple[int | None, Path]]]
"""Category -> number of the shard, or None for a whole file, and the file."""
log = logging.getLogger(__name__)


def find_files(config: PairConfig) -> tuple[RawFiles, RawFiles]:
    """The files of X and of Y: those that the recipe lists, or the two categories in its folder, by name."""
    x, y = _listed(config) if config.reviews_x else _of_folder(existing_folder(config), config)
    refuse_same_files(x.reviews, y.reviews)
    return _named(x, 0, config), _named(y, 1, config)


def _listed(config: PairConfig) -> tuple[RawFiles, RawFiles]:
    return (
        RawFiles("X", _existing(config.reviews_x), _existing(config.meta_x)),
        RawFiles("Y", _existing(config.reviews_y), _existing(config.meta_y)),
    )


def _of_folder(folder: Path, config: PairConfig) -> tuple[RawFiles, RawFiles]:
    meta, reviews = ({n: _in_order(n, k, shards) for n, shards in by.items()} for k, by in _by_category(folder).items())
    lonely = sorted(set(meta) - set(reviews))
    if lonely:
        raise InputError(f"{folder}: meta_{lonely[0]} has no reviews_{lonely[0]}.jsonl[.gz] beside it; add that file")
    untitled = sorted(set(reviews) - set(meta))
    if untitled and config.require_title:
        raise InputError(
            f"{reviews[untitled[0]][0]} has no meta_{untitled[0]}.jsonl[.gz] beside it; add that file, move the "
            "reviews away, or take ids for titles with pair.require_title=false"
        )
    if len(reviews) != 2:
        categories = ", ".join(sorted(reviews)) or "no meta_NAME.jsonl[.gz]"
        raise InputError(
            f"{folder}: holds the files of {len(reviews)} categories ({categories}), "
            "a pair needs two; list them in pair.reviews_x, pair.meta_x, pair.reviews_y, pair.meta_y"
        )
    x, y = (RawFiles(name, reviews[name], meta.get(name, [])) for name in sorted(reviews))
    return x, y


def _by_category(folder: Path) -> dict[str, Shards]:
    """The folder's metadata and reviews. What only might be reviews by its name is, if it holds reviews."""
    kinds: dict[str, Shards] = {"metadata": {}, "reviews": {}}
    doubtful: Shards = {}
    for path in sorted(folder.iterdir()):
        meta, reviews = META.fullmatch(path.name), REVIEWS.fullmatch(path.name)
        match = meta or reviews
        if match is None or (meta and meta["csv"]) or path.name.startswith("."):
            continue
        refuse_other_than_file(path)
        shard = (int(match["shard"]) if match["shard"] else None, path)
        kind = kinds["metadata"] if meta else kinds["reviews"] if match["plainly"] else doubtful
        kind.setdefault(match["name"], []).append(shard)
    for name, shards in doubtful.items():
        known = name in kinds["metadata"] or name in kinds["reviews"]
        if known or any(holds_reviews(path) for _, path in shards):
            kinds["reviews"].setdefault(name, []).extend(shards)
        else:
            log.info("%s: holds no reviews: left alone", shards[0][1])
    return kinds


def _in_order(name: str, kind: str, shards: list[tuple[int | None, Path]]) -> list[Path]:
    """A category's files by number; refused where one is there twice or missing."""
    numbers = Counter(number for number, _ in shards)
    twice = [path for number, path in shards if numbers[number] > 1 or (None in numbers and len(shards) > 1)]
    if twice:
        raise InputError(
            f"{twice[0]} and {twice[1].name} are both of category {name}; remove one, or list the files in "
            "pair.reviews_x, pair.meta_x, pair.reviews_y, pair.meta_y"
        )
    if None not in numbers:
        first = 0 if 0 in numbers else 1
        missing = next((number for number in range(first, first + len(shards)) if number not in numbers), None)
        if missing is not None:
            raise InputError(
                f"{shards[0][1].parent}: shard {missing} of {name}'s {kind} is missing; add it, or list the files "
                "that are meant in pair.reviews_x, pair.meta_x, pair.reviews_y, pair.meta_y"
            )
    return [path for _, path in sorted(shards, key=lambda shard: shard[0] or 0)]


def _existing(names: list[str]) -> list[Path]:
    paths = [Path(name) for name in names]
    for path in paths:
        refuse_other_than_file(path)
    return paths


def _named(files: RawFiles, domain: int, config: PairConfig) -> RawFiles:
    name = files.name.replace("_", " ")
    if config.reviews_x and files.meta:
        match = META.fullmatch(files.meta[0].name)
        name = match["name"].replace("_", " ") if match else files.name
    return RawFiles(config.domains[domain] if config.domains else name, files.reviews, files.meta)
