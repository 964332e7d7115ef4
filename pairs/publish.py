"""Look at every sample for the card and the leak audit, and publish the tables of a pair that passes."""

import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from launch.artifacts import write_json
from launch.errors import InputError
from pairs.attributes.replace import add_llm_attributes
from pairs.card.audit import Audit
from pairs.card.card import make_card
from pairs.card.tally import Tally
from pairs.config import SPLIT_AS_IT_IS, PairConfig
from pairs.samples.spool import SampleSpool, close_spools, user_batches
from pairs.samples.write_tables import write_items, write_users
from pairs.sifting.sift import Sifted
from pairs.synthetic.ceiling import describe_generator

WRITERS = 2
"""Threads that write samples while they are looked at."""
log = logging.getLogger(__name__)


def publish_pair(config: PairConfig, sifted: Sifted, *, folder: Path, scratch: Path) -> None:
    """Write all of `folder`; InputError, and no table written, if the pair is not fit to be used."""
    names = (config.domains[0], config.domains[1]) if config.domains else sifted.names
    spools = sifted.spools
    close_spools(spools)
    written: list[SampleSpool] = [*spools.values()]
    if sifted.graph_only is not None:
        sifted.graph_only.close(first=sum(len(spool) for spool in spools.values()))
        written.append(sifted.graph_only)
    with ThreadPoolExecutor(WRITERS) as threads:
        waiting = [threads.submit(spool.publish, scratch / "ready") for spool in written]
        tally, findings = look_at_samples(config, sifted, names)
        for one in waiting:
            one.result()
    facts: dict[str, Any] = {  # Any: plain JSON values
        "source": config.source,
        "split_rule": config.split_rule,
        "audit": findings,
        **sifted.facts,
    }
    items = sifted.items
    if config.llm_attributes.source != "none":
        items, facts["llm_attributes"] = add_llm_attributes(
            items,
            names,
            config.llm_attributes,
            max_bad_share=config.max_bad_share,
            numbered=config.source == "released",
        )
    write_items(folder, items, train_count=tally.train_count)
    write_users(folder, sifted.users)
    move_into(folder, sorted((scratch / "ready").iterdir()))
    if sifted.graph_only is not None:
        facts["graph_only_users"] = len(sifted.graph_only)
        facts["graph_only_interactions"] = sifted.graph_only.num_interactions
    if config.source == "synthetic":
        facts["generator"] = describe_generator(folder, config.synthetic, spools)
    name = config.name or "-".join(names) + (" (synthetic)" if config.source == "synthetic" else "")
    card = make_card(name=name, names=names, items=items, tally=tally, facts=facts, months=sifted.months)
    write_json(folder / "card.json", card)
    closeness = card["id_closeness"]
    if closeness["ids_follow_purchases"]:
        shares = closeness["all"]
        log.warning(
            "item ids follow the order of purchases: %.2f %% of the targets are close to an item of their history, by "
            "chance %.2f %% would be",
            100 * shares["targets"],
            100 * shares["by_chance"],
        )
    sizes = ", ".join(f"{split} {len(spool)}" for split, spool in spools.items())
    log.info("%s: samples %s; order %s", card["pair"], sizes, card["order"])


def look_at_samples(config: PairConfig, sifted: Sifted, names: tuple[str, str]) -> tuple[Tally, dict[str, Any]]:
    """The card's sums and the audit's findings; InputError at a leak or an empty domain."""
    tally = Tally(sifted.items["domain"].to_numpy())
    held_out = [sifted.spools["valid"].target_times, sifted.spools["test"].target_times]
    audit = Audit(config, first_held_out=min((times[0] for times in held_out if times is not None), default=None))
    for batch in user_batches(sifted.spools, interactions=config.band_rows):
        tally.add(batch)
        audit.add(batch)
    check_domains(tally, names, as_it_is=config.source in SPLIT_AS_IT_IS)
    return tally, audit.conclude()


def check_domains(tally: Tally, names: tuple[str, str], *, as_it_is: bool) -> None:
    """InputError unless every split has targets of both domains."""
    advice = "change pair.splits, raise pair.valid_share and pair.test_share, or lower pair.k_core"
    for split, table in tally.splits.items():
        for name, count in zip(names, table.num_samples.tolist(), strict=True):
            if count == 0:
                raise InputError(
                    f"{split} has no target in {name}: an empty domain; "
                    f"{'add such lines to its file' if as_it_is else advice}"
                )


def move_into(folder: Path, ready: Sequence[Path]) -> None:
    """Rename finished files and folders into `folder`, over those of an earlier start."""
    for path in ready:
        place = folder / path.name
        if place.is_dir():
            shutil.rmtree(place)
        elif place.exists():
            place.unlink()
        path.replace(place)
