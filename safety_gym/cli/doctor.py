"""`safety-gym doctor`: what works on this machine and what to do about what does not.

`foreign_packages` looks for another package of the import name `safety_gym` beside this one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from safety_gym.cli.common import DEFAULT_ID, DISTRIBUTION, Command, timed, version

WALKER_ID = "SafetyHalfCheetahVelocity-v1"
PACKAGE = Path(__file__).resolve().parents[1]
FOREIGN_ADVICE = (
    "Only one package can have the import name safety_gym. Use a fresh virtual environment, or: "
    f"pip uninstall -y safety-gym; pip install --force-reinstall --no-deps {DISTRIBUTION} (from where you installed it)"
)
"""What to do about `foreign_packages`."""


def _run(args: argparse.Namespace) -> int:
    _check_versions()
    _check_machine()
    foreign = foreign_packages()
    if foreign:
        _line("warn", "import name", "; ".join(foreign), FOREIGN_ADVICE)
    else:
        _line("ok", "import name", "no other package safety_gym in sight")
    _check_mujoco()
    works = _check_stepping(DEFAULT_ID, "reset and step", "FAIL")
    _check_stepping(WALKER_ID, "velocity tasks", "warn")  # their models are Gymnasium's
    _check_drawing(works)
    print("\nThe environments work." if works else "\nThe environments do not work: see FAIL above.")
    return 0 if works else 1


def _line(verdict: str, what: str, value: str, advice: str = "") -> None:
    """Print what was looked at, with `ok`, `warn` or `FAIL`."""
    print(f"{verdict:4}  {what:22} {value}".rstrip(), flush=True)
    for text in filter(None, advice.splitlines()):
        print(f"      {'':22} {text}", flush=True)


def _check_versions() -> None:
    _line("ok", "python", f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}")
    _line("ok", "safety_gym", f"{version(DISTRIBUTION) or 'a checkout, not installed'}, {PACKAGE}")
    for name in ("numpy", "mujoco", "gymnasium", "pettingzoo"):
        number = version(name)
        _line("ok" if number else "FAIL", name, number or f"missing; pip install {name}")
    _line("ok", "torch", version("torch") or "not installed; only training needs it (the 'train' extra)")


def foreign_packages(path: Sequence[str] | None = None) -> list[str]:
    """Look for another package of the import name `safety_gym`; return what was found, in words. Empty: none.

    The 2019 OpenAI package is called `safety-gym` and uses the same name; whichever of two installations comes first
    on the path wins, and in one folder the later overwrites the earlier. `path` replaces `sys.path`.
    """
    found = []
    entries = [os.path.abspath(entry or os.curdir) for entry in (sys.path if path is None else path)]
    for dist in importlib.metadata.distributions(path=entries):
        name = re.sub(r"[-_.]+", "-", dist.metadata["Name"] or "").lower()
        if name == "safety-gym" and _holds_package(dist):
            where = f"(in {dist.locate_file('')})"
            found.append(f"the distribution {dist.metadata['Name']} {dist.version} {where} is installed")
    if (PACKAGE / "envs" / "engine.py").exists():
        found.append(f"{PACKAGE} also holds files of the 2019 package: one was installed over the other")
    seen = {PACKAGE}
    for entry in entries:
        folder = Path(entry, "safety_gym")
        if (folder / "__init__.py").is_file() and (real := folder.resolve()) not in seen:
            seen.add(real)
            what = "the 2019 package" if (folder / "envs" / "engine.py").exists() else "another package or copy"
            found.append(f"{folder} is {what} of the import name safety_gym")
    imported = getattr(sys.modules.get("safety_gym"), "__file__", None)
    if imported and Path(imported).resolve().parent != PACKAGE:
        found.append(f"`import safety_gym` gives {imported}, not {PACKAGE}")
    return list(dict.fromkeys(found))


def _holds_package(dist: importlib.metadata.Distribution) -> bool:
    top, files = (dist.read_text("top_level.txt") or "").split(), dist.files
    if "safety_gym" in top or not files:
        return True
    return any(f.parts[0] == "safety_gym" or "__editable__" in f.name or f.suffix == ".pth" for f in files)


def _check_machine() -> None:
    from safety_gym.world import available_cores

    cores, quota = available_cores(), _cpu_quota()
    text = f"{cores} usable of {os.cpu_count()}"
    if quota is None or quota >= cores:
        _line("ok", "cores", text)
    else:
        advice = f"set SAFETY_GYM_THREADS={max(1, round(quota))}: more threads than that only wait"
        _line("warn", "cores", f"{text}, but the container may use the time of {quota:g}", advice)
    threads = os.environ.get("SAFETY_GYM_THREADS")
    if threads and not (threads.isdigit() and int(threads) >= 1):
        _line("FAIL", "SAFETY_GYM_THREADS", f"{threads!r}: expected a whole number >= 1; unset it or correct it")
    else:
        _line("ok", "SAFETY_GYM_THREADS", threads or "not set: one thread per environment, at most one per core")
    _line("ok", "MUJOCO_GL", os.environ.get("MUJOCO_GL") or "not set: chosen at the first frame")
    _line("ok", "DISPLAY", _display() or "not set: no windows (pictures and videos need none)")


def _cpu_quota() -> float | None:
    """Return the cores' worth of time that the container may use (cgroup v2), None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    return None


