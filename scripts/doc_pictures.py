"""Draw the pictures of the documentation: robots, walkers, tasks, teams, camera frames, and what explains the lidar.

    python scripts/doc_pictures.py              # all of them
    python scripts/doc_pictures.py ant lidar    # those whose name contains a word

They are written to docs/images. The environments pose the scenes; only the view is chosen here.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym import make_vec
from safety_gym.camera import SceneCamera
from safety_gym.rendering import FrameRenderer, grid
from safety_gym.robots import ROBOTS
from safety_gym.tasks import TASKS
from safety_gym.tasks.velocity import VelocityTask
from safety_gym.vector_env import SafetyVectorEnv
from safety_gym.vision import PRESETS, Vision
from safety_gym.walkers import WALKERS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
QUALITY = 88  # of JPEG; more cannot be seen at these sizes
TEXTURED_QUALITY = 74  # where surfaces hide it
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """Where a camera stands: it looks at `target` from `distance` m, seen under azimuth and elevation in degrees."""

    target: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float
    fovy: float = 35.0

    def place(self, model: mujoco.MjModel, name: str) -> None:
        """Move a camera of the model there; it stays there whatever its body does."""
        camera = model.camera(name).id
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        back = np.array(
            (math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation))
        )
        right = np.array((-math.sin(azimuth), math.cos(azimuth), 0.0))
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, np.stack((right, np.cross(back, right), back), axis=1).flatten())
        model.cam_bodyid[camera] = 0
        model.cam_mode[camera] = mujoco.mjtCamLight.mjCAMLIGHT_FIXED
        model.cam_pos[camera] = np.array(self.target) + self.distance * back
        model.cam_quat[camera] = quat
        model.cam_fovy[camera] = self.fovy


@dataclass(frozen=True)
class Portrait:
    """How a robot or walker is shown: its joints (rad, m; the rest as after a reset), its view, steps before it."""

    view: View
    joints: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    action: Sequence[float] = ()


# Robots stand at the origin and look along +x (Car along -y).
ROBOT_PORTRAITS: Mapping[str, Portrait] = {
    "Point": Portrait(View((0.04, 0, 0.07), 0.75, 50, 30)),
    "Car": Portrait(View((0, 0, 0.06), 0.9, -45, 30)),
    "Racecar": Portrait(View((0, 0, 0.03), 1.05, 45, 30), steps=12, action=(0.5, 0.5)),
    "Doggo": Portrait(View((0, 0, 0.07), 0.85, 50, 32)),
    "Ant": Portrait(View((0, 0, 0.1), 1.0, 35, 32), steps=3),
}
WALKER_PORTRAITS: Mapping[str, Portrait] = {
    "HalfCheetah": Portrait(
        View((0.1, 0, 0.45), 3.9, -75, 12),
        {"bthigh": 0.9, "bshin": -0.6, "bfoot": 0.3, "fthigh": -0.7, "fshin": 0.4, "ffoot": 0.3, "rooty": -0.1},
    ),
    "Hopper": Portrait(
        View((0, 0, 0.65), 3.9, -70, 12), {"thigh_joint": -0.4, "leg_joint": -0.6, "foot_joint": 0.7, "rooty": 0.2}
    ),
    "Swimmer": Portrait(View((0, 0, 0), 4.2, -80, 45), {"motor1_rot": 0.9, "motor2_rot": -0.9}),
    "Walker2d": Portrait(
        View((0, 0, 0.65), 3.9, -70, 12),
        {
            "thigh_joint": 0.0, "leg_joint": -0.1, "foot_joint": 0.3, "thigh_left_joint": -0.6,
            "leg_left_joint": -0.9, "foot_left_joint": 0.1, "rooty": 0.25,
        },
    ),
    "Ant": Portrait(
        View((0, 0, 0.35), 4.2, -60, 25),
        {
            "hip_1": 0.3, "hip_2": -0.3, "hip_3": 0.3, "hip_4": -0.3,
            "ankle_1": 1.0, "ankle_2": -1.0, "ankle_3": -1.0, "ankle_4": 1.0,
        },
    ),
    "Humanoid": Portrait(
        View((0, 0, 0.7), 3.5, -50, 12),
        {"right_hip_y": -0.9, "right_knee": -0.9, "left_hip_y": 0.2, "left_knee": -0.4},
    ),
}  # fmt: skip


def robot(name: str) -> Picture:
    """Draw a robot alone on the floor."""
    portrait = ROBOT_PORTRAITS[name]
    sim = SafetyVectorEnv(f"Safety{name}Goal0-v0").sim
    sim.seed([0], [0])
    sim.reset(np.arange(1), [{"agent": (0.0, 0.0, 0.0), "goal": (0.0, 40.0)}])
    action = np.zeros((1, 1, sim.nact))
    if portrait.action:
        action[0, 0] = portrait.action
    for _ in range(portrait.steps):
        sim.step(action)
    if not portrait.steps and sim.scene.config.robots[0].root == "free":  # before it falls from its spawn height
        _stand(sim, height=2)
    return _draw(sim, portrait.view)


def walker(name: str) -> Picture:
    """Draw a walker in a pose of its gait on the ground of its own model."""
    return _pose(SafetyVectorEnv(f"Safety{name}Velocity-v1").sim, name)


def _pose(sim: Any, name: str) -> Picture:
    portrait = WALKER_PORTRAITS[name]
    sim.seed([0], [0])
    sim.reset(np.arange(1))
    world, model = sim.world, sim.scene.model
    world.qpos[0] = model.qpos0
    for joint, value in portrait.joints.items():
        world.qpos[0, model.joint(joint).qposadr[0]] = value
    if name != "Swimmer":  # it is in a fluid
        _stand(sim, height=2 if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE else 1)
    return _draw(sim, portrait.view)


def _stand(sim: Any, height: int) -> None:
    """Put the robot or walker on the floor; `height` is the position coordinate to change."""
    model, world = sim.scene.model, sim.world
    data = mujoco.MjData(model)
    data.qpos[:] = world.qpos[0]
    mujoco.mj_kinematics(model, data)
    parts = np.flatnonzero(model.body_rootid[model.geom_bodyid] == model.body_rootid[sim.scene.agent_body[0]])
    axes = data.geom_xmat.reshape(-1, 3, 3)[parts, 2]  # heights of the geoms' axes
    # A capsule is a line and a radius, a sphere a point and a radius; of other geoms the box around them counts.
    capsule = model.geom_size[parts, 0] + np.abs(axes[:, 2]) * model.geom_size[parts, 1]
    box = np.abs(axes * model.geom_aabb[parts, 3:]).sum(axis=1)
    round_ = np.isin(model.geom_type[parts], (mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_SPHERE))
    world.qpos[0, height] -= (data.geom_xpos[parts, 2] - np.where(round_, capsule, box)).min()
    world.forward()


def _draw(
    sim: Any, view: View | str, size: tuple[int, int] = (480, 360), markers: bool = False, shadows: bool = True
) -> Picture:
    """Draw simulation 0 in a view or from a camera, where wanted with its lidar rings and cost marker."""
    drawing, (width, height) = sim.scene.drawing, size
    camera = view if isinstance(view, str) else _camera(drawing)
    if isinstance(view, View):
        view.place(drawing, camera)
    drawing.light_castshadow[:] = True
    data, physics = mujoco.MjData(drawing), mujoco.MjData(sim.scene.model)
    sim.world.batch.get_data(0, physics)
    sim.scene.pose_drawing(data, physics)
    sim.scene.paint({kind: float(alpha[0]) for kind, alpha in sim.task.opacity(sim.world).items()})
    shown = SceneCamera(sim, *size)._markers(0) if markers else ()
    with FrameRenderer(drawing, 2 * width, 2 * height, shadows=shadows, offsamples=8, reflections=False) as renderer:
        picture = renderer.render(data, camera, markers=shown)
    return picture.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)


def _camera(model: mujoco.MjModel) -> str:
    return "fixedfar" if any(model.camera(i).name == "fixedfar" for i in range(model.ncam)) else "track"


TASK_VIEWS: Mapping[str, View | None] = {
    "Goal": None,
    "Button": None,
    "Push": None,
    "Circle": View((0, -0.2, 0), 7.4, -90, 52),
    "Run": View((0, 15.6, 0), 4.6, 90, 38),
}
"""None: the view of the extents of the level."""
TASK_ROBOTS = ("Point", "Car", "Racecar")
"""The robots of the levels of a task, one after another, or of its only level."""


def task(name: str) -> Picture:
    """Draw the levels of a task side by side: starts of episodes, with lidar rings."""
    levels = [level for level in TASKS[name].levels if level != "Base"]
    if len(levels) == 1:
        levels *= len(TASK_ROBOTS)
    ids = [f"Safety{robot}{name}{level}-v0" for robot, level in zip(TASK_ROBOTS, levels, strict=True)]
    frames = []
    for env_id in ids:
        vec = SafetyVectorEnv(env_id)
        vec.reset(seed=3)
        half = vec.sim.task.config.extents[3]
        view = TASK_VIEWS[name] or View((0, -0.1, 0), 2.4 + 2.2 * half, -90, 52)
        frames.append(_draw(vec.sim, view, (400, 340), markers=True, shadows=False))
    return grid(frames, len(frames), ids)


VISION_VIEWS: Mapping[str, View | None] = {
    "BuildingGoal": View((0, 0.1, 0), 8.4, -90, 56, 45),
    "BuildingButton": View((0, 0.1, 0), 8.4, -90, 56, 45),
    "BuildingPush": View((0, 0.1, 0), 8.4, -90, 56, 45),
    "Race": View((0.1, -0.3, 0), 8.6, -90, 62, 45),
    "FormulaOne": View((11, -13.2, 0), 66, -90, 62, 45),
    "FormulaOne1": View((13.5, -1.5, 0), 16, -90, 45, 45),
    "FormulaOne2": View((31, -6, 0), 16, -90, 45, 45),
    "FadingEasy": None,
    "FadingHard": None,
}
"""Of the tasks made for cameras, or of their levels, as in `TASK_VIEWS`."""
PLACED: Mapping[str, tuple[float, float, int]] = {
    "FormulaOne0": (-4.1, -12.4, 6),
    "FormulaOne1": (11.9, 2.4, 1),
    "FormulaOne2": (31.2, -3.2, 3),
}
"""Where robots stand that are not shown at their starts, and the number of the stage they drive to."""
AHEAD = {"Race2": (-2.35, 1.0)}
"""Where robots look that do not look at the goal."""
FADED = 0.65
"""Share of the time until they are invisible after which the Fading tasks are shown."""


def vision_task(name: str) -> Picture:
    """Draw the levels of a task made for cameras side by side: from above, and below what the robot's camera sees."""
    above, seen = [], []
    for robot, level in zip(TASK_ROBOTS, TASKS[name].levels, strict=True):
        vec = SafetyVectorEnv(f"Safety{robot}{name}{level}-v0")
        vec.reset(seed=3)
        sim, half = vec.sim, vec.sim.task.config.extents[3]
        if name + level in PLACED:
            x, y, stage = PLACED[name + level]
            sim.move("agent", (x, y), np.arange(1))
            while sim.world.memory["stage"][0] != stage:
                sim.task.next_goal(sim.world, np.arange(1))
        goal = sim.world.xy(getattr(sim.task, "goal_kind", "goal"))[0, 0].tolist()
        _face(sim, AHEAD.get(name + level) or goal)
        for _ in range(round(FADED * getattr(sim.task.config, "fading_steps", 0))):
            sim.step(np.zeros((1, 1, sim.nact)))
        view = VISION_VIEWS.get(name + level) or VISION_VIEWS[name] or View((0, -0.1, 0), 2.4 + 2.2 * half, -90, 52)
        above.append(_draw(sim, view, (360, 300), shadows=False))
        seen.append(_draw(sim, "agent/vision", (360, 240), shadows=False))
    labels = [f"Safety{robot}{name}{level}-v0" for robot, level in zip(TASK_ROBOTS, TASKS[name].levels, strict=True)]
    below = ["what its camera sees"] * len(seen)
    return np.concatenate((grid(above, len(above), labels), grid(seen, len(seen), below)), axis=0)


