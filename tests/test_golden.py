"""Recorded trajectories of the reference suite replay to the same numbers, and the comparison notices when not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from safety_gym import registry
from safety_gym.conformance import check_file, find_files
from safety_gym.robots import ROBOTS

FOLDER = Path(__file__).parent / "data" / "golden"
FILES = [path for path in sorted(FOLDER.glob("*.npz")) if "Multi" not in path.name]
"""Those of single robots; tests/test_multi_agent_golden.py has the others."""
CHASSIS = FOLDER / "SafetyRacecarGoal2-v0__seed0.npz"
CIRCUIT = FOLDER / "SafetyPointFormulaOne1-v0__seed0.npz"
Change = Callable[[dict[str, Any], dict[str, Any]], None]


def test_the_data_is_there() -> None:
    assert len(FILES) == 23
    assert sum(path.stat().st_size for path in FILES) < 1_800_000
    assert {registry.parse(path.stem.split("__")[0]).robot for path in FILES} == set(ROBOTS)


def test_the_data_holds_every_kind_of_event() -> None:
    """A file that lost its events would pass without testing anything."""
    charged: set[str] = set()
    goals = interventions = ends = 0
    for path in FILES:
        with np.load(path) as data:
            names = json.loads(str(data["meta"]))["cost_names"]
            charged |= {name for i, name in enumerate(names) if np.nansum(data["cost_components"][:, i])}
            goals += data["goal_met"].sum()
            interventions += len(data["intervention_step"])
            ends += data["terminated"].sum()
    assert charged == {
        "cost_hazards", "cost_vases_contact", "cost_vases_velocity", "cost_pillars", "cost_buttons", "cost_gremlins",
        "cost_out_of_boundary", "cost_static_geoms_contact", "cost_sum",
    }  # fmt: skip
    assert goals == 16 and interventions == 12 and ends == 2


@pytest.mark.parametrize(
    "path", [p for p in FILES if p not in (CHASSIS, CIRCUIT)], ids=lambda path: path.stem.split("-")[0]
)
def test_recordings_replay(path: Path) -> None:
    report = check_file(path)
    assert report.passed and report.problems == [], report.line()
    assert report.samples >= 5
    # Far inside the limits: what remains is the rounding of the files and of the solver.
    assert report.errors["obs"] < 1e-10 and report.errors["qpos"] < 1e-12 and report.errors["qvel"] < 1e-11
    assert report.errors["reward"] < 1e-10 and report.errors["raw"] < 1e-12
    assert path.stem.split("__")[0] in report.line()


def test_the_racecars_chassis_hits_what_the_references_hits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the stored steps push a vase with the chassis, whose shape is our own: costs agree all the same."""
    report = check_file(CHASSIS)
    assert all(problem.startswith("one-step: 3 of 10 samples miss the") for problem in report.problems), report.problems
    assert report.errors["raw"] < 1e-2
    racecar = ROBOTS["Racecar"]

    def box(spec: mujoco.MjSpec) -> None:
        chassis = spec.geom("chassis")
        chassis.type, chassis.pos, chassis.size = mujoco.mjtGeom.mjGEOM_BOX, [0.1625, 0, 0], [0.2025, 0.1, 0.03]

    monkeypatch.setitem(ROBOTS, "Racecar", dataclasses.replace(racecar, edit=box))
    assert check_file(CHASSIS).errors["raw"] >= 1, "a plain box touches in other points"


def test_the_circuit_replays() -> None:
    """With 200 barriers, whose shape is our own: what the lidar reads of them is judged less strictly."""
    report = check_file(CIRCUIT)
    assert report.passed and report.samples == 2, report.line()
    assert report.errors["obs"] < 1e-10 and report.errors["qpos"] < 1e-12 and report.errors["reward"] < 1e-10
    assert report.free_steps == report.free_needed == 7


def test_free_runs_of_the_car_are_long() -> None:
    report = check_file(FOLDER / "SafetyCarRun0-v0__seed0.npz")
    assert report.free_steps == report.free_needed == 150


# --- the comparison can fail ------------------------------------------------------------------------------------------


def changed(tmp_path: Path, name: str, change: Change) -> Path:
    """Write a copy of a golden file with something altered; `change(data, meta)` works in place."""
    with np.load(FOLDER / name) as loaded:
        data = {key: loaded[key].copy() for key in loaded.files}
    meta = json.loads(str(data.pop("meta")))
    change(data, meta)
    path = tmp_path / name
    np.savez(path, meta=np.array(json.dumps(meta)), **data)
    return path


def unchanged(data: dict[str, Any], meta: dict[str, Any]) -> None:
    """Nothing."""


