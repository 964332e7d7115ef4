"""What is chosen for test where sales are counted up to each question, from blocks and a valid whose sales are counted
so, too; or the other way, where a report that counts them so has a table of `refit`.

Trees that learnt from sales which end where what they know ends trust them less than they may trust those of
yesterday; asked as of each question they would fall behind popularity alone. (The graph's lists of blocks and of valid
know the sales before the block or before valid, either way.)
"""

import dataclasses
import logging

from evaluation.chosen import Chosen, fit_final, refit_final
from evaluation.list_ranker.bank import fit_bank
from evaluation.list_ranker.knowledge import Timeline
from evaluation.list_ranker.llm_share import keeping_llm
from evaluation.systems.mixture import choose_mixture
from evaluation.systems.tuning import retune_timed
from launch.systems import FUSED, TAUGHT

log = logging.getLogger(__name__)


def choose_by_sales(chosen: Chosen, protocol: Timeline) -> Chosen:
    """Half-lives, fusions and the trees, chosen on a valid whose sales are counted as the protocol says."""
    inputs, baselines = chosen.inputs, chosen.baselines
    config, seed, items, world = inputs.config, inputs.seed, inputs.pair.items, inputs.world
    sold = inputs.sold(protocol)
    deciding = inputs.deciding(protocol)
    valid = inputs.sources("valid", protocol)
    said = valid.take(inputs.judged["valid"].row_of(deciding.sample), (*FUSED, *TAUGHT))
    parameters = retune_timed(
        baselines.parameters, inputs.train, deciding, items,
        config=config, seed=seed, others=inputs.others, sold=sold, world=world,
    )  # fmt: skip
    bank = fit_bank(
        inputs.train, items, parameters,
        ridge_max_users=config.ridge_max_users, seed=seed, others=inputs.others, sold=sold,
        words=chosen.bank.words, clock=config.clock,
    )  # fmt: skip
    batches = inputs.batches(deciding, bank.scorers, said.lists)
    mixture, choices = choose_mixture(batches, bank.scorers, said.fused, config)
    log.info("for test under %s:", protocol.knowledge)
    ranker = keeping_llm(fit_final(inputs, protocol, bank, parameters, mixture, said, batches), chosen.ranker)
    del batches
    return dataclasses.replace(
        chosen,
        baselines=dataclasses.replace(baselines, parameters=parameters),
        mixture=mixture,
        choices={**chosen.choices, **choices},
        bank=bank,
        ranker=ranker,
        later=refit_final(inputs, protocol, ranker, valid),
    )
