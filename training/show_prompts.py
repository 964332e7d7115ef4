"""`kinrec show-prompts`: some prompts of a run as the model sees them, what they cost, and what they leave out."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import datasets
import numpy as np
from transformers import PreTrainedTokenizerBase

from launch.config import load_recipe
from launch.errors import InputError
from launch.stage import entry_point
from launch.stages import stage_named
from launch.state.states import check_finished
from launch.terminal import shown
from pairs.draws import draw_rows
from pairs.known import load_kindred
from pairs.tables import SPLITS, Samples, Split, load_pair
from retrieval.posterior.expected import has_expectations, load_asking
from training.base_model import load_tokenizer_folder
from training.prompts.assembly import Prompts, Wanted, assemble
from training.prompts.config import PromptsConfig
from training.prompts.maker import PromptMaker, make_maker


@dataclass(frozen=True)
class Shown:
    """One prompt and what there is to say of it."""

    sample: int
    prompt: str
    answer: str
    facts: list[str]


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kinrec show-prompts", allow_abbrev=False)
    parser.add_argument("run", type=Path, help="the folder of a run that has been tokenized")
    parser.add_argument("--n", type=int, default=5, help="how many prompts")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--sample", type=int, action="append", default=[], help="that sample's, instead of a draw")
    asked = parser.parse_args(argv)
    for one in show_prompts(asked.run, split=cast(Split, asked.split), n=asked.n, sample_ids=asked.sample):
        sys.stdout.write(render(one))


def show_prompts(run_dir: Path, *, split: Split, n: int, sample_ids: list[int]) -> list[Shown]:
    """`n` prompts of a split drawn by the run's seed, or those of some samples. InputError for an unknown sample."""
    if n < 1:
        raise InputError(f"--n must be at least 1, got {n}")
    check_finished(run_dir, [stage_named(name) for name in ("prepare", "retrieve", "tokenize")])
    recipe = load_recipe(run_dir / "recipe.yaml")
    config: PromptsConfig = recipe.sections["prompts"]
    tokenizer = load_tokenizer_folder(run_dir / "prompts" / "tokenizer")  # whoever's folder it is: its code never runs
    pair, samples = load_pair(run_dir), load_asking(run_dir, split, has_lists=has_expectations(run_dir))
    unknown = sorted(set(sample_ids) - set(samples.sample.tolist()))
    if unknown:
        raise InputError(
            f"--sample {unknown[0]}: no such sample in pair/{split}.parquet, or none that prompts are made of"
        )
    written = np.asarray(datasets.load_from_disk(str(run_dir / "prompts" / split)).data["sample"], dtype=np.int64)
    drawn = written[draw_rows(len(written), n, seed=recipe.seed)]
    rows = samples.row_of(np.array(sample_ids) if sample_ids else drawn)
    maker = make_maker(tokenizer, pair, config)
    wanted = maker.source_of_split(split, samples, known=load_kindred(run_dir), run_dir=run_dir).wanted(rows)
    prompts = assemble(maker.pieces, wanted, maker.budget(split))
    return [_describe(row, samples.take(rows), wanted, prompts, maker, tokenizer) for row in range(len(rows))]


def render(one: Shown) -> str:
    """For a person to read: the prompt, its answer, a line for each fact."""
    text = "\n".join(shown(line) for line in one.prompt.split("\n"))
    head = f"--- sample {one.sample} " + "-" * 40
    return "\n".join([head, f"{text}[{shown(one.answer)}]", "", *(f"  {fact}" for fact in one.facts), ""]) + "\n"


def _describe(
    row: int,
    samples: Samples,
    wanted: Wanted,
    prompts: Prompts,
    maker: PromptMaker,
    tokenizer: PreTrainedTokenizerBase,
) -> Shown:
    tokens = prompts.tokens[prompts.offsets[row] : prompts.offsets[row + 1]].tolist()
    length, pieces, config = int(prompts.prompt_length[row]), maker.pieces, maker.config
    target = int(samples.target[row])
    answer = pieces.piece(pieces.answer + target)
    own, listed = wanted.own[row], wanted.neighbours[row]
    cut = [
        item for item in {*own.tolist(), *listed.ravel().tolist()} - {pieces.num_items}
        if pieces.lengths[pieces.line + item] == config.max_item_tokens
    ]  # fmt: skip
    num_own, history = int((own != pieces.num_items).sum()), int(samples.lengths[row])
    shown_users, wanted_users = int(prompts.neighbours_shown[row]), int(prompts.neighbours_wanted[row])
    facts = [
        f"{length} of {config.max_tokens} tokens; {maker.answer_reserve} stay free for the answer of {len(answer)}",
        f"own items: {int(prompts.own_shown[row])} shown of {num_own} wanted, of {history} in the history",
        f"kindred users: something of {shown_users} is shown, of {wanted_users} was wanted: "
        f"{int((listed != pieces.num_items).sum())} items ({config.kindred})",
        f"titles cut at {config.max_item_tokens} tokens: {len(cut)}",
        f"the target is {'among' if prompts.target_shown[row] else 'not among'} what is shown of kindred users",
    ]
    return Shown(
        sample=int(prompts.sample[row]),
        prompt=str(tokenizer.decode(tokens[:length])),
        answer=str(tokenizer.decode(answer.tolist()[:-1])),
        facts=facts,
    )


if __name__ == "__main__":
    main()
