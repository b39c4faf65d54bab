"""Import MuJoCo whatever `MUJOCO_GL` says: stepping needs no OpenGL, but MuJoCo imports the backend named there."""

from __future__ import annotations

import os
import sys


def import_mujoco() -> None:
    """Import MuJoCo; where the OpenGL backend of `MUJOCO_GL` is missing or unknown, import it without one.

    The variable keeps its value: drawing reads it again and reports the problem at the first frame.
    """
    try:
        import mujoco
    except Exception:
        wish = os.environ.pop("MUJOCO_GL", None)
        if wish is None:
            raise
        for name in [m for m in sys.modules if m == "mujoco" or m.startswith("mujoco.rendering")]:
            del sys.modules[name]
        try:
            import mujoco  # noqa: F401
        finally:
            os.environ["MUJOCO_GL"] = wish