def _face(sim: Any, target: Sequence[float]) -> None:
    """Turn the robot where it stands so that its camera looks at a point."""
    x, y = sim.world.agent_pos[0, 0, :2].tolist()
    model = sim.scene.drawing
    camera, body = model.camera("agent/vision").id, model.body("agent/agent").id
    # The camera looks along its -z; it hangs on the robot's body, perhaps through others.
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    looks = data.xmat[body].reshape(3, 3).T @ -data.cam_xmat[camera].reshape(3, 3)[:, 2]
    yaw = math.atan2(target[1] - y, target[0] - x) - math.atan2(looks[1], looks[0])
    sim.move("agent", (x, y, yaw), np.arange(1))


OBSERVED = ("SafetyCarButton1", "SafetyRacecarPush2", "SafetyDoggoCircle1", "SafetyAntGoal2", "SafetyPointRun0")
"""Tasks of which the page about cameras shows a frame, besides PointGoal2."""
_BANDS = np.array(
    [(0, 0, 0), (190, 190, 190), (214, 39, 40), (44, 160, 44), (31, 119, 180), (23, 190, 207), (127, 127, 127)],
    np.uint8,
)
"""Colours of segmentation labels in pictures."""


def observed() -> Picture:
    """Draw what is observed: the kinds of frame of one start, and below what other robots see in other tasks."""
    sharp = Vision(cameras=("vision", "vision_back"), depth=True, segmentation=True)
    frames = _observed("SafetyPointGoal2", sharp)
    near = (255 / (1 + frames["vision_depth"])).astype(np.uint8)
    fast = _observed("SafetyPointGoal2", PRESETS["fast"])["vision"]
    shown = {
        "256 x 256": frames["vision"],
        "64 x 64": fast.repeat(4, axis=0).repeat(4, axis=1),
        "depth": near.repeat(3, axis=2),
        "segmentation": _BANDS[frames["vision_segmentation"][..., 0]],
        "vision_back": frames["vision_back"],
        **{f"{name}Vision-v0": _observed(name, Vision())["vision"] for name in OBSERVED},
    }
    return grid([*shown.values()], 5, [*shown])


