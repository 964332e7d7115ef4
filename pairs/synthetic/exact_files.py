"""Write the synthetic pair as raw Amazon-2023 files: reviews and metadata of two categories, and the true ceiling.

reviews_Food.jsonl.gz  meta_Food.jsonl.gz  reviews_Kitchen.jsonl.gz  meta_Kitchen.jsonl.gz  ceiling.parquet

Also what both generators share: the form's columns, the ids, and which files there are.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from launch.artifacts import atomic_file, atomic_folder
from pairs.reading.raw_files import RawFiles
from pairs.synthetic.market import Ints, Market, build_market, simulate
from pairs.synthetic.scaled import Shop, describe_items
from pairs.synthetic.words import COMBINATIONS, DOMAINS, NOUNS, REVIEWS, ROOT_CATEGORY, SIZES, STYLES, THEMES
from pairs.synthetic_config import Compression, SyntheticConfig

SCRAMBLE = 2_654_435_761  # odd, so a bijection modulo a power of two: ids that look like ids and are unique
CEILING = "ceiling.parquet"
SUFFIXES: dict[Compression, str] = {"gzip": ".jsonl.gz", "zstd": ".jsonl.zst", "none": ".jsonl"}
META_SHARD_ITEMS = 200_000


class Writable(Protocol):
    """Somewhere for bytes to go."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of `data`."""


def synthetic_files(folder: Path, config: SyntheticConfig) -> tuple[RawFiles, RawFiles]:
    """The raw files of X and of Y that `config`'s generator writes into `folder`; the sampled one's shard by shard."""
    x, y = (_domain_files(folder, config, name) for name in DOMAINS)
    return x, y


def write_synthetic(folder: Path, config: SyntheticConfig) -> None:
    """Generate the pair of the exact generator into `folder`, which appears whole."""
    market = build_market(config)
    purchases = simulate(config, market)
    with atomic_folder(folder) as partial:
        known = []
        for domain, name in enumerate(DOMAINS):
            catalogue = make_catalogue(market, domain=domain, seed=config.seed)
            bought = purchases.filter(pl.col("domain") == domain).join(catalogue, on=["theme", "place"], how="left")
            bought = bought.sort("time", "user").with_columns(user_id=user_id(pl.col("user")))
            with create_packed(partial / f"reviews_{name}.jsonl.gz", "gzip") as file:
                write_lines(file, as_reviews(bought, seed=config.seed + domain))
            with create_packed(partial / f"meta_{name}.jsonl.gz", "gzip") as file:
                write_lines(file, as_metadata(catalogue, bought, domain=name))
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
    return table.with_columns(
        theme=pl.Series(theme),
        place=pl.Series(place),
        size=pl.col("size_index").replace_strict(dict(enumerate(SIZES[name])), return_dtype=pl.String),
        parent_asin=parent_asin(np.arange(len(theme)), domain=domain),
    ).with_columns(title=pl.format("{} {} {}, {}", "brand", "modifier", "noun", "size"))  # fmt: skip


def sampled_items(shop: Shop, item: Ints, *, domain: int) -> pl.DataFrame:
    """parent_asin, theme_name, brand, modifier, noun, size, title (unique) of items of the sampled generator."""
    kinds, name = describe_items(shop, item), DOMAINS[domain]
    brand, rest = np.divmod(kinds.combination, 25)
    modifier, size = np.divmod(rest, 5)
    table = pl.DataFrame(
        {
            "parent_asin": parent_asin(item, domain=domain),
            "theme_name": pl.Series(list(THEMES))[kinds.theme],
            "brand": pl.Series([word for style in STYLES.values() for word in style["brands"]])[
                kinds.style * 6 + brand
            ],
            "modifier": pl.Series([word for style in STYLES.values() for word in style[name]])[
                kinds.style * 5 + modifier
            ],
            "noun": noun_names(domain)[kinds.theme * NOUNS + kinds.noun],
            "size": pl.Series(SIZES[name])[size],
            "model": kinds.model,
        }
    )
    model = pl.when(pl.col("model") > 0).then(pl.format(" M{}", pl.col("model") + 1)).otherwise(pl.lit(""))
    title = pl.format("{} {} {}{}, {}", "brand", "modifier", "noun", model, "size")
    return table.with_columns(title=title).drop("model")


