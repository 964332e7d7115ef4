"""Ask a trained run: titles of what someone bought in, a ranked list of titles of one domain out.

python -m training.recommend runs/demo --domain office --history "art: sketch pad" --history "gel pens" --k 10
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from launch.distributed import World, init_world
from launch.stage import entry_point
from launch.terminal import shown
from training.asking.recommender import Recommendation, Recommender, check_length

SHOWN_TEXTS = 3


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
    check_length(k)
    return Recommender.open(run_dir, world=world, trust_remote_code=trust_remote_code).ask(history, domain=domain, k=k)


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


if __name__ == "__main__":
    main()
