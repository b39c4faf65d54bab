"""The wheel works outside the checkout, and what the repository says about itself is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")

USE_INSTALLED = """
import sys
from pathlib import Path
import safety_gym, gymnasium
env = gymnasium.make("SafetyPointGoal1-v0")
env.reset(seed=0)
obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
assert env.observation_space.contains(obs) and "cost" in info
package = Path(safety_gym.__file__).parent
assert list((package / "assets").rglob("*.xml")), "no assets beside the package"
checkout, prefix = Path(sys.argv[1]), Path(sys.prefix)
ours = [m for name, m in sys.modules.items() if name.split(".")[0] in ("safety_gym", "safepo")]
for module in ours:
    assert Path(module.__file__).is_relative_to(prefix), module.__file__
    assert not Path(module.__file__).is_relative_to(checkout), module.__file__
assert "torch" not in sys.modules
print("installed", safety_gym.__version__, package)
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.packaging
def test_wheel_holds_both_packages_and_the_assets(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"safety_gym", "safepo"}
    assert {"safety_gym/py.typed", "safepo/py.typed"} <= names
    assets = ROOT / "envs" / "assets"
    expected = {f"safety_gym/assets/{p.relative_to(assets).as_posix()}" for p in assets.rglob("*") if p.is_file()}
    assert expected
    assert wheel.stat().st_size < 10e6, "textures and meshes are small"
    assert {n for n in names if n.startswith("safety_gym/assets/")} == expected
    sources = {p.relative_to(ROOT).as_posix() for pkg in ("safety_gym", "safepo") for p in (ROOT / pkg).rglob("*.py")}
    assert sources <= names


@pytest.mark.packaging
def test_installed_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    env, elsewhere = tmp_path / "env", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", env)
    python = env / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "-q", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=elsewhere)
    # The dependencies come from this environment; path files in a folder named by a path file are not followed, so
    # an editable installation of the checkout is not seen.
    paths = {"scheme": "venv", "vars": {"base": str(env), "platbase": str(env)}}
    site = Path(sysconfig.get_path("purelib", **paths))
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path(k) for k in ("purelib", "platlib")}) + "\n")
    shown = run(python, "-I", "-c", USE_INSTALLED, ROOT, cwd=elsewhere)
    assert "installed" in shown
    assert str(env) in shown
    assert "SafetyPointGoal1-v0" in run(env / "bin" / "safety-gym", "list", cwd=elsewhere)


def test_versions_agree(metadata: dict) -> None:
    version = metadata["project"]["version"]
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert citation and citation[1] == version
    changelog = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert changelog[0] == version
    import safepo

    assert safepo.__version__ == version


def test_constraints_lie_in_the_declared_ranges(metadata: dict) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    project = metadata["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k != "wandb"}  # opt-in, not tested
    for line in [*project["dependencies"], *(line for lines in extras.values() for line in lines)]:
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) == canonicalize_name(project["name"]):
            continue
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned, f"{requirement.name} has no tested version in constraints.txt"
        assert requirement.specifier.contains(pinned), f"{requirement} excludes the tested version {pinned}"


def test_base_install_is_light(metadata: dict) -> None:
    names = {re.split(r"[^\w-]", line)[0] for line in metadata["project"]["dependencies"]}
    assert names == {"numpy", "mujoco", "gymnasium", "pettingzoo"}


@pytest.mark.parametrize("text", TEXTS)
def test_make_targets_in_the_texts_exist(text: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    used = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / text).read_text(), re.M))
    assert used
    assert used <= targets


@pytest.mark.parametrize("text", TEXTS)
def test_links_in_the_texts_lead_somewhere(text: str) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", (ROOT / text).read_text())
    missing = [link for link in links if not (ROOT / text).parent.joinpath(link).exists()]
    assert not missing


def test_readme_lists_existing_extras(metadata: dict) -> None:
    used = set(re.findall(r'pip install "\.\[(\w+)\]"', (ROOT / "README.md").read_text()))
    assert used
    assert used <= set(metadata["project"]["optional-dependencies"])


def test_readme_environment_examples_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    code = "\n".join(block for block in blocks if "safepo" not in block)
    assert "make_vec" in code
    run(sys.executable, "-c", code, cwd=tmp_path)


def test_ci_runs_exactly_make_test() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]


def test_no_machine_paths() -> None:
    """Nothing in the repository depends on, or tells of, the machine it was written on."""
    pattern = re.compile(r"(?<![\w.])/(?:home|Users|root|work|opt|mnt|tmp)/\w|\.\./shared")
    found = []
    for path in tracked_files():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}:{i}: {x.strip()}" for i, x in enumerate(lines, 1) if pattern.search(x)]
    assert not found


def tracked_files() -> list[Path]:
    """The files of the repository; of an unpacked source archive, everything beside hidden folders."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return [p for name in done.stdout.split("\0") if name and (p := ROOT / name).is_file()]
    return [p for p in ROOT.rglob("*") if p.is_file() and not any(x.startswith(".") for x in p.relative_to(ROOT).parts)]
