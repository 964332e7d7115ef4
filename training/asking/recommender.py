"""A trained run, opened once and asked many times; what opening it makes is kept in the run (launch/state/kept.py)."""

from dataclasses import dataclass
from pathlib import Path

from evaluation.candidates.choice import pool_of
from evaluation.config import EvaluationConfig
from evaluation.list_ranker.bank import Bank, fit_bank
from evaluation.matrices import Sparse, csr_arrays, csr_of
from evaluation.ranked_lists import RankedLists
from evaluation.systems.mixture import Mixture
from evaluation.tfidf import EVERY_WORD, Words, item_texts
from graph.ranking.infer import TrainedGraph
from launch.artifacts import read_json
from launch.config import Recipe, load_recipe
from launch.distributed import World
from launch.errors import InputError
from launch.state.kept import KeptArrays
from launch.state.states import check_finished
from pairs.known import load_others, with_others
from pairs.tables import Ints, Items, Pair, Samples, load_pair, one_sample
from retrieval.grounding import TitleGrounder
from retrieval.lookup import KindredLookup, KindredUser
from retrieval.posterior.expected import SYSTEM, expect, has_expectations
from training.answers.answerer import load_answerer
from training.answers.questions import Answering
from training.asking.asking import Matched, find_domain, match_history
from training.asking.final_ranking import Final, Json, load_final, load_known, rank_finally
from training.asking.new_prompt import PromptWriter, open_prompts
from training.base_files import BaseModel
from training.prompts.config import PromptsConfig

MOST_LISTED = 100_000
"""Items of one answer."""


@dataclass(frozen=True)
class Kindred:
    """A user whose history stood in the prompt: of train, or of one domain, whom users.parquet does not name."""

    user: int
    similarity: float
    bought: list[str]
    shared: list[str]
    """Titles that are in the asked history too."""


@dataclass(frozen=True)
class Recommended:
    """One line of the list."""

    rank: int
    item: int
    title: str
    score: float
    ranks: dict[str, int]
    """Where the item stands in every source that was fused or shown."""


@dataclass(frozen=True)
class Recommendation:
    """The answer to one question."""

    domain: str
    history: list[Matched]
    kindred: list[Kindred]
    written: list[str]
    """Titles that the language model wrote or ranked first, best first."""
    items: list[Recommended]