def _observed(name: str, vision: Vision) -> dict[str, Picture]:
    """The frames of a start, the robot turned to the goal if there is one."""
    vec = SafetyVectorEnv(f"{name}-v0", vision=vision)
    vec.reset(seed=3)
    sim, eyes = vec.sim, vec.eyes
    if "goal" in sim.scene.slots:
        _face(sim, sim.world.xy("goal")[0, 0].tolist())
    assert eyes is not None
    eyes.look(np.arange(1))
    return {key: frame[0] for key, frame in eyes.frames.items()}


TEAMS = ("SafetyPointMultiGoal0-v0", "SafetyCarMultiGoal1-v0", "SafetyAntMultiGoal2-v0")
DIVIDED = {"2x4Ant": "Ant", "2x3HalfCheetah": "HalfCheetah", "9x8Humanoid": "Humanoid"}
"""Divided walkers that are shown, and the portraits whose poses they take."""


def multi_agent() -> Picture:
    """Draw robots that share an arena, and below walkers with the parts of each agent in its colour."""
    frames = []
    for env_id in TEAMS:
        vec = make_vec(env_id, num_envs=1)
        vec.reset(seed=3)
        view = View((0, -0.1, 0), 2.4 + 2.2 * vec.sim.task.config.extents[3], -90, 52)
        frames.append(_draw(vec.sim, view, (400, 340), markers=True, shadows=False))
    ids = [f"Safety{name}Velocity-v0" for name in DIVIDED]
    for env_id, name in zip(ids, DIVIDED.values(), strict=True):
        picture = _pose(make_vec(env_id, num_envs=1).sim, name)
        frames.append(picture[10:-10, 40:-40])  # as large as the others
    return grid(frames, len(TEAMS), [*TEAMS, *ids])


