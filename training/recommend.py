"""Ask a trained run: titles of what someone bought in, a ranked list of titles of one domain out.

python -m training.recommend runs/demo --domain office --history "art: sketch pad" --history "gel pens" --k 10
"""

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from evaluation.list_ranker.bank import fit_bank
from evaluation.ranked_lists import RankedLists
from evaluation.systems.mixture import Mixture
from graph.ranking.infer import TrainedGraph
from launch.artifacts import read_json
from launch.config import load_recipe
from launch.distributed import World, init_world
from launch.errors import InputError
from launch.stage import entry_point
from launch.state.states import check_finished
from launch.terminal import shown
from pairs.tables import Ints, Pair, Samples, load_others, load_pair, load_samples, one_sample, with_others
from retrieval.grounding import TitleGrounder
from retrieval.lookup import KindredLookup, KindredUser
from retrieval.posterior.expected import SYSTEM, expect, has_expectations
from training.answers.answerer import load_answerer
from training.asking.asking import Matched, find_domain, match_history
from training.asking.final_ranking import Final, load_final, load_known, rank_finally
from training.asking.new_prompt import write_prompt
from training.base_files import BaseModel
from training.base_model import load_tokenizer_folder
from training.config import PromptsConfig

SHOWN_TEXTS = 3


@dataclass(frozen=True)
class Kindred:
    """A train user whose history stood in the prompt."""

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


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kinrec recommend", allow_abbrev=False)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--domain", required=True, help="the domain to recommend from")
    parser.add_argument("--history", action="extend", nargs="+", default=[], metavar="TITLE",
                        help="what was bought, oldest first; `DOMAIN: title` looks in that domain only")  # fmt: skip
    parser.add_argument("--k", type=int, default=10, help="length of the list")
    parser.add_argument("--trust_remote_code", action="store_true",
                        help="run Python code that lies in the run's model folder, whoever wrote it")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(argv)
    with init_world() as world:
        recommendation = recommend(
            asked.run, domain=asked.domain, history=asked.history, k=asked.k, world=world,
            trust_remote_code=asked.trust_remote_code,
        )  # fmt: skip
    sys.stdout.write(
        json.dumps(dataclasses.asdict(recommendation), indent=1) + "\n" if asked.json else render(recommendation)
    )


def recommend(
    run_dir: Path, *, domain: str, history: list[str], k: int, world: World, trust_remote_code: bool = False
) -> Recommendation:
    """What the run's final list would be for a new user with this history.

    `trust_remote_code` comes from who asks: the recipe in the run's folder is whoever's the folder is.
    """
    if k < 1:
        raise InputError(f"--k must be at least 1, got {k}")
    check_finished(run_dir)
    recipe = load_recipe(run_dir / "recipe.yaml")
    pair, train = load_pair(run_dir), load_samples(run_dir, "train")
    asked = find_domain(domain, pair)
    grounder = TitleGrounder(pair.items)
    matched = match_history(history, pair, grounder)
    sample = one_sample([match.item for match in matched], domain=asked)

    graph = TrainedGraph.open(run_dir, world)
    prompts: PromptsConfig = recipe.sections["prompts"]
    depth = recipe.sections["graph"].list_depth
    lookup = KindredLookup(run_dir, device=world.device)
    expected = _expected(run_dir, sample, graph, depth=depth)
    near = _near(lookup, sample, graph, expected, k=max(1, prompts.num_neighbours))
    answerer = load_answerer(
        recipe.sections["generation"],
        base=BaseModel("folder", run_dir / "llm" / "model", trust_remote_code=trust_remote_code),
        run_dir=run_dir,
        pair=pair,
        grounder=grounder,
        device=world.device,
    )
    question, num_shown = write_prompt(
        sample,
        [user.sample for user in near[: prompts.num_neighbours]],
        run_dir=run_dir,
        pair=pair,
        train=train,
        tokenizer=load_tokenizer_folder(run_dir / "prompts" / "tokenizer"),
        config=prompts,
        expected=None if expected is None else expect(expected, sample),
    )
    answers = answerer.answer(question)

    chosen = read_json(run_dir / "report" / "metrics.json")["chosen"]
    mixture = Mixture(chosen["baseline_fusion"]["weights"], chosen["fusion"]["weights"])
    settings = recipe.sections["evaluation"]
    known = load_known(run_dir, chosen)
    others = load_others(run_dir)
    bank = fit_bank(
        known.samples, pair.items, chosen["baselines"],
        ridge_max_users=settings.ridge_max_users, seed=recipe.seed, others=others, sold=known.sold,
        clock=settings.clock,
    )  # fmt: skip
    asked_graph = graph.knowing(with_others(known.samples, others)) if known.graphs_anew else graph
    systems = {"graph", *chosen["kinrec"].get("given", [])}
    lists = asked_graph.rank(sample, systems=sorted(systems), depth=depth)
    final = rank_finally(
        sample,
        items=pair.items,
        scorers=bank.scorers,
        lists={"graph": lists["graph"], "llm": answers.lists},
        mixture=mixture,
        depth=k,
        final=load_final(run_dir, chosen, bank, lists),
    )
    return Recommendation(
        domain=pair.domain_names[asked],
        history=matched,
        kindred=[_kindred(user, sample.history, pair) for user in near[:num_shown]],
        written=answers.texts[0],
        items=_lines(final, pair),
    )


def _expected(run_dir: Path, sample: Samples, graph: TrainedGraph, *, depth: int) -> RankedLists | None:
    """What the evidence expects of a question, where the run has evidence."""
    return graph.rank(sample, systems=[SYSTEM], depth=depth)[SYSTEM] if has_expectations(run_dir) else None


def _near(
    lookup: KindredLookup, sample: Samples, graph: TrainedGraph, expected: RankedLists | None, *, k: int
) -> list[KindredUser]:
    """The kindred users of a question, found as the run found those of its samples."""
    history, domain = sample.history.tolist(), int(sample.domain[0])
    vector = graph.ask(history, domain, depth=1).vector if lookup.needs_model_vector else None
    expected = expected if lookup.needs_expected else None
    return lookup.nearest(history, domain=domain, model_vector=vector, expected=expected, k=k)


def render(recommendation: Recommendation) -> str:
    """For a person to read."""
    lines = ["history:"]
    for match in recommendation.history:
        how = "" if match.exact else f"   (nearest to {match.asked!r})"
        lines.append(f"  {shown(match.domain)}: {shown(match.title)}{how}")
    for user in recommendation.kindred:
        lines += ["", f"kindred user {user.user}, similarity {user.similarity:.3f}, bought:"]
        lines += [f"  {'=' if title in user.shared else ' '} {shown(title)}" for title in user.bought]
    lines += ["", "the language model says:", *(f"  {shown(text)}" for text in recommendation.written[:SHOWN_TEXTS])]
    lines += ["", f"recommended, {shown(recommendation.domain)}:"]
    for item in recommendation.items:
        sources = ", ".join(f"{name} {rank}" for name, rank in item.ranks.items())
        lines.append(f"{item.rank:>3}  {item.score:6.3f}  {shown(item.title)}   [{sources}]")
    if any(user.shared for user in recommendation.kindred):
        lines += ["", "= also in the history; [source rank]: where each source has the item"]
    return "\n".join(lines) + "\n"


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


if __name__ == "__main__":
    main()
