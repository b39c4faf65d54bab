"""Suites are data: a TOML file whose tables [[matrix]] multiply out to the configurations of runs.

    description = "Two robots, three algorithms"

    [[matrix]]
    env_ids = ["SafetyPointGoal1-v0", "SafetyCarGoal1-v0"]
    algorithms = ["ppo_lag", "trpo_lag", "cpo"]     # or "all", for several agents "teams"
    seeds = [0, 1, 2]
    total_steps = [300_000, 1_000_000]              # one or several budgets; left out: safepo's default
    cost_limits = [10, 25]                          # left out: safepo's default
    preset = "quick"                                # optional
    tuned = true                                    # start from safepo's settings for the environment (the default)
    eval_episodes = 50                              # further settings of safepo; algorithms that lack one skip it
    matrix.ppo_lag.clip = 0.1                       # written below the table as [matrix.ppo_lag]: for one algorithm

A configuration that occurs twice is one run: what shapes learning, and the seed, identify it.
"""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safepo.algorithms import ALGORITHMS, ALL_ALGORITHMS, TEAM_ALGORITHMS, algorithm_info
from safepo.config import Config, RunConfig, make_config
from safepo.errors import UserError, did_you_mean

FOLDER = Path(__file__).parent / "suites"
AXES = ("env_ids", "algorithms", "seeds", "total_steps", "cost_limits")
WORDS = {"all": list(ALGORITHMS), "teams": list(TEAM_ALGORITHMS)}
"""What a word in place of a list of algorithms stands for."""
NOT_SETTINGS = ("env_id", "seed", "cost_limit", "log_dir", "wandb")


@dataclass(frozen=True)
class Suite:
    """A name, a sentence, and the configurations to train."""

    name: str
    description: str
    jobs: list[Config]


def suite_names() -> list[str]:
    """Return the names of the suites that ship with the repository."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def run_id(config: Config) -> str:
    """`<env-id>/<algorithm>-<hash>-seed<k>`: the run's folder relative to the folder of all runs."""
    return config.run_dir().relative_to(config.run.log_dir).as_posix()


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a shipped suite by name, or a file; raises `UserError` that says what is accepted."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if str(name_or_path) not in suite_names():
            raise UserError(
                did_you_mean(str(name_or_path), suite_names(), "suite") + "; or give the path of a .toml file"
            )
        path = FOLDER / f"{name_or_path}.toml"
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read suite {str(path)!r}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"suite {str(path)!r} is not valid TOML: {error}") from None
    where = f"suite {path.stem!r}"
    for key in table:
        if key not in ("description", "matrix"):
            raise UserError(f"{where}: " + did_you_mean(key, ("description", "matrix"), "key"))
    matrices = table.get("matrix")
    if not isinstance(matrices, list) or not matrices:
        raise UserError(f"{where}: expected one or more tables [[matrix]]")
    jobs: dict[str, Config] = {}
    for i, matrix in enumerate(matrices, 1):
        try:
            for config in _expand(matrix):
                jobs.setdefault(run_id(config), config)
        except UserError as error:
            raise UserError(f"{where}, matrix {i}: {error}") from None
    return Suite(path.stem, str(table.get("description", "")), list(jobs.values()))


def _expand(matrix: dict[str, Any]) -> Iterator[Config]:
    """All combinations of one table; seeds turn slowest, so that a sweep cut short covers everything once."""
    from safepo.envs import check_id

    matrix = dict(matrix)
    env_ids, algorithms, seeds = (_listed(matrix, key) for key in AXES[:3])
    algorithms = WORDS.get(algorithms[0], algorithms)
    axes = {
        key: _listed(matrix, name)
        for name, key in (("total_steps", "total_steps"), ("cost_limits", "cost_limit"))
        if name in matrix
    }
    for env_id in env_ids:
        check_id(env_id)
    fields = {name: _fields(name) for name in algorithms}
    preset, tuned = matrix.pop("preset", None), matrix.pop("tuned", True)
    own = {name: matrix.pop(name) for name in list(matrix) if name in ALL_ALGORITHMS}
    for name in matrix:
        if name not in set().union(*fields.values()):
            known = {*AXES, "preset", "tuned", *set().union(*fields.values())}.difference(NOT_SETTINGS)
            raise UserError(did_you_mean(name, known, f"key (settings of {', '.join(algorithms)})"))
    for name in own:
        if name not in algorithms:
            raise UserError(f"settings for {name}, which is not among its algorithms ({', '.join(algorithms)})")
    for seed, env_id, algorithm, *values in itertools.product(seeds, env_ids, algorithms, *axes.values()):
        shared = {key: value for key, value in matrix.items() if key in fields[algorithm]}
        yield make_config(
            algorithm,
            preset=preset,
            tuned=tuned,
            **shared | own.get(algorithm, {}) | dict(zip(axes, values, strict=True)),
            env_id=env_id,
            seed=seed,
        )


def _listed(matrix: dict[str, Any], key: str) -> list[Any]:
    """Take `key` out of the table as a list."""
    value = matrix.pop(key, None)
    values = value if isinstance(value, list) else [value]
    if value is None or not values:
        raise UserError(f"{key} is missing or empty")
    return values


def _fields(algorithm: str) -> set[str]:
    """Settings that a suite may give to an algorithm."""
    _, settings_type = algorithm_info(algorithm).load()
    fields = {f.name for f in (*dataclasses.fields(RunConfig), *dataclasses.fields(settings_type))}
    return fields.difference(NOT_SETTINGS)