def velocity() -> Picture:
    """Draw a walker below and above its speed limit: the ball over it is green, then red."""
    vec = SafetyVectorEnv("SafetyHalfCheetahVelocity-v1")
    sim = vec.sim
    frames, labels = [], []
    for speed in (0.2, 0.6, 1.6):
        vec.reset(seed=0)
        limit = cast(VelocityTask, sim.task).config.velocity_threshold
        for joint, value in WALKER_PORTRAITS["HalfCheetah"].joints.items():
            sim.world.qpos[0, sim.scene.model.joint(joint).qposadr[0]] = value
        sim.world.qvel[0, 0] = speed * limit
        _stand(sim, height=1)
        sim.task.remember(sim.world, np.arange(1))
        _, _, _, _, info = vec.step(np.zeros((1, sim.nact)))
        x = float(sim.world.qpos[0, 0])
        frames.append(_draw(sim, View((x + 0.1, 0, 0.8), 4.6, -75, 12), (400, 340), markers=True))
        labels.append(f"{info['velocity'][0]:.2f} m/s, limit {limit:g}: cost {info['cost'][0]:g}")
    return grid(frames, len(frames), labels)


LIDAR_LAYOUT: Mapping[str, Any] = {
    "agent": (0.0, 0.0, 0.0),
    "goal": (1.3, 1.05),
    "hazards": [(0.55, -0.9), (-1.4, 0.4), (-2.25, 0.3)],
}