@dataclass(frozen=True)
class Recommender:
    """All that a question needs, loaded."""

    run_dir: Path
    pair: Pair
    grounder: TitleGrounder
    graph: TrainedGraph
    """As it was trained: of train alone."""
    known_graph: TrainedGraph
    """Of what test was ranked with."""
    lookup: KindredLookup
    prompts: PromptWriter
    answerer: Answering
    bank: Bank
    chosen: Json
    depth: int
    """Of the graphs' lists."""
    has_expectations: bool
    settings: EvaluationConfig

    @classmethod
    def open(cls, run_dir: Path, *, world: World, trust_remote_code: bool = False) -> "Recommender":
        """Load a finished run. InputError where it is not finished.

        `trust_remote_code` comes from who asks: the recipe in the run's folder is whoever's the folder is.
        """
        check_finished(run_dir)
        recipe, kept = load_recipe(run_dir / "recipe.yaml"), KeptArrays.of_run(run_dir)
        pair = load_pair(run_dir)
        grounder = TitleGrounder(pair.items, kept=kept)
        graph = TrainedGraph.open(run_dir, world, kept=kept)
        answerer = load_answerer(
            recipe.sections["generation"],
            base=BaseModel("folder", run_dir / "llm" / "model", trust_remote_code=trust_remote_code),
            run_dir=run_dir,
            pair=pair,
            grounder=grounder,
            device=world.device,
        )
        chosen: Json = read_json(run_dir / "report" / "metrics.json")["chosen"]
        bank, known_graph = _known(run_dir, recipe, chosen, pair.items, graph, kept)
        prompts: PromptsConfig = recipe.sections["prompts"]
        lookup = KindredLookup(run_dir, device=world.device, kept=kept)
        return cls(
            run_dir=run_dir,
            pair=pair,
            grounder=grounder,
            graph=graph,
            known_graph=known_graph,
            lookup=lookup,
            prompts=open_prompts(run_dir, pair, lookup.known, prompts, kept=kept),
            answerer=answerer,
            bank=bank,
            chosen=chosen,
            depth=recipe.sections["graph"].list_depth,
            has_expectations=has_expectations(run_dir),
            settings=recipe.sections["evaluation"],
        )

    def ask(self, history: list[str], *, domain: str, k: int) -> Recommendation:
        """What the run's final list would be for a new user with this history. InputError for what cannot be asked.

        Args:
            history: titles of items, oldest first.
            domain: the domain to recommend from.
            k: length of the list.
        """
        check_length(k)
        asked = find_domain(domain, self.pair)
        matched = match_history(history, self.pair, self.grounder)
        sample = one_sample([match.item for match in matched], domain=asked)
        expected = (
            self.graph.rank(sample, systems=[SYSTEM], depth=self.depth)[SYSTEM] if self.has_expectations else None
        )
        near = self._near(sample, expected)
        question, num_shown = self.prompts.write(
            sample,
            [user.sample for user in near[: self.prompts.config.num_neighbours]],
            expected=None if expected is None else expect(expected, sample),
        )
        answers = self.answerer.answer(question)
        systems = {"graph", *self.chosen["kinrec"].get("given", [])}
        lists = self.known_graph.rank(sample, systems=sorted(systems), depth=self.depth)
        final = rank_finally(
            sample,
            items=self.pair.items,
            scorers=self.bank.scorers,
            lists={"graph": lists["graph"], "llm": answers.lists},
            mixture=Mixture(self.chosen["baseline_fusion"]["weights"], self.chosen["fusion"]["weights"]),
            depth=k,
            final=load_final(self.run_dir, self.chosen, self.bank, lists),
            pool=pool_of(self.bank.scorers, {**lists, "llm": answers.lists}, self.pair.items, self.settings),
        )
        return Recommendation(
            domain=self.pair.domain_names[asked],
            history=matched,
            kindred=[_kindred(user, sample.history, self.pair) for user in near[:num_shown]],
            written=answers.texts[0],
            items=_lines(final, self.pair),
        )

    def _near(self, sample: Samples, expected: RankedLists | None) -> list[KindredUser]:
        """The kindred users of a question, found as the run found those of its samples."""
        history, domain = sample.history.tolist(), int(sample.domain[0])
        vector = self.graph.ask(history, domain, depth=1).vector if self.lookup.needs_model_vector else None
        expected = expected if self.lookup.needs_expected else None
        k = max(1, self.prompts.config.num_neighbours)
        return self.lookup.nearest(history, domain=domain, model_vector=vector, expected=expected, k=k)


def check_length(k: int) -> None:
    """InputError unless a list can be so long."""
    if not 1 <= k <= MOST_LISTED:
        raise InputError(f"--k must be at least 1 and at most {MOST_LISTED}, got {k}")


def _known(
    run_dir: Path, recipe: Recipe, chosen: Json, items: Items, graph: TrainedGraph, kept: KeptArrays
) -> tuple[Bank, TrainedGraph]:
    """Baselines and graphs of what test was ranked with."""
    settings = recipe.sections["evaluation"]
    others = load_others(run_dir)
    known = load_known(run_dir, chosen, others)
    bank = fit_bank(
        known.samples, items, chosen["baselines"],
        ridge_max_users=settings.ridge_max_users, seed=recipe.seed, others=others, sold=known.sold,
        words=_words(items, kept), clock=settings.clock,
    )  # fmt: skip
    return bank, graph.knowing(with_others(known.samples, others), kept=kept) if known.graphs_anew else graph


def _words(items: Items, kept: KeptArrays) -> Sparse:
    """The text baselines' matrix."""
    name = "words"
    return csr_of(
        name, kept.arrays("item_texts", lambda: csr_arrays(name, Words(item_texts(items), EVERY_WORD).fitted))
    )


def _kindred(user: KindredUser, history: Ints, pair: Pair) -> Kindred:
    own = set(history.tolist())
    return Kindred(
        user=user.user,
        similarity=round(user.score, 6),
        bought=user.titles,
        shared=[pair.items.titles[item] for item in user.items if item in own],
    )


def _lines(final: Final, pair: Pair) -> list[Recommended]:
    return [
        Recommended(rank=rank, item=item, title=pair.items.titles[item], score=round(score, 6), ranks=ranks)
        for rank, (item, score, ranks) in enumerate(zip(final.items, final.scores, final.ranks, strict=True), start=1)
    ]
