"""Camera observations: spaces, frames of batches, states, forks and backends; statistics of pictures."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import FrameStackObservation

import safety_gym
from benchmarks import vision_speed
from safety_gym import rendering
from safety_gym.rendering import FrameRenderer
from safety_gym.vision import Vision
from tests import test_fork
from tests.helpers import NAVIGATION, actions, assert_same
from tests.test_fork import in_child, needs_fork
from tests.test_registry import reference

ROOT = Path(__file__).resolve().parents[1]
STATISTICS = Path(__file__).parent / "data" / "vision.json"
SMALL = Vision(32, 24)
TASKS = [i for i in NAVIGATION if i.startswith("SafetyPoint") and i.endswith("1-v0")]
"""One id per task that has several levels."""


needs_gl = [pytest.mark.gl, pytest.mark.usefixtures("opengl")]


def vision_id(env_id: str) -> str:
    return env_id.replace("-v", "Vision-v")


def forward(envs: Any, steps: int, seed: int = 0) -> Iterator[Any]:
    """Yield observations of steps under random actions."""
    for action in actions(seed, steps, envs.num_envs, *envs.single_action_space.shape):
        yield envs.step(action)[0]


# --- spaces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", [i for i in NAVIGATION if "Point" in i or "Goal1" in i])
def test_spaces_are_those_of_the_reference(env_id: str) -> None:
    envs = gymnasium.make_vec(vision_id(env_id), num_envs=1)
    space = envs.single_observation_space
    plain = [(key, tuple(shape), "float64") for key, shape, *_ in reference(env_id)["obs_keys"]]
    assert [(k, s.shape, str(s.dtype)) for k, s in space.items()] == [*plain, ("vision", (256, 256, 3), "uint8")]
    assert (space["vision"].low.min(), space["vision"].high.max()) == (0, 255)
    assert gymnasium.spec(vision_id(env_id)).max_episode_steps == gymnasium.spec(env_id).max_episode_steps


def test_keys_and_shapes_of_all_kinds_of_frame() -> None:
    vision = Vision(40, 30, cameras=("vision", "track"), depth=True, segmentation=True)
    envs = safety_gym.make_vec("SafetyCarGoal1-v0", num_envs=3, vision=vision)
    want = {}
    for camera in ("vision", "track"):
        want[camera] = ((30, 40, 3), np.uint8)
        want[f"{camera}_depth"] = ((30, 40, 1), np.float32)
        want[f"{camera}_segmentation"] = ((30, 40, 1), np.uint8)
    spaces = list(envs.single_observation_space.items())[-6:]
    assert {k: (s.shape, s.dtype) for k, s in spaces} == want and [k for k, _ in spaces] == list(want)
    assert envs.observation_space["track_depth"].shape == (3, 30, 40, 1)
    without = safety_gym.make("SafetyPointRun0-v0", vision={"cameras": "vision_back", "rgb": False, "depth": True})
    assert list(without.observation_space)[-1] == "vision_back_depth"


@pytest.mark.parametrize(
    ("vision", "size"),
    [(True, (256, 256)), ("default", (256, 256)), ("fast", (64, 64)), ({"width": 20}, (256, 20)), (SMALL, (24, 32))],
)
def test_ways_to_ask_for_frames(vision: Any, size: tuple[int, int]) -> None:
    for env_id in ("SafetyPointGoal1-v0", "SafetyPointGoal1Vision-v0"):
        env = gymnasium.make(env_id, vision=vision)
        assert env.observation_space["vision"].shape == (*size, 3)


def test_frames_of_the_reference_suites_options_and_of_own_tasks() -> None:
    config = {"observe_vision": True, "observation_flatten": False, "vision_env_conf.vision_size": (30, 40)}
    assert gymnasium.make("SafetyPointGoal1-v0", config=config).observation_space["vision"].shape == (30, 40, 3)
    safety_gym.register_task("SafetyPointSeen-v0", "SafetyPointGoal1-v0", vision="fast")
    assert safety_gym.make("SafetyPointSeen-v0").observation_space["vision"].shape == (64, 64, 3)


@pytest.mark.parametrize("vision", [False, None])
def test_frames_can_be_switched_off(vision: Any) -> None:
    assert gymnasium.make("SafetyPointGoal1Vision-v0", vision=vision).observation_space.shape == (60,)


@pytest.mark.parametrize(
    ("vision", "message"),
    [
        ("fats", r"unknown vision 'fats'; did you mean 'fast'\?"),
        ({"widht": 3}, r"unknown field of vision 'widht'; did you mean 'width'\?"),
        ({"width": 0}, "vision.width=0: expected 1 to 2048 pixels"),
        ({"height": 64.0}, "vision.height=64.0: expected a whole number"),
        ({"cameras": ()}, "one or more different cameras"),
        ({"cameras": ("vision", "vision")}, "one or more different cameras"),
        ({"cameras": ("vison",)}, "'vison': expected one of 'fixednear'"),
        ({"rgb": False}, "rgb, depth and segmentation"),
        ({"samples": -1}, "vision.samples=-1"),
        (64, "vision=64: expected True, 'default', 'fast', a mapping or a Vision"),
    ],
)
def test_wrong_wishes(vision: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gymnasium.make_vec("SafetyPointGoal1-v0", vision=vision)


def test_wrong_combinations() -> None:
    with pytest.raises(ValueError, match="observation_flatten=True"):
        gymnasium.make("SafetyPointGoal1Vision-v0", observation_flatten=True)
    with pytest.raises(ValueError, match="several agents do not observe cameras"):
        safety_gym.make_vec("SafetyPointMultiGoal1-v0", vision=True)
    with pytest.raises(ValueError, match="'vision': expected one of 'track'"):
        gymnasium.make("SafetyHopperVelocity-v1", vision=True)


def test_opengl_starts_with_the_first_frame() -> None:
    """A state environment never touches OpenGL, one with cameras not before it is reset."""
    code = """
