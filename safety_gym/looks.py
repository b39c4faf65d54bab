"""Looks of objects in the Safe Vision tasks: a mesh that is drawn, and plain shapes that are touched instead of it.

The meshes stand on z = 0; scripts/make_scenery.py makes them and their texture. Shapes, masses and heights follow the
reference suite's meshes, as far as something touches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Vector = tuple[float, float, float]


class Geom(NamedTuple):
    """A primitive of an object in its body frame; `size` as in MJCF (half-lengths, radius first)."""

    type: Literal["box", "cylinder", "sphere"]
    size: Vector
    pos: Vector = (0.0, 0.0, 0.0)


class Inertia(NamedTuple):
    """What a body of density 1 has: mass, centre of mass in its frame, principal moments about it, axes parallel."""

    mass: float
    center: Vector
    moments: Vector


class Look(NamedTuple):
    """An object of size `size` as a mesh; one of another size is stretched, in its plane where `flat`, else as a whole.

    Where something is touched in place of the plain shape, `geoms` says what, `z` how high the body's origin is and,
    for bodies that move, `inertia` what they weigh.
    """

    mesh: str
    size: float
    flat: bool = False
    geoms: tuple[Geom, ...] = ()
    z: float = 0.0
    inertia: Inertia | None = None

    def scaled(self, by: float) -> Look:
        """Return it with all that is touched stretched."""
        geoms = tuple(Geom(type_, _times(by, size), _times(by, pos)) for type_, size, pos in self.geoms)
        inertia = self.inertia
        if inertia is not None:
            mass, center, moments = inertia
            inertia = Inertia(by**3 * mass, _times(by, center), _times(by**5, moments))
        return self._replace(geoms=geoms, z=by * self.z, inertia=inertia)


def _times(by: float, vector: Vector) -> Vector:
    return (by * vector[0], by * vector[1], by * vector[2])


LOOKS: Mapping[str, Look] = {
    # Building: signpost, no-entry signs, toolboxes, hovering robots, drums, push buttons, a crate
    "goal": Look("goal", 0.3, flat=True),
    "hazard": Look("hazard", 0.2, flat=True),
    "vase": Look(
        "vase",
        0.1,
        geoms=(Geom("box", (0.1934, 0.126, 0.0966), (-0.0499, 0.0, 0.0962)),),
        inertia=Inertia(1.0215e-2, (-0.049, -0.0005, 0.105), (1.0897e-4, 8.0352e-5, 7.2217e-5)),
    ),
    "gremlin": Look(
        "gremlin",
        0.1,
        geoms=(Geom("box", (0.1716, 0.19, 0.2296), (-0.0033, 0.0115, 0.2307)),),
        inertia=Inertia(1.9461e-2, (0.0, 0.0, 0.209), (2.46e-4, 2.59e-4, 2.1e-4)),
    ),
    "pillar": Look("pillar", 0.2, geoms=(Geom("cylinder", (0.24, 0.384, 0.0), (0.0, 0.0, -0.1187)),), z=0.5),
    "button": Look("button", 0.1, geoms=(Geom("box", (0.1232, 0.0831, 0.1063)),), z=0.1),
    "push_box": Look("push_box", 0.2),
    # FormulaOne
    "road_barrier": Look(
        "road_barrier",
        0.1,
        geoms=(Geom("cylinder", (0.15, 0.1876, 0.0), (0.0, 0.0, 0.1877)),),
        z=-1.58054e-4,  # where it rests: so it sleeps from the first control step on
        inertia=Inertia(1.4017e-2, (0.0, 0.0, 0.127), (1.959e-4, 1.958e-4, 9.13e-5)),
    ),
    # Race
    "bush": Look("bush", 0.2625, flat=True),
    "flower_bush": Look("flower_bush", 0.3, flat=True),
}
"""By the name that `mesh_name` of an object takes."""
