"""The world model: a recurrent state-space model with heads for reward, cost and continuation.

Hafner et al. 2023 (arXiv:2301.04104), section "World model learning"; the cost head is that of Huang et al. 2024
(arXiv:2307.07176). Sequences are time-major: T decisions of B sequences. `h` is the deterministic state (..., deter),
`z` the stochastic state as one-hot vectors, flat (..., stoch * classes); `feature` is both, joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safepo.dreamer.nets import (
    SoftBins,
    TwoHot,
    head,
    image_decoder,
    image_encoder,
    kl,
    linear,
    mixed,
    mlp,
    sample_one_hot,
    symlog,
    vector_encoder,
    waiting_times,
)
from safepo.dreamer.settings import SafeDreamerSettings
from safepo.errors import UserError
from safepo.observations import ObsMap


class State(NamedTuple):
    """A belief of n simulations."""

    h: Tensor
    z: Tensor

    @property
    def feature(self) -> Tensor:
        return torch.cat([self.h, self.z], -1)


@dataclass(frozen=True)
class Shapes:
    """What the world model sees of an observation: a vector of `nvector` numbers, images (channels, size, size)."""

    nvector: int
    channels: int
    size: int

    @classmethod
    def of(cls, obs: ObsMap) -> Shapes:
        """Return the shapes; images of all cameras are stacked on their channels."""
        images = [part.shape for part in obs.parts if part.image]
        nvector = sum(part.size for part in obs.parts if not part.image)
        sides = {side for shape in images for side in shape[:2]}
        if len(sides) > 1 or any(side < 8 or side & (side - 1) for side in sides):
            raise UserError(
                "images must be square, all of one size, a power of two of at least 8, with their channels last; got "
                f"{sorted(images)}"
            )
        return cls(nvector, sum(shape[2] for shape in images), sides.pop() if sides else 0)


class Sequences(NamedTuple):
    """Replayed decisions, each (T, B, ...). What belongs to an observation came with it."""

    vector: Tensor
    """(T, B, v)"""
    image: Tensor
    """(T, B, c, s, s) uint8"""
    action: Tensor
    """(T, B, u) taken at the observation"""
    reward: Tensor
    """(T, B) since the observation before"""
    cost: Tensor
    """(T, B) since the observation before"""
    first: Tensor
    """(T, B) 1 where an episode begins"""
    terminal: Tensor
    """(T, B) 1 where it ended by itself; a time limit is no such end"""


class Posterior(NamedTuple):
    """Beliefs (T, B, ...) after each observation, with the probabilities of `z` before and after seeing it."""

    state: State
    prior: Tensor
    posterior: Tensor


class RSSM(nn.Module):
    """Recurrent state-space model."""

    def __init__(self, settings: SafeDreamerSettings, nembed: int, nact: int, generator: torch.Generator) -> None:
        super().__init__()
        s = settings
        self.shape, self.unimix, self.nact = (s.stoch, s.classes), s.unimix, nact
        nz = s.stoch * s.classes
        self.inputs = mlp(nz + nact, 1, s.units, generator)
        self.gru = linear(s.deter + s.units, 3 * s.deter, generator, bias=False)
        self.gru_norm = nn.LayerNorm(3 * s.deter, 1e-3)
        self.prior = head(s.deter, 1, s.units, nz, generator)
        self.posterior = head(s.deter + nembed, 1, s.units, nz, generator)
        self.start = nn.Parameter(torch.zeros(s.deter))

    def probs(self, raw: Tensor) -> Tensor:
        """Return probabilities (..., stoch, classes) from the output of a head."""
        return mixed(raw.unflatten(-1, self.shape), self.unimix)

    def initial(self, n: int) -> State:
        """The learned belief before the first observation; `z` is the prior's mode."""
        h = torch.tanh(self.start).expand(n, -1)
        mode = self.probs(self.prior(h)).argmax(-1)
        return State(h, F.one_hot(mode, self.shape[1]).flatten(-2).float())

    def recur(self, state: State, action: Tensor) -> Tensor:
        """Return the next `h` (n, deter) after an action (n, u), which is brought into [-1, 1]."""
        action = action / action.detach().abs().clamp(min=1.0)
        x = self.inputs(torch.cat([state.z, action], -1))
        reset, candidate, update = self.gru_norm(self.gru(torch.cat([state.h, x], -1))).float().chunk(3, -1)
        new = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(state.h, new, torch.sigmoid(update - 1))

    def imagine(self, state: State, action: Tensor, noise: Tensor) -> State:
        """Sample the belief after an action, without an observation; `noise` are waiting times (n, stoch, classes)."""
        h = self.recur(state, action)
        return State(h, sample_one_hot(self.probs(self.prior(h)), noise).flatten(-2))

    def observe(
        self, state: State, action: Tensor, embed: Tensor, first: Tensor, noise: Tensor
    ) -> tuple[State, Tensor]:
        """Sample the belief after an action (n, u) and an observation (n, e); where `first` (n, 1) the state and the
        action before are forgotten. Also returns the posterior's probabilities."""
        start = self.initial(1)
        before = State(*(torch.lerp(old, new.expand_as(old), first) for old, new in zip(state, start, strict=True)))
        h = self.recur(before, action * (1 - first))
        probs = self.probs(self.posterior(torch.cat([h, embed], -1)))
        return State(h, sample_one_hot(probs, noise).flatten(-2)), probs


