"""The encoder over real positions alone, beside one over all places."""

import torch

from bench.released.dense_encoder import DenseEncoder
from graph.attention.encoder import Encoder
from graph.noise import Noise

ROWS, LENGTH, WIDTH = 5, 7, 6


def test_real_positions_alone_give_the_states_and_gradients_of_all_places() -> None:
    torch.manual_seed(1)
    packed = Encoder(WIDTH, max_history=LENGTH, blocks=2, dropout=0.3)
    dense = DenseEncoder(WIDTH, max_history=LENGTH, blocks=2, dropout=0.3)
    dense.load_state_dict(packed.state_dict())
    real = torch.rand(ROWS, LENGTH) < 0.5
    real[3], real[4] = False, True
    x = torch.randn(ROWS, LENGTH, WIDTH) * real[:, :, None]
    back = torch.randn(ROWS, LENGTH, WIDTH)
    for drop in (False, True):
        noises = [Noise(1, 2, torch.arange(ROWS)) if drop else None for _ in range(2)]
        given, expected = packed(x[real], real, noises[0]), dense(x, real, noises[1])
        assert float(expected.detach().abs().max()) > 1
        torch.testing.assert_close(given, expected)
        mine, theirs = (
            torch.autograd.grad((states * back).sum(), [*encoder.parameters()])
            for states, encoder in ((given, packed), (expected, dense))
        )
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_nothing_real_is_no_error_and_has_gradients() -> None:
    encoder = Encoder(WIDTH, max_history=LENGTH, blocks=1, dropout=0.3)
    states = encoder(torch.zeros(0, WIDTH), torch.zeros(2, LENGTH, dtype=torch.bool), None)
    assert states.shape == (2, LENGTH, WIDTH)
    assert not bool(states.any())
    states.sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


def test_positions_that_are_asked_for_have_the_states_and_gradients_of_all() -> None:
    torch.manual_seed(1)
    encoder = Encoder(WIDTH, max_history=LENGTH, blocks=2, dropout=0.3)
    real = torch.rand(ROWS, LENGTH) < 0.7
    real[3], real[4] = False, True
    asked = torch.rand(ROWS, LENGTH) < 0.5
    asked[1] = False
    x = torch.randn(int(real.sum()), WIDTH, requires_grad=True)
    back = torch.randn(ROWS, LENGTH, WIDTH) * asked[:, :, None]
    ends = []
    for only in (None, asked):
        states = encoder(x, real, Noise(1, 2, torch.arange(ROWS)), only)
        assert only is None or not bool(states[~(asked & real)].any())
        ends.append(
            [states * asked[:, :, None], *torch.autograd.grad((states * back).sum(), [x, *encoder.parameters()])]
        )
    for one, other in zip(*ends, strict=True):
        assert bool(other.any())
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_rank_without_positions_draws_as_many_numbers_as_the_others() -> None:
    encoder = Encoder(WIDTH, max_history=LENGTH, blocks=2, dropout=0.3)
    noises = [Noise(1, 2, torch.arange(ROWS)) for _ in range(2)]
    for noise, is_real in zip(noises, (True, False), strict=True):
        real = torch.full((ROWS, LENGTH), is_real)
        encoder(torch.zeros(int(real.sum()), WIDTH), real, noise)
    torch.testing.assert_close(noises[0].table_uniform(4), noises[1].table_uniform(4))
