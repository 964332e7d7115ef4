"""A layer of half precision: near the float32 one while it learns, the same when it does not."""

import torch

from graph.attention.linear import Linear


def test_half_precision_is_near_and_only_while_it_learns() -> None:
    torch.manual_seed(1)
    half, whole = Linear(32, precision=torch.bfloat16), Linear(32)
    half.load_state_dict(whole.state_dict())
    x = torch.randn(9, 32, requires_grad=True)
    given, expected = half(x), whole(x)
    assert given.dtype == torch.float32
    assert not torch.equal(given, expected)
    torch.testing.assert_close(given, expected, rtol=2e-2, atol=2e-2)
    back = torch.randn(9, 32)
    mine, theirs = (
        torch.autograd.grad((result * back).sum(), [x, *layer.parameters()])
        for result, layer in ((given, half), (expected, whole))
    )
    for one, other in zip(mine, theirs, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=3e-2, atol=1e-1)
    assert torch.equal(half.eval()(x), whole(x))
