"""Environments that are not the suite's: found by module, kept inside their action space, asked for a cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from safepo.envs import VectorEnv
from safepo.errors import UserError
from safepo.trainer import train
from safepo.video import make_rendered

MODULE = """
import gymnasium, numpy as np
class Drift(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-10, 10, (2,))
    action_space = gymnasium.spaces.Box(-0.5, 0.5, (1,))
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}
    def step(self, action):
        assert self.action_space.contains(action), action
        return np.zeros(2, np.float32), 0.0, False, False, {}
gymnasium.register("%s", Drift, max_episode_steps=5)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"drift_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE % f"{name}-v0")
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:{name}-v0"


def test_the_module_of_an_id_is_imported(module: str) -> None:
    env = VectorEnv(module, 2)
    env.reset(seed=0)
    env.step(np.array([[7.0], [-7.0]]))  # the environment itself asserts that actions lie in its space
    assert not env.cost_seen


def test_a_missing_module_is_named() -> None:
    with pytest.raises(UserError, match="no_such_module"):
        VectorEnv("no_such_module:Foo-v0", 1)


def test_the_suites_ids_may_name_their_package() -> None:
    env = VectorEnv("safety_gym:SafetyPointGoal1-v0", 1)
    env.reset(seed=0)
    env.step(np.zeros((1, 2)))
    assert env.cost_seen and env.cost_names == ("cost_hazards",)


def test_an_environment_without_a_cost_is_pointed_out(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("ppo", env_id=module, total_steps=40, steps_per_epoch=20, num_envs=2, eval_episodes=0, log_dir=str(tmp_path))
    assert "has not reported info['cost']" in capsys.readouterr().out


def test_an_environment_that_cannot_be_drawn_says_so(module: str) -> None:
    with pytest.raises(UserError, match="cannot be drawn"):
        make_rendered(module, "fixedfar")
