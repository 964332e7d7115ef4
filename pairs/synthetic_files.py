"""Write the synthetic pair as raw Amazon-2023 files: reviews and metadata of two categories, and the true ceiling.

reviews_Food.jsonl.gz  meta_Food.jsonl.gz  reviews_Kitchen.jsonl.gz  meta_Kitchen.jsonl.gz  ceiling.parquet
"""

import gzip
import shutil
from pathlib import Path

import numpy as np
import polars as pl

from launch.artifacts import atomic_folder
from pairs.synthetic import TOP, Ints, Market, build_market, simulate
from pairs.synthetic_config import SyntheticConfig
from pairs.synthetic_words import COMBINATIONS, DOMAINS, NOUNS, REVIEWS, ROOT_CATEGORY, SIZES, STYLES, THEMES
from pairs.tables import Samples, Split

SCRAMBLE = 2_654_435_761  # odd, so a bijection modulo a power of two: ids that look like ids and are unique
CEILING = "ceiling.parquet"


def write_synthetic(folder: Path, config: SyntheticConfig) -> None:
    """Generate the pair into `folder`, which appears whole."""
    market = build_market(config)
    purchases = simulate(config, market)
    with atomic_folder(folder) as partial:
        known = []
        for domain, name in enumerate(DOMAINS):
            catalogue = make_catalogue(market, domain=domain, seed=config.seed)
            bought = purchases.filter(pl.col("domain") == domain).join(catalogue, on=["theme", "place"], how="left")
            bought = bought.sort("time", "user").with_columns(user_id=_user_id(pl.col("user")))
            _write_lines(partial / f"reviews_{name}.jsonl.gz", as_reviews(bought, seed=config.seed + domain))
            _write_lines(partial / f"meta_{name}.jsonl.gz", as_metadata(catalogue, bought, domain=name))
            known.append(bought.select("user_id", "parent_asin", "ceiling"))
        pl.concat(known).write_parquet(partial / CEILING)