def _display() -> str | None:
    return os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")


def _check_mujoco() -> None:
    """Say what MUJOCO_GL does to `import mujoco`, which imports the backend it names."""
    wish = os.environ.get("MUJOCO_GL")
    reason = _import_problem("mujoco", os.environ)
    if reason is None:
        _line("ok", "import mujoco", "works")
        return
    without = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    if wish and _import_problem("mujoco", without) is None:
        advice = (
            f"`import mujoco` loads the OpenGL backend that MUJOCO_GL={wish} names, and that one does not load here.\n"
            "Stepping needs no OpenGL. Unset MUJOCO_GL (the backend is then chosen at the first frame),\n"
            "or name one that works (below), or install its library."
        )
        _line("warn", "import mujoco", f"fails because of MUJOCO_GL={wish}: {reason}", advice)
    else:
        _line("FAIL", "import mujoco", reason)


def _import_problem(module: str, env: Mapping[str, str]) -> str | None:
    """Import a module in a fresh interpreter; return the last line of what went wrong."""
    command = [sys.executable, "-c", f"import {module}"]
    path = os.pathsep.join(os.path.abspath(entry or os.curdir) for entry in sys.path)
    try:
        env = {**env, "PYTHONPATH": path}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return ([*done.stderr.strip().splitlines()] or [f"exit status {done.returncode}"])[-1]


def _check_stepping(env_id: str, what: str, bad: str) -> bool:
    """Make, reset and step an environment; the verdict is `bad` where that fails."""
    import safety_gym

    try:
        make, env = timed(safety_gym.make, env_id)
        reset, _ = timed(lambda: env.reset(seed=0))
        action = 0 * env.action_space.low
        first, _ = timed(env.step, action)
        steps, _ = timed(lambda: [env.step(action) for _ in range(200)])
        env.close()
    except Exception as error:
        _line(bad, what, f"{type(error).__name__}: {error}")
        return False
    text = f"make {1e3 * make:.1f} ms, reset {1e3 * reset:.1f} ms, first step {1e3 * first:.1f} ms"
    _line("ok", what, f"{env_id}: {text}, then {1e6 * steps / 200:.0f} us per step")
    return True


def _check_drawing(works: bool) -> None:
    """Try the OpenGL backends and draw one frame; what does not work is a warning."""
    import safety_gym

    try:
        from safety_gym.rendering import select_backend, working_backends

        backends = working_backends()
    except Exception as error:
        _line("warn", "OpenGL", f"not tried: {type(error).__name__}: {error}")
        return
    for name, result in backends.items():
        if result != "ok" and name == "glfw" and not _display():
            result = "needs a display"
        _line("ok" if result == "ok" else "-", f"OpenGL {name}", "works" if result == "ok" else result)
    if not works:
        _line("-", "one frame", "not tried, since stepping does not work")
        return
    try:
        env = safety_gym.make(DEFAULT_ID, render_mode="rgb_array")
        env.reset(seed=0)
        first, frame = timed(env.render)
        second, _ = timed(env.render)
        env.close()
    except Exception as error:
        _line("warn", "one frame", "cannot be drawn; everything without pictures works", str(error))
        return
    shape = "x".join(map(str, frame.shape[:2]))
    _line("ok", "one frame", f"{shape} in {1e3 * second:.1f} ms (the first {1e3 * first:.0f} ms)")
    _line("ok", "backend in use", select_backend())


COMMAND = Command(
    "doctor",
    "check this installation",
    "Versions, cores, OpenGL, one reset, one step and one frame. Exit code 0 when stepping works; missing OpenGL "
    "is a warning.",
    lambda parser: None,
    _run,
)
