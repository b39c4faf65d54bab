"""Run configuration: defaults < tuned for the environment < preset < TOML file < command line. Imports no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safepo.algorithms import ALL_ALGORITHMS, MODEL_ALGORITHMS, algorithm_info
from safepo.errors import UserError, did_you_mean, lookup
from safepo.tuned import tuned_for


@dataclass(frozen=True)
class RunConfig:
    """What to train on, how long, and where results go; common to all algorithms."""

    env_id: str = "SafetyPointGoal1-v0"
    """Environment: a safety_gym id or any Gymnasium id that reports info["cost"]."""
    total_steps: int = 10_000_000
    """Environment steps of the whole run; rounded down to whole epochs."""
    steps_per_epoch: int = 20_000
    """Environment steps per epoch over all environments; rounded down to a multiple of num_envs."""
    num_envs: int = 16
    """Environments stepped side by side."""
    seed: int = 0
    """Root of all randomness: networks, action noise, shuffling, environments, evaluation."""
    cost_limit: float | str = 25.0
    """Limit on the mean undiscounted episode cost (plots show it for unconstrained algorithms, too); or limits of
    single costs, such as cost_hazards=10,cost_vases_contact=5, each of which has its own multiplier."""
    device: str = "auto"
    """Where the networks live: auto (cuda if present), cpu, cuda, cuda:1, ..."""
    torch_threads: int = 1
    """CPU threads of torch; small networks are fastest with one."""
    env_threads: int = 0
    """Threads that step safety_gym environments; 0: as many as safety_gym chooses. Results do not depend on it."""
    eval_every: int = 0
    """Evaluate every so many epochs; 0: only after training."""
    eval_episodes: int = 20
    """Episodes per evaluation and mode (deterministic, stochastic); 0: never evaluate."""
    checkpoint_every: int = 10
    """Write a checkpoint every so many epochs (one is always written at the start and at the end)."""
    log_dir: str = "runs"
    """Folder of all runs."""
    wandb: bool = False
    """Also log to Weights & Biases (needs the wandb package)."""

    def check(self) -> None:
        """Refuse values that cannot work."""
        for name in ("total_steps", "steps_per_epoch", "num_envs", "torch_threads", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        self.cost_limits()
        for name in ("seed", "eval_every", "eval_episodes", "env_threads"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.horizon < 1:
            raise UserError(
                f"steps_per_epoch {self.steps_per_epoch} is less than one step in each of num_envs {self.num_envs}"
            )
        if self.nepoch < 1:
            raise UserError(
                f"total_steps {self.total_steps:,} is less than one epoch of {self.epoch_steps:,} steps; "
                f"raise total_steps or lower steps_per_epoch"
            )

    def cost_limits(self) -> dict[str, float]:
        """Return the limits by name; a single number limits `cost`, the step cost itself."""
        parts = [part.partition("=") for part in str(self.cost_limit).split(",")]
        if len(parts) == 1 and not parts[0][1]:
            parts = [("cost", "=", parts[0][0])]
        try:
            limits = {name.strip(): float(value) for name, _, value in parts}
        except ValueError:
            limits = {}
        if len(limits) != len(parts) or not all(limit >= 0 for limit in limits.values()):
            raise UserError(
                f"cost_limit={self.cost_limit!r}: expected a number >= 0, or limits by name such as "
                "cost_hazards=10,cost_vases_contact=5"
            )
        return limits

    @property
    def horizon(self) -> int:
        """Steps of each environment per epoch."""
        return self.steps_per_epoch // self.num_envs

    @property
    def epoch_steps(self) -> int:
        """Environment steps per epoch that are really taken."""
        return self.horizon * self.num_envs

    @property
    def nepoch(self) -> int:
        return self.total_steps // self.epoch_steps

    def rounding_notes(self) -> list[str]:
        """Sentences about requested numbers that are not met exactly."""
        notes = []
        if self.epoch_steps != self.steps_per_epoch:
            notes.append(
                f"steps_per_epoch {self.steps_per_epoch:,} is not a multiple of num_envs {self.num_envs}: "
                f"an epoch has {self.epoch_steps:,} steps"
            )
        if self.nepoch * self.epoch_steps != self.total_steps:
            notes.append(
                f"total_steps {self.total_steps:,} is not a whole number of epochs: "
                f"training stops after {self.nepoch} epochs, {self.nepoch * self.epoch_steps:,} steps"
            )
        return notes


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "total_steps": 300_000,
        "steps_per_epoch": 4_000,
        "num_envs": 4,
        "passes": 20,
        "actor_lr": 6e-4,
        "critic_lr": 1e-3,
    },
}
"""Named bundles of settings; keys that an algorithm does not have are skipped.

`quick` is for a first look in minutes: epochs of four full episodes, so that policy and multiplier move five times as
often per environment step, and larger step sizes. Its results are not comparable with published curves."""


def presets_of(algorithm: str) -> dict[str, dict[str, Any]]:
    """The presets that an algorithm has."""
    if algorithm not in MODEL_ALGORITHMS:
        return PRESETS
    from safepo.dreamer.settings import PRESETS as SIZES

    return SIZES


NOT_HASHED = {
    "seed",
    "log_dir",
    "wandb",
    "checkpoint_every",
    "eval_every",
    "eval_episodes",
    "torch_threads",
    "env_threads",
    "device",
}
"""Fields that change where a run goes or what is reported, not what is learned."""
HASHED_IF_SET = {"encoder_width", "observe", "image_size", "augment", "fisher_every"}
"""Settings that are younger than stored results: at their defaults they leave a run's hash as it was."""


