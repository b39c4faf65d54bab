"""Observations of several parts, images and memory: how they are joined, encoded, differentiated and learnt from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict
from torch import Tensor, nn

import safepo
from safepo.config import make_config
from safepo.distributions import Gaussian
from safepo.encoders import CNN, GRU, Encoder, make_encoder
from safepo.envs import VectorEnv
from safepo.errors import UserError
from safepo.networks import ALL, CRITICS, ActorCritic
from safepo.normalize import ObsNormalizer
from safepo.observations import ObsMap
from safepo.trainer import resume
from safepo.trust_region import TrustRegion
from tests.safepo.helpers import make_batch, plain_mlp, plain_policy, stir
from tests.safepo.test_train import assert_equal, final_state, partial_run

Small = Callable[..., Path]

SPACE = Dict(eye=Box(0, 255, (8, 12, 3), np.uint8), speed=Box(-1, 1, (2,)))
EYE = ObsMap.of("Eye-v0", SPACE)
FILM = ObsMap.of("Eye-v0", SPACE, frames=3)
VECTORS = ObsMap(ObsMap.vector(4).parts, frames=3)

ENCODERS: dict[str, Callable[[], tuple[ObsMap, Encoder]]] = {
    "cnn": lambda: (EYE, CNN(EYE, 5)),
    "cnn-frames": lambda: (FILM, CNN(FILM, 3)),
    "gru": lambda: (VECTORS, GRU(VECTORS, 6)),
    "gru-cnn": lambda: (FILM, GRU(FILM, 4)),
}
ENCODER = pytest.mark.parametrize("kind", ENCODERS)


class Doubler(Encoder):
    """An encoder of one's own: one learnt factor."""

    def __init__(self, obs: ObsMap, settings: Any) -> None:
        self.shapes, self.nfeature = [((1,), 1)], obs.size

    def __call__(self, params: Tensor, rows: Tensor) -> Tensor:
        return params[:, :1, None] * rows


def make_net(kind: str) -> ActorCritic:
    obs, encoder = ENCODERS[kind]()
    net = ActorCritic(obs.size, Gaussian(2), (8, 6), "cpu", torch.Generator().manual_seed(0), 2, encoder)
    stir(net)
    return net


# --- observations -----------------------------------------------------------------------------------------------------


def test_parts_of_observations_are_joined_in_the_order_of_the_space() -> None:
    eye, speed = np.arange(2 * 288).reshape(2, 8, 12, 3) % 256, np.array([[0.5, 1.0], [2.0, 3.0]])
    flat = EYE.flatten({"speed": speed, "eye": eye.astype(np.uint8)})
    assert flat.shape == (2, EYE.size) == (2, 290)
    np.testing.assert_array_equal(flat[:, :288], eye.reshape(2, -1))
    np.testing.assert_array_equal(flat[:, 288:], speed)
    np.testing.assert_array_equal(EYE.images, [True] * 288 + [False] * 2)
    assert FILM.size == 870 and FILM.images.sum() == 864
    assert ObsMap.from_dict(FILM.to_dict()) == FILM
    assert not ObsMap.of("Grid-v0", Box(-1, 1, (4, 4, 3))).images.any()


def test_accepted_shapes_of_observations() -> None:
    rng = np.random.default_rng(0)
    film = {"eye": rng.integers(0, 255, (5, 3, 8, 12, 3)), "speed": rng.normal(size=(5, 3, 2))}
    rows, single = FILM.rows(film)
    assert rows.shape == (5, FILM.size) and not single
    one, single = FILM.rows({key: value[2] for key, value in film.items()})
    assert single
    np.testing.assert_array_equal(one[0], rows[2])
    np.testing.assert_array_equal(FILM.rows(rows)[0], rows)
    np.testing.assert_array_equal(rows[:, 290:580], EYE.flatten({key: value[:, 1] for key, value in film.items()}))
    with pytest.raises(ValueError, match=r"obs\['speed'\] must have shape \(3, 2\) or \(b, 3, 2\), got \(5, 2\)"):
        FILM.rows({**film, "speed": film["speed"][:, 0]})
    with pytest.raises(ValueError, match=r"keys \['eye', 'speed'\], got \['eye'\]"):
        FILM.rows({"eye": film["eye"]})
    with pytest.raises(ValueError, match="different numbers of rows"):
        FILM.rows({**film, "speed": film["speed"][:4]})


