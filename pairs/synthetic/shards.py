"""Write the sampled generator's pair: shards of raw Amazon-2023 files, made by several processes.

python -m pairs.synthetic.shards --out DIR --num_users 1000000 --items_per_domain 200000

reviews_Food_00000.jsonl.gz  reviews_Kitchen_00000.jsonl.gz  meta_Food_00000.jsonl.gz  ...  generator.json

A shard's bytes follow from the configuration and the shard's number alone. Each file appears by rename, so a start
after a kill makes the missing ones; `generator.json` says of which configuration those that are there are.
"""

import argparse
import dataclasses
import logging
import operator
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl

from launch.artifacts import PARTIAL, read_json, remove_partials, write_json
from launch.errors import InputError
from launch.processes.orphans import die_with_parent
from launch.stage import entry_point
from pairs.synthetic.exact_files import (
    META_SHARD_ITEMS,
    SUFFIXES,
    create_packed,
    metadata_form,
    noun_names,
    review_form,
    sampled_items,
    synthetic_files,
    user_id,
    write_lines,
)
from pairs.synthetic.market import Ints
from pairs.synthetic.scaled import Purchases, Shop, build_shop, popularity, simulate_users
from pairs.synthetic.words import DOMAINS, NOUNS, REVIEWS, THEMES
from pairs.synthetic_config import SyntheticConfig

RECORD = "generator.json"
FORMAT = 1  # one more whenever the same configuration comes to give other bytes
OURS = re.compile(rf"(reviews|meta)_({'|'.join(DOMAINS)})_\d{{5,}}\.jsonl(\.gz|\.zst)?")
REVIEWS_TAG, META_TAG = 10, 11  # beside the exact generator's 0 to 3
PURCHASES_AT_ONCE, ITEMS_AT_ONCE = 250_000, 50_000  # made and written together: bound the memory
VARIANT_SHARE = 0.25
HELPFUL = 0.6  # chance of no helpful vote, and of no further one
TITLES = ("One Star", "Two Stars", "Three Stars", "Four Stars", "Five Stars")
COMPLAINTS = ("Not what I expected.", "Disappointing.", "Would not buy again.", "Just okay.", "Poor value.", "Meh.")
ABOUT = (  # around the item's name and another noun
    ("This ", " beats the ", " we had."),
    ("Bought the ", " and a ", " as a gift."),
    ("Our second ", "; next comes the ", "."),
    ("We use the ", " more than the ", "."),
    ("My husband wanted the ", " after a poor ", "."),
    ("The ", " looks like the picture, unlike the ", "."),
)
CLOSINGS = (
    "",
    "Arrived on time.",
    "Came well packed and a day early.",
    "The price went up since, so I am glad.",
    "The whole family has tried it by now and everybody has an opinion.",
    "I only wish that the label said more.",
)

