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
from safepo import rollout
from safepo.config import make_config
from safepo.distributions import Gaussian
from safepo.encoders import CNN, GRU, Encoder, make_encoder
from safepo.envs import VectorEnv
from safepo.errors import UserError
from safepo.first_order import Fitter
from safepo.networks import ALL, CRITICS, ActorCritic, Augment, make_network
from safepo.normalize import ObsNormalizer
from safepo.observations import ObsMap
from safepo.trainer import Trainer, resume
from safepo.trust_region import TrustRegion
from safepo.view import View
from tests.safepo.conftest import SMALL
from tests.safepo.helpers import make_batch, plain_mlp, plain_policy, stir
from tests.safepo.test_train import assert_equal, final_state, partial_run

Small = Callable[..., Path]

SPACE = Dict(eye=Box(0, 255, (8, 12, 3), np.uint8), speed=Box(-1, 1, (2,)))
EYE = ObsMap.of("Eye-v0", SPACE)
FILM = ObsMap.of("Eye-v0", SPACE, View(frames=3))
VECTORS = ObsMap(ObsMap.vector(4).parts, frames=3)

WIDE = ObsMap.of("Wide-v0", Dict(gyro=Box(-1, 1, (3,)), eyes=Box(0, 255, (2, 36, 40), np.uint8)))