def test_pixels_are_divided_by_255_and_the_rest_is_normalised() -> None:
    normalizer = ObsNormalizer(3, np.array([True, False, True]))
    plain = ObsNormalizer(1)
    data = np.random.default_rng(0).normal(100, 20, (50, 3))
    for part in np.split(data, 5):
        normalizer.update(part)
        plain.update(part[:, 1:2])
    np.testing.assert_allclose(normalizer(data)[:, [0, 2]], data[:, [0, 2]] / 255, rtol=1e-6)
    np.testing.assert_array_equal(normalizer(data)[:, 1:2], plain(data[:, 1:2]))
    np.testing.assert_array_equal(normalizer.copy()(data), normalizer(data))


def test_frames_follow_each_other_and_start_anew_with_the_episode() -> None:
    """The clock shows t; episodes are cut after 4 steps."""
    env = VectorEnv("ToyClockCut-v0", 2, frames=3)
    np.testing.assert_array_equal(env.reset(0), [[0, 0, 0]] * 2)
    expected = [[0, 0, 1], [0, 1, 2], [1, 2, 3], [0, 0, 0], [0, 0, 1]]
    for t, row in enumerate(expected):
        step = env.step(np.zeros((2, 1)))
        np.testing.assert_array_equal(step.obs, [row] * 2)
        assert (step.final_obs is None) == (t != 3)
        if step.final_obs is not None:
            np.testing.assert_array_equal(step.final_obs, [[2, 3, 4]] * 2)
    env.close()


def test_frames_of_environments_that_end_at_different_times() -> None:
    env, reference = VectorEnv("ToySpeedEnds-v0", 4, frames=3), VectorEnv("ToySpeedEnds-v0", 4)
    first = reference.reset(0)
    windows = [[first[i]] * 3 for i in range(4)]
    np.testing.assert_array_equal(env.reset(0), np.array(windows).reshape(4, -1))
    ends = 0
    for _ in range(60):
        step, plain = env.step(np.zeros((4, 1))), reference.step(np.zeros((4, 1)))
        for i, ended in enumerate(plain.terminated | plain.truncated):
            if ended:
                assert plain.final_obs is not None and step.final_obs is not None
                np.testing.assert_array_equal(step.final_obs[i], np.ravel([*windows[i][1:], plain.final_obs[i]]))
            windows[i] = [plain.obs[i]] * 3 if ended else [*windows[i][1:], plain.obs[i]]
            ends += ended
        np.testing.assert_array_equal(step.obs, np.array(windows).reshape(4, -1))
    assert ends > 4
    env.close()
    reference.close()


# --- features and derivatives -----------------------------------------------------------------------------------------


def test_the_cnn_equals_torchs_layers() -> None:
    encoder = CNN(EYE, 5)
    params = torch.stack([encoder.initial(torch.Generator().manual_seed(i)) for i in range(2)])
    rows = torch.rand(7, EYE.size)
    found = encoder(params, rows)
    assert found.shape == (2, 7, encoder.nfeature) == (2, 7, 7)
    for i in range(2):
        kernel, bias, weight, shift = (array[i] for array in encoder.unpack(params))
        conv, linear = nn.Conv2d(3, 16, 4, 2, 1), nn.Linear(16 * 4 * 6, 5)
        conv.weight.data, conv.bias.data, linear.weight.data, linear.bias.data = kernel, bias, weight.T, shift  # type: ignore[union-attr]
        image = rows[:, :288].reshape(7, 8, 12, 3).permute(0, 3, 1, 2)
        expected = torch.tanh(linear(torch.relu(conv(image)).flatten(1)))
        torch.testing.assert_close(found[i], torch.cat([expected, rows[:, 288:]], dim=1))