log = logging.getLogger(__name__)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Make a pair's raw files without preparing them."""
    parser = _Parser(prog="python -m pairs.synthetic.shards", allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files: new, empty, or to be resumed")
    for name in ("num_users", "items_per_domain"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("mean_interactions", "seed", "shard_users", "workers"):
        parser.add_argument(f"--{name}", type=int, default=getattr(SyntheticConfig, name))
    parser.add_argument("--single_domain_share", type=float, default=SyntheticConfig.single_domain_share)
    parser.add_argument("--compression", choices=tuple(SUFFIXES), default=SyntheticConfig.compression)
    words = vars(parser.parse_args(argv))
    folder = words.pop("out")
    try:
        config = SyntheticConfig(generator="sampled", **words)
    except ValueError as error:
        raise InputError(str(error).replace("pair.synthetic.", "--")) from error
    write_sampled(folder, config)


def write_sampled(folder: Path, config: SyntheticConfig) -> None:
    """Write the shards of `config` that `folder` has not, after removing those of another configuration."""
    assert config.generator == "sampled"
    _begin(folder, config)
    domains = synthetic_files(folder, config)
    tasks: list[Callable[[], None]] = []
    for domain, files in enumerate(domains):
        missing_meta = [(shard, path) for shard, path in enumerate(files.meta) if not path.exists()]
        tasks += [partial(_write_items, path, config, domain=domain, shard=shard) for shard, path in missing_meta]
    for shard, paths in enumerate(zip(*(files.reviews for files in domains), strict=True)):
        missing = {domain: path for domain, path in enumerate(paths) if not path.exists()}
        if missing:
            tasks.append(partial(_write_reviews, missing, config, shard=shard))
    workers = min(config.workers or len(os.sched_getaffinity(0)), len(tasks))
    log.info("%s: %d users, %d shards to write, workers: %d", folder, config.num_users, len(tasks), workers)
    for done, _ in enumerate(_run(tasks, workers), start=1):
        log.info("%d of %d shards written", done, len(tasks))


def _begin(folder: Path, config: SyntheticConfig) -> None:
    """Leave in `folder` only whole shards of `config`."""
    record = {"format": FORMAT, **dataclasses.asdict(config)}
    del record["workers"]  # the result does not depend on it
    path = folder / RECORD
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; choose another")
    if folder.exists() and not path.is_file() and any(not file.name.endswith(PARTIAL) for file in folder.iterdir()):
        raise InputError(f"{folder}: holds other files and no {RECORD}; choose an empty or a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    remove_partials(folder)
    if path.is_file() and read_json(path) == record:
        return
    for file in folder.iterdir():
        if OURS.fullmatch(file.name):
            file.unlink()
    write_json(path, record)


def _run(tasks: list[Callable[[], None]], workers: int) -> Iterator[None]:
    """Call every task, in this process if there is one worker."""
    if workers <= 1:
        yield from map(operator.call, tasks)
        return
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"  # read by polars when a worker, started afresh, imports it
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=die_with_parent) as executor:
            yield from executor.map(operator.call, tasks)
    except BrokenProcessPool as error:
        raise InputError("a worker was killed, perhaps for want of memory; start again with fewer workers") from error
    finally:
        del os.environ["POLARS_MAX_THREADS"]
        if before is not None:
            os.environ["POLARS_MAX_THREADS"] = before


def _write_reviews(paths: dict[int, Path], config: SyntheticConfig, *, shard: int) -> None:
    """Write a shard's reviews of the domains in `paths`, a user's together, oldest first."""
    rng = np.random.default_rng([config.seed, REVIEWS_TAG, shard])
    shop = build_shop(config.items_per_domain)
    first = shard * config.shard_users
    end = min(first + config.shard_users, config.num_users)
    at_once = max(PURCHASES_AT_ONCE // config.mean_interactions, 1)
    with ExitStack() as stack:
        files = {domain: stack.enter_context(create_packed(path, config.compression)) for domain, path in paths.items()}
        for begin in range(first, end, at_once):
            bought = simulate_users(
                rng,
                shop,
                num_users=min(at_once, end - begin),
                mean=config.mean_interactions,
                single_domain_share=config.single_domain_share,
            )
            drawn = _draw_review_columns(rng, bought, first_user=begin)
            for domain, file in files.items():
                rows = np.flatnonzero(bought.domain == domain)
                write_lines(file, _reviews(shop, drawn[rows], bought.item[rows], domain=domain))


def _draw_review_columns(rng: np.random.Generator, bought: Purchases, *, first_user: int) -> pl.DataFrame:
    """What a review has whatever its item, one row a purchase."""
    count = len(bought.user)
    opening, about, closing = rng.integers(len(REVIEWS), size=(3, count))
    opening = np.where(bought.rating > 2, opening, opening + len(REVIEWS))
    before, between, after = (pl.Series(words)[about] for words in zip(*ABOUT, strict=True))
    drawn = pl.DataFrame(
        {
            "user": bought.user + first_user,
            "rating": bought.rating.astype(np.float64),
            "review_title": pl.Series(TITLES)[bought.rating - 1],
            "opening": pl.Series([*REVIEWS, *COMPLAINTS])[opening],
            "before": before,
            "between": between,
            "other": rng.integers(len(THEMES) * NOUNS, size=count),
            "after": after,
            "closing": pl.Series(CLOSINGS)[closing],
            "variant": rng.random(count) < VARIANT_SHARE,
            "helpful_vote": rng.geometric(HELPFUL, size=count) - 1,
            "time": bought.time,
        }
    )
    return drawn.with_columns(user_id=user_id(pl.col("user")))


def _reviews(shop: Shop, drawn: pl.DataFrame, item: Ints, *, domain: int) -> pl.DataFrame:
    """The 2023 form's columns, one row a purchase."""
    words = sampled_items(shop, item, domain=domain)
    other = noun_names(domain)[drawn["other"]]
    named = drawn.with_columns(words["parent_asin"], words["brand"], words["noun"], other=other)
    about = pl.format(
        "{} {}{} {}{}{}{} {}", "opening", "before", "brand", "noun", "between", "other", "after", "closing"
    )
    return review_form(named.with_columns(text=about.str.strip_chars_end()))


def _write_items(path: Path, config: SyntheticConfig, *, domain: int, shard: int) -> None:
    """Write a shard of a domain's metadata."""
    rng = np.random.default_rng([config.seed, META_TAG, domain, shard])
    shop = build_shop(config.items_per_domain)
    end = min((shard + 1) * META_SHARD_ITEMS, config.items_per_domain)
    num_reviews = config.num_users * config.mean_interactions / 2
    with create_packed(path, config.compression) as file:
        for begin in range(shard * META_SHARD_ITEMS, end, ITEMS_AT_ONCE):
            item = np.arange(begin, min(begin + ITEMS_AT_ONCE, end))
            words = sampled_items(shop, item, domain=domain)
            rated = words.with_columns(
                rating_number=rng.poisson(popularity(shop, item, domain=domain) * num_reviews),
                average_rating=rng.normal(4.2, 0.3, size=len(item)).clip(1, 5).round(1),
            )
            write_lines(file, metadata_form(rated, domain=DOMAINS[domain]))


if __name__ == "__main__":
    main()
