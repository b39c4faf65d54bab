"""Importing and stepping stay light: no torch, no OpenGL, no algorithms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# MuJoCo itself imports glfw.
HEAVY = (
    "torch",
    "OpenGL",
    "pygame",
    "safepo",
    "matplotlib",
    "pandas",
    "scipy",
    "PIL",
    "imageio",
    "tyro",
    "rich",
)


def run(code: str, tmp_path: Path) -> Any:
    """Run code in a fresh interpreter somewhere else; return what it printed last, as JSON."""
    environment = {key: value for key, value in os.environ.items() if key != "MUJOCO_GL"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


LOADED = f"""
import json, sys
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r}))))
"""


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    assert run("import safety_gym" + LOADED, tmp_path) == []


def test_stepping_loads_nothing_heavy(tmp_path: Path) -> None:
    """Making, resetting, stepping, saving, also with a render mode that is never used."""
    code = """
    import gymnasium, numpy as np, pickle, safety_gym
    env = safety_gym.make("SafetyPointGoal2-v0")
    env.reset(seed=0)
    env.step(np.zeros(2))
    envs = safety_gym.make_vec("SafetyCarButton1-v0", num_envs=3, num_threads=2)
    envs.reset(seed=0)
    envs.step(np.zeros((3, 2)))
    envs.unwrapped.set_state(envs.unwrapped.get_state())
    env = gymnasium.make("SafetyPointPush1-v0", render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.zeros(2))
    """
    assert run(textwrap.dedent(code) + LOADED, tmp_path) == []


def test_import_is_cheap(tmp_path: Path) -> None:
    """CPU time beside that of gymnasium and mujoco, the best of three; registering 1014 ids included."""
    code = """
    import json, time
    start = time.process_time()
    import gymnasium, gymnasium.vector, mujoco, mujoco.batch
    theirs = time.process_time()
    import safety_gym
    print(json.dumps((time.process_time() - theirs) / (theirs - start)))
    """
    ratio = min(run(code, tmp_path) for _ in range(3))
    print(f"import safety_gym: {ratio:.2f} of the CPU time of importing gymnasium and mujoco")
    assert ratio < 1


def test_import_writes_nothing(tmp_path: Path) -> None:
    run("import json, safety_gym; print(json.dumps(1))", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_import_does_not_warn(tmp_path: Path) -> None:
    code = """
    import json, warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import safety_gym
        from importlib import reload
    print(json.dumps([str(w.message) for w in caught if "safety_gym" in (w.filename or "")]))
    """
    assert run(code, tmp_path) == []


def test_importing_leaves_numpys_global_stream_alone(tmp_path: Path) -> None:
    code = """
    import json
    import numpy as np
    np.random.seed(0)
    import safety_gym
    env = safety_gym.make("SafetyPointGoal1-v0")
    env.reset()
    env.step(np.zeros(2))
    drawn = np.random.random()
    np.random.seed(0)
    print(json.dumps(drawn == np.random.random()))
    """
    assert run(code, tmp_path) is True


def test_the_namespace_is_what_it_says() -> None:
    import safety_gym

    assert set(safety_gym.__all__) <= set(dir(safety_gym))
    assert {"make", "make_vec", "ids", "register_task", "registry", "wrappers", "LayoutError"} <= set(
        safety_gym.__all__
    )
    assert safety_gym.__version__
