"""What cameras observe: frames of every simulation, as `vision.Vision` asks for them."""

from __future__ import annotations

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym.camera import SceneCamera
from safety_gym.simulator import Simulator
from safety_gym.vision import Vision
from safety_gym.world import Ids


class Eyes:
    """The cameras of all simulations of a simulator."""

    def __init__(self, sim: Simulator, vision: Vision) -> None:
        self.vision = vision
        self._camera = SceneCamera(
            sim,
            vision.width,
            vision.height,
            vision.cameras[0],
            shadows=vision.shadows,
            offsamples=vision.samples,
            reflections=False,
            sky=vision.sky,
            culling=not vision.shadows,
        )
        model = sim.scene.drawing
        self._ids = {name: model.camera(self._camera.resolve(name)).id for name in vision.cameras}
        self._hidden = {name: own_decoration(model, camera) for name, camera in self._ids.items()}
        self.labels, self._label = segmentation_labels(sim)
        self._far = float(model.vis.map.zfar * model.stat.extent)
        self.frames = {key: np.zeros((sim.n, *space.shape), space.dtype) for key, space in self.spaces().items()}
        """The last frames by key, (n, height, width, c)."""

    def spaces(self) -> dict[str, gymnasium.spaces.Box]:
        """Return the spaces of one simulation's frames by key."""
        vision = self.vision
        spaces: dict[str, gymnasium.spaces.Box] = {}
        size = (vision.height, vision.width)
        for name in vision.cameras:
            if vision.rgb:
                spaces[name] = gymnasium.spaces.Box(0, 255, (*size, 3), np.uint8)
            if vision.depth:
                spaces[f"{name}_depth"] = gymnasium.spaces.Box(0.0, self._far, (*size, 1), np.float32)
            if vision.segmentation:
                spaces[f"{name}_segmentation"] = gymnasium.spaces.Box(0, len(self.labels) - 1, (*size, 1), np.uint8)
        return spaces

    def look(self, ids: Ids) -> None:
        """Draw the frames of simulations."""
        vision, draw = self.vision, self._camera.renderer
        for i in ids.tolist():
            data = self._camera.pose(i)
            for name, camera in self._ids.items():
                hidden = self._hidden[name]
                if vision.rgb:
                    self.frames[name][i] = draw.render(data, camera, hidden=hidden)
                if vision.depth or vision.segmentation:
                    geoms, depth = draw.geoms(data, camera, hidden, vision.depth)
                    if vision.depth:
                        np.clip(depth[..., None], 0.0, self._far, out=self.frames[f"{name}_depth"][i])
                    if vision.segmentation:
                        self.frames[f"{name}_segmentation"][i, ..., 0] = self._label[geoms]

    def close(self) -> None:
        """Release the renderer; a further `look` begins anew."""
        self._camera.close()


def own_decoration(model: mujoco.MjModel, camera: int) -> NDArray[np.bool_]:
    """Say for each geom whether it is only for looks and belongs to the robot that carries the camera, (ngeom,)."""
    body = model.cam_bodyid[camera]
    own = (body > 0) & (model.body_rootid[model.geom_bodyid] == model.body_rootid[body])
    return np.asarray(own & ((model.geom_contype | model.geom_conaffinity) == 0))


def segmentation_labels(sim: Simulator) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Return the kinds of thing by label, and the label of each geom of the drawing model and of none, (ngeom + 1,)."""
    scene, model = sim.scene, sim.scene.drawing
    kinds = [o.kind for o in scene.config.objects]
    labels = ("nothing", "floor", "robot", *kinds, "scenery")
    by_body = np.full(model.nbody, len(labels) - 1, np.uint8)
    for k, obj in enumerate(scene.config.objects):
        for name in obj.names():
            for body in (name, f"{name}_driver"):
                if (j := mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, body)) >= 0:
                    by_body[j] = 3 + k
    by_body[np.isin(model.body_rootid, model.body_rootid[scene.agent_body])] = labels.index("robot")
    label = np.append(by_body[model.geom_bodyid], np.uint8(0))  # geom -1: nothing
    floor = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, "floor")
    if floor >= 0:
        label[floor] = labels.index("floor")
    return labels, label
