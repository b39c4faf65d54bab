"""Action distributions against torch.distributions, their derivatives against autograd, samples against frequencies."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from safepo.distributions import Categorical, Distribution, Gaussian, Params
from tests.safepo.helpers import DISTRIBUTIONS, torch_entropy, torch_kl, torch_logp

pytestmark = pytest.mark.usefixtures("double")

SIZED = {
    **DISTRIBUTIONS,
    "gaussian-7": Gaussian(7),
    "coin": Categorical((2,)),
    "with-a-certain-part": Categorical((1, 3)),
}
ALL = pytest.mark.parametrize("dist", SIZED.values(), ids=SIZED.keys())


def random_params(dist: Distribution, b: int, seed: int = 0) -> Params:
    g = torch.Generator().manual_seed(seed)
    return Params(torch.randn(b, dist.nout, generator=g), 0.5 * torch.randn(dist.nfree, generator=g))


def random_case(dist: Distribution, b: int = 6) -> tuple[Params, Params, Tensor, Tensor]:
    """Two sets of parameters, actions of a third, and one weight per sample."""
    g = torch.Generator().manual_seed(5)
    action = dist.sample(random_params(dist, b, 3), dist.noise(b, g))
    return random_params(dist, b, 1), random_params(dist, b, 2), action, torch.randn(b, generator=g)


def leaves(params: Params) -> Params:
    return Params(params.out.clone().requires_grad_(), params.free.clone().requires_grad_())


def gradients(value: Tensor, params: Params) -> Params:
    """Autograd's derivatives, 0 where nothing depends on a leaf."""
    found = torch.autograd.grad(value, tuple(params), allow_unused=True)
    return Params(*(torch.zeros_like(x) if grad is None else grad for x, grad in zip(params, found, strict=True)))


def assert_close(found: Params, expected: Params) -> None:
    assert found.free.shape == expected.free.shape
    torch.testing.assert_close(found.out, expected.out)
    torch.testing.assert_close(found.free, expected.free)


@ALL
def test_values_equal_torch_distributions(dist: Distribution) -> None:
    first, second, action, _ = random_case(dist)
    torch.testing.assert_close(dist.logp(first, action), torch_logp(dist, first, action))
    torch.testing.assert_close(dist.kl(first, second), torch_kl(dist, first, second))
    torch.testing.assert_close(dist.entropy(first), torch_entropy(dist, first))
    assert dist.logp(first, action).shape == dist.kl(first, second).shape == dist.entropy(first).shape == (6,)
    torch.testing.assert_close(dist.kl(first, first), torch.zeros(6))


@ALL
def test_gradients_equal_autograd(dist: Distribution) -> None:
    first, second, action, weight = random_case(dist)
    moving = leaves(first)
    assert_close(
        dist.logp_backward(first, action, weight), gradients((weight * torch_logp(dist, moving, action)).sum(), moving)
    )
    moving = leaves(first)
    assert_close(
        dist.kl_backward(first, second, weight), gradients((weight * torch_kl(dist, moving, second)).sum(), moving)
    )
    moving = leaves(first)
    assert_close(dist.entropy_backward(first, weight), gradients((weight * torch_entropy(dist, moving)).sum(), moving))


@ALL
def test_fisher_is_the_hessian_of_the_summed_kl_at_its_minimum(dist: Distribution) -> None:
    b = 4
    params, vector = random_params(dist, b, 1), random_params(dist, b, 2)
    nout = b * dist.nout

    def summed_kl(flat: Tensor) -> Tensor:
        return torch_kl(dist, params, Params(flat[:nout].view(b, dist.nout), flat[nout:])).sum()

    flat = torch.cat([params.out.flatten(), params.free])
    hessian = torch.autograd.functional.hessian(summed_kl, flat)
    expected = hessian @ torch.cat([vector.out.flatten(), vector.free])
    found = dist.fisher(params, vector)
    torch.testing.assert_close(torch.cat([found.out.flatten(), found.free]), expected)


@ALL
def test_the_mode_is_the_most_probable_action(dist: Distribution) -> None:
    params, _, _, _ = random_case(dist)
    best = dist.logp(params, dist.mode(params))
    for seed in range(20):
        other = dist.sample(params, dist.noise(6, torch.Generator().manual_seed(seed)))
        assert (dist.logp(params, other) <= best + 1e-12).all()


