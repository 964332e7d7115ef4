"""What is chosen for test where sales are counted up to each question, from blocks and a valid whose sales are counted
so, too; or the other way, where a report that counts them so has a table of `refit`.

Trees that learnt from sales which end where what they know ends trust them less than they may trust those of
yesterday; asked as of each question they would fall behind popularity alone. (The graph's lists of blocks and of valid
know the sales before the block or before valid, either way.)
"""

import dataclasses
import logging

from evaluation.chosen import Chosen
from evaluation.list_ranker.bank import fit_bank
from evaluation.list_ranker.choice import choose_final
from evaluation.list_ranker.final import TREES, fit_list_ranker, refit_list_ranker
from evaluation.list_ranker.knowledge import Timeline, sold_by_all
from evaluation.list_ranker.llm_share import keeping_llm
from evaluation.systems.mixture import choose_mixture
from evaluation.systems.tuning import retune_timed
from launch.systems import FUSED, TAUGHT

log = logging.getLogger(__name__)


def choose_by_sales(chosen: Chosen, protocol: Timeline) -> Chosen:
    """Half-lives, fusions and the trees, chosen on a valid whose sales are counted as the protocol says; where no trees
    can be fitted, all but the half-lives and fusions stays."""
    inputs, baselines = chosen.inputs, chosen.baselines
    config, seed, items, world = inputs.config, inputs.seed, inputs.pair.items, inputs.world
    sold = sold_by_all(*inputs.splits, protocol)
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
    mixture, choices = choose_mixture(deciding, items, bank.scorers, said.fused, config, world)
    rolling = dataclasses.replace(
        chosen,
        baselines=dataclasses.replace(baselines, parameters=parameters),
        mixture=mixture,
        choices={**chosen.choices, **choices},
        bank=bank,
    )
    given = {name: said.lists[name] for name in TAUGHT if name in said.lists}
    ranker = fit_list_ranker(
        inputs.train, deciding, dataclasses.replace(bank, given=given), parameters,
        left_out=inputs.left_out_lists(), others=inputs.others, sold=sold,
        chronological=True, config=config, seed=seed, world=world,
    )  # fmt: skip
    if ranker is None:
        return rolling
    log.info("for test under %s:", protocol.knowledge)
    final = choose_final(deciding, ranker, mixture, said.fused, config, world)
    later = final
    if final is not None and TREES in final.weights:
        later = refit_list_ranker(final, inputs.judged["valid"], valid, config, seed=seed, world=world)
    return dataclasses.replace(
        rolling, ranker=keeping_llm(final, chosen.ranker), later=keeping_llm(later, chosen.ranker)
    )
