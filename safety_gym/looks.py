"""Looks of objects in the Safe Vision tasks: a mesh that is drawn, and plain shapes that are touched instead of it.

The meshes and their texture are made by scripts/make_scenery.py. They stand on z = 0 and are drawn from the floor up,
wherever the origin of the object's body is.
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
    """Volume, m^3, centre of mass, m, and principal inertia about it at density 1, m^5, axes parallel to the body's."""

    volume: float
    center: Vector
    moments: Vector


class Look(NamedTuple):
    """`geoms` are what is touched, `z` the height of the body's origin; both None: as without a mesh.

    `inertia` counts for bodies that move, None: that of the geoms. `size` is the radius or half-width of the mesh:
    an object of another size is drawn stretched, in its plane or as a whole; None: never.
    """

    mesh: str
    z: float | None = None
    geoms: tuple[Geom, ...] | None = None
    inertia: Inertia | None = None
    size: float | None = None
    flat: bool = False


LOOKS: Mapping[str, Look] = {
    # Race
    "bush": Look("bush", size=0.2625, flat=True),
    "flower_bush": Look("flower_bush", size=0.3, flat=True),
}
"""By the name that `mesh_name` of an object takes."""
