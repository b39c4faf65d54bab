"""The `safety-gym` command: what it prints, its exit codes, and driving a robot in a real window."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import safety_gym
from safety_gym import cli, conformance, registry, walkers, world
from safety_gym.cli import bench, doctor
from safety_gym.describe import describe
from safety_gym.objects import FIELD_HELP, KINDS
from safety_gym.task import OPTION_HELP, AgentConfig, EpisodeConfig, TaskConfig
from safety_gym.tasks import TASKS
from safety_gym.tasks.fading import FADING_OPTION_HELP, FadingConfig
from safety_gym.tasks.formula_one import FORMULA_ONE_OPTION_HELP, FormulaOneConfig
from safety_gym.tasks.velocity import VELOCITY_OPTION_HELP, VelocityConfig
from safety_gym.views import SafetyEnv
from tests.helpers import x_server

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "data" / "golden"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*args: str) -> tuple[int, str, str]:
        code = cli.main(args)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def environment(**changes: str) -> dict[str, str]:
    """Return the variables of a subprocess that finds this checkout and sees no display unless given one."""
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")}
    return {**env, "PYTHONPATH": os.fspath(ROOT), **changes}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "safety_gym.cli", *args]


# --- help and errors --------------------------------------------------------------------------------------------------


def test_help_and_version(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in ("list", "show", "play", "bench", "doctor", "conformance"):
        assert re.search(rf"^    {name}  +\w", out, re.M)
        code, about, _ = run(name, "--help")
        assert code == 0 and about.startswith(f"usage: safety-gym {name}")
    assert run("--version") == (0, f"safe-rl-suite {safety_gym.__version__}\n", "") or "checkout" in run("--version")[1]
    code, out, err = run()
    assert code == 2 and out == "" and "usage" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("lst", "unknown command 'lst'; did you mean 'list'?"),
        ("list --frob", "unrecognized arguments: --frob"),
        ("list zzz", "no id matches 'zzz'"),
        ("list base", "list them with --all"),
        ("list pointgaol1", "did you mean 'SafetyPointGoal1-v0'"),
        ("show", "required: ID"),
        ("show SafetyPointGaol1-v0", "did you mean 'SafetyPointGoal1-v0'"),
        ("show SafetyPointMultiGoal1Vision-v0", "not built yet"),
        ("play SafetyPointMultiGoal1-v0", "has several agents, and the keyboard drives one"),
        ("show hopper", "did you mean 'SafetyHopperVelocity-v0' or 'SafetyHopperVelocity-v1'?"),
        ("show SafetyHopperVelocity-v7", "did you mean 'SafetyHopperVelocity-v0' or 'SafetyHopperVelocity-v1'?"),
        ("show velocity", "ids hold this: `safety-gym list velocity`"),
        ("show zzz", "`safety-gym list` prints what there is"),
        ("show SafetyHopperVelocity-v1 hazards={}", "unknown option 'hazards'"),
        ("show SafetyHopperVelocity-v1 velocity_treshold=1", "did you mean 'velocity_threshold'"),
        ("show SafetyHopperVelocity-v1 rules=v6", "rules='v6'"),
        ("show SafetyPointGoalBase-v0", "needs 'goal'"),
        ("show SafetyPointGoal1-v0 hazards", "expected OPTION=VALUE"),
        ("show SafetyPointGoal1-v0 hazards={num:3}", "no Python literal"),
        ("show SafetyPointGoal1-v0 hazards={'nmu':3}", "did you mean 'num'"),
        ("show SafetyPointGoal1-v0 lidar_bins=3", "unknown option 'lidar_bins'"),
        ("show SafetyPointGoal1-v0 margin=0 margin=1", "margin is given twice"),
        ("show SafetyPointGoal1-v0 max_episode_steps=0", "max_episode_steps=0"),
        ("play SafetyPointMultiGoal1Vision-v0", "not built yet"),
        ("play SafetyHopperVelocity-v1", "there are no keys for Hopper; there are for Point, Car"),
        ("play SafetyPointGoal1-v0 render_mode=human", "render_mode cannot be set here"),
        ("play --record drive.avi", "ends in .mp4"),
        ("play --record /no/such/folder/drive.mp4", "does not exist"),
        ("play --size 33", "--size: '33' is not a whole number from 64"),
        ("bench --num-envs 0", "'0' is not a whole number >= 1"),
        ("bench --seconds nan", "'nan' is not a number of seconds > 0"),
        ("bench SafetyPointGoal1-v0 num_envs=3", "use --num-envs"),
        ("bench nothing", "unknown id 'nothing'"),
        ("conformance /no/such/folder", "is no folder"),
    ],
)
def test_user_errors_are_one_line(run: Run, args: str, message: str) -> None:
    code, out, err = run(*args.split(" "))
    assert code == 2 and out == ""
    assert err.startswith("safety-gym: error: ") and err.count("\n") == 1 and message in err


def test_options_may_follow_flags(run: Run) -> None:
    code, out, _ = run("show", "SafetyPointGoal1-v0", "--json", "lidar_type=natural", "agent={'rot': 0.5}")
    assert code == 0
    options = {o["name"]: o for o in json.loads(out)["options"]}
    assert options["lidar_type"]["value"] == "natural" and options["lidar_type"]["default"] == "pseudo"
    assert options["agent.rot"]["value"] == 0.5 and options["agent.rot"]["default"] is None


# --- list and show ----------------------------------------------------------------------------------------------------


def test_list(run: Run) -> None:
    code, out, _ = run("list")
    assert code == 0
    assert re.search(r"SafetyPointGoal1-v0 +60 +2 +1000 +hazards$", out, re.M)
    assert re.search(r"SafetyCarGoal2-v0 +72 +2 +1000 +hazards, vases_contact, vases_velocity$", out, re.M)
    assert re.search(r"SafetyHumanoidVelocity-v1 +376 +17 +1000 +velocity$", out, re.M)
    assert re.findall(r"^(\w+): ", out, re.M) == list(TASKS), "one heading per task"
    assert "Base-v0  " not in out and "Debug-v0  " not in out
    assert "planned" not in out


def test_list_json_holds_every_id(run: Run) -> None:
    _, out, _ = run("list", "--all", "--json")
    rows = {row["id"]: row for row in json.loads(out)["ids"]}
    assert sorted(rows) == sorted(safety_gym.ids())
    row = rows["SafetyCarButton1-v0"]
    assert (row["observation"], row["action"], row["max_episode_steps"]) == (88, 2, 1000)
    assert row["costs"] == ["cost_buttons", "cost_hazards", "cost_gremlins"]
    assert rows["SafetyPointGoalBase-v0"]["observation"] is None


@pytest.mark.parametrize(
    ("pattern", "tasks"),
    [("pointgoal", ["Goal"]), ("POINT*goal", ["Goal", "BuildingGoal"]), ("SafetyPointGoal?-v0", ["Goal"])],
)
def test_list_patterns(run: Run, pattern: str, tasks: list[str]) -> None:
    _, out, _ = run("list", pattern, "--json")
    expected = [f"SafetyPoint{task}{i}-v0" for task in tasks for i in range(3)]
    assert sorted(row["id"] for row in json.loads(out)["ids"]) == sorted(expected)


def test_list_into_a_closed_pipe() -> None:
    line = f"{' '.join(command('list'))} | head -1"
    done = subprocess.run(line, shell=True, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.split()[0] == "id" and done.stderr == ""


def test_show_says_everything(run: Run) -> None:
    code, out, _ = run("show", "SafetyPointGoal1-v0")
    assert code == 0
    for text in (
        "44:60 ", "hazards_lidar", "m/s^2, site frame", "keys: I (1, 0)", "info['cost_hazards']", "1 where the sum",
        "1000 steps (20 s)", "10 substeps of 0.002 s", "Euler", "(-1.5, -1.5, 1.5, 1.5)", "autoreset_mode='SameStep'",
    ):  # fmt: skip
        assert text in out
    assert re.search(r"hazards +8 +0\.2 +0\.18 +zone +yes +yes +-$", out, re.M)
    changes = ("hazards={'num': 12}", "constrain_indicator=False", "lidar_num_bins=32")
    _, out, _ = run("show", "SafetyPointGoal1-v0", *changes)
    assert "num 12 (default 8)" in out and "the sum of the raw values (constrain_indicator=False)" in out
    assert "32 (default 16)" in out and "Observation: 108 numbers" in out


def test_show_says_everything_about_velocity(run: Run) -> None:
    code, out, _ = run("show", "SafetyHopperVelocity-v1")
    assert code == 0
    for text in (
        "Hopper walker, Velocity task, version 1", "5:6 ", "velocity of rootx, m/s, clipped to +-10", "float32",
        "torque on joint foot_joint, N m: 200 u", "1 x mean x velocity over the control step", "0.7402 m/s (x)",
        "info['cost_velocity']", "height of the torso in (0.7, inf) m", "inclination of the torso in (-0.2, 0.2) rad",
        "1000 steps (8 s)", "uniform noise of +-0.005 (m, rad)", "4 substeps of 0.002 s", "RK4", "margins halved",
        "hopper.xml: 15.82 kg", "terminate_when_unhealthy",
    ):  # fmt: skip
        assert text in out
    assert "Objects" not in out and "keys:" not in out
    _, out, _ = run("show", "SafetyHopperVelocity-v1", "velocity_threshold=2", "margins=as_written")
    assert "2 (default 0.7402)" in out and "2 m/s (x)" in out and "margins as_written" in out


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("safetypointgoal1-v0", "SafetyPointGoal1-v0"),
        ("PointGoal1", "SafetyPointGoal1-v0"),
        ("safety_gym:SafetyPointGoal1-v0", "SafetyPointGoal1-v0"),
        ("safetyhoppervelocity-V0", "SafetyHopperVelocity-v0"),
        ("safetypointgoal1gymnasium-v0", "SafetyPointGoal1Gymnasium-v0"),
    ],
)
def test_ids_are_found_in_any_case(run: Run, given: str, meant: str) -> None:
    code, out, err = run("show", given)
    assert code == 0, err
    assert out.startswith(f"{meant}: ")


SHOWN = [i for i in safety_gym.ids() if "Base" not in i and "Debug" not in i and ("Vision" not in i or "Point" in i)]


@pytest.mark.parametrize("env_id", SHOWN)
def test_description_agrees_with_the_environment(env_id: str) -> None:
    about = describe(env_id)
    env = SafetyEnv(env_id)
    slices, actuators = about["observation"]["slices"], about["action"]["actuators"]
    space = env.observation_space
    parts = dict(space.items()) if isinstance(space, gymnasium.spaces.Dict) else {"": space}
    frames = {key: part.shape for key, part in parts.items() if part.dtype == np.uint8}
    assert {frame["key"]: frame["shape"] for frame in about["observation"]["frames"]} == frames
    numbers = sum(int(np.prod(part.shape)) for key, part in parts.items() if key not in frames)
    assert about["observation"]["size"] == numbers == slices[-1]["stop"]
    assert [t["start"] for t in slices] == [0] + [t["stop"] for t in slices[:-1]], "slices leave no gaps"
    assert all(t["meaning"] for t in slices)
    assert about["action"]["dtype"] == str(env.action_space.dtype)
    np.testing.assert_array_equal(
        [[a["low"], a["high"]] for a in actuators], np.transpose([env.action_space.low, env.action_space.high])
    )
    assert all(a["name"] and re.search(r"\bu\b", a["meaning"]) for a in actuators)
    assert about["reward"]["terms"]
    assert [t["key"] for t in about["cost"]["terms"]] == list(env.cost_names)
    assert about["limits"]["max_episode_steps"] == registry.max_episode_steps(env_id)
    assert about["gymnasium_id"] in gymnasium.registry
    assert {o["name"]: (o["value"], o["has_default"]) for o in about["options"]} == {
        o["name"]: (o["default"], True) for o in about["options"]
    }
    assert all(o["meaning"] for o in about["options"])


@pytest.mark.parametrize("env_id", ["SafetyPointGoal2-v0", "SafetyHumanoidVelocity-v0"])
def test_show_json_is_the_description(run: Run, env_id: str) -> None:
    code, out, _ = run("show", env_id, "--json")
    about, shown = describe(env_id), json.loads(out)
    assert code == 0 and shown.keys() == about.keys()
    assert shown["observation"]["slices"][0]["low"] is None, "no bound"
    for name in ("action", "reward", "cost", "objects", "physics", "limits"):
        assert shown[name] == json.loads(cli.common.to_json(about[name]))


@pytest.mark.parametrize("env_id", [next(i for i in SHOWN if registry.parse(i).task == task) for task in TASKS])
def test_show_prints_every_task(run: Run, env_id: str) -> None:
    """The text has the keys, terms, ends and options of the description."""
    code, out, _ = run("show", env_id)
    about = describe(env_id)
    assert code == 0
    for text in (
        about["summary"],
        *(t["key"] for t in about["observation"]["slices"]),
        *(a["meaning"] for a in about["action"]["actuators"]),
        *about["reward"]["terms"].values(),
        *(t["meaning"] for t in about["cost"]["terms"]),
        *(end["when"] for end in about["limits"]["ends"]),
        *(o["kind"] for o in about["objects"]),
        *(o["meaning"] for o in about["options"]),
    ):
        assert text in out


def test_descriptions_follow_options() -> None:
    def ends(env_id: str, **options: Any) -> list[str]:
        return [end["when"] for end in describe(env_id, options)["limits"]["ends"]]

    assert not any("goal is reached" in when for when in ends("SafetyPointGoal1-v0"))
    assert any("goal is reached" in when for when in ends("SafetyPointGoal1-v0", continue_goal=False))
    assert not any("no place" in when for when in ends("SafetyPointButton1-v0")), "buttons stay where they are"
    assert not any("healthy" in when for when in ends("SafetyHopperVelocity-v1", terminate_when_unhealthy=False))
    assert describe("SafetyAntVelocity-v1", {"rules": "v5"})["observation"]["size"] == 105
    assert ends("SafetyPointGoal1-v0", max_episode_steps=7)[0] == "after 7 steps"
    assert describe("SafetyPointGoal1-v0", {"max_episode_steps": -1})["limits"]["max_episode_steps"] is None


def test_every_option_is_explained() -> None:
    def names(config: Any) -> set[str]:
        return {f.name for f in dataclasses.fields(config)}

    assert set(OPTION_HELP) == names(TaskConfig) - {"objects"} | {f"agent.{name}" for name in names(AgentConfig)}
    assert set(FADING_OPTION_HELP) == names(FadingConfig) - names(TaskConfig)
    assert set(FORMULA_ONE_OPTION_HELP) == names(FormulaOneConfig) - names(TaskConfig)
    assert set(VELOCITY_OPTION_HELP) == names(VelocityConfig) - names(EpisodeConfig)
    assert set(FIELD_HELP) == set().union(*map(names, KINDS.values()))


# --- bench ------------------------------------------------------------------------------------------------------------


def test_bench(run: Run) -> None:
    code, out, _ = run(
        "bench", "SafetyPointGoal1-v0", "--num-envs", "1", "3", "--seconds", "0.2", "--json", "margin=0.1"
    )
    rows = json.loads(out)["results"]
    assert code == 0 and [row["num_envs"] for row in rows] == [1, 3]
    for row in rows:
        assert row["env_steps"] > 0 and row["threads"] == 1
        assert 0 < row["outside_share"] < 1 and 0 < row["ratio"] < 1.5
        assert row["ratio"] == pytest.approx(row["env_steps_per_second"] / row["bare_steps_per_second"])
    for env_id in ("SafetyCarButton1-v0", "SafetyHopperVelocity-v1"):
        code, out, _ = run("bench", env_id.lower(), "--num-envs", "2", "--seconds", "0.1")
        assert code == 0 and out.startswith(f"{env_id}, ") and out.splitlines()[2].split()[:2] == ["2", "1"]


def test_bench_counts_resets() -> None:
    """With episodes of one step every step resets; without an end there are none."""
    short = bench.measure("SafetyPointGoal1-v0", 2, 0.2, {"max_episode_steps": 1})
    never = bench.measure("SafetyPointGoal1-v0", 2, 0.2, {"max_episode_steps": -1})
    assert short["resets"] >= short["env_steps"] and never["resets"] == 0


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_explains_mujoco_gl(tmp_path: Path) -> None:
    env = environment(MUJOCO_GL="nonsense")
    done = subprocess.run(command("doctor"), cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn  import mujoco" in done.stdout and "fails because of MUJOCO_GL=nonsense" in done.stdout
    assert "ok    reset and step" in done.stdout and "us per step" in done.stdout
    assert "warn  one frame" in done.stdout and "unknown MUJOCO_GL='nonsense'" in done.stdout
    assert re.search(r"OpenGL glfw +needs a display", done.stdout)
    for name in ("python", "numpy", "mujoco", "gymnasium", "pettingzoo", "torch", "safety_gym", "cores"):
        assert re.search(rf"^ok    {name} ", done.stdout, re.M)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def without_gl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_check_drawing", lambda works: None)
    monkeypatch.setattr(doctor, "_import_problem", lambda module, env: None)


def test_doctor_fails_when_stepping_does(run: Run, without_gl: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise FileNotFoundError("arena.xml")

    assert run("doctor")[0] == 0
    monkeypatch.setattr(safety_gym, "make", broken)
    code, out, _ = run("doctor")
    assert code == 1 and "FAIL  reset and step" in out and "arena.xml" in out and "do not work" in out


def test_doctor_warns_when_walkers_are_missing(run: Run, without_gl: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ok    velocity tasks" in run("doctor")[1]

    def missing() -> None:
        raise FileNotFoundError("the installed gymnasium has no MuJoCo models")

    walkers.build_walker_scene.cache_clear()
    monkeypatch.setattr(walkers, "gymnasium_assets", missing)
    code, out, _ = run("doctor")
    assert code == 0 and "warn  velocity tasks" in out and "has no MuJoCo models" in out


def test_doctor_checks_the_variables(run: Run, without_gl: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFETY_GYM_THREADS", "many")
    monkeypatch.setattr(world, "available_cores", lambda: 8)
    monkeypatch.setattr(doctor, "_cpu_quota", lambda: 1.5)
    _, out, _ = run("doctor")
    assert "FAIL  SAFETY_GYM_THREADS" in out and "warn  cores" in out and "set SAFETY_GYM_THREADS=2" in out


def install_foreign(folder: Path, files: bool = True) -> None:
    """Put the metadata and, where wanted, the package of the 2019 suite into a folder of the path."""
    info = folder / "safety_gym-0.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: safety-gym\nVersion: 0.0.0\n")
    (info / "RECORD").write_text("safety_gym/__init__.py,,\nsafety_gym-0.0.0.dist-info/METADATA,,\n")
    if files:
        (folder / "safety_gym" / "envs").mkdir(parents=True)
        (folder / "safety_gym" / "__init__.py").write_text("")
        (folder / "safety_gym" / "envs" / "engine.py").write_text("")


def test_foreign_package_is_found(run: Run, tmp_path: Path, without_gl: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.foreign_packages([os.fspath(ROOT)]) == []
    install_foreign(tmp_path)
    found = doctor.foreign_packages([os.fspath(ROOT), os.fspath(tmp_path)])
    assert len(found) == 2 and "safety-gym 0.0.0" in found[0] and "the 2019 package" in found[1]
    monkeypatch.syspath_prepend(tmp_path)
    code, out, _ = run("doctor")
    assert code == 0 and "warn  import name" in out and "pip uninstall -y safety-gym" in out


def test_foreign_distribution_without_its_folder(tmp_path: Path) -> None:
    install_foreign(tmp_path, files=False)
    assert len(doctor.foreign_packages([os.fspath(tmp_path)])) == 1
    other = tmp_path / "other"
    (other / "safety_gym_tools-1.0.dist-info").mkdir(parents=True)
    (other / "safety_gym_tools-1.0.dist-info" / "METADATA").write_text("Name: safety-gym-tools\nVersion: 1.0\n")
    assert doctor.foreign_packages([os.fspath(other)]) == []


# --- conformance ------------------------------------------------------------------------------------------------------


def test_conformance(run: Run, tmp_path: Path) -> None:
    name = "SafetyPointCircle2-v0__seed0.npz"
    shutil.copy(GOLDEN / name, tmp_path / name)
    (tmp_path / "SafetyPointMultiGoal1Vision-v0__seed0.npz").write_bytes(b"")
    code, out, _ = run("conformance", os.fspath(tmp_path), "--json", os.fspath(tmp_path / "report.json"))
    assert code == 0 and out.startswith(f"ok   {name}")
    assert out.splitlines()[-1].startswith("1 of 1 file agree with the reference; 1 skipped")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["passed"], report["failed"], report["skipped"]) == (
        1,
        0,
        ["SafetyPointMultiGoal1Vision-v0__seed0.npz"],
    )
    assert report["files"][0]["passed"] and report["files"][0]["errors"]["obs"] < 1e-9


def test_conformance_failures(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(path: Path) -> conformance.Report:
        if "Goal1" in path.name:
            raise IndexError("too few rows")
        wrong = "Goal2" in path.name
        return conformance.Report(path.name, "", not wrong, errors={"obs": float("inf")}, problems=["step 3"] * wrong)

    monkeypatch.setattr(conformance, "check_file", check)
    for i in range(3):
        (tmp_path / f"SafetyPointGoal{i}-v0__seed0.npz").write_bytes(b"")
    code, out, _ = run("conformance", os.fspath(tmp_path), "--json", os.fspath(tmp_path / "r.json"))
    assert code == 1
    assert [line[:4] for line in out.splitlines()] == ["ok  ", "FAIL", "FAIL", "1 of"]
    assert "IndexError: too few rows" in out and "step 3" in out and out.endswith("2 fail\n")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["failed"] == 2 and report["files"][0]["errors"]["obs"] is None


def test_conformance_of_a_damaged_file(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "SafetyPointGoal1-v0__seed0.npz", "w") as damaged:
        damaged.writestr("meta.npy", b"not an array")
    code, out, _ = run("conformance", os.fspath(tmp_path))
    assert code == 1 and out.startswith("FAIL SafetyPointGoal1-v0__seed0.npz")


# --- play -------------------------------------------------------------------------------------------------------------


def test_play_without_a_display() -> None:
    done = subprocess.run(command("play"), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("safety-gym: error: ") and done.stderr.count("\n") == 1
    assert "display" in done.stderr or "pygame" in done.stderr


def test_play_needs_the_render_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "pygame", None)
    code, _, err = run("play")
    assert code == 2 and "'render' extra" in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        pytest.skip("Xvfb and xdotool are not installed: no window and no keys")
    pytest.importorskip("pygame", reason="the window needs pygame")
    with x_server() as address:
        if not address:
            pytest.skip("Xvfb does not start")
        yield address


def press(display: str, *args: str) -> None:
    subprocess.run(["xdotool", *args], env=environment(DISPLAY=display), check=True, capture_output=True)


def first_frame(watched: Path, process: subprocess.Popen[str]) -> None:
    """Wait until something has been drawn: the video file exists from its first frame on."""
    deadline = time.monotonic() + 30
    while not watched.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no frame within 30 s"
        time.sleep(0.05)


@pytest.mark.gl
def test_play_with_keys(display: str, tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v2", reason="the video needs imageio")
    film = tmp_path / "drive.mp4"
    process = subprocess.Popen(
        command("play", "SafetyPointGoal0-v0", "--seed", "3", "--size", "96", "--record", os.fspath(film)),
        env=environment(DISPLAY=display), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        first_frame(tmp_path / ".drive.part.mp4", process)
        press(display, "keydown", "i")
        time.sleep(2.0)
        press(display, "keyup", "i", "key", "r")
        time.sleep(0.4)
        press(display, "key", "Escape")
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    if "no OpenGL backend works" in err:
        pytest.skip("no OpenGL backend works here")
    assert process.returncode == 0, err
    driven, waited, wrote = out.splitlines()
    assert driven.startswith("seed 3: ") and waited.startswith("seed 4: ") and wrote == f"wrote {film}"
    steps, gained = (re.findall(r"(\d+) steps", line) for line in (driven, waited))
    assert int(steps[0]) >= 2 and int(gained[0]) >= 1
    assert "return +0.000" not in driven and "return +0.000" in waited, "I drives, no key does nothing"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive.mp4"]
    frames = imageio.mimread(film, memtest=False)
    assert len(frames) == int(steps[0]) + int(gained[0]) and frames[0].shape == (96, 96, 3)


KEYBOARD_ID = """
import sys, numpy as np, safety_gym
env = safety_gym.make("SafetyCarGoal0Debug-v0", render_mode="human")
env.reset(seed=0)
assert env.unwrapped._window._window.get_size() == (720, 720)
start = env.unwrapped.layout["agent"]
print("ready", flush=True)
for _ in range(20):
    env.step(np.array([-1.0, -1.0]))  # ignored: the keys decide
