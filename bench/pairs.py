"""Preparation of a pair, from raw reviews to samples and card, in a memory-limited process; beside a pandas version.

    python -m bench.pairs [--large 20000000 --small 5000000 --pandas 5000000] [--data DIR] [--json]

Synthetic reviews in the 2023 form, both domains together, about 310 bytes a line, plain JSON lines (packed: --packing);
read, filtered, 5-core, split by time, samples, catalogue, card. KinRec and pandas must find the same samples.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from bench.memory_limit import Measured, run_limited
from launch.artifacts import read_json
from pairs.synthetic.shards import write_sampled
from pairs.synthetic_config import Compression, SyntheticConfig

ROOT = Path(__file__).parents[1]
MEAN_INTERACTIONS = 18
REVIEWS_PER_ITEM = 50
LIMIT_GIB = 3.0
"""What a run of KinRec may use; pandas has no limit."""


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("large", 20_000_000), ("small", 5_000_000), ("pandas", 5_000_000), ("repeats", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--packing", choices=["none", "gzip", "zstd"], default="none")
    parser.add_argument("--data", type=Path, help="where the reviews are kept, and found the next time")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kinrec-bench-") as temporary:
        print(json.dumps(measure(options, Path(temporary))) if options.json else measure(options, Path(temporary)))


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:  # Any: plain JSON values
    """Every size once, or as often as asked, and the best of each."""
    sizes = {"large": options.large, "small": options.small, "pandas": options.pandas}
    data = {n: generate(options.data or scratch / "data", n, packing=options.packing) for n in set(sizes.values())}
    best: dict[str, Measured] = {}
    for _ in range(options.repeats):
        for name, reviews in sizes.items():
            measured = prepare(data[reviews], scratch / name)
            keep_best(best, name, measured)
        keep_best(best, "with pandas", run_pandas(data[options.pandas], scratch / "by_pandas"))
    compare(scratch / "pandas", scratch / "by_pandas")
    print(f"{'':<22}{'reviews':>12}{'seconds':>9}{'reviews/s':>12}{'peak GiB':>10}  limit")
    for name, measured in best.items():
        reviews = sizes.get(name, options.pandas)
        print(
            f"{'KinRec' if name in sizes else 'pandas, same samples':<22}{reviews:>12,}{measured.seconds:>9.1f}"
            f"{reviews / measured.seconds:>12,.0f}{measured.peak_gib:>10.2f}  {measured.limited_by}"
        )
    large, small = label(options.large), label(options.small)
    return {
        "bench": "pairs",
        "packing": options.packing,
        f"seconds_{large}": round(best["large"].seconds, 2),
        f"peak_gib_{large}": round(best["large"].peak_gib, 3),
        f"time_ratio_{large}_{small}": round(best["large"].seconds / best["small"].seconds, 2),
        f"memory_ratio_{large}_{small}": round(best["large"].peak_gib / best["small"].peak_gib, 3),
        "pandas_speedup": round(best["with pandas"].seconds / best["pandas"].seconds, 2),
        "pandas_reviews": options.pandas,
        "limit_gib": LIMIT_GIB,
        "limited_by": best["large"].limited_by,
    }


def generate(folder: Path, reviews: int, *, packing: Compression) -> Path:
    """About so many synthetic reviews; those that are there stay."""
    config = generator(reviews, packing=packing)
    path = folder / f"{label(reviews)}-{packing}"
    print(f"generating {reviews:,} reviews in {path}", file=sys.stderr)
    write_sampled(path, config)
    return path


def generator(reviews: int, *, packing: Compression) -> SyntheticConfig:
    """The generator of about so many reviews."""
    return SyntheticConfig(
        generator="sampled",
        num_users=reviews // MEAN_INTERACTIONS,
        items_per_domain=reviews // (2 * REVIEWS_PER_ITEM),
        mean_interactions=MEAN_INTERACTIONS,
        compression=packing,
    )


def prepare(data: Path, run_dir: Path) -> Measured:
    """The stage as its users start it, in a process of its own with a memory limit."""
    reviews_x, reviews_y, meta_x, meta_y = (
        [str(path) for path in sorted(data.glob(pattern))]
        for pattern in ("reviews_Food*", "reviews_Kitchen*", "meta_Food*", "meta_Kitchen*")
    )
    files = {"reviews_x": reviews_x, "reviews_y": reviews_y, "meta_x": meta_x, "meta_y": meta_y}
    pair = {"source": "amazon", **files, "domains": ["Food", "Kitchen"], "k_core": 5, "splits": "time"}
    recipe = run_dir.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump({"name": "bench", "pair": pair}), encoding="utf-8")
    (run_dir / "manifests" / "prepare.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "pairs.prepare", "--config", str(recipe), f"--run_dir={run_dir}"]
    return run_limited(command, gib=LIMIT_GIB, cwd=ROOT)


def run_pandas(data: Path, out: Path) -> Measured:
    """The pandas version, in a process of its own."""
    return run_limited([sys.executable, "-m", "bench.in_pandas.prepare", str(data), str(out)], gib=1024.0, cwd=ROOT)


def compare(run_dir: Path, by_pandas: Path) -> None:
    """Both wrote the same samples, row for row, and the same figures."""
    for split in ("train", "valid", "test"):
        columns = ["user", "domain", "history", "history_time", "target", "target_time"]
        ours = pl.read_parquet(run_dir / "pair" / f"{split}.parquet", columns=columns)
        theirs = pl.read_parquet(by_pandas / f"{split}.parquet").select(columns)
        theirs = theirs.cast(dict(ours.schema)).sort("user", "target_time", "target")  # type: ignore[arg-type]  # of ours
        assert ours.equals(theirs), f"{split}: pandas finds other samples"
    ours, theirs = pl.read_parquet(run_dir / "pair" / "items.parquet"), pl.read_parquet(by_pandas / "items.parquet")
    for name in ("title", "attributes", "train_count"):
        assert ours[name].to_list() == theirs[name].to_list(), f"pandas finds other {name}"
    card, second = read_json(run_dir / "pair" / "card.json"), read_json(by_pandas / "card.json")
    figures = {
        **card,
        "read": card["filters"]["read"]["X"] + card["filters"]["read"]["Y"],
        "near": {letter: {name: counts[name] for name in ("same_words", "same_words_but_numbers")}
                 for letter, counts in card["near_duplicate_titles"].items()},
        "alternation": {name: card["order_evidence"][name] for name in ("alternation", "fully_alternating_histories")},
        "months": card["histograms"]["interactions_by_month"],
        "leaks": {check: entry["found"] for check, entry in card["audit"].items()},
    }  # fmt: skip
    for name, value in second.items():
        assert figures[name] == value, f"{name}: {figures[name]}, by pandas {value}"


def keep_best(best: dict[str, Measured], name: str, measured: Measured) -> None:
    """The faster of two measurements stays."""
    if name not in best or measured.seconds < best[name].seconds:
        best[name] = measured


def label(reviews: int) -> str:
    """20m for 20 million."""
    return f"{reviews / 1e6:g}m"


if __name__ == "__main__":
    main()
