"""The walkers of the Safe Velocity tasks: Gymnasium's MuJoCo models as records, compiled from the installed package.

The MJCF is read from `gymnasium.envs.mujoco` at run time (the `v4` geometry). Two things are changed after compilation:

* geom margins are halved unless told otherwise. Up to MuJoCo 3.4 a pair of geoms had the larger of its two margins,
  since 3.5 it has their sum; halving restores the contacts of MuJoCo 2.3.3, on which the published tables rest;
* HalfCheetah's total mass is set by function; the MJCF attribute that does it is deprecated.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np

from safety_gym.robots import Robot
from safety_gym.scene import Scene, SceneConfig

_MARGIN_SCALE = {"halved": 0.5, "as_written": 1.0}


@dataclass(frozen=True, eq=False)
class Walker(Robot):
    """A walker as data. `file` is a file of Gymnasium's asset folder.

    `hidden` root positions (1: x, 2: x and y) are left out of the observation and measured for the reward, at
    `measured`: the root joint, the `torso` body or the centre of mass. `clip` bounds observed velocities.
    """

    substeps: int = 5
    hidden: Literal[1, 2] = 1
    measured: Literal["joint", "torso", "mass"] = "joint"
    clip: float | None = None
    normal_noise: bool = False
    """Start velocities are normal instead of uniform."""
    closed_health: bool = False
    """The bounds of the healthy height belong to the healthy range."""
    inertial_terms: bool = False
    """Inertias, body velocities and forces are observed as well."""
    contact_cost: bool = False
    """Contact forces can be charged (always under the rules of v5, Ant on request under those of v4)."""
    file_v5: str | None = None
    total_mass: float | None = None
    charges_ctrl: bool = False
    """The control cost is computed from the engine's controls (float64), else from the action in its own precision."""

    @property
    def dt(self) -> float:
        """Duration of a control step, s."""
        return self.timestep * self.substeps


def _walker(name: str, file: str, timestep: float, integrator: Literal["Euler", "RK4"], **fields: object) -> Walker:
    """Return a record with what does not apply to walkers filled in."""
    base = Walker(name, file, timestep, integrator, spawn_z=0.0, root="model", terms=(), keepout=0.0)
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


WALKERS: dict[str, Walker] = {
    walker.name: walker
    for walker in (
        _walker("HalfCheetah", "half_cheetah.xml", 0.01, "Euler", normal_noise=True, total_mass=14.0),
        _walker("Hopper", "hopper.xml", 0.002, "RK4", substeps=4, clip=10.0),
        _walker("Swimmer", "swimmer.xml", 0.01, "RK4", substeps=4, hidden=2),
        _walker("Walker2d", "walker2d.xml", 0.002, "RK4", substeps=4, clip=10.0, file_v5="walker2d_v5.xml"),
        _walker(
            "Ant",
            "ant.xml",
            0.01,
            "RK4",
            hidden=2,
            measured="torso",
            normal_noise=True,
            closed_health=True,
            contact_cost=True,
        ),
        _walker(
            "Humanoid",
            "humanoid.xml",
            0.003,
            "RK4",
            hidden=2,
            measured="mass",
            inertial_terms=True,
            charges_ctrl=True,
            contact_cost=True,
        ),
    )
}


def gymnasium_assets() -> Path:
    """Return the folder of Gymnasium's MuJoCo models, found without importing them."""
    spec = importlib.util.find_spec("gymnasium")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "envs" / "mujoco" / "assets"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the installed gymnasium has no MuJoCo models in {folder}; the velocity tasks need them: reinstall it"
        )
    return folder


@functools.lru_cache(maxsize=64)
def build_walker_scene(walker: Walker, margins: str, v5: bool, forces: bool) -> Scene:
    """Compile the scene of a walker; equal arguments share it.

    Args:
        margins: `halved` (contacts of MuJoCo before 3.5) or `as_written`.
        v5: take the model file of the `v5` environments where it differs.
        forces: keep what external contact forces are computed from.
    """
    file = walker.file_v5 if v5 and walker.file_v5 else walker.file
    spec = mujoco.MjSpec.from_file(os.fspath(gymnasium_assets() / file))
    if walker.total_mass is not None:
        spec.compiler.settotalmass = -1  # deprecated, and it would warn
    model = spec.compile()
    if walker.total_mass is not None:
        _set_total_mass(model, walker.total_mass)
    model.geom_margin[:] *= _MARGIN_SCALE[margins]
    model.light_castshadow[:1] = 0
    config = SceneConfig(
        robots=(walker,),
        objects=(),
        substeps=walker.substeps,
        arena=False,
        lagged=True,
        readouts=("qpos", "qvel", *(("xipos", "cinert", "cvel", "qfrc_actuator") if walker.inertial_terms else ())),
        keep_data=forces,
    )
    _check(model, walker)
    torso = np.array([model.body("torso").id], np.intp)
    root = np.zeros(1, np.intp)
    return Scene(
        config=config, model=model, slots={}, nobject=0, agent_body=torso, agent_root=np.array([-1]), agent_qpos=root,
        agent_dof=root, agent_nq=model.nq, agent_nv=model.nv, sensor_adr={}, agent_linvel=None,
    )  # fmt: skip


def _set_total_mass(model: mujoco.MjModel, mass: float) -> None:
    """Scale masses and inertias as the compiler's attribute would; the same numbers to the last bit."""
    mujoco.mj_setTotalmass(model, mass)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    model.stat.meaninertia = model.dof_M0.mean()  # scales the solver's tolerance; mj_setConst leaves it as it was


def _check(model: mujoco.MjModel, walker: Walker) -> None:
    """Raise if the installed Gymnasium ships another model than the one the record describes."""
    integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{walker.integrator.upper()}")
    if model.opt.timestep != walker.timestep or model.opt.integrator != integrator:
        raise RuntimeError(
            f"{walker.file} of the installed gymnasium has timestep {model.opt.timestep} and integrator "
            f"{model.opt.integrator}; {walker.name} needs {walker.timestep} and {walker.integrator}"
        )
