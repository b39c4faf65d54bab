"""Settings and presets of Safe DreamerV3. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from safepo.algorithms.settings import _positive, _share
from safepo.errors import UserError
from safepo.multiplier import PIDSettings
from safepo.view import ViewSettings

Variant = Literal["osrp", "osrp_lag", "bsrp_lag", "dreamer", "cem"]
PLANNING = ("osrp", "osrp_lag", "cem")
"""Variants that act by planning."""
COST_CRITIC = ("osrp_lag", "bsrp_lag")
"""Variants that need the value of costs beyond the horizon."""
TITLES: dict[str, str] = {
    "osrp": "OSRP", "osrp_lag": "OSRP-Lag", "bsrp_lag": "BSRP-Lag", "dreamer": "DreamerV3", "cem": "CEM",
}  # fmt: skip
"""What the paper calls the variants."""
IGNORES_COST = ("dreamer", "cem")


@dataclass(frozen=True)
class WorldModelSettings(ViewSettings):
    """Settings of the world model and of the actor and critics that learn in it; the base of `SafeDreamerSettings`."""

    variant: Variant = "osrp_lag"
    """osrp (plans under the cost limit), osrp_lag (osrp that also ranks plans by multiplier times cost), bsrp_lag (the
    actor learns under an augmented Lagrangian, without planning), dreamer (the actor, ignoring cost), cem (plans,
    ignoring cost)."""
    action_repeat: int = 1
    """Environment steps that an action is held; their rewards and costs are summed."""

    deter: int = 512
    """Units of the recurrent (deterministic) state."""
    units: int = 512
    """Width of the hidden layers of the recurrent model and of the heads."""
    stoch: int = 32
    """Categorical variables of the stochastic state."""
    classes: int = 32
    """Classes of each of them."""
    head_layers: int = 2
    """Hidden layers of actor, critics, reward, cost and continue heads."""
    mlp_layers: int = 5
    """Hidden layers of encoder and decoder of vectors."""
    mlp_units: int = 1024
    """Width of these layers."""
    cnn_depth: int = 32
    """Channels of the first convolution of the encoder of images; each further stage doubles them."""
    bins: int = 255
    """Bins of the two-hot distributions of reward, cost and values."""
    bin_limit: float = 20.0
    """The bins span [-bin_limit, bin_limit] in symlog space."""
    value_means: bool = False
    """Means of rewards, costs and values are means of these, as in DreamerV3's later version, not of their symlogs, as
    in the paper. Those are too small where outcomes are in doubt: 0.2 for a cost of 5 whose probability is 0.1."""
    unimix: float = 0.01
    """Share of the uniform distribution in each categorical variable."""

    batch_size: int = 16
    """Sequences per update."""
    batch_length: int = 64
    """Decisions per sequence."""
    train_ratio: float = 512.0
    """Replayed decisions per decision taken: train_ratio / (batch_size * batch_length) updates per decision."""
    prefill: int = 1024
    """Decisions with uniform random actions before learning starts."""
    replay_size: int = 1_000_000
    """Decisions that the replay holds over all environments; the oldest make room."""
    model_lr: float = 1e-4
    """Adam step size of the world model."""
    model_clip: float = 1000.0
    """Clip of the norm of the world model's gradient."""
    free_nats: float = 1.0
    """KL divergence of a step, summed over all variables, below which nothing is gained."""
    dynamics_scale: float = 0.5
    """Weight of the KL divergence that trains the prior."""
    representation_scale: float = 0.1
    """Weight of the KL divergence that trains the posterior."""
    vector_scale: float = 5.0
    """Weight of the reconstruction of vectors."""
    vector_bins: int = 0
    """Bins of [-1, 1] on which encoder and decoder have each symlog of a vector, besides the symlog itself; 0: none, as
    in the paper. Thresholds, such as that of a lidar inside a hazard, are hard to learn from few episodes without."""
    reward_scale: float = 1.0
    """Weight of the reward head's loss: how much of the model goes into what rewards depend on."""
    cost_scale: float = 1.0
    """Weight of the cost head's loss."""
    cost_weight: float = 10.0
    """Weight of the cost head's loss at decisions that cost 1 or more: unsafe ones are rare."""
    overshoot: int = 0
    """Decisions ahead of what was seen for which rewards and costs are learnt to be foretold, too; 0: none, as in the
    paper. Without it imagination soon forgets where hazards are, until the prior of the states has become good."""

    imagination: int = 15
    """Decisions imagined from each replayed state to train actor and critics."""
    discount: float = 1 - 1 / 333
    """Discount of reward and cost per decision."""
    return_lambda: float = 0.95
    """Lambda of the returns."""
    entropy: float = 3e-4
    """Weight of the actor's entropy."""
    actor_lr: float = 3e-5
    """Adam step size of actor and critics."""
    actor_clip: float = 100.0
    """Clip of the norm of each one's gradient."""
    return_decay: float = 0.99
    """Decay of the running 5th and 95th percentile of returns by which advantages are scaled."""
    slow_fraction: float = 0.02
    """Share of the critic that its slow copy takes over at each update."""
    cost_slow_fraction: float = 0.02
    """The same of the critic of costs. A small one tells a multiplier for long of costs that the actor has learnt to
    avoid."""

    plan_horizon: int = 15
    """Decisions that the planner looks ahead."""
    plan_samples: int = 500
    """Candidate plans per iteration."""
    plan_elites: int = 50
    """Best candidates, to which the next iteration's distribution is fitted."""
    plan_iterations: int = 6
    """Iterations of the cross-entropy method."""
    plan_momentum: float = 0.1
    """Share of the old mean in the new one."""
    plan_actor_share: float = 0.05
    """Plans of the actor among the candidates, as a share of plan_samples."""

    limit_decisions: int = 0
    """Decisions over which the cost limit falls, linearly, from limit_start to cost_limit; 0: it is cost_limit from the
    beginning. An agent that avoids costs before its model knows where they come from may never see it."""
    limit_start: float = 100.0
    """Cost limit of an episode at the first decision, if limit_decisions is not 0."""
    lagrange_init: float = 1e-6
    """bsrp_lag: multiplier at the start."""
    penalty_init: float = 5e-9
    """bsrp_lag: coefficient of the quadratic penalty at the start."""
    penalty_growth: float = 1e-5
    """bsrp_lag: relative growth of that coefficient per update, up to 1."""
    cost_smoothing: float = 0.99
    """osrp_lag: weight of the past in the smoothed episode cost that its multiplier sees."""
    multiplier_start: int = 5000
    """osrp_lag: decisions before which the multiplier stays 0."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: networks compute in mixed precision (for GPUs)."""
    compile: bool = False
    """Compile the world model's steps with torch.compile (for GPUs; on a CPU it takes a minute and gains nothing)."""

    def check(self) -> None:
        """Refuse values that cannot work."""
        self.check_view()
        _choice(self, "variant", get_args(Variant))
        _choice(self, "precision", ("float32", "bfloat16"))
        _positive(self, "action_repeat", "deter", "units", "stoch", "head_layers", "mlp_layers", "mlp_units")
        _positive(self, "cnn_depth", "bin_limit", "batch_size", "train_ratio", "prefill", "model_lr", "actor_lr")
        _positive(self, "model_clip", "actor_clip", "imagination", "plan_horizon", "plan_iterations", "plan_elites")
        _share(self, "discount", "return_lambda", "return_decay", "slow_fraction", "cost_slow_fraction")
        _share(self, "plan_momentum", "plan_actor_share", "cost_smoothing")
        for name in ("free_nats", "dynamics_scale", "representation_scale", "vector_scale", "vector_bins",
                     "reward_scale", "cost_scale", "cost_weight", "entropy", "lagrange_init", "penalty_init",
                     "penalty_growth", "multiplier_start", "overshoot", "limit_decisions"):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must not be negative, got {getattr(self, name)!r}")
        if not 0 < self.unimix < 1:
            raise UserError(f"unimix must lie between 0 and 1, got {self.unimix!r}")
        if not self.discount < 1:
            raise UserError(f"discount must be below 1, got {self.discount!r}")
        if self.vector_bins == 1:
            raise UserError("vector_bins must be 0 or at least 2, got 1")
        for name in ("classes", "bins", "batch_length"):
            if getattr(self, name) < 2:
                raise UserError(f"{name} must be at least 2, got {getattr(self, name)!r}")
        if self.overshoot >= self.batch_length:
            raise UserError(f"overshoot {self.overshoot} must be less than batch_length {self.batch_length}")
        if self.plan_elites > self.plan_samples:
            raise UserError(f"plan_elites {self.plan_elites} exceeds plan_samples {self.plan_samples}")
        if self.replay_size < self.batch_length:
            raise UserError(f"replay_size {self.replay_size} is less than one sequence of {self.batch_length}")


