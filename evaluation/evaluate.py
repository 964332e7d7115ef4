"""Judge every system, choose the final list, write the report.

torchrun --nproc-per-node 2 -m evaluation.evaluate --config demo
"""

import dataclasses
import logging
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.asked import load_asked
from evaluation.candidates.choice import is_by_candidates
from evaluation.chosen import Clock, Fitted, Inputs, choose
from evaluation.config import EvaluationConfig
from evaluation.list_ranker.final import ListRanker
from evaluation.list_ranker.knowledge import Timeline, read_timeline
from evaluation.list_ranker.llm_share import LlmShare, gain_on
from evaluation.outputs import KeptLists, write_beside
from evaluation.protocols.side_by_side import choice_under, protocol_tables
from evaluation.report.publish import publish_report
from evaluation.systems.contents import Judgement, best_baseline, chosen_values, out_of_domain, split_metrics
from evaluation.systems.judging import judge, made_here
from evaluation.systems.sources import JUDGED_SPLITS, Judged, StoredSources, present_systems
from evaluation.systems.tuning import Baselines, random_users
from launch.artifacts import read_json, write_json
from launch.distributed import World, init_world
from launch.errors import InputError
from launch.stage import entry_point, open_stage, parse_job
from launch.stages import STAGES, stage_named
from launch.state.states import state_of, states_of
from launch.tracking import Tracker, open_tracker
from pairs.draws import sample_of_users
from pairs.known import load_others
from pairs.tables import Samples, load_pair, load_samples

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
        for_test = choice_under(chosen, timeline)
        knows_more = timeline.knowledge != "train" or for_test is not chosen
        fitted: dict[Judged, Fitted] = {
            "valid": chosen.of_valid, "test": for_test.of_test(timeline) if knows_more else chosen.of_valid
        }  # fmt: skip
    kept = KeptLists(run_dir, config.list_depth, world)
    with clock.part("judge"):
        judged = {split: _judge_split(inputs, split, fitted[split], sources[split], kept) for split in JUDGED_SPLITS}
    with clock.part("llm_share"):
        llm_adds = _llm_adds(inputs, chosen.llm_share, fitted["test"], sources["test"])
    ranker = fitted["test"].ranker
    del fitted  # what test may know is as large as what train tells, and each protocol makes its own
    with clock.part("intervals"):
        best = best_baseline(judged["valid"], inputs.deciding(timeline), config)
        splits = {
            split: split_metrics(judgement, pair.items, config, seed, best_baseline=best)
            for split, judgement in judged.items()
        }
    with clock.part("protocols"):
        protocols = protocol_tables(chosen, timeline, judged["test"].verdict)
    with clock.part("write"):
        kept.publish(judged, made_here(chosen.bank.scorers))
    if world is not None and not world.is_main:
        return {}
    final_list = {"best_baseline": best, **final_values(ranker, timeline)}
    metrics: Json = {
        "pair": pair.name,
        "domains": list(pair.domain_names),
        "settings": dataclasses.asdict(config),
        "by_candidates": is_by_candidates(pair.items, config),
        "llm_adds": llm_adds,
        "splits": splits,
        "protocols": protocols,
        "retrieval": _read_quality(run_dir),
        "out_of_domain": out_of_domain(judged),
        "chosen": chosen_values(for_test.baselines, for_test.choices, final_list),
    }
    card = read_json(run_dir / "pair" / "card.json")
    with clock.part("write"):
        plots = write_beside(judged, ranker, card, run_dir)
    metrics["timing"] = _timing(run_dir, clock, chosen.baselines)
    publish_report(metrics, card, plots, run_dir / "report")
    write_json(run_dir / "report" / "metrics.json", metrics)
    _track(metrics, tracker)
    log.info("evaluate, seconds: %s", metrics["timing"]["evaluate"])
    return metrics


def _judge_split(inputs: Inputs, split: Judged, fitted: Fitted, sources: StoredSources, kept: KeptLists) -> Judgement:
    config, samples = inputs.config, inputs.judged[split]
    few = random_users(samples, config.side_users, inputs.seed)
    own_way, other_way = config.filter_history, not config.filter_history
    ways = (own_way, other_way) if len(few) == len(samples) else (own_way,)
    judge_by = partial(
        judge,
        items=inputs.pair.items,
        scorers=fitted.bank.scorers,
        mixture=fitted.mixture,
        config=config,
        final=fitted.final,
        world=inputs.world,
    )
    with kept.of_split(split, made_here(fitted.bank.scorers)) as keep:
        verdict = judge_by(samples, sources=sources, ways=ways, keep=keep)
    if len(few) < len(samples):
        part = sources.part(samples.row_of(few.sample))
        verdict.other_ranks = judge_by(few, sources=part, ways=(other_way,)).other_ranks
    return Judgement(samples, sources, verdict, few)


def _llm_adds(inputs: Inputs, share: LlmShare | None, fitted: Fitted, test: StoredSources) -> Json | None:
    """What the language model adds to the final list of test; None where the run has none or the fusion is final."""
    if share is None:
        return None
    if not share.weight or fitted.ranker is None:
        return share.to_json()
    gain = gain_on(
        inputs.judged["test"], fitted.ranker, fitted.mixture, test, inputs.config, seed=inputs.seed, world=inputs.world
    )
    return share.to_json(gain)


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


def _read_quality(run_dir: Path) -> Json:
    quality = run_dir / "neighbours" / "quality.json"
    return read_json(quality) if may_read(run_dir, "retrieve") and quality.is_file() else {}


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
        judged={
            split: sample_of_users(load_asked(run_dir, split, world), config.max_samples, seed)
            for split in JUDGED_SPLITS
        },
        config=config,
        seed=seed,
        world=world,
    )


def _read_split(run_dir: Path, split: Judged) -> Samples:
    samples = load_samples(run_dir, split)
    if len(samples) == 0:
        raise InputError(f"{run_dir / 'pair' / f'{split}.parquet'}: no samples; prepare the pair with a larger {split}")
    return samples


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