moved = np.subtract(env.unwrapped.layout["agent"], start)
print("turned" if abs(moved[2]) > 0.1 else f"moved {moved}")
"""


@pytest.mark.gl
def test_keyboard_id_takes_the_keys(display: str, tmp_path: Path) -> None:
    press(display, "keydown", "j")
    process = subprocess.Popen(
        [sys.executable, "-c", KEYBOARD_ID],
        env=environment(DISPLAY=display), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            err = process.communicate()[1]
            if "no OpenGL backend works" in err:
                pytest.skip("no OpenGL backend works here")
            pytest.fail(err)
        press(display, "keyup", "j", "keydown", "j")
        out, err = process.communicate(timeout=30)
    finally:
        press(display, "keyup", "j")
        process.kill()
    assert process.returncode == 0 and out == "turned\n", (out, err)


def test_keyboard_id_without_a_window_takes_the_action() -> None:
    keys, plain = safety_gym.make("SafetyPointGoal1Debug-v0"), safety_gym.make("SafetyPointGoal1-v0")
    keys.reset(seed=0)
    plain.reset(seed=0)
    with pytest.warns(UserWarning, match="keys need a window"):
        obs = keys.step([0.5, 0.2])[0]
    assert (obs == plain.step([0.5, 0.2])[0]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (keys.step([0.5, 0.2])[0] == plain.step([0.5, 0.2])[0]).all()