def lidar() -> Picture:
    """Explain the lidar: robot and objects from above with their bins, and what the environment observes."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    vec = SafetyVectorEnv("SafetyPointGoal1-v0", hazards={"num": 3}, vases=None)
    obs = vec.reset(seed=0, options={"layout": LIDAR_LAYOUT})[0][0]
    config = vec.sim.task.config
    bins, reach = config.lidar_num_bins, config.lidar_max_dist
    terms = {t.key: t for t in vec.sim.observer.terms}
    readings = {o.kind: obs[terms[f"{o.kind}_lidar"].start : terms[f"{o.kind}_lidar"].stop] for o in config.objects}
    colors = {o.kind: tuple(0.85 * c for c in o.rgb) for o in config.objects}
    figure, axes = plt.subplot_mosaic(
        [["map", "goal"], ["map", "hazards"]], figsize=(10.5, 5.2), width_ratios=(1, 1), layout="constrained"
    )
    _lidar_map(axes["map"], readings, colors, bins)
    for kind, values in readings.items():
        _lidar_bars(axes[kind], kind, values, colors[kind])
    axes["goal"].set_title(f"observed: closeness per bin, 0 from {reach:g} m on")
    axes["hazards"].set_xlabel("bin")
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return picture


def _lidar_map(ax: Any, readings: Mapping[str, Any], colors: Mapping[str, Any], bins: int) -> None:
    """Draw the scene from above in the robot's frame, with a ring of bins for each kind."""
    from matplotlib import patches

    places = {"goal": [LIDAR_LAYOUT["goal"]], "hazards": LIDAR_LAYOUT["hazards"]}
    sizes = {"goal": 0.3, "hazards": 0.2}
    for kind, points in places.items():
        for point in points:
            ax.add_patch(patches.Circle(point, sizes[kind], color=colors[kind], alpha=0.35, lw=0))
            x, y = point
            ax.plot((0, x), (0, y), color=colors[kind], lw=0.8, ls=":")
            ax.text(x, y + 1.15 * sizes[kind], f"{math.hypot(x, y):.2f} m", fontsize=9, ha="center", color="0.2")
    for ring, (kind, values) in enumerate(readings.items()):
        for i, value in enumerate(values):
            sector = (360 * i / bins, 360 * (i + 1) / bins)
            outer = 2.85 + 0.3 * ring
            face = (*colors[kind], float(value))
            ax.add_patch(patches.Wedge((0, 0), outer, *sector, width=0.28, facecolor=face, edgecolor="0.7", lw=0.5))
    for i in range(bins):
        start, middle = 2 * math.pi * i / bins, 2 * math.pi * (i + 0.5) / bins
        ax.plot((0, 2.55 * math.cos(start)), (0, 2.55 * math.sin(start)), color="0.85", lw=0.6, zorder=0)
        ax.text(3.42 * math.cos(middle), 3.42 * math.sin(middle), str(i), fontsize=9, ha="center", va="center")
    ax.add_patch(patches.Circle((0, 0), 0.1, color=(0.74, 0.04, 0.18)))
    ax.add_patch(patches.Rectangle((0.05, -0.05), 0.1, 0.1, color=(0.0, 0.15, 0.4)))
    arrow = {"arrowstyle": "->", "lw": 1.2}
    for (x, y), text in (((0.75, 0), "x"), ((0, 0.75), "y")):
        ax.annotate("", (x, y), (0, 0), arrowprops=arrow)
        ax.text(1.15 * x, 1.15 * y, text, ha="center", va="center", fontsize=11, style="italic")
    ax.set(xlim=(-3.65, 3.65), ylim=(-3.65, 3.65), aspect="equal", title="from above: the robot and its 16 bins")
    ax.axis("off")


