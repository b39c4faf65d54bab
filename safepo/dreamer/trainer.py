"""Training of Safe DreamerV3 in the loop that all algorithms share."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from safepo.dreamer.agent import Player, SafeDreamer, check_limits, split
from safepo.dreamer.picture import open_loop_picture
from safepo.dreamer.policy import DreamerPolicy
from safepo.dreamer.replay import Field, Replay
from safepo.envs import Step
from safepo.errors import UserError
from safepo.policy import describe
from safepo.rollout import EpisodeStats, EpisodeSums, SafetyRecord
from safepo.trainer import Trainer, finite

Found = defaultdict[str, list[float | torch.Tensor]]
CONTEXT = 5
"""Decisions that an open-loop prediction sees."""
CANDIDATES = 32
"""Sequences of which one is shown."""


class DreamerTrainer(Trainer):
    """An epoch collects `steps_per_epoch` environment steps and makes the updates that fall due meanwhile."""

    def _build(self) -> None:
        run, s = self.config.run, self.config.settings
        if self.group.size > 1:
            raise UserError("safe_dreamer trains in one process; start it without torchrun")
        if self.env.action.sizes or self.env.nagent > 1:
            raise UserError(f"{run.env_id}: safe_dreamer acts in environments of one agent with a Box of actions")
        rows = s.replay_size // run.num_envs
        if rows < s.batch_length:
            raise UserError(
                f"replay_size {s.replay_size}: {rows} decisions in each of {run.num_envs} environments do not hold a "
                f"sequence of batch_length {s.batch_length}"
            )
        limit = check_limits(run.cost_limits(), s)
        self.algorithm = SafeDreamer(s, self.env.obs, self.env.nact, limit, self.device, self.seeds.init)
        noise = torch.Generator(self.algorithm.device).manual_seed(self.seeds.noise)
        self.collector = DreamerCollector(self.env, self.algorithm, noise, np.random.default_rng(self.seeds.shuffle))

    def settle(self, run_dir: Path) -> None:
        """Keep the replay in files of the run, so that it may exceed memory and outlives the process."""
        if not self.collector.open_replay(run_dir / "replay"):
            print(
                "the oldest decisions of the replay were overwritten after the checkpoint: resuming without them, not "
                "bit-identically"
            )

    def finish(self, run_dir: Path) -> None:
        """Delete the replay of a finished run."""
        self.collector.drop_replay(run_dir / "replay")

    def run_epoch(self, progress: Callable[[int], None] | None = None) -> dict[str, float]:
        run, started = self.config.run, time.perf_counter()
        report = None if progress is None else lambda t: progress(self.step + t * run.num_envs)
        metrics = self.collector.collect(run.horizon, report)
        self.epoch += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        finite({name: value for name, value in metrics.items() if name.startswith(("train/", "plan/"))})
        return {
            **metrics,
            "train/epoch": self.epoch,
            "time/total": self.seconds,
            "time/steps_per_s": run.epoch_steps / seconds,
        }

    def policy(self) -> DreamerPolicy:
        return DreamerPolicy(self.algorithm.frozen(), describe(self.env))

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Truth, open-loop prediction and error of a replayed sequence, once the replay holds one.

        Of some sequences one that runs over no end of an episode is taken, if there is one: nothing foretells what
        begins there.
        """
        s, replay = self.config.settings, self.collector.replay
        length = max(s.batch_length, 2 * CONTEXT)
        if not replay.starts(length).any():
            return {}
        data = replay.sample(CANDIDATES, length, np.random.default_rng(self.epoch))
        chosen = [int(np.argmin(data["first"][1:].sum(0)))]
        sequence = self.algorithm.sequences({name: array[:, chosen] for name, array in data.items()})
        return {"open_loop": open_loop_picture(self.algorithm.model, sequence, CONTEXT)}