def make_catalogue(market: Market, *, domain: int, seed: int) -> pl.DataFrame:
    """theme, place, parent_asin, brand, modifier, noun, size, title of every item of a domain; titles are unique."""
    rng = np.random.default_rng([seed, 2, domain])
    name, themes, styles = DOMAINS[domain], list(THEMES), list(STYLES)
    theme, place = np.nonzero(market.weight[domain])
    style = market.style[domain][theme, place]
    noun = (market.position[place] * NOUNS).astype(np.int64)
    combination = _draw_distinct(rng, group=(theme * len(styles) + style) * NOUNS + noun)
    rows = []
    for t, s, n, c in zip(theme.tolist(), style.tolist(), noun.tolist(), combination.tolist(), strict=True):
        words = STYLES[styles[s]]
        brand, rest = divmod(c, 25)
        rows.append((themes[t], words["brands"][brand], words[name][rest // 5], THEMES[themes[t]][name][n], rest % 5))
    table = pl.DataFrame(rows, schema=["theme_name", "brand", "modifier", "noun", "size_index"], orient="row")
    index = pl.Series(np.arange(len(theme)) * 2 + domain + 1)
    return table.with_columns(
        theme=pl.Series(theme),
        place=pl.Series(place),
        size=pl.col("size_index").replace_strict(dict(enumerate(SIZES[name])), return_dtype=pl.String),
        parent_asin=pl.Series([f"B0{i * SCRAMBLE % 2**32:08X}" for i in index]),
    ).with_columns(title=pl.format("{} {} {}, {}", "brand", "modifier", "noun", "size"))  # fmt: skip


def as_reviews(bought: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """The 2023 form's columns, one row a purchase."""
    rng = np.random.default_rng([seed, 3])
    texts = pl.Series(np.array(REVIEWS)[rng.integers(len(REVIEWS), size=bought.height)])
    ratings = pl.Series(rng.choice([3.0, 4.0, 5.0], p=[0.15, 0.3, 0.55], size=bought.height))
    variant = pl.Series(rng.random(bought.height) < 0.25)  # a colour or size sold under its own asin
    return bought.select(
        rating=ratings,
        title=pl.lit("Review"),
        text=texts,
        images=pl.lit([], dtype=pl.List(pl.String)),
        asin=pl.when(variant).then(pl.col("parent_asin").str.replace("^B0", "B1")).otherwise("parent_asin"),
        parent_asin="parent_asin",
        user_id="user_id",
        timestamp="time",
        helpful_vote=pl.lit(0),
        verified_purchase=pl.lit(True),
    )


def as_metadata(catalogue: pl.DataFrame, bought: pl.DataFrame, *, domain: str) -> pl.DataFrame:
    """The 2023 form's columns, one row an item."""
    counts = bought.group_by("parent_asin").len("rating_number")
    counted = catalogue.join(counts, on="parent_asin", how="left", maintain_order="left")
    return counted.select(
        main_category=pl.lit(ROOT_CATEGORY[domain]),
        title="title",
        average_rating=pl.lit(4.4),
        rating_number=pl.col("rating_number").fill_null(0),
        features=pl.concat_list("modifier", "size"),
        description=pl.concat_list(pl.format("{} for {} lovers.", "noun", pl.col("theme_name").str.to_lowercase())),
        price=pl.lit(None, pl.Float64),
        images=pl.lit([], dtype=pl.List(pl.String)),
        videos=pl.lit([], dtype=pl.List(pl.String)),
        store="brand",
        categories=pl.concat_list(pl.lit(ROOT_CATEGORY[domain]), "theme_name", "noun"),
        details=pl.struct(Brand="brand", Size="size"),
        parent_asin="parent_asin",
        bought_together=pl.lit(None, pl.String),
    )


def describe_generator(
    folder: Path, config: SyntheticConfig, samples: dict[Split, Samples], items: pl.DataFrame, users: pl.DataFrame
) -> dict[str, object]:
    """The card's entry: the best hit rate at 10 that is possible on each split's targets."""
    known = pl.read_parquet(folder / CEILING)
    known = known.join(users, left_on="user_id", right_on="source_id")
    known = known.join(items.select("item", "source_id"), left_on="parent_asin", right_on="source_id")
    by_split = {}
    for split, table in samples.items():
        targets = pl.DataFrame({"user": table.user, "item": table.target, "domain": table.domain})
        found = targets.join(known, on=["user", "item"], how="left")
        assert found["ceiling"].null_count() == 0, "a target that the generator did not make"
        mean = dict(found.group_by("domain").agg(pl.col("ceiling").mean()).iter_rows())
        by_split[split] = {"all": _mean(found["ceiling"]), "X": round(mean[0], 4), "Y": round(mean[1], 4)}
    return {
        f"achievable_hr@{TOP}": by_split["test"]["all"],
        "by_split": by_split,
        "meaning": "mean over the targets of the ten highest true probabilities, given the user's interests and past",
        "num_users": config.num_users,
        "items_per_domain": config.items_per_domain,
        "seed": config.seed,
    }


def _mean(values: pl.Series) -> float:
    return round(float(values.to_numpy().mean()), 4)


def _user_id(user: pl.Expr) -> pl.Expr:
    return pl.format("AE{}", ((user + 1) * SCRAMBLE % 2**32).cast(pl.String).str.zfill(10))


def _draw_distinct(rng: np.random.Generator, *, group: Ints) -> Ints:
    """For every row a number below COMBINATIONS, distinct among the rows of its group."""
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    numbers = np.empty(len(group), dtype=np.int64)
    for rows in np.split(order, begins[1:]):
        numbers[rows] = rng.permutation(COMBINATIONS)[: len(rows)]
    return numbers


def _write_lines(path: Path, table: pl.DataFrame) -> None:
    """JSON lines, gzip without a time stamp: the same bytes every time."""
    plain = path.with_suffix("")
    table.write_ndjson(plain)
    with (
        plain.open("rb") as source,
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=5, mtime=0) as packed,
    ):
        shutil.copyfileobj(source, packed)
    plain.unlink()
