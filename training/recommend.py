"""Ask a trained run: titles of what someone bought in, a ranked list of titles of one domain out.

python -m training.recommend runs/demo --domain office --history "art: sketch pad" --history "gel pens" --k 10
python -m training.recommend runs/demo --questions questions.jsonl
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from launch.distributed import World, init_world
from launch.errors import InputError
from launch.stage import entry_point
from launch.terminal import shown
from training.asking.recommender import Recommendation, Recommender, check_length

SHOWN_TEXTS = 3


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kinrec recommend", allow_abbrev=False)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--domain", help="the domain to recommend from")
    parser.add_argument("--history", action="extend", nargs="+", default=[], metavar="TITLE",
                        help="what was bought, oldest first; `DOMAIN: title` looks in that domain only")  # fmt: skip
    parser.add_argument("--k", type=int, default=10, help="length of the list")
    parser.add_argument("--questions", metavar="FILE",
                        help="many questions, the run loaded once: lines of JSON with domain, history and maybe k; "
                             "- is standard input; a line of JSON answers each")  # fmt: skip
    parser.add_argument("--trust_remote_code", action="store_true",
                        help="run Python code that lies in the run's model folder, whoever wrote it")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(argv)
    if (asked.questions is None) == (asked.domain is None) or (asked.questions and asked.history):
        raise InputError("ask one question by --domain and --history, or many by --questions")
    with init_world() as world:
        if asked.questions is not None:
            with open_questions(asked.questions) as lines:
                recommender = Recommender.open(asked.run, world=world, trust_remote_code=asked.trust_remote_code)
                answer_all(recommender, lines, k=asked.k)
            return
        recommendation = recommend(
            asked.run, domain=asked.domain, history=asked.history, k=asked.k, world=world,
            trust_remote_code=asked.trust_remote_code,
        )  # fmt: skip
    sys.stdout.write(as_json(recommendation, indent=1) if asked.json else render(recommendation))


def open_questions(name: str) -> AbstractContextManager[TextIO]:
    """A file of questions, or standard input; bytes that are no text make a line that is no question. InputError where
    there is no such file."""
    if name == "-":
        return nullcontext(sys.stdin)
    try:
        return Path(name).open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"--questions {name}: {error.strerror}; give a file with a question a line") from error


def answer_all(recommender: Recommender, lines: Iterable[str], *, k: int) -> None:
    """Answer a question a line, each as soon as it is read; a mistake is told in its own line.

    InputError at the end, where there was one.
    """
    mistakes = 0
    for number, line in enumerate(lines, start=1):
        try:
            question = read_question(line, k=k)
            said = as_json(recommender.ask(question.history, domain=question.domain, k=question.k))
        except InputError as error:
            mistakes += 1
            said = json.dumps({"error": f"line {number}: {error}"}) + "\n"
        sys.stdout.write(said)
        sys.stdout.flush()
    if mistakes:
        raise InputError(f"{mistakes} of the questions could not be answered; their lines say why")


@dataclass(frozen=True)
class Question:
    """One line of a file of questions."""

    domain: str
    history: list[str]
    k: int


def read_question(line: str, *, k: int) -> Question:
    """A line of JSON. InputError where it is no question; `k` where it does not say how long a list it wants."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})") from error
    if not isinstance(said, dict) or not {"domain", "history"} <= said.keys() <= {"domain", "history", "k"}:
        raise InputError('a question is {"domain": NAME, "history": [TITLE, ...]}, maybe with "k"')
    domain, history, wanted = said["domain"], said["history"], said.get("k", k)
    titles = isinstance(history, list) and all(isinstance(title, str) for title in history)
    if not (isinstance(domain, str) and titles and isinstance(wanted, int)):
        raise InputError("domain is a text, history a list of texts, k a whole number")
    return Question(domain, history, wanted)


def as_json(recommendation: Recommendation, *, indent: int | None = None) -> str:
    """The whole answer, with a line end."""
    return json.dumps(dataclasses.asdict(recommendation), indent=indent) + "\n"


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
