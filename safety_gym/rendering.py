"""Off-screen pictures of MuJoCo scenes: colour, depth, segmentation, overlay markers, picture grids.

    renderer = FrameRenderer(model, 256, 256)
    frame = renderer.render(data, "track", markers=[cost_marker(robot_pos)])  # (256, 256, 3) uint8

The OpenGL backend is chosen when the first frame is drawn, never at import: `MUJOCO_GL` if it names one
(`egl`, `osmesa`, `glfw`), else the first that works of EGL, GLFW (only with a display) and OSMesa. A backend
that does not work can abort the whole process, so each is tried in a subprocess first (about half a second,
once per process; `SAFETY_GYM_SKIP_GL_PROBE=1` skips it). The first failure is remembered: every later frame
raises `GLUnavailable`.

There is one OpenGL context per thread that draws. What it holds of a model (shapes, textures, an off-screen buffer
that grows with the largest picture) is shared by every `FrameRenderer` of that model and freed with the last of them.

Limits: a `FrameRenderer` draws in the thread that drew its first frame. Before a fork everything is freed, in parent
and child it is made again with the next frame; but a child forked by another thread than the one that draws cannot
draw (OpenGL would hang there): start it with "spawn".
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import difflib
import importlib
import math
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import mujoco

MAX_SIZE = 16384  # pixels; what software OpenGL can hold
MAX_GEOMS = 10_000  # scene geoms and markers in one picture
DETAIL = ((96, 14, 7), (320, 16, 8))  # pixels up to which round shapes have so many slices and stacks at most
PLANE_PATCHES = 8  # of a plane's half side

SHADOW_SIZE = 2048  # pixels of the shadow map
SUN = (0.36, 0.48, -0.8)  # direction of light from straight above, tilted where shadows are drawn

LIDAR_RADIUS = 0.15  # of the ring and of the compass, m
LIDAR_HEIGHT = 0.5  # of the lowest ring above the robot's origin, m
LIDAR_SPACING = 0.06  # between two rings, m

_PROBE_SECONDS = 60.0
_DISABLED = ("disable", "disabled", "off", "false", "0")
_ANY = ("", "enable", "enabled", "on", "true", "1")
_ALIASES = {"glx": "glfw", "wgl": "glfw"}
_LIBRARIES = {
    "egl": ("libEGL.so.1", "libEGL.so"),
    "osmesa": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"),
}
_INSTALL = """\
Install one of these system libraries (no display and no GPU needed):
  Debian/Ubuntu  apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri    (EGL)
                 apt-get install libosmesa6                              (OSMesa, slower)
  conda          conda install -c conda-forge "mesalib<25.1"             (OSMesa)
Or run on a machine with a display. MUJOCO_GL=egl|osmesa|glfw forces one backend."""

_PROBE = """\
import ctypes, importlib, sys
backend, names, reasons = sys.argv[1], sys.argv[2:], []
for name in names:
    try:
        ctypes.CDLL(name)
        break
    except OSError as error:
        reasons.append(str(error))
else:
    if reasons:
        sys.exit(reasons[0])