ENCODERS: dict[str, Callable[[], tuple[ObsMap, Encoder]]] = {
    "cnn": lambda: (EYE, CNN(EYE, 5)),
    "nature": lambda: (WIDE, CNN(WIDE, 4, width=0.1)),
    "resnet": lambda: (EYE, CNN(EYE, 4, "resnet", width=0.25)),
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


def make_rows(obs: ObsMap, n: int) -> Tensor:
    """Random rows as the networks take them."""
    rng = np.random.default_rng(2)
    rows, _ = obs.rows(np.where(obs.images, rng.integers(0, 256, (n, obs.size)), rng.normal(size=(n, obs.size))))
    return torch.from_numpy(rows) if obs.packed else torch.tensor(rows, dtype=torch.get_default_dtype())


# --- observations -----------------------------------------------------------------------------------------------------


def test_parts_of_observations_are_joined_in_the_order_of_the_space() -> None:
    """Rows hold bytes, the vectors' before the pixels; their numbers follow the space."""
    eye, speed = np.arange(2 * 288).reshape(2, 8, 12, 3) % 256, np.array([[0.5, 1.0], [2.0, 3.0]])
    flat = EYE.flatten({"speed": speed, "eye": eye.astype(np.uint8)})
    assert flat.dtype == np.uint8 and flat.shape == (2, EYE.width) == (2, 288 + 2 * 4)
    np.testing.assert_array_equal(flat[:, 8:], eye.reshape(2, -1))
    np.testing.assert_array_equal(EYE.vectors(flat), speed)
    numbers = EYE.decode(torch.from_numpy(flat)).numpy()
    assert numbers.shape == (2, EYE.size) == (2, 290)
    np.testing.assert_allclose(numbers[:, :288] * 255, eye.reshape(2, -1), rtol=1e-6)
    np.testing.assert_array_equal(numbers[:, 288:], speed)
    np.testing.assert_array_equal(EYE.images, [True] * 288 + [False] * 2)
    assert FILM.size == 870 and FILM.images.sum() == 864 and FILM.width == 3 * 296
    assert ObsMap.from_dict(FILM.to_dict()) == FILM
    grid = ObsMap.of("Grid-v0", Box(-1, 1, (4, 4, 3)))
    assert not grid.images.any() and not grid.packed and grid.width == grid.size


@pytest.mark.parametrize("shape", [(36, 40, 3), (3, 36, 40)])
def test_an_image_alone_is_its_own_row(shape: tuple[int, ...]) -> None:
    obs = ObsMap.of("Eye-v0", Box(0, 255, shape, np.uint8))
    images = np.random.default_rng(0).integers(0, 256, (5, *shape)).astype(np.uint8)
    rows, single = obs.rows(images)
    assert not single and obs.nvector == 0 and obs.vectors(rows).shape == (5, 0)
    np.testing.assert_array_equal(rows, images.reshape(5, -1))
    normalizer = ObsNormalizer(obs.nvector)
    normalizer.update(obs.vectors(rows))
    np.testing.assert_array_equal(obs.with_vectors(rows, normalizer(obs.vectors(rows))), rows)


def test_accepted_shapes_of_observations() -> None:
    rng = np.random.default_rng(0)
    film = {"eye": rng.integers(0, 255, (5, 3, 8, 12, 3)), "speed": rng.normal(size=(5, 3, 2)).astype(np.float32)}
    rows, single = FILM.rows(film)
    assert rows.shape == (5, FILM.width) and not single
    one, single = FILM.rows({key: value[2] for key, value in film.items()})
    assert single
    np.testing.assert_array_equal(one[0], rows[2])
    np.testing.assert_array_equal(FILM.rows(rows)[0], rows)
    numbers = np.concatenate([film["eye"].reshape(5, 3, -1), film["speed"]], axis=2).reshape(5, -1)
    assert numbers.shape == (5, FILM.size)
    np.testing.assert_array_equal(FILM.rows(numbers)[0], rows)
    again, single = FILM.rows(numbers[1])
    assert single
    np.testing.assert_array_equal(again[0], rows[1])
    second = EYE.flatten({key: value[:, 1] for key, value in film.items()})
    np.testing.assert_array_equal(rows[:, 296 : 2 * 296], second)
    np.testing.assert_array_equal(FILM.rows({**film, "unseen": 0})[0], rows)
    with pytest.raises(ValueError, match=r"obs\['speed'\] must have shape \(3, 2\) or \(b, 3, 2\), got \(5, 2\)"):
        FILM.rows({**film, "speed": film["speed"][:, 0]})
    with pytest.raises(ValueError, match=r"keys \['eye', 'speed'\], got \['eye'\]"):
        FILM.rows({"eye": film["eye"]})
    with pytest.raises(ValueError, match="different numbers of rows"):
        FILM.rows({**film, "speed": film["speed"][:4]})


def test_vectors_are_normalised_and_pixels_are_left_to_the_networks() -> None:
    rng = np.random.default_rng(0)
    rows, _ = FILM.rows(np.where(FILM.images, rng.integers(0, 256, (50, FILM.size)), rng.normal(5, 2, (50, FILM.size))))
    vectors = FILM.vectors(rows)
    normalizer = ObsNormalizer(FILM.nvector)
    normalizer.update(vectors)
    before = rows.copy()
    ready = FILM.with_vectors(rows, normalizer(vectors))
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_allclose(FILM.vectors(ready).mean(axis=0), 0, atol=1e-3)
    np.testing.assert_array_equal(FILM.vectors(ready), normalizer(vectors))
    old, new = (FILM.decode(torch.from_numpy(x)).numpy() for x in (rows, ready))
    np.testing.assert_array_equal(new[:, FILM.images], old[:, FILM.images])
    np.testing.assert_array_equal(new[:, ~FILM.images], FILM.vectors(ready))
    assert FILM.with_vectors(rows[:0], FILM.vectors(rows[:0])).shape == (0, FILM.width)  # no episode was cut
    odd = torch.from_numpy(ready)[1:2]  # one row of a batch, whose numbers need not lie at multiples of four bytes
    np.testing.assert_array_equal(FILM.decode(odd), new[1:2])


def test_a_view_selects_entries() -> None:
    space = Dict(eye=Box(0, 255, (8, 12, 3), np.uint8), goal_lidar=Box(0, 1, (4,)), gyro=Box(-1, 1, (3,)))
    obs = ObsMap.of("Eye-v0", space, View(keys=("gy*", "eye")))
    assert [part.key for part in obs.parts] == ["eye", "gyro"]
    assert ObsMap.of("Eye-v0", space, obs.view) == obs
    given = {"eye": np.zeros((2, 8, 12, 3), np.uint8), "goal_lidar": np.ones((2, 4)), "gyro": np.full((2, 3), 0.5)}
    np.testing.assert_array_equal(obs.vectors(obs.flatten(given)), np.full((2, 3), 0.5))
    for keys in (("!*_lidar",), ("gy*", "!*_lidar", "eye"), ("*", "!goal*")):
        assert ObsMap.of("Eye-v0", space, View(keys=keys)) == obs
    with pytest.raises(UserError, match="'!lidar' fits nothing"):
        ObsMap.of("Eye-v0", space, View(keys=("!lidar",)))
    with pytest.raises(UserError, match=r"'eye,!e\*' leaves nothing; .*Eye-v0 has the entries"):
        ObsMap.of("Eye-v0", space, View(keys=("eye", "!e*")))
    with pytest.raises(UserError, match=r"'lidar' fits nothing; .*Eye-v0 has the entries eye, goal_lidar, gyro"):
        ObsMap.of("Eye-v0", space, View(keys=("eye", "lidar")))
    with pytest.raises(UserError, match="observation of Arm-v0 is a single array"):
        ObsMap.of("Arm-v0", Box(-1, 1, (3,)), View(keys=("gyro",)))


def test_frames_follow_each_other_and_start_anew_with_the_episode() -> None:
    """The clock shows t; episodes are cut after 4 steps."""
    env = VectorEnv("ToyClockCut-v0", 2, view=View(frames=3))
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
    env, reference = VectorEnv("ToySpeedEnds-v0", 4, view=View(frames=3)), VectorEnv("ToySpeedEnds-v0", 4)
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


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_larger_networks_equal_torchs_layers(name: str) -> None:
    """Channels first, after a vector; Nature's on 36 x 40 pixels, the residual one at half its width."""
    encoder = CNN(WIDE, 5, name, width=1.0 if name == "cnn" else 0.5)
    params = encoder.initial(torch.Generator().manual_seed(0))[None]
    rows = make_rows(WIDE, 7)
    arrays = [array[0] for array in encoder.unpack(params)]

    def conv(x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = arrays.pop(0), arrays.pop(0)
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], stride, padding)
        layer.weight.data, layer.bias.data = weight, bias  # type: ignore[union-attr]
        return layer(x)

    numbers = WIDE.decode(rows)
    x = numbers[:, 3:].reshape(7, 2, 36, 40)
    if name == "cnn":
        for stride, channels in ((4, 32), (2, 64), (1, 64)):
            x = torch.relu(conv(x, stride))
            assert x.shape[1] == channels
    else:
        for channels in (8, 16, 16):
            x = torch.relu(conv(x, 2, 1))
            x = torch.relu(x + conv(torch.relu(conv(x, 1, 1)), 1, 1))
            assert x.shape[1] == channels
    weight, bias = arrays
    expected = torch.cat([numbers[:, :3], torch.tanh(x.flatten(1) @ weight + bias)], dim=1)
    torch.testing.assert_close(encoder(params, rows)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["cnn", "resnet"])
