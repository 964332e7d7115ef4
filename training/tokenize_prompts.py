"""Write the prompts of all splits as token ids (Arrow), outside any process group.

python -m training.tokenize_prompts --config launch/recipes/demo.yaml
"""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from transformers import PreTrainedTokenizerBase

from launch.artifacts import PARTIAL, atomic_folder, write_json
from launch.errors import InputError
from launch.stage import entry_point, open_stage, parse_job
from launch.tracking import Tracker, open_tracker
from pairs.draws import draw_rows, draw_users
from pairs.known import load_kindred
from pairs.tables import SPLITS, Pair, Samples, Split, load_pair
from retrieval.posterior.expected import Expectations, has_expectations, load_asking
from training.base_files import BaseModel, find_base
from training.base_model import check_weights, load_tokenizer
from training.prompts.assembly import Budget, assemble, least_tokens
from training.prompts.config import PromptOrder, PromptsConfig
from training.prompts.kindred import PromptSource
from training.prompts.maker import PromptMaker, make_maker
from training.prompts.pieces import Ints, Pieces, clean_title, make_frame
from training.ranking.candidates import holds_target, join_candidates
from training.ranking.titles import titles_of, write_titles
from training.scratch import train_tokenizer

log = logging.getLogger(__name__)

BATCH = 1024  # samples that are assembled at once
LEAST_FITTING = 0.95  # refuse a budget that leaves out more train samples than that
CROWDED = 0.5  # refuse a budget that shuts kindred users out of a larger share of prompts
SCHEMA = pa.schema(
    [
        ("sample", pa.int64()),
        ("input_ids", pa.list_(pa.int32())),
        ("prompt_length", pa.int32()),
        ("of_items", pa.list_(pa.bool_())),
        ("candidates", pa.list_(pa.int32())),
        ("own_shown", pa.int32()),
        ("neighbours_shown", pa.int32()),
        ("neighbours_wanted", pa.int32()),
        ("target_shown", pa.bool_()),
        ("target_ranked", pa.bool_()),
    ]
)
READ = ["sample", "input_ids", "prompt_length", "of_items", "candidates"]
"""The columns that later stages read; the others are counted and left out."""


@entry_point
def main(argv: list[str] | None = None) -> None:
    job = parse_job(PromptsConfig, "tokenize", argv)
    with open_stage(job), open_tracker(job) as tracker:
        base = tokenize_prompts(job.config, run_dir=job.run_dir, seed=job.seed, tracker=tracker)
        if base.path is not None:
            job.external.append(base.path)


def tokenize_prompts(config: PromptsConfig, *, run_dir: Path, seed: int, tracker: Tracker) -> BaseModel:
    """Write prompts/: a dataset for each split, the tokenizer, meta.json. Returns the base model that was found."""
    base = find_base(config.base, trust_remote_code=config.trust_remote_code, allow_pickle=config.allow_pickle)
    pair = load_pair(run_dir)
    tokenizer = get_tokenizer(base, pair, scratch_vocab=config.scratch_vocab, order=config.order)
    maker = make_maker(tokenizer, pair, config)
    pieces = maker.pieces
    folder = run_dir / "prompts"
    with atomic_folder(folder / "tokenizer") as partial:
        tokenizer.save_pretrained(partial)
    write_titles(run_dir, titles_of(pieces))
    known = load_kindred(run_dir)
    written = {}
    for split in SPLITS:
        samples = load_asking(run_dir, split, has_lists=has_expectations(run_dir))
        rows, budget = _drawn_rows(split, samples, config, seed=seed), maker.budget(split)
        source = maker.source_of_split(split, samples, known=known, run_dir=run_dir)
        if split == "train":
            rows = _with_room(rows, samples, pieces, budget)
        with TemporaryDirectory(dir=folder, prefix=f".{split}-", suffix=PARTIAL) as cache:
            assembled = functools.partial(
                _assemble_batch, source=source, maker=maker, budget=budget, split=split, run_dir=run_dir
            )
            dataset = _make_dataset(rows, assembled, workers=config.num_workers, name=split, cache=Path(cache))
            with atomic_folder(folder / split) as partial:
                dataset.select_columns(READ).save_to_disk(partial, num_shards=1)
            written[split] = _describe(dataset, split)
            _refuse_if_crowded(written[split], config, split)
            tracker.text(f"tokenize/{split}", f"```\n{tokenizer.decode(dataset[0]['input_ids'])}\n```")
    write_json(
        folder / "meta.json",
        {
            "base": config.base,
            "template": "chat" if tokenizer.chat_template else "alpaca",
            "vocab_size": len(tokenizer),
            "max_tokens": config.max_tokens,
            "answer_tokens": maker.answer_reserve,
            "candidate_tokens": config.max_candidate_tokens,
            "longest_answer": int(pieces.lengths[pieces.answer :].max()),
            "splits": written,
        },
    )
    return base


