"""Recorded trajectories of the reference's MultiGoal tasks replay to the same numbers, with its defects as options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safety_gym.conformance import TeamReplay, check_file

FOLDER = Path(__file__).parent / "data" / "golden"
FILES = sorted(FOLDER.glob("*MultiGoal*.npz"))
VASES = FOLDER / "SafetyPointMultiGoal2-v0__seed0.npz"


def test_the_data_holds_every_kind_of_event() -> None:
    assert [path.name.split("-")[0] for path in FILES] == [
        f"Safety{robot}MultiGoal{level}" for robot in ("Ant", "Point") for level in (0, 1, 2)
    ]
    charged: set[str] = set()
    goals = deaths = interventions = 0
    for path in FILES:
        replay = TeamReplay(path)
        data, names = replay.data, np.array(replay.meta["cost_names"])
        charged |= {str(name).partition("/")[2] for name in names[np.nansum(data["cost_components"], axis=0) > 0]}
        goals += int(data["goal_met"].sum())
        deaths += int(data["terminated"].sum())
        interventions += len(data["intervention_step"])
    assert charged == {
        "cost_hazards", "cost_vases_contact", "cost_vases_velocity", "cost_contact_other", "cost_sum",
    }  # fmt: skip
    assert goals == 4 and deaths == 1 and interventions == 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem.split("-")[0])
def test_recordings_replay(path: Path) -> None:
    report = check_file(path)
    assert report.passed and report.problems == [], report.line()
    assert report.samples >= 2
    assert report.errors["obs"] < 1e-10 and report.errors["qpos"] < 1e-12 and report.errors["qvel"] < 1e-11
    assert report.errors["reward"] < 1e-10 and report.errors["raw"] < 1e-12


def run(replay: TeamReplay, steps: int) -> list[str]:
    """Replay from the start on; return every cost, reward and toucher that differs from the file."""
    data, wrong = replay.data, []
    replay.load(0, data["full_qpos"][0], data["full_qvel"][0], data["full_warmstart"][0])
    for t in range(steps):
        got = replay.step(t)
        for name, want in zip(replay.meta["cost_names"], data["cost_raw"][t], strict=True):
            if abs(got["raw"].get(name, 0.0) - want) > 1e-12:
                wrong.append(f"{t} {name}")
        if np.abs(got["reward"] - data["reward"][t]).max() > 1e-12:
            wrong.append(f"{t} reward")
        if "touched_last" in (replay.sim.world.memory.dtype.names or ()):
            last = replay.sim.world.memory["touched_last"][0, 1]
            wrong += [f"{t} vase {i}" for i in np.flatnonzero(last != data["vase_last_contact"][t + 1])]
    return wrong


def test_who_pays_for_moving_vases() -> None:
    """Forty steps with six touches, each cost of each: the reference charges both where a vase changes hands."""
    replay = TeamReplay(VASES)
    both = ["agent_0/cost_vases_velocity", "agent_1/cost_vases_velocity"]
    columns = [replay.meta["cost_names"].index(name) for name in both]
    twice = np.flatnonzero((replay.data["cost_raw"][:40, columns] > 0).all(axis=1))
    assert twice.tolist() == [11, 27]
    assert run(replay, 40) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reference_controls": True}, "11 agent_0/cost_vases_velocity"),
        ({"reference_credit": True}, "0 reward"),
    ],
)
def test_the_options_matter(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], says: str) -> None:
    monkeypatch.setattr(TeamReplay, "_options", lambda self: options)
    assert says in run(TeamReplay(VASES), 12)