@dataclass(frozen=True)
class SafeDreamerSettings(PIDSettings, WorldModelSettings):
    """Settings of Safe DreamerV3. The defaults are those of the paper's vision agents, but for 32 x 32 classes in place
    of 48 x 48, plans of the actor among those of osrp and osrp_lag, and what every run has (`num_envs`, `cost_limit`);
    the paper holds actions for 4 steps (osrp 5)."""

    pid_max: float = 0.1
    """osrp_lag: upper bound of the integral and of the multiplier."""


def _choice(settings: Any, name: str, accepted: tuple[str, ...]) -> None:
    if getattr(settings, name) not in accepted:
        raise UserError(f"{name} must be one of {', '.join(accepted)}, got {getattr(settings, name)!r}")


def _size(deter: int, units: int, depth: int, layers: int) -> dict[str, Any]:
    return {"deter": deter, "units": units, "cnn_depth": depth, "head_layers": layers}


_TINY = {
    "mlp_layers": 1, "head_layers": 1, "bin_limit": 5.0, "cnn_depth": 8, "prefill": 480, "free_nats": 0.3,
    "return_decay": 0.98, "entropy": 3e-3, "lagrange_init": 0.01, "penalty_init": 0.01, "penalty_growth": 1e-3,
    "multiplier_start": 1000, "cost_weight": 1.0, "num_envs": 8, "steps_per_epoch": 4000, "total_steps": 200_000,
    "cost_limit": 2.0,
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "debug": {
        **_size(32, 16, 8, 2), "stoch": 4, "classes": 4, "mlp_layers": 1, "mlp_units": 16, "bins": 41, "batch_size": 8,
        "batch_length": 12, "prefill": 64, "train_ratio": 8.0, "plan_samples": 16, "plan_elites": 4, "imagination": 3,
        "plan_iterations": 2, "plan_horizon": 3, "num_envs": 2, "steps_per_epoch": 200, "total_steps": 1000,
        "overshoot": 2,
    },
    "tiny": {
        **_TINY, "deter": 64, "units": 64, "stoch": 8, "classes": 8, "mlp_units": 64, "bins": 41, "batch_size": 16,
        "batch_length": 16, "train_ratio": 64.0, "imagination": 8, "model_lr": 1e-3, "actor_lr": 3e-4,
        "discount": 1 - 1 / 50, "plan_samples": 64, "plan_iterations": 3, "plan_horizon": 6, "plan_elites": 8,
        "plan_actor_share": 0.125,
    },
    "tiny_plus": {
        **_TINY, "deter": 128, "units": 128, "stoch": 16, "classes": 8, "mlp_units": 128, "bins": 63, "batch_size": 8,
        "batch_length": 32, "train_ratio": 64.0, "imagination": 10, "model_lr": 6e-4, "actor_lr": 2e-4,
        "discount": 1 - 1 / 100, "plan_samples": 128, "plan_iterations": 4, "plan_horizon": 10, "plan_elites": 16,
        "plan_actor_share": 0.125, "vector_scale": 1.0, "vector_bins": 64,
        "reward_scale": 10.0, "cost_scale": 10.0, "overshoot": 10, "value_means": True, "penalty_growth": 2e-4,
    },
    "small": _size(512, 512, 32, 2),
    "medium": _size(1024, 640, 48, 3),
    "large": _size(2048, 768, 64, 4),
    "xlarge": _size(4096, 1024, 96, 5),
}  # fmt: skip
"""`debug` only runs; `tiny` learns a toy in minutes and `tiny_plus` small tasks in hours on a CPU; the others are the
sizes of DreamerV3. Without a preset the agent has the size `small`."""
