"""Preset `code` beside a dense implementation of the released code's step: one loss, one gradient."""

from dataclasses import replace

import torch

from bench.released.data import drawn_pair
from bench.released.dense_step import DenseStep
from bench.released.measure import STILL, batch_of, dense_loss, own_loss
from graph.objective import Objective
from graph.ranker import GraphRanker


def test_loss_and_gradients_are_those_of_the_dense_step() -> None:
    config = replace(
        STILL,
        model=replace(STILL.model, dim=8, attribute_dim=4, init_scale=0.3, layers=1),
        schedule=replace(STILL.schedule, global_batch=24),
    )
    train, graphs = drawn_pair(config, num_items=300, num_x=140, num_users=60)
    torch.manual_seed(1)
    objective, dense = Objective(GraphRanker(graphs, config), config), DenseStep(graphs, config)
    dense.start_as(objective.state_dict())
    batch = batch_of(train, graphs, config, 0)
    mine, other = own_loss(objective, graphs, batch), dense_loss(dense, objective, graphs, batch)
    assert float(mine.detach()) > 5
    assert abs(float((mine - other).detach())) <= 1e-4
    torch.autograd.backward(mine)
    torch.autograd.backward(other)
    theirs = dict(dense.named_parameters())
    for name, weight in objective.named_parameters():
        expected = theirs[name.removeprefix("ranker.").replace("form.", "")].grad
        torch.testing.assert_close(weight.grad, expected, rtol=1e-3, atol=1e-5)
