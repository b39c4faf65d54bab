"""What surrounds and clothes a task: static scenery, floors, and meshes of objects. Their files: envs/assets/scenery.

A file of scenery is MJCF and holds bodies without joints. `attach` puts their geoms into the world's body, since bodies
of their own would take half as long again in every step. What a geom is for follows from two of its attributes:

* `contype="0" conaffinity="0"`: only drawn; the physics leaves it out, with its meshes and textures;
* `group="3"`: only touched; pictures leave it out;
* neither: both.

The files are made by scripts/make_scenery.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import mujoco

from safety_gym.looks import Vector
from safety_gym.objects import ObjectSpec

FOLDER = "scenery"
TOUCH_GROUP = 3
RAY_GROUP = 2
"""Group of everything solid here in the physics: that of pillars, so that ray lidars see both alike."""


@dataclass(frozen=True)
class Scenery:
    """A file of static surroundings, and which of its bodies stand elsewhere."""

    file: str
    moved: tuple[tuple[str, Vector], ...] = ()

    kind: ClassVar[str] = "scenery"
    """What contacts with it are charged to."""


SCENERY: Mapping[str, Scenery] = {
    "building": Scenery("building.xml"),
    "formula_one": Scenery("formula_one.xml"),
    "race": Scenery("race.xml"),
    "race_open": Scenery("race.xml", moved=(("race_wall3", (0.7, -0.175, 0.0)),)),
}
"""By the name that the option `scenery` takes."""


@dataclass(frozen=True)
class Floor:
    """A picture that is laid `tiles` times along each side of the floor."""

    texture: str
    tiles: float


FLOORS: Mapping[str, Floor | None] = {
    "mat": None,
    "mud": Floor("mud.png", 80),
    "village": Floor("village.png", 25),
    "none": None,
}
"""By the name that the option `floor_type` takes: `mat` is the arena's own, `none` is touched but not drawn."""


def attach(spec: mujoco.MjSpec, name: str, assets: Path, drawing: bool) -> None:
    """Add the surroundings `name` to a scene: what is touched, or for a drawing what is seen."""
    scenery = SCENERY[name]
    child = mujoco.MjSpec.from_file(os.fspath(assets / FOLDER / scenery.file))
    for body, pos in scenery.moved:
        child.body(body).pos = pos
    for geom in list(child.geoms):
        ghost = not (geom.contype or geom.conaffinity)
        if (geom.group == TOUCH_GROUP) if drawing else ghost:
            child.delete(geom)
        elif drawing:
            geom.group = 0
        else:
            geom.material, geom.group = "", RAY_GROUP
    _delete_unused(child)
    for body in [body for body in child.bodies if body is not child.worldbody]:
        for i, geom in enumerate(body.geoms):
            geom.name = f"{body.name}/{i}" if i else body.name
        body.to_frame()
    spec.attach(child, prefix=f"{Scenery.kind}/", frame=spec.worldbody.add_frame())


def _delete_unused(spec: mujoco.MjSpec) -> None:
    """Leave out meshes, materials and textures that no geom needs: reading them would take most of the time."""
    for attribute, elements in (("meshname", spec.meshes), ("material", spec.materials)):
        used = {getattr(geom, attribute) for geom in spec.geoms}
        for element in list(elements):
            if element.name not in used:
                spec.delete(element)
    textures = {name for material in spec.materials for name in material.textures}
    for texture in list(spec.textures):
        if texture.name not in textures:
            spec.delete(texture)


def lay_floor(spec: mujoco.MjSpec, name: str, assets: Path) -> None:
    """Give the arena's floor the looks of `name`."""
    floor, geom = FLOORS[name], spec.geom("floor")
    if name == "none":
        geom.material, geom.rgba = "", [0.0, 0.0, 0.0, 0.0]
    if floor is not None:
        geom.material = "floor"
        material = spec.add_material(name="floor", texrepeat=[floor.tiles, floor.tiles], specular=0.0)
        _add_texture(spec, material, floor.texture, assets)


def dress(spec: mujoco.MjSpec, obj: ObjectSpec, assets: Path) -> None:
    """Draw the objects of a kind as its look says, in place of their geoms."""
    look = obj.look
    if look is None:
        return
    stretch = getattr(obj, "size", look.size) / look.size
    path = os.fspath(assets / FOLDER / f"{look.mesh}.obj")
    spec.add_mesh(name=obj.kind, file=path, scale=[stretch, stretch, 1.0 if look.flat else stretch])
    material = spec.material(obj.kind)
    material.rgba, material.emission = [1.0, 1.0, 1.0, 1.0], 0.0
    _add_texture(spec, material, "objects.png", assets)
    for name in obj.names():
        for body in filter(None, (spec.body(name), spec.body(f"{name}_driver"))):
            for geom in list(body.geoms):
                spec.delete(geom)
        spec.body(name).add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=obj.kind,
            material=obj.kind,
            pos=[0.0, 0.0, -obj.z],  # stands on the floor, wherever the origin of the body is
            contype=0,
            conaffinity=0,
        )


def _add_texture(spec: mujoco.MjSpec, material: mujoco.MjsMaterial, file: str, assets: Path) -> None:
    if file not in {texture.name for texture in spec.textures}:
        spec.add_texture(name=file, type=mujoco.mjtTexture.mjTEXTURE_2D, file=os.fspath(assets / FOLDER / file))
    textures = material.textures
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = file
    material.textures = textures
