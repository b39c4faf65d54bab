"""MJCF files of static surroundings: bodies with what is seen of them and what is touched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from scenery.mesh import Mesh
from scenery.textures import Array, atlas, write

Point = Sequence[float]
Rings = Mapping[float, Iterable[Point]]
"""Outlines [(x, y), ...] by height: their convex hull is a shape."""

NOTICE = " Written by scripts/make_scenery.py. "


class SceneryFile:
    """`name`.xml in the making, beside the files of its meshes, `name`_*.obj, and its atlas of textures, `name`.png."""

    def __init__(self, name: str, folder: Path, tiles: Sequence[Array | None]) -> None:
        self.name, self.folder = name, folder
        self.root = ET.Element("mujoco", model=name)
        self.root.append(ET.Comment(NOTICE))
        ET.SubElement(self.root, "compiler", angle="radian")
        self.asset = ET.SubElement(self.root, "asset")
        self.world = ET.SubElement(self.root, "worldbody")
        write(atlas(tiles), folder / f"{name}.png")
        ET.SubElement(self.asset, "texture", name=name, type="2d", file=f"{name}.png")
        ET.SubElement(self.asset, "material", name=name, texture=name, specular="0.1", shininess="0.1")

    def mesh(self, name: str, mesh: Mesh) -> None:
        """Add a mesh to be seen."""
        file = f"{self.name}_{name}.obj"
        mesh.write(self.folder / file)
        ET.SubElement(self.asset, "mesh", name=name, file=file)

    def hull(self, name: str, rings: Rings) -> None:
        """Add a convex shape to be touched."""
        vertices = [f"{x:g} {y:g} {z:g}" for z, ring in rings.items() for x, y in ring]
        ET.SubElement(self.asset, "mesh", name=f"{name}_hull", vertex="  ".join(vertices))

    def body(
        self,
        name: str,
        pos: Point,
        *,
        yaw: float = 0.0,
        looks: Iterable[str] = (),
        hulls: Iterable[str] = (),
        boxes: Iterable[tuple[Point, Point, float]] = (),
    ) -> None:
        """Add a body that shows meshes and is touched at hulls and at boxes (centre, half-lengths, yaw)."""
        angle = {"euler": f"0 0 {yaw:.6g}"} if yaw else {}
        body = ET.SubElement(self.world, "body", name=name, pos=numbers(pos), **angle)
        for mesh in looks:
            ET.SubElement(body, "geom", type="mesh", mesh=mesh, material=self.name, contype="0", conaffinity="0")
        for mesh in hulls:
            ET.SubElement(body, "geom", type="mesh", mesh=f"{mesh}_hull", group="3")
        for center, half, turn in boxes:
            euler = {"euler": f"0 0 {turn:.6g}"} if turn else {}
            ET.SubElement(body, "geom", type="box", pos=numbers(center), size=numbers(half), group="3", **euler)

    def write(self) -> None:
        ET.indent(self.root)
        path = self.folder / f"{self.name}.xml"
        path.write_text(ET.tostring(self.root, encoding="unicode") + "\n")


def numbers(values: Point) -> str:
    return " ".join(f"{x:g}" for x in values)


def turned(rings: Rings, quarter: int = 1) -> dict[float, list[tuple[float, float]]]:
    """Return rings turned by quarters about z."""
    c, s = round(math.cos(quarter * math.pi / 2)), round(math.sin(quarter * math.pi / 2))
    return {z: [(c * x - s * y, s * x + c * y) for x, y in np.asarray(ring)] for z, ring in rings.items()}