class WorldModel(nn.Module):
    """Encoder, RSSM, decoders and heads."""

    def __init__(self, settings: SafeDreamerSettings, shapes: Shapes, nact: int, generator: torch.Generator) -> None:
        super().__init__()
        s = self.settings = settings
        self.shapes = shapes
        nembed, nfeature = 0, s.deter + s.stoch * s.classes
        self.encode_vector = self.encode_image = self.decode_vector = self.decode_image = self.bins = None
        if shapes.nvector:
            self.encode_vector = vector_encoder(shapes.nvector, s.vector_bins, s.mlp_layers, s.mlp_units, generator)
            self.bins = SoftBins(s.vector_bins) if s.vector_bins else None
            entries = shapes.nvector * (1 + s.vector_bins)
            self.decode_vector = head(nfeature, s.mlp_layers, s.mlp_units, entries, generator)
            nembed += s.mlp_units
        if shapes.channels:
            self.encode_image = image_encoder(shapes.channels, shapes.size, s.cnn_depth, generator)
            self.decode_image = image_decoder(nfeature, shapes.channels, shapes.size, s.cnn_depth, generator)
            nembed += 2 * s.cnn_depth * shapes.size  # 4 x 4 pixels of cnn_depth * size / 8 channels
        self.rssm = RSSM(s, nembed, nact, generator)
        self.two_hot = TwoHot(s.bins, s.bin_limit, s.value_means)
        self.reward = head(nfeature, s.head_layers, s.units, s.bins, generator, scale=0.0)
        self.cost = head(nfeature, s.head_layers, s.units, s.bins, generator)
        self.continues = head(nfeature, s.head_layers, s.units, 1, generator)

    def embed(self, vector: Tensor, image: Tensor) -> Tensor:
        """Encode observations (n, v) and (n, c, s, s) uint8 to (n, e)."""
        parts = []
        if self.encode_vector is not None:
            parts.append(self.encode_vector(symlog(vector)))
        if self.encode_image is not None:
            parts.append(self.encode_image(image.float() / 255 - 0.5))
        return torch.cat(parts, -1)

    def observe(self, data: Sequences, generator: torch.Generator) -> Posterior:
        """Follow T observations of B sequences from the initial belief."""
        length, n = data.first.shape
        embed = self.embed(data.vector.flatten(0, 1), data.image.flatten(0, 1)).unflatten(0, (length, n))
        before = torch.cat([torch.zeros_like(data.action[:1]), data.action[:-1]])
        noise = waiting_times((length, n, *self.rssm.shape), generator)
        first = data.first[..., None]
        state = self.rssm.initial(n)
        states, probs = [], []
        for t in range(length):
            state, after = self.rssm.observe(state, before[t], embed[t], first[t], noise[t])
            states.append(state)
            probs.append(after)
        h, z = (torch.stack(x) for x in zip(*states, strict=True))
        return Posterior(State(h, z), self.rssm.probs(self.rssm.prior(h)), torch.stack(probs))

    def loss(self, data: Sequences, generator: torch.Generator) -> tuple[Tensor, State, dict[str, Tensor]]:
        """The mean over T and B of (arXiv:2301.04104, equations 4 and 5; cost: arXiv:2307.07176, equation 3)

            recon   |x - decoder|^2 of images and, times `vector_scale`, of symlogs of vectors, to which with
                    `vector_bins` their cross-entropy on these is added; sums over entries
            reward  - ln p(r | feature), two-hot, times `reward_scale`
            cost    - ln p(c | feature), two-hot, times `cost_scale`, and `cost_weight` where c >= 1
            cont    - ln p(1 - terminal | feature), Bernoulli
            dyn     dynamics_scale * max(free_nats, KL(sg(posterior) || prior))
            rep     representation_scale * max(free_nats, KL(posterior || sg(prior)))
            ahead   reward and cost as above, but 1 to `overshoot` decisions ahead of what was seen; mean over these

        Returns it with the beliefs (T, B, ...) and its parts.
        """
        s, post = self.settings, self.observe(data, generator)
        feature = post.state.feature
        losses = {
            **self._reconstruction(feature, data),
            **self._signals(feature, data.reward, data.cost),
            "cont": F.binary_cross_entropy_with_logits(
                self.continues(feature)[..., 0].float(), 1 - data.terminal, reduction="none"
            ),
            "dyn": s.dynamics_scale * kl(post.posterior.detach(), post.prior).clamp(min=s.free_nats),
            "rep": s.representation_scale * kl(post.posterior, post.prior.detach()).clamp(min=s.free_nats),
        }
        if s.overshoot:
            losses["ahead"] = self._ahead(post.state, data, generator)
        parts = {name: value.mean() for name, value in losses.items()}
        return torch.stack(list(parts.values())).sum(), post.state, parts

    def _signals(self, feature: Tensor, reward: Tensor, cost: Tensor) -> dict[str, Tensor]:
        """Losses of the reward and the cost (...,) that came with states of `feature` (..., f)."""
        s = self.settings
        weight = torch.where(cost >= 1, s.cost_scale * s.cost_weight, s.cost_scale)
        return {
            "reward": s.reward_scale * self.two_hot.loss(self.reward(feature), reward),
            "cost": weight * self.two_hot.loss(self.cost(feature), cost),
        }

    def _ahead(self, state: State, data: Sequences, generator: torch.Generator) -> Tensor:
        """Losses (overshoot, N) of rewards and costs foretold from each of N beliefs by actions alone; 0 behind the
        end of an episode. After latent overshooting (Hafner et al. 2019, arXiv:1811.04551), but of what plans need."""
        ahead, last = self.settings.overshoot, len(data.first) - self.settings.overshoot

        def windows(x: Tensor) -> Tensor:
            return torch.stack([x[t : t + last].flatten(0, 1) for t in range(ahead)])

        start = State(*(x[:last].flatten(0, 1) for x in state))
        feature = self.follow(start, windows(data.action), generator)
        losses = self._signals(feature, windows(data.reward[1:]), windows(data.cost[1:]))
        return (1 - windows(data.first[1:])).cumprod(0) * (losses["reward"] + losses["cost"])

    def follow(self, state: State, actions: Tensor, generator: torch.Generator) -> Tensor:
        """Features (H, N, f) of the states that actions (H, N, u) are imagined to lead to from `state` (N, ...)."""
        noise = waiting_times((*actions.shape[:2], *self.rssm.shape), generator)
        features = []
        for t in range(len(actions)):
            state = self.rssm.imagine(state, actions[t], noise[t])
            features.append(state.feature)
        return torch.stack(features)

    def _reconstruction(self, feature: Tensor, data: Sequences) -> dict[str, Tensor]:
        losses = {}
        if self.decode_vector is not None:
            truth, (vector, bins) = symlog(data.vector), self._decode_vector(feature)
            loss = (vector - truth).square()
            if self.bins is not None:
                loss = loss + self.bins.loss(bins, truth)
            losses["vector"] = self.settings.vector_scale * loss.sum(-1)
        if self.decode_image is not None:
            losses["image"] = (self._decode_image(feature) - data.image.float() / 255).square().sum((-1, -2, -3))
        return losses

    def _decode_vector(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Symlogs (..., v) and logits of their bins (..., v, vector_bins)."""
        assert self.decode_vector is not None
        out = self.decode_vector(feature).float()
        n = self.shapes.nvector
        return out[..., :n], out[..., n:].unflatten(-1, (n, self.settings.vector_bins))

    def _decode_image(self, feature: Tensor) -> Tensor:
        """Images (T, B, c, s, s) in [0, 1]."""
        assert self.decode_image is not None
        return (self.decode_image(feature.flatten(0, 1)).float() + 0.5).unflatten(0, feature.shape[:2])

    def decode(self, feature: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Reconstruct symlogs of vectors (T, B, v) and images (T, B, c, s, s) in [0, 1] from features (T, B, f)."""
        return (
            self._decode_vector(feature)[0] if self.decode_vector is not None else None,
            self._decode_image(feature) if self.decode_image is not None else None,
        )

    def open_loop(self, data: Sequences, context: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Features (T, B, f), predicted rewards and costs (T, B): the first `context` decisions see their observations,
        the others only the actions."""
        post = self.observe(Sequences(*(x[:context] for x in data)), generator)
        last = State(*(x[-1] for x in post.state))
        feature = torch.cat([post.state.feature, self.follow(last, data.action[context - 1 : -1], generator)])
        return feature, self.two_hot.mean(self.reward(feature)), self.two_hot.mean(self.cost(feature))