def get_tokenizer(base: BaseModel, pair: Pair, *, scratch_vocab: int, order: PromptOrder) -> PreTrainedTokenizerBase:
    """The base model's tokenizer; for `scratch`, one trained on the pair's titles and the words of its prompts."""
    if base.kind != "scratch":
        tokenizer = load_tokenizer(base)
        check_weights(base, tokenizer)
        return tokenizer
    titles = [clean_title(title) for title in pair.items.titles]
    frame = make_frame(None, pair.domain_names, order=order).texts
    return train_tokenizer(titles, vocab_size=scratch_vocab, frame=frame)


def _drawn_rows(split: Split, samples: Samples, config: PromptsConfig, *, seed: int) -> Ints:
    """The rows of a split that get a prompt."""
    most = config.max_train_samples if split == "train" else None
    if config.order == "own_first":  # a user's prompts begin alike: all of them or none
        rows = draw_users(samples.user, most, seed=seed)
    else:
        rows = draw_rows(len(samples), most, seed=seed)
    if len(rows) < len(samples):
        log.info("training on %d of %d samples (prompts.max_train_samples)", len(rows), len(samples))
    return rows


def _with_room(rows: Ints, train: Samples, pieces: Pieces, budget: Budget) -> Ints:
    """The train rows whose answer, never cut, fits the budget: all but a few with the longest titles."""
    samples = train.take(rows)
    latest = samples.recent(1, pieces.num_items)[:, 0]
    needed = least_tokens(pieces, domain=samples.domain, target=samples.target, latest=latest)
    fits = needed <= budget.max_tokens
    if fits.mean() < LEAST_FITTING:
        raise InputError(
            f"prompts.max_tokens={budget.max_tokens} is too small: only {100 * fits.mean():.0f} % of the train "
            f"samples have room for their answer and one item; {int(np.percentile(needed, 99))} would do for 99 %"
        )
    if not fits.all():
        log.warning(
            "%d of %d train samples left out: their answers do not fit in prompts.max_tokens=%d (the longest needs %d)",
            int((~fits).sum()), len(rows), budget.max_tokens, int(needed.max()),
        )  # fmt: skip
    return rows[fits]


