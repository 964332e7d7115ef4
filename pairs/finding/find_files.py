"""Find the raw files of a pair: those that the recipe lists, or the two categories in its folder, by name."""

import re
from pathlib import Path

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.reading.raw_files import RawFiles, existing_folder

SUFFIX = r"\.jsonl?(?:\.gz|\.zst)?"
META = re.compile(rf"meta_(?P<name>.+?){SUFFIX}")
REVIEWS = re.compile(rf"(?:reviews_|ratings_)?(?P<name>(?!meta_).+?)(?:_5)?(?:{SUFFIX}|\.csv(?:\.gz|\.zst)?)")


def find_files(config: PairConfig) -> tuple[RawFiles, RawFiles]:
    """The files of X and of Y: those that the recipe lists, or the two categories in its folder, by name."""
    if config.reviews_x:
        x = RawFiles("X", _existing(config.reviews_x), _existing(config.meta_x))
        y = RawFiles("Y", _existing(config.reviews_y), _existing(config.meta_y))
        return _named(x, 0, config), _named(y, 1, config)
    folder = existing_folder(config)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    meta = _by_category(files, META)
    reviews = {name: paths for name, paths in _by_category(files, REVIEWS).items() if name in meta}
    for name, paths in [*meta.items(), *reviews.items()]:
        if len(paths) > 1:
            raise InputError(
                f"{paths[0]} and {paths[1].name} are both of category {name}; remove one, or list the files in "
                "pair.reviews_x, pair.meta_x, pair.reviews_y, pair.meta_y"
            )
    lonely = sorted(set(meta) - set(reviews))
    if lonely:
        raise InputError(f"{folder}: meta_{lonely[0]} has no reviews_{lonely[0]}.jsonl[.gz] beside it; add that file")
    if len(meta) != 2:
        found = ", ".join(sorted(meta)) or "no meta_NAME.jsonl[.gz]"
        raise InputError(
            f"{folder}: holds the files of {len(meta)} categories ({found}), "
            "a pair needs two; list them in pair.reviews_x, pair.meta_x, pair.reviews_y, pair.meta_y"
        )
    x, y = (RawFiles(name, reviews[name], meta[name]) for name in sorted(meta))
    return _named(x, 0, config), _named(y, 1, config)


def _by_category(files: list[Path], pattern: re.Pattern[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files:
        match = pattern.fullmatch(path.name)
        if match:
            found.setdefault(match["name"], []).append(path)
    return found


def _existing(names: list[str]) -> list[Path]:
    paths = [Path(name) for name in names]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    return paths


def _named(files: RawFiles, domain: int, config: PairConfig) -> RawFiles:
    name = files.name.replace("_", " ")
    if config.reviews_x and files.meta:
        match = META.fullmatch(files.meta[0].name)
        name = match["name"].replace("_", " ") if match else files.name
    return RawFiles(config.domains[domain] if config.domains else name, files.reviews, files.meta)