@pytest.mark.parametrize("shape", [(64, 64, 3), (3, 64, 48), (256, 256, 1), (4, 4, 3)])
def test_images_of_any_size(shape: tuple[int, ...]) -> None:
    obs = ObsMap.of("Eye-v0", Box(0, 255, shape, np.uint8))
    encoder = CNN(obs, 16)
    features = encoder(encoder.initial(torch.Generator().manual_seed(0))[None], torch.rand(2, obs.size))
    assert features.shape == (1, 2, 16) and features.std() > 0.01


def test_the_gru_equals_torchs() -> None:
    encoder = GRU(VECTORS, 6)
    params = torch.stack([encoder.initial(torch.Generator().manual_seed(i)) for i in range(2)])
    rows = torch.randn(7, VECTORS.size)
    for i in range(2):
        into, bias_in, across, bias_across = (array[i] for array in encoder.unpack(params)[:4])
        gru = nn.GRU(4, 6, batch_first=True)
        gru.weight_ih_l0.data, gru.weight_hh_l0.data = into.T.contiguous(), across.T.contiguous()
        gru.bias_ih_l0.data, gru.bias_hh_l0.data = bias_in, bias_across
        expected = gru(rows.reshape(7, 3, 4))[1][0]
        torch.testing.assert_close(encoder(params, rows)[i], expected)


@ENCODER
@pytest.mark.parametrize("rows", [ALL, CRITICS], ids=["all", "critics"])
@pytest.mark.usefixtures("double")
def test_backward_equals_autograd(kind: str, rows: slice) -> None:
    net = make_net(kind)
    obs = torch.rand(9, net.nobs)
    acts = net.forward(obs, rows, record=True)
    weights = torch.randn(acts[-1].shape)
    net.grads.zero_()
    with torch.no_grad():
        net.backward(acts, weights, rows)
    params = net.params.clone().requires_grad_()
    out = torch.stack([plain_mlp(net, row, obs) for row in params[rows]])
    torch.testing.assert_close(acts[-1], out, rtol=1e-6, atol=1e-6)
    (expected,) = torch.autograd.grad((out * weights).sum(), params)
    torch.testing.assert_close(net.grads, expected, rtol=1e-6, atol=1e-7)
    assert net.grads[rows, net.encoded].abs().max() > 0


@ENCODER
@pytest.mark.usefixtures("double")
def test_fisher_product_and_gradient_equal_autograd(kind: str) -> None:
    net = make_net(kind)
    batch = make_batch(net, 20)
    settings = make_config("trpo", tuned=False, cg_damping=0.05).settings
    region = TrustRegion(settings, net, batch)
    start = net.params[0].clone()
    vector = torch.randn(len(start), generator=torch.Generator().manual_seed(3))

    def mean_kl(row: Tensor) -> Tensor:
        return net.dist.kl(region.old, plain_policy(net, row, batch.obs)).mean() / net.dist.ndim

    _, product = torch.autograd.functional.hvp(mean_kl, start, vector)
    torch.testing.assert_close(region.fisher_product(vector), product + 0.05 * vector, rtol=1e-5, atol=1e-7)
    row = start.clone().requires_grad_()
    ratio = (net.dist.logp(plain_policy(net, row, batch.obs), batch.action) - batch.logp).exp()
    (expected,) = torch.autograd.grad((ratio * batch.reward_advantage).mean(), row)
    torch.testing.assert_close(region.gradient(batch.reward_advantage), expected, rtol=1e-5, atol=1e-7)


# --- training ---------------------------------------------------------------------------------------------------------

LEARNT = {
    "image": ("ToyLamp-v0", {"encoder_size": 8}),
    "memory": ("ToyLampLate-v0", {"encoder": "gru", "frames": 3, "encoder_size": 16}),
    "film": ("ToyLampFilm-v0", {"encoder": "gru", "frames": 2, "encoder_size": 16}),
    "stacked": ("ToyLampLate-v0", {"frames": 2}),
}


