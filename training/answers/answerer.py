"""Let the tuned model answer prompts: beams over the vocabulary or over the titles, and the items they stand for."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from launch.errors import InputError
from pairs.tables import Ints, Pair
from retrieval.grounding import TitleGrounder
from training.answers.answer_lists import Answers, ExactTitles, rank_answers
from training.answers.beam_search import search_beams
from training.answers.choices import Choices, FreeText, TitlesOnly
from training.answers.config import GenerationConfig
from training.answers.list_answerer import ListAnswerer
from training.answers.questions import Answering, Questions
from training.answers.rescoring import Rescoring
from training.answers.results import Beams
from training.answers.title_trie import TitleTrie, TrieOnDevice, build_trie
from training.base_files import BaseModel
from training.base_model import load_tokenizer_folder, load_tuned_model
from training.precision import resolve_precision
from training.ranking.candidates import CandidateLists
from training.ranking.likelihood import Priors
from training.ranking.scores import verdict_tokens
from training.ranking.taught import read_taught, usual_prior_weight
from training.ranking.titles import read_candidate_titles, read_titles

log = logging.getLogger(__name__)
TITLE_PERCENTILE = 0.99


@dataclass(frozen=True)
class Answerer:
    """A loaded model and what its answers are matched with."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pair: Pair
    trie: TitleTrie | None
    """None: free text."""
    choices: Choices
    grounder: TitleGrounder
    exact: ExactTitles
    max_new_tokens: int
    rescoring: Rescoring | None
    """None: beams stay in the order that they were found in."""
    config: GenerationConfig

    @property
    def settings(self) -> dict[str, object]:
        """See `Answering`."""
        return {
            "by": "write",
            "rescored_by": None if self.rescoring is None else self.rescoring.weight,
            "mode": self.config.mode,
            "num_beams": self.config.num_beams,
            "length_penalty": self.config.resolved_length_penalty,
            "max_new_tokens": self.max_new_tokens,
        }

    def tokens(self, prompt_lengths: Ints, candidates: CandidateLists) -> Ints:
        """See `Answering`: the prompts' alone."""
        return prompt_lengths

    def answer(self, asked: Questions) -> Answers:
        """See `Answering`: all beams of a batch of prompts, grounded and ranked."""
        sample, prompts, domain = asked.sample, asked.prompts, asked.domain
        pad_token = self.tokenizer.pad_token_id
        assert isinstance(pad_token, int)
        self._check_room(max(len(prompt) for prompt in prompts))
        starts = {} if self.trie is None else {d: self.trie.start_of(d) for d in set(domain.tolist())}
        beams = search_beams(
            self.model,
            prompts,
            self.choices,
            start=[starts.get(d, 0) for d in domain.tolist()],
            num_beams=self.config.num_beams,
            max_new_tokens=self.max_new_tokens,
            pad_token=pad_token,
            length_penalty=self.config.resolved_length_penalty,
        )
        if self.rescoring is not None:
            beams = self.rescoring.order(beams, domain)
        return rank_answers(
            sample,
            domain=domain,
            texts=[self._texts(written) for written in beams],
            text_scores=[written.scores for written in beams],
            exact=self.exact,
            grounder=self.grounder,
            items=self.pair.items,
            depth=self.config.list_depth,
        )

    def _texts(self, beams: Beams) -> list[str]:
        """What was written: the title as the catalogue has it where only titles can be, else the decoded tokens."""
        if self.trie is not None:
            return [self.pair.items.titles[int(self.trie.items_at(leaf)[0])] for leaf in beams.leaves]
        decoded = self.tokenizer.batch_decode(beams.tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in decoded]

    def _check_room(self, longest_prompt: int) -> None:
        window = getattr(self.model.config, "sliding_window", None)
        if window is not None and longest_prompt + self.max_new_tokens > window:
            raise InputError(
                f"prompts of {longest_prompt} tokens do not fit the model's sliding window of {window} tokens; "
                "lower prompts.max_tokens"
            )


