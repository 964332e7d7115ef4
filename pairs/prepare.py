"""Prepare a category pair: raw files, a released pair or the generator in; items, users, samples and data card out.

python -m pairs.prepare --config launch/recipes/demo.yaml
"""

import logging
from pathlib import Path
from typing import Any

import polars as pl

from launch.artifacts import write_json
from launch.stage import entry_point, open_stage, parse_job
from pairs.audit import audit_pair
from pairs.card import iso, make_card
from pairs.config import PairConfig
from pairs.filters import filter_pair, number_pair
from pairs.llm_attributes import add_llm_attributes
from pairs.raw_files import RawFiles, existing_folder, find_files
from pairs.raw_pair import RawPair
from pairs.read_pair import read_pair
from pairs.released import read_released
from pairs.samples import check_domains, cut_samples, split_events
from pairs.synthetic_files import describe_generator, write_synthetic
from pairs.synthetic_words import DOMAINS
from pairs.tables import Samples, Split
from pairs.write_tables import write_pair

log = logging.getLogger(__name__)


@entry_point
def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    job = parse_job(PairConfig, "prepare", argv)
    with open_stage(job):
        job.external.extend(prepare(job.config, run_dir=job.run_dir))


def prepare(config: PairConfig, *, run_dir: Path) -> list[Path]:
    """Write `run_dir/pair` and return the files outside the run that were read."""
    answers = config.llm_attributes.answers
    return [*_prepare(config, folder=run_dir / "pair"), *([Path(answers)] if answers else [])]


def _prepare(config: PairConfig, *, folder: Path) -> list[Path]:
    match config.source:
        case "released":
            return _prepare_released(config, folder=folder)
        case "amazon" | "tables":
            x, y = find_files(config)
            _prepare_events(config, read_pair(x, y, config), folder=folder)
            return [*x.reviews, *x.meta, *y.reviews, *y.meta]
        case "synthetic":
            raw = folder / "raw"
            write_synthetic(raw, config.synthetic)
            x, y = (
                RawFiles(name, [raw / f"reviews_{name}.jsonl.gz"], [raw / f"meta_{name}.jsonl.gz"]) for name in DOMAINS
            )
            _prepare_events(config, read_pair(x, y, config), folder=folder)
            return []


def _prepare_released(config: PairConfig, *, folder: Path) -> list[Path]:
    pair = read_released(existing_folder(config))
    names = _names(config, pair.names)
    check_domains(pair.samples, names, advice="add such lines to its file")
    _publish(config, folder, names=names, items=pair.items, users=pair.users, samples=pair.samples, facts={})
    return pair.files


def _prepare_events(config: PairConfig, raw: RawPair, *, folder: Path) -> None:
    names = _names(config, raw.names)
    events, steps = filter_pair(raw, config)
    events, items, users = number_pair(events, raw.catalogue)
    log.info(
        "kept %d of %d interactions, %d items, %d users", events.height, raw.events.height, items.height, users.height
    )
    split = split_events(events, config)
    samples = cut_samples(split, config)
    check_domains(
        samples, names, advice="change pair.splits, raise pair.valid_share and pair.test_share, or lower pair.k_core"
    )
    kept = steps["kept"]
    one_domain_only = kept["users"] - kept["users_of_both"]
    facts: dict[str, Any] = {  # Any: plain JSON values
        "reading": raw.reading,
        "filters": steps,
        "users_needed_in": {"domains": config.users, "users_of_one_domain_only": one_domain_only},
    }
    if split.cuts is not None:
        facts["cuts"] = [iso(cut) for cut in split.cuts]
    if config.source == "synthetic":
        facts["generator"] = describe_generator(folder / "raw", config.synthetic, samples, items, users)
    _publish(config, folder, names=names, items=items, users=users, samples=samples, facts=facts)


def _publish(
    config: PairConfig,
    folder: Path,
    *,
    names: tuple[str, str],
    items: pl.DataFrame,
    users: pl.DataFrame,
    samples: dict[Split, Samples],
    facts: dict[str, Any],  # Any: plain JSON values
) -> None:
    audit = audit_pair(samples, config)
    if config.llm_attributes.source != "none":
        items, facts["llm_attributes"] = add_llm_attributes(
            items,
            names,
            config.llm_attributes,
            max_bad_share=config.max_bad_share,
            numbered=config.source == "released",
        )
    facts = {"source": config.source, "split_rule": config.split_rule, "audit": audit, **facts}
    name = config.name or "-".join(names) + (" (synthetic)" if config.source == "synthetic" else "")
    card = make_card(name=name, names=names, items=items, samples=samples, facts=facts)
    write_pair(folder, items=items, users=users, samples=samples)
    write_json(folder / "card.json", card)
    sizes = ", ".join(f"{split} {len(table)}" for split, table in samples.items())
    log.info("%s: samples %s; order %s", card["pair"], sizes, card["order"])


def _names(config: PairConfig, found: tuple[str, str]) -> tuple[str, str]:
    return (config.domains[0], config.domains[1]) if config.domains else found


if __name__ == "__main__":
    main()