@dataclass(frozen=True)
class Config:
    """A resolved configuration."""

    algorithm: str
    run: RunConfig
    settings: Any
    """The algorithm's settings dataclass."""

    def check(self) -> Config:
        """Refuse values that cannot work; returns itself."""
        self.run.check()
        self.settings.check()
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and checkpoints (infinity, which JSON lacks, as the string "inf")."""
        settings = {k: "inf" if v == math.inf else v for k, v in dataclasses.asdict(self.settings).items()}
        return {"algorithm": self.algorithm, "run": dataclasses.asdict(self.run), "settings": settings}

    def hash(self) -> str:
        """Eight hex digits over everything that shapes learning, the seed excepted."""
        plain = self.to_dict()
        plain["run"] = {k: v for k, v in plain["run"].items() if k not in NOT_HASHED}
        later = {f.name: f.default for f in dataclasses.fields(self.settings) if f.name in HASHED_IF_SET}
        plain["settings"] = {k: v for k, v in plain["settings"].items() if k not in later or v != later[k]}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]

    def run_dir(self) -> Path:
        """`<log_dir>/<env-id>/<algorithm>-<hash>-seed<k>`."""
        name = f"{self.algorithm}-{self.hash()}-seed{self.run.seed}"
        return Path(self.run.log_dir) / self.run.env_id.rpartition(":")[2].replace("/", "_").replace("|", "x") / name


def config_from_dict(plain: dict[str, Any]) -> Config:
    """Rebuild a configuration from `config.json` or a checkpoint."""
    info = algorithm_info(plain["algorithm"])
    _, settings_type = info.load()
    return Config(info.name, _build(RunConfig, plain["run"]), _build(settings_type, plain["settings"])).check()


def make_config(
    algorithm: str,
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    tuned: bool = True,
    check: bool = True,
    **overrides: Any,
) -> Config:
    """Resolve defaults < tuned < preset < TOML file < keyword overrides; run and algorithm share one flat space.

    `tuned` settings are those of the environment id that the others give; see `safepo/tuned`.

    >>> make_config("ppo_lag", env_id="SafetyPointGoal1-v0", total_steps=1_000_000, cost_limit=10)
    """
    info = algorithm_info(algorithm)
    _, settings_type = info.load()
    fields = {f.name for f in (*dataclasses.fields(RunConfig), *dataclasses.fields(settings_type))}
    values: dict[str, Any] = {}
    if preset is not None:
        values |= {k: v for k, v in lookup(preset, presets_of(info.name), "preset").items() if k in fields}
    if file is not None:
        values |= read_toml(file, info.name, fields)
    for name in overrides:
        if name not in fields:
            raise UserError(did_you_mean(name, fields, f"setting of {info.name}"))
    values |= overrides
    row = tuned_for(str(values.get("env_id", RunConfig.env_id)), info.name) if tuned else None
    if row is not None:
        values = {k: v for k, v in row.values.items() if k in fields} | values
    parts = [
        _build(kind, {k: v for k, v in values.items() if k in {f.name for f in dataclasses.fields(kind)}})
        for kind in (RunConfig, settings_type)
    ]
    config = Config(info.name, *parts)
    return config.check() if check else config


def read_toml(file: str | Path, algorithm: str, fields: set[str]) -> dict[str, Any]:
    """Flat keys, plus a table `[<algorithm>]` that applies to this algorithm only (other algorithms' are skipped)."""
    try:
        table = tomllib.loads(Path(file).read_text())
    except OSError as error:
        raise UserError(f"cannot read config file {str(file)!r}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"config file {str(file)!r} is not valid TOML: {error}") from None
    values = {k: v for k, v in table.items() if not (k in ALL_ALGORITHMS and isinstance(v, dict))}
    values |= table.get(algorithm, {})
    for name in values:
        if name not in fields:
            raise UserError(f"config file {str(file)!r}: " + did_you_mean(name, fields, f"setting of {algorithm}"))
    return values


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    """Construct a flat settings dataclass, converting exactly representable numbers and refusing other types."""
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    for name in values:
        if name not in defaults:
            raise UserError(did_you_mean(name, defaults, f"field of {kind.__name__}"))
    converted = {name: _convert(name, value, defaults[name]) for name, value in values.items()}
    return kind(**converted)


def _convert(name: str, value: Any, default: Any) -> Any:
    """`value` as the type of `default`."""
    kind = type(default)
    if name == "cost_limit" and isinstance(value, dict):
        return ",".join(f"{key}={limit}" for key, limit in value.items())
    if name == "cost_limit" and isinstance(value, str):
        return value
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(name, v, default[0]) for v in value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is float and (value == "inf" or (isinstance(value, int) and not isinstance(value, bool))):
        return float(value)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise UserError(f"{name} must be {_article(kind)}, got {value!r}")


def _article(kind: type) -> str:
    return {int: "an integer", float: "a number", bool: "true or false", str: "a string", tuple: "a list"}[kind]
