"""The contents of `metrics.json`, put together from what was judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.config import EvaluationConfig
from evaluation.metrics.metrics import one_metric, sample_slices
from evaluation.systems.fusion import Weights
from evaluation.systems.judging import Verdict
from evaluation.systems.selection import Choice
from evaluation.systems.sources import AnySources, Judged
from evaluation.systems.summary import (
    ceilings,
    first_out_of_domain,
    paired_table,
    raw_out_of_domain,
    system_table,
)
from evaluation.systems.tuning import Baselines
from launch.systems import BASELINES
from pairs.tables import Items, Samples

Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class Judgement:
    """One split, judged."""

    samples: Samples
    sources: AnySources
    verdict: Verdict
    """Its other ranks are those of `few`."""
    few: Samples
    """Those of the samples that are ranked the other way, too."""


def best_baseline(valid: Judgement, deciding: Samples, config: EvaluationConfig) -> str:
    """The baseline, or fusion of baselines, that is the best on the part of valid that decides."""
    decides_N = np.isin(valid.samples.sample, deciding.sample)
    ranks = {name: ranks_N[decides_N] for name, ranks_N in valid.verdict.ranks.items()}
    names = [name for name in (*BASELINES, "baseline_fusion") if name in ranks]
    return max(names, key=lambda name: float(one_metric(ranks[name], config.selection_metric).mean()))


def split_metrics(
    judgement: Judgement, items: Items, config: EvaluationConfig, seed: int, *, best_baseline: str
) -> Json:
    """Everything that a split has in `metrics.json`."""
    samples, verdict = judgement.samples, judgement.verdict
    slices = sample_slices(samples, items)
    if not judgement.sources.covered.all() and judgement.sources.covered.any():
        slices["llm_answered"] = judgement.sources.covered
    of_few = sample_slices(judgement.few, items)
    main_slices = {name: mask_N for name, mask_N in of_few.items() if name in {"all", "X", "Y"}}
    draws: dict[str, int] = {"resamples": config.bootstrap_resamples, "seed": seed}
    return {
        "num_samples": len(samples),
        "num_users": len(np.unique(samples.user)),
        "slices": {name: int(mask_N.sum()) for name, mask_N in slices.items()},
        "systems": system_table(verdict.ranks, samples.user, slices, **draws),
        "paired": paired_table(verdict.ranks, samples.user, best_baseline=best_baseline, **draws),
        "ceilings": ceilings(samples, items, filter_history=config.filter_history),
        "other_filter": {
            "filter_history": not config.filter_history,
            "num_samples": len(judgement.few),
            "systems": system_table(verdict.other_ranks, judgement.few.user, main_slices, **draws),
        },
    }


def out_of_domain(judged: Mapping[Judged, Judgement]) -> Json:
    """Out-of-domain rates by split: the LLM's texts, the paper's refinement, the final lists."""
    rates: Json = {}
    if all("llm" in judgement.sources.lists for judgement in judged.values()):
        rates["llm_raw"] = {split: raw_out_of_domain(judgement.sources) for split, judgement in judged.items()}
        rates["llm_raw_first"] = {split: first_out_of_domain(judgement.sources) for split, judgement in judged.items()}
    replaced = {split: judgement.verdict.replaced for split, judgement in judged.items()}
    known = {split: round(float(flags_N.mean()), 6) for split, flags_N in replaced.items() if flags_N is not None}
    if known:
        rates["paper_refined_replaced"] = known
    verdicts = {split: judgement.verdict for split, judgement in judged.items()}
    rates["kinrec"] = {split: round(one.strays / max(1, one.listed), 6) for split, one in verdicts.items()}
    return rates


def chosen_values(baselines: Baselines, choices: Mapping[str, Choice[Weights]], final: Json) -> Json:
    """What was chosen on valid: the baselines' parameters, the weights of both fusions, and what is final."""
    fusions = {
        name: {
            "weights": dict(choice.candidate),
            "num_candidates": choice.num_candidates,
            "valid": round(choice.value, 6),
            "best_on_valid": round(choice.best_value, 6),
            "below_parts": choice.below_parts,
        }
        for name, choice in choices.items()
    }
    return {
        "baselines": baselines.parameters,
        "ridge_users": {"used": baselines.ridge_users, "all": baselines.train_users},
        **fusions,
        **final,
    }