def test_hand_values() -> None:
    """N(1, 2) at 3: z = 1, logp = -1/2 - ln 2 - ln(2 pi)/2; KL(N(1, 2) || N(0, 1)) = (4 + 1 - 1)/2 - ln 2.

    Logits (0, ln 3): probabilities 1/4, 3/4; KL to a fair coin = ln 2 - H, H = ln 4 - 3/4 ln 3.
    """
    gauss, coin = Gaussian(1), Categorical((2,))
    p = Params(torch.tensor([[1.0]]), torch.tensor([math.log(2)]))
    q = Params(torch.tensor([[0.0]]), torch.tensor([0.0]))
    assert gauss.logp(p, torch.tensor([[3.0]])).item() == pytest.approx(-0.5 - math.log(2) - 0.5 * math.log(math.tau))
    assert gauss.kl(p, q).item() == pytest.approx(2 - math.log(2))
    assert gauss.spread(p) == pytest.approx(2.0)
    p = Params(torch.tensor([[0.0, math.log(3)]]), torch.zeros(0))
    entropy = math.log(4) - 0.75 * math.log(3)
    assert coin.logp(p, torch.tensor([[1.0]])).item() == pytest.approx(math.log(0.75))
    assert coin.entropy(p).item() == pytest.approx(entropy) == pytest.approx(coin.spread(p))
    assert coin.kl(p, Params(torch.zeros(1, 2), torch.zeros(0))).item() == pytest.approx(math.log(2) - entropy)


@pytest.mark.parametrize("sizes", [(2,), (5,), (3, 2)])
def test_categorical_samples_have_the_joint_frequencies_of_the_probabilities(sizes: tuple[int, ...]) -> None:
    dist, n = Categorical(sizes), 40_000
    params = random_params(dist, 1, 4)
    many = Params(params.out.expand(n, -1), params.free)
    actions = dist.sample(many, dist.noise(n, torch.Generator().manual_seed(0)))
    assert actions.shape == (n, len(sizes)) and actions.dtype == torch.get_default_dtype()
    for values in product(*map(range, sizes)):
        action = torch.tensor([values], dtype=actions.dtype)
        p = dist.logp(params, action).exp().item()
        share = (actions == action).all(1).to(actions.dtype).mean().item()
        assert share == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / n)), values


def test_gaussian_samples_have_the_parameters_moments() -> None:
    dist, n = Gaussian(2), 40_000
    mean, std = torch.tensor([1.0, -3.0]), torch.tensor([0.5, 2.0])
    params = Params(mean.expand(n, -1), std.log())
    actions = dist.sample(params, dist.noise(n, torch.Generator().manual_seed(0)))
    assert ((actions.mean(0) - mean).abs() < 4.5 * std / n**0.5).all()
    assert ((actions.std(0) / std - 1).abs() < 4.5 / (2 * n) ** 0.5).all()
    assert abs(torch.corrcoef(actions.T)[0, 1]) < 4.5 / n**0.5


@ALL
def test_noise_follows_the_generator(dist: Distribution) -> None:
    first, again, other = (dist.noise(5, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("drawn", [0.0, 1 - 2**-24])
def test_the_extreme_uniform_numbers_give_finite_noise(drawn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.full(shape, drawn))
    assert torch.isfinite(Categorical((3,)).noise(4, torch.Generator())).all()


def test_certain_choices_stay_finite() -> None:
    """Logits 1000 apart: probabilities of exactly 0 and 1."""
    dist = Categorical((2,))
    sure, unsure = Params(torch.tensor([[0.0, 1000.0]]), torch.zeros(0)), Params(torch.zeros(1, 2), torch.zeros(0))
    one = torch.ones(1)
    assert dist.logp(sure, torch.tensor([[1.0]])).item() == 0 and dist.entropy(sure).item() == 0
    assert dist.kl(sure, unsure).item() == pytest.approx(math.log(2))
    assert dist.mode(sure).item() == 1
    for x in (dist.kl_backward(sure, unsure, one), dist.fisher(sure, sure)):
        assert torch.isfinite(x.out).all()