def load_answerer(
    config: GenerationConfig,
    *,
    base: BaseModel | None,
    run_dir: Path,
    pair: Pair,
    grounder: TitleGrounder,
    device: torch.device,
    ranks: int = 1,
) -> Answering:
    """The run's tuned model on `device`, ready to rank or to write; of `base`'s code it runs what `base` allows.

    Args:
        ranks: over how many each layer is cut, where the recipe wants that; all of them call together.
    """
    folder = run_dir / "llm" / "model"
    if not folder.is_dir():
        raise InputError(f"{folder}: no tuned model; run `kinrec finetune` first")
    tokenizer = load_tokenizer_folder(folder, base=base)
    precision = resolve_precision(config.precision, device)
    ranks = ranks if config.tensor_parallel else 1
    model = load_tuned_model(folder, precision=precision, base=base, ranks=ranks)
    if ranks == 1:
        model = model.to(device)  # type: ignore[arg-type]  # its stub wants a module
    pad = tokenizer.pad_token_id
    assert isinstance(pad, int)
    if answers_by(config, run_dir) == "rank":
        log.info("answers: ranked candidates, %s", precision)
        return _that_ranks(model, tokenizer, config, run_dir=run_dir, pair=pair, pad=pad, device=device)
    writing = _that_writes(
        model, tokenizer, config, run_dir=run_dir, pair=pair, grounder=grounder, pad=pad, device=device
    )
    said = (config.mode, config.num_beams, writing.max_new_tokens, precision)
    log.info("answers: %s, %d beams, at most %d tokens, %s", *said)
    return writing


def _that_ranks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: GenerationConfig,
    *,
    run_dir: Path,
    pair: Pair,
    pad: int,
    device: torch.device,
) -> ListAnswerer:
    titles, taught, weight = read_candidate_titles(run_dir), read_taught(run_dir), prior_weight(config, run_dir)
    return ListAnswerer(
        model=model,
        titles=titles,
        names=pair.items.titles,
        verdict=verdict_tokens(tokenizer) if (taught.task, taught.score) == ("rank", "verdict") else None,
        priors=Priors(model, titles, pad=pad, device=device) if weight else None,
        prior_weight=weight,
        pad=pad,
        device=device,
        config=config,
    )


def _that_writes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: GenerationConfig,
    *,
    run_dir: Path,
    pair: Pair,
    grounder: TitleGrounder,
    pad: int,
    device: torch.device,
) -> Answerer:
    titles = read_titles(run_dir)
    limit = config.max_new_tokens or longest_answer(titles.lengths, margin=config.token_margin)
    trie = None
    if config.mode == "constrained":
        trie = build_trie(
            titles.tokens, titles.offsets,
            domain=pair.items.domain, popularity=pair.items.train_count, max_tokens=limit,
        )  # fmt: skip
    end_token = tokenizer.eos_token_id
    assert isinstance(end_token, int)
    rescoring = None
    if config.rescore:
        rescoring = Rescoring(
            model=model,
            empty=titles.empty,
            weight=prior_weight(config, run_dir),
            length_penalty=config.resolved_length_penalty,
            pad=pad,
            device=device,
        )
    return Answerer(
        model=model,
        tokenizer=tokenizer,
        pair=pair,
        trie=trie,
        choices=FreeText([end_token], device) if trie is None else TitlesOnly(TrieOnDevice.of(trie, device)),
        grounder=grounder,
        exact=ExactTitles(pair.items),
        max_new_tokens=limit,
        rescoring=rescoring,
        config=config,
    )


def answers_by(config: GenerationConfig, run_dir: Path) -> Literal["rank", "write"]:
    """How the run's model is to answer: as it was asked, or by what it was taught."""
    if config.by != "auto":
        return config.by
    return "write" if read_taught(run_dir).task == "write" else "rank"


def prior_weight(config: GenerationConfig, run_dir: Path) -> float:
    """The weight of a title's likelihood without any history: the recipe's, the one that was taught, or the usual."""
    if config.prior_weight is not None:
        return config.prior_weight
    taught = read_taught(run_dir).prior_weight
    return usual_prior_weight(run_dir) if taught is None else taught


def longest_answer(lengths: Ints, *, margin: int) -> int:
    """The 99th percentile of the titles' lengths, end token included, plus `margin`."""
    return int(np.quantile(lengths, TITLE_PERCENTILE, method="higher")) + margin
