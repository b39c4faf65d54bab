"""Pictures of a simulation: the drawing model posed from a state row, with lidar halos and the cost marker."""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym.rendering import FrameRenderer, Marker, compass_marker, lidar_markers
from safety_gym.scene import agent_prefixes
from safety_gym.simulator import Simulator

WORLD_CAMERAS = ("fixednear", "fixedfar", "fixedfar++")
ROBOT_CAMERAS = ("vision", "vision_back", "track")
DEFAULT_CAMERA = "vision"
TEAM_CAMERA = "fixedfar"
"""Where there are several robots: all of them are seen."""


def check_picture(width: Any, height: Any, camera_name: Any) -> None:
    """Raise ValueError for a picture no scene has: sizes in pixels, a camera of the world or of a robot."""
    for name, value in (("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= 8192:
            raise ValueError(f"{name}={value!r}: expected a whole number of pixels from 1 to 8192")
    known = (*WORLD_CAMERAS, *ROBOT_CAMERAS)
    if camera_name is not None and str(camera_name).rpartition("/")[2] not in known:
        raise ValueError(f"camera_name={camera_name!r}: expected None or one of {', '.join(map(repr, known))}")


class SceneCamera:
    """Draws simulations of one simulator. OpenGL starts with the first frame; `effects` are `FrameRenderer`'s."""

    def __init__(self, sim: Simulator, width: int, height: int, camera_name: str | None = None, **effects: Any) -> None:
        self._sim = sim
        names = self._names()
        wanted = DEFAULT_CAMERA if sim.nagent == 1 else TEAM_CAMERA
        self.default = camera_name or (wanted if wanted in names else next(iter(names)))
        self.resolve(self.default)
        self._model = sim.scene.drawing
        self._data = mujoco.MjData(self._model)
        self._physics = mujoco.MjData(sim.scene.model)
        self._make_renderer = functools.partial(FrameRenderer, self._model, width, height, **effects)
        self.renderer = self._make_renderer()

    def _names(self) -> dict[str, str]:
        """Return the model's name of every camera by the name a user gives: without the first robot's prefix."""
        model, prefix = self._sim.scene.drawing, agent_prefixes(self._sim.nagent)[0]
        names = [model.camera(i).name for i in range(model.ncam)]
        return {name.removeprefix(prefix): name for name in names if name}

    def resolve(self, name: str) -> str:
        """Return the model's name of a camera; robot cameras belong to the first robot unless prefixed."""
        names = self._names()
        if name in names.values():
            return name
        if name not in names:
            raise ValueError(f"camera_name={name!r}: expected one of {', '.join(map(repr, names))}")
        return names[name]

    def pose(self, i: int) -> mujoco.MjData:
        """Return the drawing model posed and painted as simulation `i`; the same object at every call."""
        world = self._sim.world
        world.ensure_process()
        world.batch.get_data(i, self._physics)
        self._sim.scene.pose_drawing(self._data, self._physics)
        self._sim.scene.paint({kind: float(alpha[i]) for kind, alpha in self._sim.task.opacity(world).items()})
        return self._data

    def frame(self, i: int, camera_name: str | None, depth: bool) -> NDArray[Any]:
        """Draw simulation `i`; see `SafetyVectorEnv.frame`."""
        camera = self.resolve(camera_name or self.default)
        return self.renderer.render(self.pose(i), camera, depth=depth, markers=() if depth else self._markers(i))

    def _markers(self, i: int) -> list[Marker]:
        """Rings of lidar readings above each robot, and a red ball around robots that were charged in this step."""
        sim, world = self._sim, self._sim.world
        placed = [slot.spec for slot in sim.scene.slots.values()]
        seen = [(k, o) for k, o in enumerate(placed) if o.is_lidar_observed]
        terms = {t.key: t for t in sim.observer.terms}
        markers: list[Marker] = []
        for j in range(sim.nagent):
            pos, mat = world.agent_pos[i, j], world.agent_mat[i, j].reshape(3, 3)
            obs = sim.last_observation[i, j]
            if seen:
                readings = [obs[terms[f"{o.kind}_lidar"].start : terms[f"{o.kind}_lidar"].stop] for _, o in seen]
                markers += lidar_markers(pos, mat, np.array(readings), [o.rgb for _, o in seen], [k for k, _ in seen])
            for k, o in enumerate(placed):
                for name in o.names() if o.is_comp_observed else ():
                    term = terms[f"{o.kind}_comp" if o.num == 1 else f"{name}_comp"]
                    markers.append(compass_marker(pos, mat, obs[term.start : term.stop], o.rgb, k))
            markers += sim.task.markers(world, i, j, bool(sim.last_cost[i, j] > 0))
        return markers

    def close(self) -> None:
        """Release the renderer; a further frame begins anew."""
        self.renderer.close()
        self.renderer = self._make_renderer()