class DreamerCollector:
    """Steps the environments, fills the replay, and updates the agent as often as the train ratio demands."""

    def __init__(self, env: Any, agent: SafeDreamer, noise: torch.Generator, rng: np.random.Generator) -> None:
        self.env, self.agent, self.rng = env, agent, rng
        n = env.num_envs
        self.player = Player(agent, n, noise)
        self.sums = EpisodeSums(n, env.cost_names)
        self.stats = EpisodeStats(self.sums.names)
        self.safety = SafetyRecord(np.array([agent.cost_limit]), n)
        self.pending = np.zeros((n, 2))
        self.first = np.ones(n, bool)
        self.obs = np.zeros((n, env.nobs))
        self.updates = 0
        self._fields: dict[str, Field] = {
            "vector": ((agent.shapes.nvector,), np.float32),
            "image": ((agent.shapes.size, agent.shapes.size, agent.shapes.channels), np.uint8),
            "action": ((env.nact,), np.float32),
            **dict.fromkeys(("reward", "cost"), ((), np.float32)),
            **dict.fromkeys(("first", "terminal"), ((), np.bool_)),
        }
        self._loaded: dict[str, Any] = {}

    @cached_property
    def replay(self) -> Replay:
        """In memory unless `open_replay` came first; images of a whole replay may not fit there."""
        return Replay(self._fields, self.env.num_envs, self.agent.settings.replay_size)

    def open_replay(self, folder: Path) -> bool:
        """Have the replay in files; after loading a checkpoint as it was then. False if it no longer is."""
        self.replay = Replay(self._fields, self.env.num_envs, self.agent.settings.replay_size, folder)
        return self.replay.load_state_dict(self._loaded) if self._loaded else True

    def drop_replay(self, folder: Path) -> None:
        import shutil

        self.replay = Replay(self._fields, self.env.num_envs, self.env.num_envs)
        shutil.rmtree(folder, ignore_errors=True)

    def reset(self, seed: int) -> None:
        """Start fresh episodes; environment i is seeded with `seed + i`."""
        n = self.env.num_envs
        self.obs = self.env.reset(seed)
        self._begin(np.ones(n, bool))
        self.sums.values[:] = 0
        self.safety.streak[:] = 0

    def _begin(self, first: NDArray[np.bool_]) -> None:
        self.player.begin(first)
        self.first[first] = True
        self.pending[first] = 0

    def collect(self, horizon: int, report: Callable[[int], None] | None = None) -> dict[str, float]:
        """Take `horizon` steps in each environment and the updates that fall due; returns the epoch's metrics."""
        n, s = self.env.num_envs, self.agent.settings
        costs, over = np.zeros((horizon, n, 1)), np.zeros((horizon, n), bool)
        found: Found = defaultdict(list)
        learning = 0.0
        for t in range(horizon):
            if report is not None and t % 50 == 0:
                report(t)
            explore = self.rng.uniform(-1, 1, (n, self.env.nact)) if self.agent.taken < s.prefill else None
            action, decided = self.player(self.obs, explore=explore)
            self._record(decided, self.obs[decided], action[decided])
            self.agent.taken += len(decided)
            step = self.env.step(action)
            costs[t, :, 0], over[t] = step.cost, step.terminated | step.truncated
            self._take_in(step, over[t])
            if len(decided) and explore is None:
                for name, value in self.player.metrics.items():
                    found[name].append(value)
            started = time.perf_counter()
            self._learn(found)
            learning += time.perf_counter() - started
        self.safety.add(costs, over)
        return {
            **self.stats.close_epoch(),
            "ep/count": self.stats.nepisode,
            **self.safety.metrics(),
            **{name: float(np.mean([float(value) for value in values])) for name, values in found.items()},
            "train/multiplier": self.agent.shown_multiplier,
            **self.agent.constraint(),
            "train/updates": self.updates,
            "train/decisions": self.agent.taken,
            "time/update": learning,
        }

    def _learn(self, found: Found) -> None:
        s = self.agent.settings
        due = int((self.agent.taken - s.prefill) * s.train_ratio / (s.batch_size * s.batch_length))
        while self.updates < due and self.replay.starts(s.batch_length).any():
            metrics = self.agent.update(self.replay.sample(s.batch_size, s.batch_length, self.rng))
            self.updates += 1
            for name, value in metrics.items():
                found[name].append(value)

    def _record(self, ids: NDArray[np.intp], rows: NDArray[Any], action: NDArray[Any], ended: Any = False) -> None:
        """Write what was seen, what came with it and what was done to the replay."""
        record = split(rows, self.env.obs, self.agent.shapes)
        reward, cost = self.pending[ids].T
        self.replay.add(ids, {**record, "action": action, "reward": reward, "cost": cost,
                              "first": self.first[ids], "terminal": ended})  # fmt: skip
        self.pending[ids] = 0
        self.first[ids] = False

    def _take_in(self, step: Step, over: NDArray[np.bool_]) -> None:
        """Add up rewards and costs; close the episodes that ended."""
        self.pending += np.stack([step.reward, step.cost], 1)
        self.obs = step.obs
        for i, sums in self.sums.add(step):
            self.stats.add(sums)
            self.safety.add_episode(np.array(sums[1:2]))
            length = float(np.mean([episode[2] for episode in self.stats.window]))
            self.agent.episode_ended(sums[1], length, bool(step.terminated[i]))
        ids = np.flatnonzero(over)
        if len(ids):
            assert step.final_obs is not None
            self._record(ids, step.final_obs[ids], np.zeros((len(ids), self.env.nact)), step.terminated[ids])
            self._begin(over)

    def state_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name).copy() for name in ("pending", "first", "obs")},
            "sums": self.sums.values.copy(),
            "updates": self.updates,
            "rng": self.rng.bit_generator.state,
            "player": self.player.state_dict(),
            "stats": self.stats.state_dict(),
            "safety": self.safety.state_dict(),
            "replay": self.replay.state_dict() if "replay" in vars(self) else {},  # else nothing was written yet
            "env": self.env.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any], fallback_seed: int) -> bool:
        """Restore; returns False when the environment's state was not saved and fresh episodes were started."""
        self.updates = state["updates"]
        self.rng.bit_generator.state = state["rng"]
        self.player.load_state_dict(state["player"])
        self.stats.load_state_dict(state["stats"])
        self.safety.load_state_dict(state["safety"])
        self._loaded = state["replay"]
        if "arrays" in self._loaded:
            self.replay.load_state_dict(self._loaded)
        if state["env"] is None:
            self.reset(fallback_seed)
            return False
        self.env.reset(seed=fallback_seed)
        self.env.set_state(state["env"])
        for name in ("pending", "first", "obs"):
            setattr(self, name, np.array(state[name]))
        self.sums.values = np.array(state["sums"])
        return True
