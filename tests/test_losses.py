import pytest
import torch

from marl.learning.losses import average_groups, compute_quantile_loss


def test_compute_quantile_loss__by_hand() -> None:
    # Levels .25 and .75; targets 1 and 4; kappa 1.
    # Quantile 0: errors 1 and 4, both above: .25 (.5 + 3.5) / 2 = .5.
    # Quantile 2: errors -1 and 2: (|.75 - 1| x .5 + .75 x 1.5) / 2 = .625.
    loss = compute_quantile_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 4.0]]), kappa=1)

    assert loss.tolist() == [pytest.approx(1.125)]


def test_compute_quantile_loss__is_least_at_the_quantiles() -> None:
    returns = -(1 - (torch.arange(1000) + 0.5) / 1000).log()  # exponential
    quantiles = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([quantiles], lr=0.02)
    for _ in range(1000):
        optimizer.zero_grad()
        torch.autograd.backward(compute_quantile_loss(quantiles, returns, kappa=1e-3))
        optimizer.step()

    # Of 1 - exp(-x) at 1/8, 3/8, 5/8, 7/8: -ln(1 - level).
    levels = torch.tensor([0.125, 0.375, 0.625, 0.875])
    torch.testing.assert_close(quantiles.detach(), -(1 - levels).log(), atol=0.03, rtol=0)


def test_average_groups__gives_every_cell_the_mean_of_its_group() -> None:
    values = torch.tensor([[1.0, 3.0, 5.0, 9.0, 7.0], [2.0, 4.0, 6.0, 8.0, 10.0]])[..., None]
    group = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 2, 3, 4]])

    means = average_groups(values, group)

    assert means.squeeze(-1).tolist() == [[2, 2, 7, 7, 7], [2, 4, 6, 8, 10]]
