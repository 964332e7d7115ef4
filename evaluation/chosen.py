"""What a run is judged from, all that is chosen on valid, and what each protocol makes of the choice."""

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.candidates.asked import Scorer
from evaluation.candidates.choice import pool_of
from evaluation.config import EvaluationConfig
from evaluation.list_ranker.bank import Bank, fit_bank, num_buyers, user_counts
from evaluation.list_ranker.choice import choose_final
from evaluation.list_ranker.final import TREES, ListRanker, fit_list_ranker, refit_list_ranker
from evaluation.list_ranker.knowledge import Knowledge, Timeline, known_to_test, sold_by_all
from evaluation.list_ranker.llm_share import LlmShare, choose_llm_share
from evaluation.metrics.shared import Batches
from evaluation.ranked_lists import RankedLists
from evaluation.systems.baseline_table import Parameters
from evaluation.systems.fusion import Weights
from evaluation.systems.mixture import Mixture, choose_mixture
from evaluation.systems.selection import Choice
from evaluation.systems.sources import (
    AnySources,
    Judged,
    Sources,
    StoredSources,
    list_path,
    lists_of_train,
    load_sources,
)
from evaluation.systems.tuning import Baselines, fit_baselines, random_users
from launch.distributed import World
from launch.systems import FUSED, GRAPH_SYSTEMS, TAUGHT
from pairs.tables import Pair, Samples

log = logging.getLogger(__name__)


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 2)


@dataclass(frozen=True)
class Inputs:
    """What a run holds for its judge, and how it is to be judged."""

    run_dir: Path
    pair: Pair
    systems: list[str]
    """Of other stages, whose lists are there."""
    train: Samples
    others: Samples | None
    """Users of one domain."""
    held_out: Mapping[Judged, Samples]
    """Valid and test, whole: what may be known comes from them."""
    judged: Mapping[Judged, Samples]
    """Those of them that are judged."""
    config: EvaluationConfig
    seed: int
    world: World | None = None
    """The ranks that share the work; None: this process does all."""
    _sold: dict[Knowledge, Samples | None] = field(default_factory=dict, init=False, repr=False)

    @property
    def splits(self) -> tuple[Samples, Samples, Samples]:
        """Train, valid, test, whole."""
        return self.train, self.held_out["valid"], self.held_out["test"]

    def sold(self, protocol: Timeline) -> Samples | None:
        """Whose purchases are counted up to each question; None: of those who are known, up to the last of them."""
        if protocol.knowledge not in self._sold:
            self._sold[protocol.knowledge] = sold_by_all(*self.splits, protocol, self.others)
        return self._sold[protocol.knowledge]

    def deciding(self, protocol: Timeline) -> Samples:
        """The part of valid that fusions and the list ranker are chosen on."""
        return random_users(protocol.selected_on(self.judged["valid"]), self.config.tuning_users, self.seed)

    def batches(self, deciding: Samples, scorers: Mapping[str, Scorer], lists: Mapping[str, RankedLists]) -> Batches:
        """Of samples that fusions and the final list are chosen on, with the `lists` of other stages for them."""
        pool = pool_of(scorers, lists, self.pair.items, self.config)
        return Batches(deciding, self.pair.items, pool, self.world)

    def sources(self, split: Judged, protocol: Timeline) -> StoredSources:
        """The lists of other stages under a protocol."""
        anew = split == "test" and protocol.makes_graphs_anew
        return load_sources(
            self.run_dir,
            self.systems,
            split=split,
            samples=self.judged[split],
            items=self.pair.items,
            of_graph=("rolling" if protocol.knowledge == "rolling" else "refit") if anew else None,
        )

    def may_judge(self, protocol: Timeline) -> bool:
        """Whether the lists that a protocol asks for are there."""
        needed = [name for name in self.systems if name in GRAPH_SYSTEMS] if protocol.makes_graphs_anew else []
        return all(list_path(self.run_dir, name, "refit").is_file() for name in needed)

    def left_out_lists(self) -> dict[str, RankedLists]:
        """Lists of train samples, by system, that the list ranker learns from."""
        lists = {name: lists_of_train(self.run_dir, name, self.pair.items) for name in TAUGHT if name in self.systems}
        return {name: of_name for name, of_name in lists.items() if of_name is not None}


@dataclass(frozen=True)
class Fitted:
    """What ranks a split."""

    bank: Bank
    mixture: Mixture
    ranker: ListRanker | None
    """None: the simple fusion is final."""

    def final(self, sources: Sources) -> ListRanker | None:
        """The list ranker, asking the bank and the lists of other stages."""
        return self.ranker and self.ranker.asking(self.bank, sources.lists)