@pytest.mark.parametrize("shape", [(64, 64, 3), (3, 64, 48), (256, 256, 1), (150, 200, 3), (4, 4, 3)])
def test_images_of_any_size(shape: tuple[int, ...], name: str) -> None:
    obs = ObsMap.of("Eye-v0", Box(0, 255, shape, np.uint8))
    encoder = CNN(obs, 16, name)
    features = encoder(encoder.initial(torch.Generator().manual_seed(0))[None], torch.rand(2, obs.size))
    assert features.shape == (1, 2, 16) and features.std() > 0.01
    assert encoder.nparam < 2e6


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
    obs = make_rows(ENCODERS[kind]()[0], 9)
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
    batch = make_batch(net, 20, obs=make_rows(ENCODERS[kind]()[0], 20))
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


# --- augmentation and storage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7, 3), (2, 5, 7)])
def test_augmentation_moves_images_and_repeats_their_border(shape: tuple[int, ...]) -> None:
    obs = ObsMap.of("Eye-v0", Dict(eye=Box(0, 255, shape, np.uint8), speed=Box(-1, 1, (2,))), View(frames=2))
    rows, moves = make_rows(obs, 4), torch.tensor([[0, 0], [1, -2], [-4, 6], [2, 0]])
    before = rows.clone()
    found = obs.pieces(obs.shifted(rows, moves))
    images, speeds = (piece.numpy() for piece in obs.pieces(rows))
    torch.testing.assert_close(rows, before)
    np.testing.assert_array_equal(found[1], speeds)
    rows_of = np.moveaxis(images, 1, 3) if shape[0] == 2 else images
    for i in range(8):
        down, right = moves[i // 2].tolist()  # both frames of a row move alike
        padded = np.pad(rows_of[i], ((6, 6), (6, 6), (0, 0)), mode="edge")
        expected = padded[6 - down : 11 - down, 6 - right : 13 - right]
        np.testing.assert_array_equal(found[0][i], np.moveaxis(expected, 2, 0) if shape[0] == 2 else expected)


def test_augmentation_is_drawn_anew_for_each_minibatch() -> None:
    net = make_net("cnn")
    net.augment = Augment(EYE, 2)
    obs = torch.from_numpy(EYE.rows(np.tile(np.arange(EYE.size) % 251, (64, 1)))[0])
    fitter = Fitter(make_config("ppo", tuned=False, batch_size=16).settings, net, torch.Generator().manual_seed(0))
    parts = [part[0] for _ in range(2) for part, _, _ in fitter._shuffled([obs], torch.zeros(2, 64))]
    moves = [sum(bool((row != obs[0]).any()) for row in part) for part in parts]
    assert len(parts) == 8 and 8 * 16 * 0.9 < sum(moves) < 8 * 16  # 24 of 25 moves change the image
    assert len({part.numpy().tobytes() for part in parts}) == 8
    every = torch.randint(-2, 3, (10_000, 2), generator=torch.Generator().manual_seed(1))
    drawn = net.augment.draw(10_000, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, every) and drawn.min() == -2 and drawn.max() == 2


def test_a_part_of_the_samples_makes_the_fisher_matrix() -> None:
    net = make_net("cnn")
    rows = make_rows(EYE, 21)
    vector = torch.randn(net.params.shape[1], generator=torch.Generator().manual_seed(3))

    def product(obs: Tensor, every: int) -> Tensor:
        settings = make_config("trpo", tuned=False, fisher_every=every).settings
        return TrustRegion(settings, net, make_batch(net, len(obs), obs=obs)).fisher_product(vector)

    torch.testing.assert_close(product(rows, 4), product(rows[::4], 1), rtol=1e-4, atol=1e-7)
    assert not torch.allclose(product(rows, 4), product(rows, 1), rtol=1e-2)


def test_the_buffer_holds_bytes_and_the_batch_shares_them() -> None:
    trainer = Trainer(make_config("ppo", tuned=False, **{**SMALL, "env_id": "ToyLamp-v0", "encoder_size": 8}))
    trainer.start()
    data = trainer.collector.collect(trainer.algorithm.net, 5)
    assert data["obs"].dtype == np.uint8 and data["obs"].shape == (5, 4, 8 * 8 * 3 + 4)
    batch, _ = rollout.make_batch(data, trainer.config.settings, np.zeros(1), 1.0, 0.0, torch.device("cpu"))
    assert np.shares_memory(batch.obs.numpy(), data["obs"])
    picture = data["obs"][:, :, 4:].reshape(5, 4, 8, 8, 3)
    assert set(np.unique(picture)) == {10, 200}
    trainer.close()


# --- training ---------------------------------------------------------------------------------------------------------

LEARNT = {
    "image": ("ToyLamp-v0", {"encoder_size": 8}),
    "memory": ("ToyLampLate-v0", {"encoder": "gru", "frames": 3, "encoder_size": 16}),
    "resnet": ("ToyLamp-v0", {"encoder": "resnet", "encoder_width": 0.5, "encoder_size": 8, "augment": 1}),
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


def test_only_what_is_observed_matters(small: Small) -> None:
    """The clock alone says nothing about the lamp."""
    steps = {"steps_per_epoch": 400, "total_steps": 2_000, "gamma": 0.0, "eval_episodes": 0, "actor_lr": 0.01}
    run = small("ppo", env_id="ToyLamp-v0", observe="clock", **steps, passes=10)
    assert safepo.evaluate(run, episodes=40)["deterministic"]["return"]["mean"] < 14


@pytest.mark.parametrize("kind", ["image", "resnet", "film"])
def test_onnx(small: Small, kind: str) -> None:
    import onnxruntime

    from safepo.export import export

    env_id, settings = LEARNT[kind]
    run = small("ppo_lag", env_id=env_id, eval_episodes=0, **settings)
    session = onnxruntime.InferenceSession(export(run).read_bytes(), providers=["CPUExecutionProvider"])
    policy = safepo.load(run)
    for n in (1, 5):
        rows = np.random.default_rng(n).integers(0, 256, (n, policy.obs.size)).astype(np.float32)
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
        (VECTORS, {"encoder": "resnet"}, "needs images, this environment has vectors.*4"),
        (ObsMap.of("Dot-v0", Box(0, 255, (1, 1, 3), np.uint8)), {}, r"image '' of shape \(1, 1, 3\) is too small"),
    ],
)
def test_wrong_encoders_are_refused(obs: ObsMap, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_encoder(obs, make_config("ppo", tuned=False, **settings).settings)


def test_augmentation_needs_images() -> None:
    settings = make_config("ppo", tuned=False, augment=4).settings
    with pytest.raises(UserError, match="augment moves images; this environment has none"):
        make_network(VECTORS, Gaussian(2), settings, "cpu", torch.Generator())


def test_image_size_is_refused_where_it_cannot_be_had() -> None:
    with pytest.raises(UserError, match=r"image_size=64: ToyLamp-v0 has the observation .*picture: \(8, 8, 3\)"):
        VectorEnv("ToyLamp-v0", 1, view=View(image_size=64))


def test_younger_settings_leave_the_hash_of_older_runs() -> None:
    """Stored results are found by it: 8 hex digits of the defaults of PPO-Lag as the first sweep had them."""
    assert make_config("ppo_lag").hash() == "827908e8"
    assert make_config("ppo_lag", augment=4).hash() != make_config("ppo_lag").hash()
