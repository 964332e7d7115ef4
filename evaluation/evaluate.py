"""Judge every system, choose the final list, write the report.

torchrun --nproc-per-node 2 -m evaluation.evaluate --config demo
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.aged import choice_under
from evaluation.chosen import Clock, Inputs, choose
from evaluation.config import EvaluationConfig
from evaluation.list_parts import write_own_lists
from evaluation.list_ranker.final import ListRanker
from evaluation.list_ranker.knowledge import Timeline, read_timeline
from evaluation.list_ranker.llm_share import gain_on
from evaluation.list_ranker.store import remove_trees, save_trees
from evaluation.protocols import protocol_tables
from evaluation.ranked_lists import write_lists
from evaluation.report.publish import publish_plots, publish_report
from evaluation.systems.contents import Judgement, best_baseline, chosen_values, out_of_domain, split_metrics
from evaluation.systems.judging import judge
from evaluation.systems.sources import JUDGED_SPLITS, Judged, list_path, present_systems
from evaluation.systems.tuning import Baselines, sample_of_users
from launch.artifacts import atomic_file, read_json, write_json
from launch.distributed import World, init_world
from launch.errors import InputError
from launch.stage import entry_point, open_stage, parse_job
from launch.stages import STAGES, stage_named
from launch.state.states import state_of, states_of
from launch.tracking import Tracker, open_tracker
from pairs.tables import Samples, load_others, load_pair, load_samples

log = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: plain JSON values


@entry_point
def main(argv: list[str] | None = None) -> None:
    job = parse_job(EvaluationConfig, "evaluate", argv)
    with init_world() as world, open_stage(job, world), open_tracker(job, world) as tracker:
        if not world.is_main:  # every rank chooses the same: the first one says what
            logging.getLogger("evaluation").setLevel(logging.ERROR)
        evaluate(job.config, run_dir=job.run_dir, seed=job.seed, tracker=tracker, world=world)


def evaluate(
    config: EvaluationConfig, *, run_dir: Path, seed: int, tracker: Tracker | None = None, world: World | None = None
) -> Json:
    """Read `pair/`, `lists/` and `neighbours/quality.json`; write `report/` and the lists made here.

    Args:
        world: the ranks that share the samples; all choose the same, and rank 0 alone writes and returns the metrics.
    """
    clock = Clock()
    with clock.part("read"):
        inputs = _read(run_dir, config, seed, world)
        pair = inputs.pair
        timeline = read_timeline(*inputs.splits, config)
        sources = {split: inputs.sources(split, timeline) for split in JUDGED_SPLITS}
    chosen = choose(inputs, timeline, sources["valid"], clock)
    with clock.part("refit"):
        of_test = choice_under(chosen, timeline)
        banks = {"valid": chosen.bank, "test": chosen.bank}
        if timeline.knowledge != "train" or of_test is not chosen:
            banks["test"] = of_test.bank_of(timeline)
    rankers = {"valid": chosen.ranker, "test": of_test.ranker_of(timeline)}
    mixtures = {"valid": chosen.mixture, "test": of_test.mixture}
    judged: dict[Judged, Judgement] = {}
    with clock.part("judge"):
        for split, samples in inputs.judged.items():
            final = rankers[split]
            verdict = judge(
                samples,
                pair.items,
                scorers=banks[split].scorers,
                mixture=mixtures[split],
                sources=sources[split],
                config=config,
                final=final and final.asking(banks[split], sources[split].lists),
                world=world,
            )
            judged[split] = Judgement(samples, sources[split], verdict)
    with clock.part("llm_share"):
        final, test = rankers["test"], sources["test"]
        llm_adds = chosen.llm_share and chosen.llm_share.to_json()
        if chosen.llm_share is not None and chosen.llm_share.weight and final is not None:
            asked = final.asking(banks["test"], test.lists)
            gain = gain_on(inputs.judged["test"], asked, of_test.mixture, test.fused, config, seed=seed, world=world)
            llm_adds = chosen.llm_share.to_json(gain)
    with clock.part("intervals"):
        best = best_baseline(judged["valid"], inputs.deciding(timeline), config)
        splits = {
            split: split_metrics(judgement, pair.items, config, seed, best_baseline=best)
            for split, judgement in judged.items()
        }
    with clock.part("protocols"):
        protocols = protocol_tables(chosen, timeline, judged["test"].verdict)
    with clock.part("write"):
        beyond = out_of_domain(judged, pair.items, world)
        write_judged_lists(judged, run_dir, world)
    if world is not None and not world.is_main:
        return {}
    quality = run_dir / "neighbours" / "quality.json"
    final_list = {"best_baseline": best, **final_values(rankers["test"], timeline)}
    metrics: Json = {
        "pair": pair.name,
        "domains": list(pair.domain_names),
        "settings": dataclasses.asdict(config),
        "llm_adds": llm_adds,
        "splits": splits,
        "protocols": protocols,
        "retrieval": read_json(quality) if may_read(run_dir, "retrieve") and quality.is_file() else {},
        "out_of_domain": beyond,
        "chosen": chosen_values(of_test.baselines, of_test.choices, final_list),
    }
    card = read_json(run_dir / "pair" / "card.json")
    with clock.part("write"):
        for split, judgement in judged.items():
            _write_ranks(run_dir / "report" / f"ranks_{split}.parquet", judgement)
        if rankers["test"] is not None:
            save_trees(rankers["test"], run_dir)
        else:
            remove_trees(run_dir)
        plots = publish_plots(card, run_dir / "report")
    metrics["timing"] = _timing(run_dir, clock, chosen.baselines)
    publish_report(metrics, card, plots, run_dir / "report")
    write_json(run_dir / "report" / "metrics.json", metrics)
    _track(metrics, tracker)
    log.info("evaluate, seconds: %s", metrics["timing"]["evaluate"])
    return metrics


def write_judged_lists(judged: Mapping[Judged, Judgement], run_dir: Path, world: World | None) -> None:
    """Every list that is made here; a rank holds those of the samples that it has judged. A collective."""
    for split, judgement in judged.items():
        for system, lists in judgement.verdict.lists.items():
            path = list_path(run_dir, system, split)
            if world is None or world.size == 1:
                write_lists(path, lists)
            else:
                write_own_lists(path, lists, folder=run_dir / "report" / "parts", world=world)


def final_values(ranker: ListRanker | None, timeline: Timeline) -> Json:
    """What the final list is made by, and from what knowledge."""
    final: Json = {"by": "fusion" if ranker is None else "list_ranker"}
    if ranker is not None:
        final |= {
            "depth": ranker.depth,
            "weights": dict(ranker.weights),
            "by_words": ranker.by_words,
            "trees": [trees.num_trees() for trees in ranker.trees],
            "given": list(ranker.bank.given),
            "features": ranker.importance(),
        }
    return {"kinrec": final, "knowledge": timeline.knowledge, "chronological": timeline.chronological}


def may_read(run_dir: Path, stage: str) -> bool:
    """Whether an optional input is there and holds; files that no stage claims are taken as they are."""
    state = state_of(run_dir, stage_named(stage), outside=False)
    return state.holds or state.kind == "absent"


def _read(run_dir: Path, config: EvaluationConfig, seed: int, world: World | None) -> Inputs:
    held_out = {split: _read_split(run_dir, split) for split in JUDGED_SPLITS}
    return Inputs(
        run_dir=run_dir,
        pair=load_pair(run_dir),
        systems=present_systems(run_dir) if world is None else world.ask_main(lambda: present_systems(run_dir)),
        train=load_samples(run_dir, "train"),
        others=load_others(run_dir),
        held_out=held_out,
        judged={split: _sample(samples, config, seed) for split, samples in held_out.items()},
        config=config,
        seed=seed,
        world=world,
    )


def _read_split(run_dir: Path, split: Judged) -> Samples:
    samples = load_samples(run_dir, split)
    if len(samples) == 0:
        raise InputError(f"{run_dir / 'pair' / f'{split}.parquet'}: no samples; prepare the pair with a larger {split}")
    return samples


def _sample(samples: Samples, config: EvaluationConfig, seed: int) -> Samples:
    return samples if config.max_samples is None else sample_of_users(samples, config.max_samples, seed)


def _write_ranks(path: Path, judgement: Judgement) -> None:
    """Every sample's target rank by every system (null: not ranked), for `kinrec compare`."""
    columns = {"sample": judgement.samples.sample, "user": judgement.samples.user, "domain": judgement.samples.domain}
    for name, ranks_N in judgement.verdict.ranks.items():
        columns[name] = pa.array(np.where(np.isinf(ranks_N), 0, ranks_N).astype(np.int64), mask=np.isinf(ranks_N))
    with atomic_file(path) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def _timing(run_dir: Path, clock: Clock, baselines: Baselines) -> Json:
    states = states_of(run_dir, stages=[stage for stage in STAGES if stage.name != "evaluate"], outside=False)
    manifests = {name: state.manifest for name, state in states.items() if state.holds}
    return {
        "evaluate": clock.seconds,
        "tune_baselines": {name: round(seconds, 2) for name, seconds in baselines.seconds.items()},
        "stages": {
            name: manifest["seconds"] for name, manifest in manifests.items() if manifest and "seconds" in manifest
        },
    }


def _track(metrics: Json, tracker: Tracker | None) -> None:
    if tracker is None:
        return
    for split, judged in metrics["splits"].items():
        for system, slices in judged["systems"].items():
            values = {name: value for name, value in slices["all"].items() if name != "ci95"}
            tracker.log({f"evaluate/{split}/{system}/{name}": value for name, value in values.items()}, step=0)


if __name__ == "__main__":
    main()