def as_reviews(bought: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """The 2023 form's columns, one row a purchase."""
    rng = np.random.default_rng([seed, 3])
    texts = pl.Series(np.array(REVIEWS)[rng.integers(len(REVIEWS), size=bought.height)])
    ratings = pl.Series(rng.choice([3.0, 4.0, 5.0], p=[0.15, 0.3, 0.55], size=bought.height))
    variant = pl.Series(rng.random(bought.height) < 0.25)
    drawn = bought.with_columns(rating=ratings, text=texts, variant=variant)
    return review_form(drawn.with_columns(review_title=pl.lit("Review"), helpful_vote=pl.lit(0)))


def review_form(reviews: pl.DataFrame) -> pl.DataFrame:
    """The 2023 form's columns of rating, review_title, text, variant, parent_asin, user_id, time, helpful_vote;
    a variant is a colour or size sold under its own asin."""
    variant = pl.col("parent_asin").str.replace("^B0", "B1")
    return reviews.select(
        "rating",
        title="review_title",
        text="text",
        images=pl.lit([], dtype=pl.List(pl.String)),
        asin=pl.when("variant").then(variant).otherwise("parent_asin"),
        parent_asin="parent_asin",
        user_id="user_id",
        timestamp="time",
        helpful_vote="helpful_vote",
        verified_purchase=pl.lit(True),
    )


def as_metadata(catalogue: pl.DataFrame, bought: pl.DataFrame, *, domain: str) -> pl.DataFrame:
    """The 2023 form's columns, one row an item."""
    counts = bought.group_by("parent_asin").len("rating_number")
    counted = catalogue.join(counts, on="parent_asin", how="left", maintain_order="left")
    rated = counted.with_columns(pl.col("rating_number").fill_null(0), average_rating=pl.lit(4.4))
    return metadata_form(rated, domain=domain)


def metadata_form(catalogue: pl.DataFrame, *, domain: str) -> pl.DataFrame:
    """The 2023 form's columns of what a catalogue has, rating_number and average_rating."""
    return catalogue.select(
        main_category=pl.lit(ROOT_CATEGORY[domain]),
        title="title",
        average_rating="average_rating",
        rating_number="rating_number",
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


def user_id(user: pl.Expr) -> pl.Expr:
    """The id of the user of a number below 2^31: distinct, in no order."""
    return pl.format("AE{}", ((user + 1) * SCRAMBLE % 2**32).cast(pl.String).str.zfill(10))


def parent_asin(item: Ints, *, domain: int) -> pl.Series:
    """The ids of the items of a number below 2^30 of a domain: distinct over both domains, in no order."""
    scrambled = (item * 2 + domain + 1) * SCRAMBLE % 2**32
    quads = pl.Series([f"{quad:04X}" for quad in range(1 << 16)])
    return "B0" + quads[scrambled >> 16] + quads[scrambled & 0xFFFF]


def noun_names(domain: int) -> pl.Series:
    """Every noun of a domain, theme by theme."""
    return pl.Series([noun for nouns in THEMES.values() for noun in nouns[DOMAINS[domain]]])


@contextmanager
def create_packed(path: Path, compression: Compression) -> Iterator[Writable]:
    """A file to write to, packed, without a time stamp: the same bytes every time. It appears whole."""
    with atomic_file(path) as unfinished, unfinished.open("wb") as file:
        match compression:
            case "gzip":
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=5, mtime=0) as packed:
                    yield packed
            case "zstd":
                with pa.CompressedOutputStream(file, "zstd") as packed:
                    yield packed
            case "none":
                yield file


def write_lines(file: Writable, table: pl.DataFrame) -> None:
    """JSON lines, one a row."""
    lines = BytesIO()
    table.write_ndjson(lines)
    file.write(lines.getbuffer())


def _domain_files(folder: Path, config: SyntheticConfig, name: str) -> RawFiles:
    if config.generator == "exact":
        return RawFiles(name, [folder / f"reviews_{name}.jsonl.gz"], [folder / f"meta_{name}.jsonl.gz"])
    suffix = SUFFIXES[config.compression]
    shards = range(-(-config.num_users // config.shard_users))
    meta_shards = range(-(-config.items_per_domain // META_SHARD_ITEMS))
    return RawFiles(
        name,
        [folder / f"reviews_{name}_{shard:05d}{suffix}" for shard in shards],
        [folder / f"meta_{name}_{shard:05d}{suffix}" for shard in meta_shards],
    )


def _mean(values: pl.Series) -> float:
    return round(float(values.to_numpy().mean()), 4)


def _draw_distinct(rng: np.random.Generator, *, group: Ints) -> Ints:
    """For every row a number below COMBINATIONS, distinct among the rows of its group."""
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    numbers = np.empty(len(group), dtype=np.int64)
    for rows in np.split(order, begins[1:]):
        numbers[rows] = rng.permutation(COMBINATIONS)[: len(rows)]
    return numbers