import mujoco
context = importlib.import_module("mujoco." + backend).GLContext(16, 16)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100).free()
context.free()
"""


class GLUnavailable(RuntimeError):
    """No frame can be drawn; the message names what was tried and what to install."""


@dataclass(frozen=True, eq=False)
class Marker:
    """A shape drawn into a picture and absent from the physics.

    kind  "sphere", "box" or "cylinder"
    pos   centre in the world, (3,)
    size  as in MJCF: sphere (radius, 0, 0), cylinder (radius, half length, 0), box half sizes; (3,)
    rgba  (4,)
    mat   rotation to the world, (9,) row by row
    """

    kind: str
    pos: ArrayLike
    size: ArrayLike
    rgba: ArrayLike
    mat: ArrayLike = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class FrameRenderer:
    """Draws frames of any `MjData` that belongs to `model`; OpenGL starts with the first frame.

    `offsamples` is the number of samples for anti-aliasing (0 is fastest); `shadows` and `reflections` switch
    these effects of the model's lights and materials (reflections take half the time of a frame; for shadows
    directional lights are tilted); `sky` draws the model's sky, else black. `culling` leaves out what lies outside
    the picture, which changes nothing in it but shadows and reflections.

    The model's off-screen buffer size, sample count and detail of round shapes (coarser in small frames) are replaced
    while OpenGL takes the model over, then put back. Colours written into `model.geom_rgba` show in the next frame.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        width: int = 256,
        height: int = 256,
        *,
        shadows: bool = False,
        offsamples: int = 4,
        reflections: bool = True,
        sky: bool = True,
        culling: bool = False,
    ) -> None:
        for name, size in (("width", width), ("height", height)):
            if not 1 <= size <= MAX_SIZE:
                raise ValueError(f"{name} must be between 1 and {MAX_SIZE} pixels, got {size!r}")
        if offsamples < 0:
            raise ValueError(f"offsamples must be 0 or more, got {offsamples!r}")
        self.model = model
        self.width = int(width)
        self.height = int(height)
        self.shadows = bool(shadows)
        self.offsamples = int(offsamples)
        self.reflections = bool(reflections)
        self.sky = bool(sky)
        self.culling = bool(culling)
        self._owner: tuple[int, int] | None = None  # the process and thread that drew the last frame
        self._closed = False

    def render(
        self,
        data: mujoco.MjData,
        camera: str | int,
        *,
        depth: bool = False,
        segmentation: bool = False,
        markers: Sequence[Marker] = (),
        hidden: NDArray[np.bool_] | None = None,
    ) -> NDArray[Any]:
        """Draw one frame into a fresh array.

        Colour (h, w, 3) uint8; depth (h, w) float32, metres from the camera plane, the far plane where
        nothing is; segmentation (h, w, 2) int32, object id and `mujoco.mjtObj`, -1 where nothing is. Markers
        appear in colour frames only. `camera` is a name or an id of the model (-1: a free camera that sees
        the whole scene). Geoms in `hidden` (ngeom,) are not drawn. Kinematics, camera and light poses of `data` must
        be up to date.
        """
        if depth and segmentation:
            raise ValueError("depth and segmentation are two different frames; ask for one of them")
        painter = self._take(data, camera, hidden)
        if depth:
            return painter.ids(self.width, self.height, depth=True)[1]
        if segmentation:
            return painter.ids(self.width, self.height, depth=False)[0]
        _add_markers(painter.scene, markers, self.width / self.height)
        if self.shadows:
            _light_for_shadows(painter.scene, self.model)
        return painter.colour(self.width, self.height)

    def geoms(
        self, data: mujoco.MjData, camera: str | int, hidden: NDArray[np.bool_] | None = None, depth: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return which geom each pixel shows, (h, w) int32, -1 where none, and the depth (h, w), empty unless asked."""
        import mujoco

        ids, far = self._take(data, camera, hidden).ids(self.width, self.height, depth=depth)
        return np.where(ids[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), ids[..., 0], np.int32(-1)), far

    def close(self) -> None:
        """Free what OpenGL holds for this renderer alone; a second call does nothing."""
        self._closed = True
        if self._owner is not None:
            _release(self, *self._owner)
            self._owner = None

    def __enter__(self) -> FrameRenderer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_owner", None) is not None:
            self.close()

    def _take(self, data: mujoco.MjData, camera: str | int, hidden: NDArray[np.bool_] | None) -> _Painter:
        """Return the painter of the model with its scene up to date."""
        camera = self._camera_id(camera)
        if self._closed:
            raise RuntimeError("this FrameRenderer was closed; make a new one")
        here = (os.getpid(), threading.get_ident())
        if self._owner not in (None, here) and self._owner is not None and self._owner[0] == here[0]:
            raise RuntimeError("a FrameRenderer draws in the thread of its first frame; make one per thread")
        painter = _painter(self)
        self._owner = here
        painter.update(data, camera, hidden, self.width / self.height if self.culling else None)
        flags = painter.scene.flags
        flags[_SHADOW], flags[_REFLECTION], flags[_SKYBOX] = self.shadows, self.reflections, self.sky
        return painter

    def _camera_id(self, camera: str | int) -> int:
        if not isinstance(camera, str):
            if not -1 <= camera < self.model.ncam:
                raise ValueError(f"camera {camera!r} is not an id from -1 to {self.model.ncam - 1}")
            return int(camera)
        import mujoco

        found = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        if found < 0:
            names = [self.model.camera(i).name for i in range(self.model.ncam)]
            close = difflib.get_close_matches(camera, names, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"unknown camera {camera!r}; {hint}the model has {', '.join(names) or 'none'}")
        return found


# Painters: what OpenGL holds of a model

_SHADOW, _REFLECTION, _SKYBOX, _SEGMENT, _IDCOLOR = 0, 2, 4, 8, 9  # mjtRndFlag; mujoco is imported late
_UNSEEN = 5  # a geom group that MuJoCo does not draw by default


class _Painter:
    """Shapes and textures of one model in the OpenGL context of one thread, and the scene to be drawn next."""

    def __init__(self, gl: Any, frames: FrameRenderer) -> None:
        import mujoco

        self.gl, self.model = gl, frames.model
        self.users: weakref.WeakSet[FrameRenderer] = weakref.WeakSet()
        self.scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._flags = self.scene.flags.copy()
        gl.make_current()
        with _replaced(_context_settings(frames)), _coarse_planes(self.model):
            self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR

    def update(self, data: mujoco.MjData, camera: int, hidden: NDArray[np.bool_] | None, aspect: float | None) -> None:
        """Put what `camera` sees of `data` into the scene; with `aspect` (width / height) only what can show."""
        import mujoco

        model, scene, view = self.model, self.scene, self._camera
        if camera < 0:
            mujoco.mjv_defaultFreeCamera(model, view)
        else:
            view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera
        if aspect is not None:
            mujoco.mjv_updateCamera(model, data, view, scene)
            outside = ~_in_view(scene.camera[0], aspect, data.geom_xpos, model.geom_rbound)
            outside &= model.geom_rbound > 0  # planes have no bound
            hidden = outside if hidden is None else outside | hidden
        scene.flags[:] = self._flags
        groups = model.geom_group
        kept = groups.copy()
        if hidden is not None:
            groups[hidden] = _UNSEEN
        try:
            mujoco.mjv_updateScene(model, data, self._option, None, view, mujoco.mjtCatBit.mjCAT_ALL.value, scene)
        finally:
            groups[:] = kept

    def colour(self, width: int, height: int) -> NDArray[np.uint8]:
        """Draw the scene, (h, w, 3)."""
        out = np.empty((height, width, 3), np.uint8)
        self._draw(out, None)
        return out[::-1].copy()

    def ids(self, width: int, height: int, *, depth: bool) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Draw object ids and types (h, w, 2), -1 where nothing is, and, if asked, the depth (h, w) in metres."""
        scene = self.scene
        scene.flags[_SEGMENT] = scene.flags[_IDCOLOR] = 1
        code = np.empty((height, width, 3), np.uint8)
        far = np.empty((height, width) if depth else (0, 0), np.float32)
        self._draw(code, far if depth else None)
        table = np.full((scene.ngeom + 1, 2), -1, np.int32)
        for geom in scene.geoms[: scene.ngeom]:
            if geom.segid >= 0:
                table[geom.segid + 1] = geom.objid, geom.objtype
        code = code[::-1].astype(np.int32)
        return table[code[..., 0] | code[..., 1] << 8 | code[..., 2] << 16], self._metres(far[::-1])

    def _metres(self, code: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the distance from the camera plane of depths in the buffer, 0 at the far plane and 1 at the near."""
        extent, planes = self.model.stat.extent, self.model.vis.map
        near, far = planes.znear * extent, planes.zfar * extent
        if self.scene.camera[0].orthographic:
            return np.asarray(far - code * (far - near), np.float32)
        return np.asarray(near * far / (near + code.astype(np.float64) * (far - near)), np.float32)

    def _draw(self, rgb: NDArray[np.uint8], depth: NDArray[np.float32] | None) -> None:
        import mujoco

        height, width = rgb.shape[:2]
        context = self._context
        self.gl.make_current()
        if width > context.offWidth or height > context.offHeight:
            mujoco.mjr_resizeOffscreen(max(width, context.offWidth), max(height, context.offHeight), context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
        view = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(view, self.scene, context)
        mujoco.mjr_readPixels(rgb, depth, view, context)

    def free(self) -> None:
        self.gl.make_current()
        self._context.free()


class _Key(NamedTuple):
    """What a painter is shared by: models by identity, and what OpenGL reads from them once."""

    thread: int
    model: int
    detail: tuple[int, int] | None
    shadows: bool
    offsamples: int


def _painter(frames: FrameRenderer) -> _Painter:
    """Return the painter of this thread that draws for `frames`, made if there is none."""
    _check_fork()
    thread = threading.get_ident()
    key = _Key(thread, id(frames.model), _detail(frames), frames.shadows, frames.offsamples)
    painter = _painters.get(key)
    if painter is None:
        painter = _painters[key] = _make_painter(thread, frames)
    painter.users.add(frames)
    return painter


def _make_painter(thread: int, frames: FrameRenderer) -> _Painter:
    global _gl_pid, _ever_drawn
    backend = select_backend()
    try:
        if thread not in _contexts:
            from mujoco.rendering.classic import gl_context

            with _few_threads(backend):
                _contexts[thread] = gl_context.GLContext(16, 16)
            # Exit hooks run last in, first out: ours must follow that of mujoco.egl to run before it.
            atexit.unregister(_free_all)
            atexit.register(_free_all)
        painter = _Painter(_contexts[thread], frames)
    except Exception as error:
        reason = _no_backend({backend: f"{type(error).__name__}: {error}"})
        raise (GLUnavailable(reason) if _ever_drawn else _remember(reason)) from error
    _gl_pid, _ever_drawn = os.getpid(), True
    return painter


def _release(frames: FrameRenderer, pid: int, thread: int) -> None:
    """Free the painters that only `frames` used, and the context of its thread with the last of them."""
    if pid != os.getpid():
        return
    for key in [k for k, painter in _painters.items() if k.thread == thread and frames in painter.users]:
        _painters[key].users.discard(frames)
    if thread == threading.get_ident():  # a context of another thread must not be touched
        _free_unused(thread)


def _free_unused(thread: int) -> None:
    for key in [k for k, painter in _painters.items() if k.thread == thread and not painter.users]:
        _painters.pop(key).free()
    if thread in _contexts and not any(key.thread == thread for key in _painters):
        _contexts.pop(thread).free()


def _free_all() -> None:
    """Free everything that belongs to this thread."""
    if _gl_pid != os.getpid():
        return
    thread = threading.get_ident()
    for key in [k for k in _painters if k.thread == thread]:
        _painters.pop(key).free()
    if thread in _contexts:
        _contexts.pop(thread).free()


def _prepare_fork() -> None:
    """Give OpenGL up before a fork, threads of the driver included: they would be missing in the child.

    Parent and child begin anew with their next frame.
    """
    global _gl_pid
    if _gl_pid != os.getpid() or any(thread != threading.get_ident() for thread in _contexts):
        return
    _free_all()
    if _backend == "egl":
        from mujoco import egl

        if egl.EGL_DISPLAY is not None:
            egl.EGL.eglTerminate(egl.EGL_DISPLAY)
            egl.EGL_DISPLAY = None
    elif _backend == "glfw":
        import glfw

        glfw.terminate()
    if _backend != "osmesa" or _few_threads_work:
        _gl_pid = None


def _leave_alone() -> None:
    """Keep what a forked child inherited from being destroyed there, which would use OpenGL."""
    for painter in _painters.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(painter))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare_fork, after_in_child=_leave_alone)


@contextlib.contextmanager
def _few_threads(backend: str) -> Iterator[None]:
    """Keep OSMesa, which never gives its threads up, from starting any, unless LP_NUM_THREADS wishes so."""
    global _few_threads_work
    ours = backend == "osmesa" and "LP_NUM_THREADS" not in os.environ
    if ours:
        os.environ["LP_NUM_THREADS"] = "0"
    _few_threads_work = os.environ.get("LP_NUM_THREADS") == "0"
    try:
        yield
    finally:
        if ours:
            del os.environ["LP_NUM_THREADS"]


@contextlib.contextmanager
def _coarse_planes(model: mujoco.MjModel) -> Iterator[None]:
    """Let finite planes be drawn with few patches for a while.

    The third size of a plane is the length of its patches, for lights that are near. Of 0.1 m, as in our arena, a floor
    would cost more than everything on it.
    """
    import mujoco

    planes = (model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)) & (model.geom_size[:, :2] > 0).all(axis=1)
    kept = model.geom_size[planes, 2]
    model.geom_size[planes, 2] = np.maximum(kept, model.geom_size[planes, :2].max(axis=1) / PLANE_PATCHES)
    try:
        yield
    finally:
        model.geom_size[planes, 2] = kept


@contextlib.contextmanager
def _replaced(settings: Sequence[tuple[Any, str, int]]) -> Iterator[None]:
    """Set attributes for a while: (holder, name, value)."""
    kept = [(holder, name, getattr(holder, name)) for holder, name, _ in settings]
    for holder, name, value in settings:
        setattr(holder, name, value)
    try:
        yield
    finally:
        for holder, name, value in kept:
            setattr(holder, name, value)


# Backends


def working_backends() -> dict[str, str]:
    """Try every backend of this platform in a subprocess: "ok" or the reason why it does not work."""
    return {backend: _probe(backend) for backend in _platform_backends()}


def select_backend() -> str:
    """Choose the OpenGL backend, once per process.

    Raises `GLUnavailable` if none works, the same one at every later call.
    """
    global _backend
    _check_fork()
    if _failure is not None:
        raise GLUnavailable(_failure)
    if _backend is None:
        _backend = _first_working(_candidates())
    return _backend


_backend: str | None = None
_failure: str | None = None
_probed: dict[str, str] = {}
_gl_pid: int | None = None  # the process whose OpenGL contexts these are
_ever_drawn = False
_few_threads_work = False
_contexts: dict[int, Any] = {}  # by thread
_painters: dict[_Key, _Painter] = {}


def _platform_backends() -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ("cgl", "glfw")
    if sys.platform == "win32":
        return ("glfw",)
    return ("egl", "osmesa", "glfw")


def _candidates(env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """List the backends to try, best first."""
    wish = env.get("MUJOCO_GL", "").strip().lower()
    wish = _ALIASES.get(wish, wish)
    if wish in _DISABLED:
        raise _remember(f"rendering is switched off by the environment variable MUJOCO_GL={wish}")
    known = _platform_backends()
    if wish in known:
        return (wish,)
    if wish not in _ANY:
        raise _remember(f"unknown MUJOCO_GL={wish!r}; accepted here: {', '.join(known)} or nothing")
    if not sys.platform.startswith("linux"):
        return known
    display = env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")
    order = ("egl", "glfw", "osmesa") if display else ("egl", "osmesa")
    # PyOpenGL binds to one platform in a process; whoever set this variable has made the choice.
    bound = env.get("PYOPENGL_PLATFORM", "").strip().lower()
    return tuple(b for b in order if b == bound or bound not in ("egl", "osmesa") or b == "glfw")


def _first_working(candidates: Sequence[str]) -> str:
    skip_probe = os.environ.get("SAFETY_GYM_SKIP_GL_PROBE", "") not in ("", "0") or not sys.executable
    tried: dict[str, str] = {}
    for backend in candidates:
        reason = _load_library(backend) if skip_probe else _probe(backend)
        if reason == "ok":
            _install(backend)
            return backend
        tried[backend] = reason
    raise _remember(_no_backend(tried))


def _probe(backend: str) -> str:
    """Make an OpenGL context in a subprocess: a failed attempt may abort the process or spoil later ones."""
    if backend not in _probed:
        env = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"}
        env |= {"MUJOCO_GL": backend, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
        command = [sys.executable, "-c", _PROBE, backend, *_LIBRARIES.get(backend, ())]
        try:
            with tempfile.TemporaryDirectory() as folder:  # MuJoCo writes a log file where it runs
                done = subprocess.run(
                    command, env=env, cwd=folder, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
                )
        except subprocess.TimeoutExpired:
            _probed[backend] = f"no answer within {_PROBE_SECONDS:.0f} s"
        except OSError as error:
            _probed[backend] = f"the probe could not be started: {error}"
        else:
            _probed[backend] = "ok" if done.returncode == 0 else _probe_reason(done)
    return _probed[backend]


def _probe_reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}" + (f": {lines[-1]}" if lines else "")
    return lines[-1] if lines else f"exit status {done.returncode}"


def _load_library(backend: str) -> str:
    """Load the library of the backend, the check without a subprocess: "ok" or the reason."""
    reasons = []
    for name in _LIBRARIES.get(backend, ()):
        try:
            ctypes.CDLL(name)
            return "ok"
        except OSError as error:
            reasons.append(str(error))
    return reasons[0] if reasons else "ok"


def _install(backend: str) -> None:
    """Make `mujoco.Renderer` use the backend (MUJOCO_GL counts only while mujoco is imported)."""
    try:
        from mujoco.rendering.classic import gl_context

        gl_context.GLContext = importlib.import_module(f"mujoco.{backend}").GLContext
    except Exception as error:
        raise _remember(_no_backend({backend: f"{type(error).__name__}: {error}"})) from error


def _context_settings(frames: FrameRenderer) -> list[tuple[Any, str, int]]:
    """List what the OpenGL context reads from the model while it is made: (holder, attribute, value)."""
    size, quality = frames.model.vis.global_, frames.model.vis.quality
    settings = [
        (size, "offwidth", frames.width),
        (size, "offheight", frames.height),
        (quality, "offsamples", frames.offsamples),
    ]
    settings.append((quality, "shadowsize", min(SHADOW_SIZE, quality.shadowsize) if frames.shadows else 0))
    if (detail := _detail(frames)) is not None:
        settings.append((quality, "numslices", min(detail[0], quality.numslices)))
        settings.append((quality, "numstacks", min(detail[1], quality.numstacks)))
    return settings


def _detail(frames: FrameRenderer) -> tuple[int, int] | None:
    """Return the most slices and stacks of a sphere in pictures of this size; None: the model's own."""
    size = max(frames.width, frames.height)
    return next(((slices, stacks) for limit, slices, stacks in DETAIL if size <= limit), None)


def _remember(reason: str) -> GLUnavailable:
    global _failure
    _failure = reason
    return GLUnavailable(reason)


def _no_backend(tried: Mapping[str, str]) -> str:
    lines = [f"  {backend}: {reason}" for backend, reason in tried.items()] or ["  nothing"]
    return "\n".join(["no OpenGL backend works, so no frame can be drawn. Tried:", *lines, _INSTALL])


def _check_fork() -> None:
    if _gl_pid not in (None, os.getpid()):
        raise GLUnavailable(
            "this process was forked while OpenGL was in use in another thread of its parent, which it does not "
            'survive. Fork from the thread that draws, or start the child with the "spawn" or "forkserver" method '
            "of multiprocessing."
        )


# Markers


def lidar_markers(
    agent_pos: ArrayLike, agent_mat: ArrayLike, readings: ArrayLike, colors: ArrayLike, heights: ArrayLike
) -> list[Marker]:
    """Show k pseudo lidars as rings of spheres above the robot; a sphere is as bright as its bin.

    agent_pos (3,) and agent_mat (3, 3) are the pose of the robot; readings (k, bins), colors (k, 3 or 4),
    heights (k,) the number of the ring, 0 for the lowest. The rings are fixed in the robot's frame.
    """
    readings = np.atleast_2d(np.asarray(readings, np.float64))
    colors = _rgba(colors)
    heights = np.atleast_1d(np.asarray(heights, np.float64))
    k, bins = readings.shape
    if colors.shape != (k, 4) or heights.shape != (k,):
        raise ValueError(f"{k} lidars need {k} colors and heights, got {colors.shape} and {heights.shape}")
    angle = 2.0 * np.pi * (np.arange(bins) + 0.5) / bins
    local = np.empty((k, bins, 3))
    local[..., 0] = LIDAR_RADIUS * np.cos(angle)
    local[..., 1] = LIDAR_RADIUS * np.sin(angle)
    local[..., 2] = (LIDAR_HEIGHT + LIDAR_SPACING * heights)[:, None]
    pos = np.asarray(agent_pos, np.float64) + local @ np.asarray(agent_mat, np.float64).reshape(3, 3).T
    rgba = colors[:, None, :] * np.minimum(1.0, readings + 0.1)[..., None]
    size = np.full(3, 0.025)
    spheres = zip(pos.reshape(-1, 3), rgba.reshape(-1, 4), strict=True)
    return [Marker("sphere", p, size, c) for p, c in spheres]


def compass_marker(
    agent_pos: ArrayLike, agent_mat: ArrayLike, compass: ArrayLike, color: ArrayLike, height: float = 0
) -> Marker:
    """Show the compass, a vector (2,) or (3,) in the robot's frame, as a sphere on lidar ring `height`."""
    local = np.array([0.0, 0.0, LIDAR_HEIGHT + LIDAR_SPACING * height])
    local[:2] += LIDAR_RADIUS * np.asarray(compass, np.float64)[:2]
    pos = np.asarray(agent_pos, np.float64) + np.asarray(agent_mat, np.float64).reshape(3, 3) @ local
    return Marker("sphere", pos, np.full(3, 0.05), 0.5 * _rgba(color)[0])


def cost_marker(agent_pos: ArrayLike) -> Marker:
    """Show that the last step had a cost: a translucent red sphere around the robot."""
    return Marker("sphere", np.array(agent_pos, np.float64), np.full(3, 0.25), np.array([0.5, 0.0, 0.0, 0.5]))


def _rgba(colors: ArrayLike) -> NDArray[np.float64]:
    """Complete (k, 3) or (k, 4) or one colour to (k, 4)."""
    colors = np.atleast_2d(np.asarray(colors, np.float64))
    if colors.shape[-1] == 3:
        colors = np.concatenate([colors, np.ones((len(colors), 1))], axis=-1)
    return colors


def _add_markers(scene: Any, markers: Sequence[Marker], aspect: float) -> None:
    """Append the markers that the camera can see to the scene."""
    if not markers:
        return
    import mujoco

    kinds = {
        "sphere": int(mujoco.mjtGeom.mjGEOM_SPHERE),
        "box": int(mujoco.mjtGeom.mjGEOM_BOX),
        "cylinder": int(mujoco.mjtGeom.mjGEOM_CYLINDER),
    }
    pos = np.array([marker.pos for marker in markers], np.float64)
    size = np.array([marker.size for marker in markers], np.float64)
    rgba = np.array([marker.rgba for marker in markers], np.float32)
    visible = np.flatnonzero(_in_view(scene.camera[0], aspect, pos, np.linalg.norm(size, axis=1))).tolist()
    first = scene.ngeom
    if first + len(visible) > scene.maxgeom:
        raise ValueError(f"{len(visible)} markers are too many; {scene.maxgeom - first} fit into this frame")
    geoms = scene.geoms
    for geom, i in zip(geoms[first : first + len(visible)], visible, strict=True):
        marker = markers[i]
        if marker.kind not in kinds:
            raise ValueError(f"unknown marker kind {marker.kind!r}; accepted: {', '.join(kinds)}")
        mat = np.asarray(marker.mat, np.float64).reshape(9)
        mujoco.mjv_initGeom(geom, kinds[marker.kind], size[i], pos[i], mat, rgba[i])
    scene.ngeom = first + len(visible)


def _in_view(camera: Any, aspect: float, pos: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say for each ball (k, 3), (k,) whether it can show: a hidden one would cost as much as a visible one.

    Errs on the visible side; mirror images in a reflecting floor do not count.
    """
    if camera.orthographic:
        return np.ones(len(pos), bool)
    near = camera.frustum_near
    half_y = max(abs(camera.frustum_top), abs(camera.frustum_bottom)) / near
    half_x = half_y * aspect
    if camera.frustum_width:
        half_x = (camera.frustum_width + abs(camera.frustum_center)) / near
    fx, fy, fz = forward = camera.forward.tolist()
    ux, uy, uz = up = camera.up.tolist()
    right = (fy * uz - fz * uy, fz * ux - fx * uz, fx * uy - fy * ux)
    x, y, z = np.array((right, up, forward)) @ (pos - camera.pos).T
    radius = radius + 0.1  # the two eyes of the scene stand a few centimetres apart
    outside_x = np.abs(x) - half_x * z > radius * math.hypot(1.0, half_x)
    outside_y = np.abs(y) - half_y * z > radius * math.hypot(1.0, half_y)
    return ~(outside_x | outside_y | (z < -radius))


def _light_for_shadows(scene: Any, model: mujoco.MjModel) -> None:
    """Tilt light from straight above, so that shadows show, and scale the lights to full brightness in sum.

    With shadows every light is added to the picture on its own: more than full brightness would be white.
    """
    lights = scene.lights[: scene.nlight]
    total = sum(float(light.diffuse.max()) + float(light.ambient.max()) for light in lights)
    total = max(0.85 * total, 1.0)  # tilted light reaches the floor weakened
    for light in lights:
        light.diffuse[:] /= total
        light.ambient[:] /= total
        if not light.headlight and light.dir[2] < -0.99:
            light.dir[:] = SUN
            light.pos[:] = model.stat.center - model.stat.extent * np.array(SUN)


# Pictures


def grid(
    frames: Sequence[ArrayLike],
    columns: int,
    labels: Sequence[str] | None = None,
    *,
    gap: int = 6,
    background: int = 255,
) -> NDArray[np.uint8]:
    """Compose equally large colour frames (h, w, 3) into one picture, row by row, labels beneath.

    Labels need Pillow (the 'render' extra).
    """
    pictures = [np.asarray(frame, np.uint8) for frame in frames]
    shapes = {picture.shape for picture in pictures}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3 or next(iter(shapes))[2] != 3:
        raise ValueError(f"grid needs one or more colour frames of one shape (h, w, 3), got {sorted(shapes)}")
    if columns < 1:
        raise ValueError(f"columns must be 1 or more, got {columns!r}")
    if labels is not None and len(labels) != len(pictures):
        raise ValueError(f"{len(pictures)} frames need {len(pictures)} labels, got {len(labels)}")
    h, w, _ = pictures[0].shape
    strip = 0 if labels is None else max(18, h // 11)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    canvas = np.full((rows * (h + strip + gap) + gap, columns * (w + gap) + gap, 3), background, dtype=np.uint8)
    for i, picture in enumerate(pictures):
        y, x = gap + (i // columns) * (h + strip + gap), gap + (i % columns) * (w + gap)
        canvas[y : y + h, x : x + w] = picture
        if labels is not None:
            canvas[y + h : y + h + strip, x : x + w] = _label(labels[i], w, strip, background)
    return canvas


def _label(text: str, width: int, height: int, background: int) -> NDArray[np.uint8]:
    """Draw one line of text in the middle of a (height, width, 3) strip, smaller if it would not fit."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise ImportError("labels need Pillow: install the 'render' extra") from error
    shade = 20 if background > 127 else 235
    image = Image.new("RGB", (width, height), (background,) * 3)
    draw = ImageDraw.Draw(image)
    size = 0.68 * height
    font = ImageFont.load_default(size)
    if (length := draw.textlength(text, font=font)) > 0.96 * width:
        font = ImageFont.load_default(max(6.0, size * 0.96 * width / length))
    draw.text((width / 2, height / 2), text, fill=(shade,) * 3, font=font, anchor="mm")
    return np.asarray(image)