def reward_at_30(data: dict[str, Any], meta: dict[str, Any]) -> None:
    data["reward"][30] += 1e-6


def action_at_40(data: dict[str, Any], meta: dict[str, Any]) -> None:
    data["action"][40] = -data["action"][40]


def cost_at_50(data: dict[str, Any], meta: dict[str, Any]) -> None:
    data["cost_components"][50] = 1 - data["cost_components"][50]


def goal_at_20(data: dict[str, Any], meta: dict[str, Any]) -> None:
    data["goal_met"][20] = True


def end_at_60(data: dict[str, Any], meta: dict[str, Any]) -> None:
    data["terminated"][60] = True


def observation_after_70(data: dict[str, Any], meta: dict[str, Any]) -> None:
    data["obs"][71, 3] += 1e-5


def absent_key_at_100(data: dict[str, Any], meta: dict[str, Any]) -> None:
    data["cost_components"][100, meta["cost_names"].index("cost_hazards")] = np.nan


def moved_hazard(data: dict[str, Any], meta: dict[str, Any]) -> None:
    """Where the robot is in a hazard on a stored step, that hazard is put half a centimetre aside."""
    hazards = [o for o in meta["objects"] if o["name"].startswith("hazard")]
    for hazard in hazards:
        hazard["x"] += 0.005


GOAL = "SafetyPointGoal1-v0__seed0.npz"


def test_an_unchanged_copy_passes(tmp_path: Path) -> None:
    report = check_file(changed(tmp_path, GOAL, unchanged))
    assert report.passed, report.line()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (reward_at_30, "rest limit"),
        (action_at_40, "rest limit"),
        (cost_at_50, "step 50: cost_hazards"),
        (goal_at_20, "step 20: goal_met False instead of True"),
        (end_at_60, "step 60: terminated False instead of True"),
        (observation_after_70, "obs limit"),
        (absent_key_at_100, "step 100: cost_hazards is present"),
        (moved_hazard, ": raw "),
    ],
)
def test_a_changed_copy_fails(tmp_path: Path, change: Change, says: str) -> None:
    report = check_file(changed(tmp_path, GOAL, change))
    assert not report.passed
    assert any(says in problem for problem in report.problems), report.problems
    assert "FAIL" in report.line()


@pytest.mark.parametrize(("change", "step"), [(reward_at_30, 30), (action_at_40, 40), (observation_after_70, 70)])
def test_numeric_differences_name_their_step(tmp_path: Path, change: Change, step: int) -> None:
    report = check_file(changed(tmp_path, GOAL, change))
    assert any(f"step {step}" in problem for problem in report.problems), report.problems


def test_costs_of_touch_are_counted(tmp_path: Path) -> None:
    """What a robot does while it touches our own shapes is not judged, how often that costs is."""

    def never(data: dict[str, Any], meta: dict[str, Any]) -> None:
        data["cost_raw"][:, meta["cost_names"].index("cost_static_geoms_contact")] = 0

    report = check_file(changed(tmp_path, "SafetyCarRace1-v0__seed0.npz", never))
    assert any("steps with a cost of touch instead of 0" in problem for problem in report.problems), report.problems


def test_free_runs_notice_what_single_steps_cannot(tmp_path: Path) -> None:
    """An action between two stored states only shows in the runs over them."""

    def action_at_33(data: dict[str, Any], meta: dict[str, Any]) -> None:
        data["action"][33] = -data["action"][33]

    report = check_file(changed(tmp_path, GOAL, action_at_33))
    assert not report.passed
    assert any("free run from step 30" in problem for problem in report.problems), report.problems


def test_folders_are_searched(tmp_path: Path) -> None:
    """Files of environments that cannot be made are left out; a folder without any is an error."""
    names = ["SafetyPointCircle2-v0__seed0.npz", GOAL]
    for name in names:
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    (tmp_path / "SafetyNoSuchThing-v0__seed0.npz").write_bytes(b"")
    (tmp_path / "SafetyPointMultiGoal1Vision-v0__seed0.npz").write_bytes(b"")
    assert [path.name for path in find_files(tmp_path)] == names
    with pytest.raises(ValueError, match="no trajectory"):
        find_files(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"not a zip file"])
def test_unreadable_files_are_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / GOAL
    path.write_bytes(content)
    report = check_file(path)
    assert not report.passed and report.problems
    assert GOAL in report.line()


def test_incomplete_files_are_reported(tmp_path: Path) -> None:
    def without_actions(data: dict[str, Any], meta: dict[str, Any]) -> None:
        del data["action"]

    report = check_file(changed(tmp_path, GOAL, without_actions))
    assert not report.passed and "action" in " ".join(report.problems)