@pytest.mark.parametrize("name", ["ppo", "trpo"])
@pytest.mark.parametrize(("env_id", "settings"), LEARNT.values(), ids=LEARNT.keys())
def test_what_must_be_seen_or_remembered_is_learnt(small: Small, env_id: str, settings: dict, name: str) -> None:
    """Guessing gives 10 of the episode's 20; the first steps of a delayed lamp count alike."""
    fast = {"actor_lr": 0.01, "passes": 10} if name == "ppo" else {"target_kl": 0.1, "passes": 2}
    steps = {"steps_per_epoch": 400, "total_steps": 4_000, "gamma": 0.0, "eval_episodes": 0}
    run = small(name, env_id=env_id, **steps, **fast, **settings)
    assert safepo.evaluate(run, episodes=20)["deterministic"]["return"]["mean"] > 19


def test_too_short_a_memory_does_not_help(small: Small) -> None:
    steps = {"steps_per_epoch": 400, "total_steps": 4_000, "gamma": 0.0, "eval_episodes": 0, "actor_lr": 0.01}
    run = small("ppo", env_id="ToyLampLate-v0", **steps, passes=10)
    assert safepo.evaluate(run, episodes=40)["deterministic"]["return"]["mean"] < 14


@pytest.mark.parametrize(("env_id", "settings"), LEARNT.values(), ids=LEARNT.keys())
def test_resume_evaluate_and_film(small: Small, tmp_path: Path, env_id: str, settings: dict) -> None:
    straight = small(env_id=env_id, eval_episodes=0, **settings)
    other = partial_run(2, env_id=env_id, eval_episodes=0, log_dir=str(tmp_path / "other"), **settings)
    resume(other)
    assert_equal(final_state(straight), final_state(other))
    assert safepo.evaluate(straight, episodes=2) == safepo.evaluate(other, episodes=2)
    from safepo.video import record

    assert record(straight).stat().st_size > 0


@pytest.mark.parametrize("kind", ["image", "film"])
def test_onnx(small: Small, kind: str) -> None:
    import onnxruntime

    from safepo.export import export

    env_id, settings = LEARNT[kind]
    run = small("ppo_lag", env_id=env_id, eval_episodes=0, **settings)
    session = onnxruntime.InferenceSession(export(run).read_bytes(), providers=["CPUExecutionProvider"])
    policy = safepo.load(run)
    for n in (1, 5):
        rows = np.random.default_rng(n).uniform(0, 255, (n, policy.obs.size)).astype(np.float32)
        (actions,) = session.run(["action"], {"obs": rows})
        np.testing.assert_allclose(actions, policy.predict(rows), rtol=1e-5, atol=1e-5)


def test_a_policy_takes_what_the_environment_returns(small: Small) -> None:
    import gymnasium

    policy = safepo.load(small(env_id="ToyLamp-v0", encoder_size=8, eval_episodes=0))
    env = gymnasium.make("ToyLamp-v0")
    obs, _ = env.reset(seed=0)
    action = policy.predict(obs)
    assert action.shape == (1,) and int(action[0]) in (0, 1)
    np.testing.assert_array_equal(policy.predict(policy.obs.frame(obs)[0]), action)


def test_an_encoder_of_ones_own(small: Small) -> None:
    run = small(encoder="tests.safepo.test_encoders:Doubler", eval_episodes=1)
    net = safepo.load(run).net
    assert type(net.encoder).__name__ == "Doubler" and net.encoded.stop - net.encoded.start == 1


@pytest.mark.parametrize(
    ("obs", "settings", "message"),
    [
        (VECTORS, {"encoder": "cnn"}, "needs images, this environment has vectors.*4"),
        (EYE, {"encoder": "mlp"}, r"takes vectors, this environment has images \(eye: \(8, 12, 3\), speed: \(2,\)\)"),
        (EYE, {"encoder": "gru"}, "gru needs frames of at least 2, got 1"),
        (EYE, {"encoder": "nowhere:Net"}, "'nowhere:Net' cannot be imported"),
        (ObsMap.of("Dot-v0", Box(0, 255, (1, 1, 3), np.uint8)), {}, r"image '' of shape \(1, 1, 3\) is too small"),
    ],
)
def test_wrong_encoders_are_refused(obs: ObsMap, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_encoder(obs, make_config("ppo", tuned=False, **settings).settings)