def _make_dataset(
    rows: Ints, assembled: Callable[[dict[str, list[int]]], pa.Table], *, workers: int, name: str, cache: Path
) -> Any:  # Any: datasets is untyped
    """The prompts of `rows` as an Arrow dataset in `cache`, assembled by several processes."""
    if len(rows) == 0:
        raise InputError(f"pair/{name}.parquet has no samples; prepare a pair with samples in every split")
    datasets.disable_progress_bars()
    return datasets.Dataset.from_dict({"row": rows}).map(
        assembled,
        batched=True,
        batch_size=BATCH,
        num_proc=min(workers, -(-len(rows) // BATCH)) if workers > 1 else None,
        remove_columns=["row"],
        features=datasets.Features.from_arrow_schema(SCHEMA),
        cache_file_name=str(cache / "prompts.arrow"),
        new_fingerprint=f"kinrec-{name}",  # or the files of two equal runs would differ
    )


def _assemble_batch(
    batch: dict[str, list[int]],
    *,
    source: PromptSource,
    maker: PromptMaker,
    budget: Budget,
    split: Split,
    run_dir: Path,
) -> pa.Table:
    rows = np.asarray(batch["row"], dtype=np.int64)
    prompts = assemble(maker.pieces, source.wanted(rows), budget)
    expected = _expectations(run_dir).rows(split, source.samples, rows) if has_expectations(run_dir) else None
    candidates = join_candidates(
        expected, source.votes(rows), most_expected=maker.config.graph_candidates,
        most_votes=maker.config.vote_candidates, count=len(rows),
    )  # fmt: skip
    return pa.table(
        [
            prompts.sample,
            pa.ListArray.from_arrays(prompts.offsets.astype(np.int32), prompts.tokens),
            prompts.prompt_length.astype(np.int32),
            pa.ListArray.from_arrays(prompts.offsets.astype(np.int32), prompts.of_items),
            pa.ListArray.from_arrays(candidates.offsets.astype(np.int32), candidates.items.astype(np.int32)),
            prompts.own_shown.astype(np.int32),
            prompts.neighbours_shown.astype(np.int32),
            prompts.neighbours_wanted.astype(np.int32),
            prompts.target_shown,
            holds_target(candidates, source.samples.target[rows]),
        ],
        schema=SCHEMA,
    )


_expectations = functools.lru_cache(maxsize=1)(Expectations)
"""A process that assembles prompts opens the lists once."""


def _describe(dataset: Any, split: str) -> dict[str, float]:  # Any: datasets is untyped
    table = dataset.with_format("arrow")[:]
    lengths = np.asarray(pc.list_value_length(table["input_ids"]), dtype=np.int64)
    shown, wanted = (np.asarray(table[name]) for name in ("neighbours_shown", "neighbours_wanted"))
    facts = {
        "samples": len(lengths),
        "tokens": int(lengths.sum()),
        "mean_tokens": round(float(lengths.mean()), 2),
        "max_tokens": int(lengths.max()),
        "mean_own_items": round(float(np.asarray(table["own_shown"]).mean()), 2),
        "mean_neighbours": round(float(shown.mean()), 2),
        "share_with_neighbours": round(float((shown > 0).mean()), 4),
        "share_with_target": round(float(np.asarray(table["target_shown"]).mean()), 4),
        "mean_candidates": round(float(np.asarray(pc.list_value_length(table["candidates"])).mean()), 2),
        "share_with_target_among_candidates": round(float(np.asarray(table["target_ranked"]).mean()), 4),
        "share_crowded_out": round(float(((shown == 0) & (wanted > 0)).mean()), 4),
    }
    log.info(
        "%s: %d prompts, %.0f tokens on average (at most %d), %.1f own items and %.1f kindred users shown, the target "
        "in %.1f %% and among the candidates in %.1f %%",
        split, facts["samples"], facts["mean_tokens"], facts["max_tokens"], facts["mean_own_items"],
        facts["mean_neighbours"], 100 * facts["share_with_target"],
        100 * facts["share_with_target_among_candidates"],
    )  # fmt: skip
    return facts


def _refuse_if_crowded(facts: dict[str, float], config: PromptsConfig, split: str) -> None:
    """InputError where most of the prompts that could tell of a kindred user have no room for it."""
    if facts["share_crowded_out"] > CROWDED:
        raise InputError(
            f"{split}: {100 * facts['share_crowded_out']:.0f} % of the prompts have no room for a kindred user; raise "
            f"prompts.max_tokens ({config.max_tokens}), lower prompts.max_history ({config.max_history}) or "
            f"prompts.max_item_tokens ({config.max_item_tokens}), or set prompts.num_neighbours=0"
        )


if __name__ == "__main__":
    main()
