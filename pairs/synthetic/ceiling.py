"""What the generator knows of its own pair: the best hit rate that any model can expect on the targets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pairs.samples.spool import SampleSpool
from pairs.synthetic.exact_files import CEILING
from pairs.synthetic.market import TOP
from pairs.synthetic_config import SyntheticConfig
from pairs.tables import Split


def describe_generator(folder: Path, config: SyntheticConfig, spools: Mapping[Split, SampleSpool]) -> dict[str, Any]:
    """The card's entry for the pair in `folder`, whose tables have been written. Any: plain JSON values."""
    made = {
        "generator": config.generator,
        "num_users": config.num_users,
        "items_per_domain": config.items_per_domain,
        "seed": config.seed,
    }
    return {**_describe_ceiling(folder, spools), **made} if config.generator == "exact" else made


def _describe_ceiling(folder: Path, spools: Mapping[Split, SampleSpool]) -> dict[str, Any]:
    known = pl.read_parquet(folder / "raw" / CEILING)
    users = pl.read_parquet(folder / "users.parquet")
    items = pl.read_parquet(folder / "items.parquet", columns=["item", "source_id"])
    known = known.join(users, left_on="user_id", right_on="source_id")
    known = known.join(items, left_on="parent_asin", right_on="source_id")
    by_split = {}
    for split, spool in spools.items():
        table = spool.read(0, len(spool))
        targets = pl.DataFrame({"user": table.user, "item": table.target, "domain": table.domain})
        targets_known = targets.join(known, on=["user", "item"], how="left")
        assert targets_known["ceiling"].null_count() == 0, "a target that the generator did not make"
        by_split[split] = {
            "all": _mean(targets_known["ceiling"]),
            **{"XY"[d]: _mean(targets_known.filter(pl.col("domain") == d)["ceiling"]) for d in (0, 1)},
        }
    return {
        f"achievable_hr@{TOP}": by_split["test"]["all"],
        "by_split": by_split,
        "meaning": "mean over the targets of the ten highest true probabilities, given the user's interests and past",
    }


def _mean(values: pl.Series) -> float:
    return round(float(values.to_numpy().mean()), 4)
