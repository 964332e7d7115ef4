"""What is chosen for test where it is asked with what train alone tells: at the age that this knowledge has then.

Test begins when valid ends, so what train tells is as old by then as valid is long, and what sold in its last week says
little. Trees that learnt right after what they know ends would trust it. So here blocks are asked that much after what
they know, and valid with what was known as much before it began.
"""

import dataclasses
import logging

from evaluation.chosen import Chosen
from evaluation.list_ranker.bank import fit_bank
from evaluation.list_ranker.choice import choose_final
from evaluation.list_ranker.final import fit_list_ranker
from evaluation.list_ranker.knowledge import age_before_test
from evaluation.list_ranker.llm_share import keeping_llm
from evaluation.matrices import DAY
from evaluation.systems.mixture import Mixture, choose_mixture
from evaluation.systems.tuning import random_users, retune_timed
from pairs.known import as_of

log = logging.getLogger(__name__)


def choose_aged(chosen: Chosen) -> Chosen:
    """Half-lives, the baselines' fusion and the trees for test under `train`, chosen on all of valid.

    The lists of other stages know too much of then. So the trees do without them, and the fusion of lists keeps its
    weights; where nothing was known then, or too little to learn from, all stays.
    """
    inputs, baselines = chosen.inputs, chosen.baselines
    config, seed, items, world = inputs.config, inputs.seed, inputs.pair.items, inputs.world
    age = age_before_test(inputs.train, inputs.held_out["valid"])
    assert inputs.train.target_time is not None
    then = int(inputs.train.target_time.max()) - age
    known = as_of(inputs.train, then)
    if len(known) == 0:
        log.warning("nothing was known %.0f days before the end of train: test under train as chosen", age / DAY)
        return chosen
    valid = random_users(inputs.judged["valid"], config.tuning_users, seed)
    parameters = retune_timed(
        baselines.parameters, known, valid, items, config=config, seed=seed, others=inputs.others, world=world
    )
    bank = fit_bank(
        known, items, parameters,
        ridge_max_users=config.ridge_max_users, seed=seed, others=inputs.others,
        words=chosen.bank.words, clock=config.clock,
    )  # fmt: skip
    del known  # nearly as large as train, and those that the trees learn from come beside it
    batches = inputs.batches(valid, bank.scorers, {})
    mixture, choices = choose_mixture(batches, bank.scorers, {}, config)
    ranker = fit_list_ranker(
        inputs.train, valid, bank, parameters,
        left_out={}, others=inputs.others, chronological=True, config=config, seed=seed, world=world, age=age,
    )  # fmt: skip
    if ranker is None:
        return chosen
    final = choose_final(batches, ranker, mixture, {}, config)
    log.info("that is for test under train, which ends %.0f days before test begins", age / DAY)
    return dataclasses.replace(
        chosen,
        baselines=dataclasses.replace(baselines, parameters=parameters),
        mixture=Mixture(mixture.baselines, chosen.mixture.fusion),
        choices={**chosen.choices, "baseline_fusion": choices["baseline_fusion"]},
        ranker=keeping_llm(final, chosen.ranker),
        age=age,
    )