def _lidar_bars(ax: Any, kind: str, values: Any, color: Any) -> None:
    ax.bar(np.arange(len(values)), values, color=color, alpha=0.6, width=0.85)
    for i, value in enumerate(values):
        if value > 0:
            ax.text(i, value + 0.02, f"{value:.2f}", ha="center", fontsize=8)
    ax.set(ylim=(0, 1), xticks=np.arange(len(values)), ylabel=f"{kind}_lidar")
    ax.spines[["top", "right"]].set_visible(False)


def pictures() -> dict[str, Callable[[], Picture]]:
    """Return every picture by file name."""
    found: dict[str, Callable[[], Picture]] = {}
    for name in ROBOTS:
        found[f"robot_{name.lower()}.jpg"] = partial(robot, name)
    for name in WALKERS:
        found[f"walker_{name.lower()}.jpg"] = partial(walker, name)
    for name in TASK_VIEWS:
        found[f"task_{name.lower()}.jpg"] = partial(task, name)
    for name in VISION_VIEWS.keys() & TASKS.keys():
        found[f"task_{name.lower()}.jpg"] = partial(vision_task, name)
    found["task_velocity.jpg"] = velocity
    found["multi_agent.jpg"] = multi_agent
    found["frames.jpg"] = observed
    found["lidar.png"] = lidar
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", metavar="WORD", nargs="*", help="part of a picture's name; default: all pictures")
    parser.add_argument("--output", type=Path, default=FOLDER)
    args = parser.parse_args()
    from PIL import Image

    args.output.mkdir(parents=True, exist_ok=True)
    for name, draw in pictures().items():
        if not args.words or any(word.lower() in name for word in args.words):
            quality = TEXTURED_QUALITY if any(task.lower() in name for task in VISION_VIEWS) else QUALITY
            Image.fromarray(draw()).save(args.output / name, quality=quality, optimize=True)
            print(f"{name}: {(args.output / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