@dataclass(frozen=True)
class Chosen:
    """All that was chosen on valid."""

    inputs: Inputs
    baselines: Baselines
    mixture: Mixture
    choices: dict[str, Choice[Weights]]
    bank: Bank
    """What train tells."""
    ranker: ListRanker | None
    """Fitted on train; None where the simple fusion is final."""
    later: ListRanker | None
    """Fitted on valid, too, for what comes after it in time."""
    llm_share: LlmShare | None
    """None where the run has no lists of a language model, or the simple fusion is final."""
    age: int | None = None
    """Seconds, of the knowledge that the ranker was fitted for where that is not of its own time (aged.py)."""

    def bank_of(self, protocol: Timeline) -> Bank:
        """What test may ask under a protocol."""
        inputs = self.inputs
        return fit_bank(
            known_to_test(*inputs.splits, protocol),
            inputs.pair.items,
            self.baselines.parameters,
            ridge_max_users=inputs.config.ridge_max_users,
            seed=inputs.seed,
            others=inputs.others,
            sold=inputs.sold(protocol),
            words=self.bank.words,
            clock=inputs.config.clock,
        )

    @property
    def of_valid(self) -> Fitted:
        """What valid is ranked with."""
        return Fitted(self.bank, self.mixture, self.ranker)

    def of_test(self, protocol: Timeline) -> Fitted:
        """What test is ranked with under a protocol."""
        return Fitted(self.bank_of(protocol), self.mixture, self.later if protocol.makes_graphs_anew else self.ranker)


def choose(inputs: Inputs, timeline: Timeline, valid: AnySources, clock: Clock) -> Chosen:
    """Tune the baselines, choose the fusions, fit the list ranker and choose what is final, each on valid.

    Args:
        valid: the lists of other stages.
    """
    config, seed, train = inputs.config, inputs.seed, inputs.train
    # users, as every other bank counts: the catalogue counts a user's purchases of one item apart
    num_users = user_counts(train, inputs.pair.items.num_items)
    items = dataclasses.replace(inputs.pair.items, train_count=num_users)
    sold = inputs.sold(timeline)
    deciding = inputs.deciding(timeline)
    said = valid.take(inputs.judged["valid"].row_of(deciding.sample), (*FUSED, *TAUGHT))
    with clock.part("tune_baselines"):
        baselines = fit_baselines(
            train, deciding, items,
            config=config, seed=seed, others=inputs.others, sold=sold,
            chronological=timeline.chronological, world=inputs.world,
        )  # fmt: skip
    with clock.part("choose_fusions"):
        batches = inputs.batches(deciding, baselines.scorers, said.lists)
        mixture, choices = choose_mixture(batches, baselines.scorers, said.fused, config)
        log.info("baseline_fusion: %s; fusion: %s", mixture.baselines, mixture.fusion)
    with clock.part("fit_list_ranker"):
        material = baselines.material
        bank = Bank(items, material.vectors, baselines.scorers, material.sales, num_buyers(material))
        ranker = fit_final(inputs, timeline, bank, baselines.parameters, mixture, said, batches)
    with clock.part("llm_share"):
        ranker, llm_share = choose_llm_share(batches, ranker, mixture, said.fused, config, seed=seed)
        del batches  # what was asked of them, a value for each candidate
        if llm_share is not None:
            log.info("the language model's weight in the final list: %g", llm_share.weight)
    with clock.part("refit"):
        later = refit_final(inputs, timeline, ranker, valid)
    return Chosen(inputs, baselines, mixture, choices, bank, ranker, later, llm_share)


def fit_final(
    inputs: Inputs,
    protocol: Timeline,
    bank: Bank,
    parameters: Mapping[str, Parameters],
    mixture: Mixture,
    said: Sources,
    batches: Batches,
) -> ListRanker | None:
    """The list ranker, fitted on train as the protocol counts sales, where it is final on valid; None: the fusion is.

    Args:
        bank: what train tells, with the baselines' `parameters`.
        said: the lists of other stages for the part of valid that decides.
        batches: of that part.
    """
    given = {name: said.lists[name] for name in TAUGHT if name in said.lists}
    ranker = fit_list_ranker(
        inputs.train, batches.samples, dataclasses.replace(bank, given=given), parameters,
        left_out=inputs.left_out_lists(), others=inputs.others, sold=inputs.sold(protocol),
        chronological=protocol.chronological, config=inputs.config, seed=inputs.seed, world=inputs.world,
    )  # fmt: skip
    return choose_final(batches, ranker, mixture, said.fused, inputs.config)


def refit_final(inputs: Inputs, protocol: Timeline, ranker: ListRanker | None, valid: AnySources) -> ListRanker | None:
    """The same with trees that learnt from valid, too, where test comes after it in time."""
    if ranker is None or not protocol.chronological or TREES not in ranker.weights:
        return ranker
    return refit_list_ranker(ranker, inputs.judged["valid"], valid, inputs.config, seed=inputs.seed, world=inputs.world)