import sys, gymnasium, safety_gym
def touched(): return [m for m in sys.modules if m.split(".")[0] in ("OpenGL", "glfw")]
before = touched()
env = gymnasium.make("SafetyPointGoal1-v0")
env.reset(seed=0)
env.step(env.action_space.sample())
gymnasium.make_vec("SafetyPointGoal1Vision-v0", num_envs=2)
from safety_gym import rendering
print(touched() == before, rendering._contexts)
"""
    env = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")} | {
        "MUJOCO_GL": "disable"
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "{}"], done.stderr


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.gl
@pytest.mark.usefixtures("opengl")
class TestFrames:
    @pytest.mark.parametrize("env_id", ["SafetyPointGoal2Vision-v0", "SafetyCarButton1Vision-v0"])
    def test_a_simulation_of_a_batch_equals_a_single_environment(self, env_id: str) -> None:
        n, steps = 3, 12
        envs = gymnasium.make_vec(env_id, num_envs=n, vision=SMALL, max_episode_steps=8)
        given = actions(1, steps, n, *envs.single_action_space.shape)
        batch = [envs.reset(seed=5)[0], *(envs.step(a)[0] for a in given)]
        for i in range(n):
            env = gymnasium.make(env_id, vision=SMALL, max_episode_steps=8, disable_env_checker=True)
            obs = [env.reset(seed=5 + i)[0]]
            for action in given[:, i]:
                one, _, terminated, truncated, _ = env.step(action)
                obs.append(env.reset()[0] if terminated or truncated else one)
            for ours, theirs in zip(obs, batch, strict=True):
                assert_same(ours, {key: value[i] for key, value in theirs.items()})

    def test_last_frames_of_episodes_and_frames_kept(self) -> None:
        envs = gymnasium.make_vec("SafetyPointGoal1Vision-v0", num_envs=2, vision=SMALL, max_episode_steps=3)
        longer = gymnasium.make_vec("SafetyPointGoal1Vision-v0", num_envs=2, vision=SMALL)
        first = [e.reset(seed=0)[0]["vision"] for e in (envs, longer)]
        np.testing.assert_array_equal(*first)
        for action in actions(0, 3, 2, 2):
            obs, *_, info = envs.step(action)
            on = longer.step(action)[0]
        for i in range(2):
            assert_same(info["final_obs"][i], {key: value[i] for key, value in on.items()})
        assert (obs["vision"] != on["vision"]).any()
        # A partial reset draws only what starts anew.
        disabled = gymnasium.make_vec(
            "SafetyPointGoal1Vision-v0", num_envs=2, vision=SMALL, autoreset_mode="Disabled", max_episode_steps=3
        )
        disabled.reset(seed=0)
        kept = [disabled.step(a)[0] for a in actions(0, 3, 2, 2)][-1]["vision"]
        again = disabled.reset(options={"reset_mask": np.array([True, False])})[0]["vision"]
        assert (again[0] != kept[0]).any() and (again[1] == kept[1]).all()

    def test_frames_are_fresh_and_repeatable(self) -> None:
        frames = []
        for _ in range(2):
            envs = safety_gym.make_vec("SafetyDoggoPush1Vision-v0", num_envs=2, vision=SMALL)
            seen = [envs.reset(seed=3)[0]["vision"], *(o["vision"] for o in forward(envs, 4))]
            assert not any(np.may_share_memory(a, b) for a in seen for b in seen if a is not b)
            frames.append(np.stack(seen))
        np.testing.assert_array_equal(*frames)
        other = envs.reset(seed=4)[0]["vision"]
        assert (other[0] == frames[0][0, 1]).all()  # simulation 1 of seed 3
        assert (frames[0][0] != frames[0][-1]).any()

    def test_a_restored_state_gives_the_same_frames(self) -> None:
        vision = Vision(32, 32, depth=True, segmentation=True)
        envs = safety_gym.make_vec("SafetyPointButton1-v0", num_envs=2, vision=vision)
        envs.reset(seed=0)
        list(forward(envs, 5))
        state = envs.unwrapped.get_state()
        copies = [safety_gym.make_vec("SafetyPointButton1-v0", num_envs=2, vision=vision)]
        copies[0].unwrapped.set_state(state)
        copies.append(pickle.loads(pickle.dumps(envs)))
        on = list(forward(envs, 3, seed=1))
        for copy in copies:
            assert_same(list(forward(copy, 3, seed=1)), on)

    def test_depth_and_segmentation_of_a_known_layout(self) -> None:
        """A vase one metre ahead of the camera, whose front face is 0.1 m nearer."""
        vision = Vision(64, 64, depth=True, segmentation=True)
        env = gymnasium.make("SafetyPointGoal1-v0", vision=vision)
        layout = {"agent": (0, 0, 0), "goal": (0, 1.5), "vases": [(1.0, 0.0, 0.0)]}
        layout["hazards"] = [(-1.5, y) for y in np.linspace(-1.5, 1.5, 8)]
        obs, _ = env.reset(seed=0, options={"layout": layout})
        labels = env.unwrapped.segmentation_labels
        assert labels == ("nothing", "floor", "robot", "goal", "hazards", "vases", "scenery")
        seen = {labels[k] for k in np.unique(obs["vision_segmentation"])}
        assert {"nothing", "floor", "robot", "vases"} <= seen and "hazards" not in seen
        where = obs["vision_segmentation"][..., 0] == labels.index("vases")
        assert abs(np.nonzero(where)[1].mean() - 31.5) < 1.5
        front, pitch = 0.9, np.arctan(0.4)  # the camera stands at the robot's origin, 0.25 m high, and looks down
        nearest = obs["vision_depth"][..., 0][where].min()
        assert front * np.cos(pitch) - 0.02 < nearest < front / np.cos(pitch)
        assert (obs["vision_depth"][obs["vision_segmentation"] == 0] > 100).all()  # nothing: the far plane

    def test_cameras_look_forward_and_back(self) -> None:
        vision = Vision(32, 32, cameras=("vision", "vision_back"), segmentation=True)
        for robot, ahead in (("Point", (1.0, 0.0)), ("Car", (0.0, -1.0)), ("Racecar", (1.0, 0.0))):
            env = gymnasium.make(f"Safety{robot}Goal0-v0", vision=vision)
            label = env.unwrapped.segmentation_labels.index("goal")
            for sign, camera in ((1, "vision"), (-1, "vision_back")):
                goal = (sign * ahead[0], sign * ahead[1])
                obs, _ = env.reset(seed=0, options={"layout": {"agent": (0, 0, 0), "goal": goal}})
                sees = {c: bool((obs[f"{c}_segmentation"] == label).any()) for c in vision.cameras}
                assert sees == {c: c == camera for c in vision.cameras}, robot

    @pytest.mark.parametrize("robot", ["Doggo", "Racecar", "Ant"])
    def test_decoration_of_the_robot_does_not_stand_before_its_camera(self, robot: str) -> None:
        env = gymnasium.make(f"Safety{robot}Goal1-v0", vision=Vision(64, 64, segmentation=True))
        obs, _ = env.reset(seed=0)
        vec = env.unwrapped.vec
        model, data = vec.scene.drawing, vec.eyes._camera.pose(0)
        decoration = (model.geom_contype | model.geom_conaffinity == 0) & (model.geom_group == 1)
        assert decoration.sum() > 5
        camera = model.camera("agent/vision").id
        with FrameRenderer(model, 64, 64, offsamples=0) as renderer:
            shown = renderer.geoms(data, camera)[0]
            bare = renderer.geoms(data, camera, hidden=decoration)[0]
        assert not np.isin(bare, np.flatnonzero(decoration)).any()
        labels = vec.eyes._label[bare]
        np.testing.assert_array_equal(labels, obs["vision_segmentation"][..., 0])
        if robot != "Racecar":  # whose decoration lies below
            assert np.isin(shown, np.flatnonzero(decoration)).any()

    def test_markers_are_not_observed(self) -> None:
        """Lidar rings and the cost marker, which `render` draws, are not in an observation."""
        env = gymnasium.make("SafetyPointGoal1-v0", vision=Vision(64, 64, ("track",)), width=64, height=64)
        env.reset(seed=0)
        vec = env.unwrapped.vec
        env.unwrapped.place("agent", vec.layout[0]["hazards"][0])
        obs, *_, info = env.step(np.zeros(2))
        assert info["cost"] == 1.0
        data, rings = vec.eyes._camera.pose(0), vec.frame(0, "track")
        with FrameRenderer(vec.scene.drawing, 64, 64, offsamples=0, reflections=False, sky=False) as renderer:
            bare = renderer.render(data, "agent/track")
        np.testing.assert_array_equal(obs["track"], bare)
        with FrameRenderer(vec.scene.drawing, 64, 64) as renderer:
            assert (np.abs(renderer.render(data, "agent/track").astype(int) - rings) > 50).any(axis=-1).sum() > 50

    @pytest.mark.parametrize("env_id", TASKS)
    def test_what_lies_outside_is_left_out_and_changes_nothing(self, env_id: str) -> None:
        envs = gymnasium.make_vec(env_id, num_envs=4, vision=Vision(64, 48))
        envs.reset(seed=0)
        camera, model = envs.unwrapped.eyes._camera, envs.unwrapped.scene.drawing
        options: dict[str, Any] = {"offsamples": 0, "reflections": False}
        with (
            FrameRenderer(model, 64, 48, **options) as full,
            FrameRenderer(model, 64, 48, culling=True, **options) as cut,
        ):
            left_out = 0
            for i in range(4):
                data = camera.pose(i)
                for name in ("agent/vision", "agent/vision_back", "fixednear"):
                    np.testing.assert_array_equal(cut.render(data, name), full.render(data, name))
                    left_out += _drawn(full, data, name) - _drawn(cut, data, name)
        assert left_out > 10 or model.ngeom < 8

    def test_sky_shadows_and_samples_on_demand(self) -> None:
        frames = {}
        for name, vision in {
            "plain": Vision(64, 64),
            "sky": Vision(64, 64, sky=True),
            "shadows": Vision(64, 64, shadows=True),
            "samples": Vision(64, 64, samples=4),
        }.items():
            env = gymnasium.make("SafetyPointGoal2-v0", vision=vision)
            frames[name] = env.reset(seed=0)[0]["vision"].astype(int)
            env.close()
        assert (frames["plain"][:16] == 0).mean() > 0.5 and (frames["sky"][:16] == 0).mean() == 0
        for name in ("shadows", "samples"):
            assert (frames[name] != frames["plain"]).any(axis=-1).mean() > 0.01, name

    @pytest.mark.filterwarnings("ignore:.*Box.*:UserWarning")
    @pytest.mark.parametrize("env_id", TASKS)
    def test_gymnasiums_checker(self, env_id: str) -> None:
        env = gymnasium.make(vision_id(env_id), vision="fast").unwrapped
        check_env(env, skip_render_check=True)

    def test_frame_stack(self) -> None:
        single = FrameStackObservation(gymnasium.make("SafetyPointGoal1Vision-v0", vision=SMALL), 4)
        obs, _ = single.reset(seed=0)
        assert obs["vision"].shape == (4, 24, 32, 3) and (obs["vision"][0] == obs["vision"][3]).all()
        assert obs["goal_lidar"].shape == (4, 16)
        vector = gymnasium.make_vec(
            "SafetyPointGoal1Vision-v0",
            num_envs=2,
            vectorization_mode="sync",
            wrappers=(lambda env: FrameStackObservation(env, 4),),
            vision=SMALL,
        )
        both, _ = vector.reset(seed=0)
        assert both["vision"].shape == (2, 4, 24, 32, 3)
        for action in actions(0, 4, 2, 2):
            obs, *_ = single.step(action[0])
            both, *_ = vector.step(action)
        assert_same(obs["vision"], both["vision"][0])
        assert (obs["vision"][0] != obs["vision"][3]).any()


def _drawn(renderer: FrameRenderer, data: mujoco.MjData, camera: str) -> int:
    """Return the number of geoms in the scene of a frame."""
    return int(renderer._take(data, camera, None).scene.ngeom)


# --- processes, memory ------------------------------------------------------------------------------------------------


@needs_fork
@pytest.mark.gl
@pytest.mark.usefixtures("opengl")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_parent_and_forked_child_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_fork, "TIMEOUT", 100)  # OpenGL begins anew in the child
    envs = safety_gym.make_vec("SafetyPointGoal1Vision-v0", num_envs=2, vision=SMALL)
    envs.reset(seed=0)
    list(forward(envs, 2))
    envs.unwrapped.get_state()  # parent and child go on alike
    child = in_child("fork", lambda: [o["vision"] for o in forward(envs, 3)])
    assert_same(child, [o["vision"] for o in forward(envs, 3)])


@pytest.mark.gl
@pytest.mark.usefixtures("opengl")
def test_everything_is_shared_and_freed() -> None:
    """Environments of one scene share a painter whatever their size; the last one that closes frees it."""
    gc.collect()
    before = len(rendering._painters)
    many = [gymnasium.make("SafetyPointGoal1Vision-v0", vision=Vision(s, s)) for s in (32, 48, 96, 16)]
    for env in many:
        env.reset(seed=0)
    assert len(rendering._painters) == before + 1
    for env in many[:-1]:
        env.close()
    many[-1].step(many[-1].action_space.sample())
    many[-1].close()
    assert len(rendering._painters) == before
    many[0].reset(seed=1)  # a closed environment can be used again
    assert len(rendering._painters) == before + 1
    del many, env
    gc.collect()
    assert len(rendering._painters) == before


@pytest.mark.gl
@pytest.mark.usefixtures("opengl")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_does_not_grow() -> None:
    """Frames, and environments made and closed; 10,000 frames are in docs/vision.md."""

    def run(envs: Any, steps: int) -> None:
        for _ in forward(envs, steps):
            pass

    envs = safety_gym.make_vec("SafetyPointGoal1Vision-v0", num_envs=2, max_episode_steps=20)
    envs.reset(seed=0)
    run(envs, 30)
    before = _resident_kib()
    run(envs, 80)
    assert _resident_kib() - before < 6144  # the frames are 31 MiB
    for cycle in range(10):
        other = gymnasium.make("SafetyCarGoal2Vision-v0", vision=Vision(64, 64))
        other.reset(seed=0)
        other.close()
        if cycle == 5:
            before = _resident_kib()
    assert _resident_kib() - before < 4096


def _resident_kib() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


# --- speed ------------------------------------------------------------------------------------------------------------


@pytest.mark.gl
@pytest.mark.usefixtures("opengl")
def test_the_speed_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speed.json"
    command = [
        "vision_speed",
        "SafetyPointGoal1Vision-v0",
        "--sizes",
        "16",
        "--num-envs",
        "1",
        "2",
        "--steps",
        "4",
        "--repeats",
        "1",
        "--json",
    ]
    monkeypatch.setattr(sys, "argv", [*command, str(out)])
    vision_speed.main()
    rows = json.loads(out.read_text())["rows"]
    assert [(row["size"], row["n"]) for row in rows] == [(16, 1), (16, 2)]
    for row in rows:
        assert 0 < row["drawing_ms"] < row["ms"] == pytest.approx(1e3 / row["rate"])
    assert "frames/s" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["vision_speed", "SafetyPointGoal1-v0"])
    with pytest.raises(SystemExit):
        vision_speed.main()


# --- pictures ---------------------------------------------------------------------------------------------------------

PICTURED = (
    "SafetyPointGoal2-v0",
    "SafetyCarButton1-v0",
    "SafetyDoggoPush1-v0",
    "SafetyRacecarCircle1-v0",
    "SafetyAntRun0-v0",
    "SafetyCarRace1-v0",
    "SafetyPointFormulaOne1-v0",
    "SafetyRacecarBuildingPush2-v0",
)


def statistics(env_id: str) -> dict[str, list[Any]]:
    """Return what a picture is like: means of colours in 4 x 4 blocks, of depth, shares of the labels."""
    env = gymnasium.make(env_id, vision=Vision(64, 64, depth=True, segmentation=True), disable_env_checker=True)
    obs, _ = env.reset(seed=1)
    nlabel = len(env.unwrapped.segmentation_labels)
    env.close()
    blocks = obs["vision"].reshape(4, 16, 4, 16, 3).mean(axis=(1, 3))
    near = np.minimum(obs["vision_depth"], 5.0).reshape(4, 16, 4, 16).mean(axis=(1, 3))
    shares = np.bincount(obs["vision_segmentation"].ravel(), minlength=nlabel) / 64**2
    return {"colour": blocks.round(1).tolist(), "depth": near.round(3).tolist(), "labels": shares.round(4).tolist()}


@pytest.mark.gl
@pytest.mark.parametrize("backend", ["egl", "osmesa", "glfw"])
def test_pictures_are_what_they_were(backend: str) -> None:
    """`python -m tests.test_vision > tests/data/vision.json` after a wanted change, having looked at the pictures."""
    if (reason := rendering.working_backends().get(backend, "not on this platform")) != "ok":
        pytest.skip(f"{backend}: {reason}")
    env = {k: v for k, v in os.environ.items() if k != "PYOPENGL_PLATFORM"} | {"MUJOCO_GL": backend}
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_vision"], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, wanted = json.loads(done.stdout), json.loads(STATISTICS.read_text())
    assert set(found) == set(wanted) == set(PICTURED)
    for env_id, want in wanted.items():
        for name, tolerance in (("colour", 2.0), ("depth", 0.02), ("labels", 0.003)):
            np.testing.assert_allclose(found[env_id][name], want[name], rtol=0, atol=tolerance, err_msg=env_id)


if __name__ == "__main__":
    print(json.dumps({env_id: statistics(env_id) for env_id in PICTURED}))
