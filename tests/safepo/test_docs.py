"""The pages of the algorithms agree with the code, name all that can be set and logged; commands and examples run."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import safepo
from safepo import cli
from safepo.algorithms import ALGORITHMS, ALL_ALGORITHMS, MODEL_ALGORITHMS, TEAM_ALGORITHMS
from safepo.algorithms.cup import coefficient
from safepo.algorithms.settings import ENCODERS
from safepo.config import PRESETS, RunConfig, make_config, presets_of
from safepo.dreamer.settings import Variant
from safepo.logger import read_rows
from safepo.rollout import WINDOW
from tests.safepo.conftest import SMALL
from tests.safepo.test_teams import PULL
from tests.test_docs import anchors, blocks, links

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "algorithms"
PAGES = sorted(FOLDER.glob("*.md"))
Small = Callable[..., Path]


@cache
def docs() -> ModuleType:
    """The script, which imports its neighbour in scripts/."""
    scripts = str(ROOT / "scripts")
    spec = importlib.util.spec_from_file_location("make_algorithm_docs", f"{scripts}/make_algorithm_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, scripts)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(scripts)
    return module


DOCUMENTED = ALGORITHMS | TEAM_ALGORITHMS
GROUPS = ("ep", "cost", "safety", "loss", "value", "train", "time")
"""First parts of the names of metrics."""


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """The rows of a page's tables by what stands in backticks in the first cell."""
    found = re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, re.M)
    return {name: [cell.strip() for cell in re.split(r"(?<!\\)\|", cells)] for name, cells in found}


def known(name: str) -> set[str]:
    """The settings of an algorithm and of a run."""
    return {*vars(RunConfig()), *vars(make_config(name).settings)}


def accepted(name: str) -> set[str]:
    """Presets and values of settings of an algorithm with presets of its own."""
    if name not in MODEL_ALGORITHMS:
        return set()
    return {*Variant.__args__, *presets_of(name), "replay", "goal_positions", "hazards_positions"}


# --- the pages and the code -------------------------------------------------------------------------------------------


def test_pages_are_what_the_code_says() -> None:
    wanted = docs().pages()
    written = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
    assert sorted(written) == sorted(wanted), "run `make docs`"
    differing = [file for file in wanted if wanted[file] != written[file]]
    assert not differing, "run `make docs`"


def test_check_finds_pages_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs(), "FOLDER", tmp_path)
    monkeypatch.setattr(docs(), "pages", lambda: {"a.md": "new\n", "b.md": "as it was\n"})
    for file, text in {"a.md": "old\n", "b.md": "as it was\n", "gone.md": "of an algorithm that is no more\n"}.items():
        (tmp_path / file).write_text(text)
    monkeypatch.setattr("sys.argv", ["make_algorithm_docs.py", "--check"])
    assert docs().main() == 1
    told = capsys.readouterr().err
    assert "a.md" in told and "gone.md" in told and "b.md" not in told and (tmp_path / "a.md").read_text() == "old\n"
    monkeypatch.setattr("sys.argv", ["make_algorithm_docs.py"])
    assert docs().main() == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == docs().pages()


def test_every_algorithm_has_a_page_and_a_fragment() -> None:
    names = {*ALL_ALGORITHMS, "README"}
    assert {path.stem for path in PAGES} == names
    assert {path.stem for path in docs().FRAGMENTS.glob("*")} == names
    assert set(docs().REFERENCES) == set(ALL_ALGORITHMS)
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name}.md)" in index for name in ALL_ALGORITHMS)


@pytest.mark.parametrize("name", ["README", *ALL_ALGORITHMS])
def test_every_setting_is_documented(name: str) -> None:
    settings: Any = RunConfig() if name == "README" else make_config(name).settings
    table = rows(page(name))
    for field in dataclasses.fields(settings):
        default, meaning = table[field.name]
        shown = default.strip("`").replace("_", "") if isinstance(field.default, int) else default.strip("`")
        assert shown == repr(field.default) and len(meaning.split()) >= 3, field.name


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_metric_of_a_run_is_documented(name: str, small: Small) -> None:
    """And no page promises a metric that is not logged."""
    given = {"env_id": PULL} if name in TEAM_ALGORITHMS else {}
    run = small(name, total_steps=200, eval_episodes=0, **given)
    logged = {docs().as_documented(key) for key in read_rows(run / "metrics.csv")[0]} - {"step"}
    documented = {key for text in (page("README"), page(name)) for key in rows(text) if key.split("/")[0] in GROUPS}
    assert documented - {"cost/<name>"} == logged - {"cost/<name>"}


def test_metrics_of_evaluations_are_documented(small: Small) -> None:
    run = small("ppo", total_steps=400, eval_every=1)
    found = {key for key in read_rows(run / "metrics.csv")[0] if key.startswith("eval")}
    assert found == {f"{mode}/{name}" for mode in ("eval", "eval_stochastic") for name in ("return", "cost", "length")}
    assert all(f"`{key}`" in page("README") for key in ("eval/return", "eval/cost", "eval/length", "eval_stochastic/"))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_differences_are_those_of_the_docstring(name: str) -> None:
    doc = " ".join(docs().module_doc(name).split())
    for what, heading in (("the paper", "## Differs from the paper in"), ("SafePO", "## Differs from SafePO in")):
        points = docs().differences(name, what)
        assert all(point in doc and len(point) > 5 for point in points)
        section = page(name).partition(heading)[2].partition("\n## ")[0]
        assert len(re.findall(r"^- ", section, re.M)) == len(points) > 0
        assert ".py" not in section, "a module that is referred to is a link to its page"
        for point in points:
            assert not re.search(r"\bthere\b|listed above", point), "a point says where its list is"


def test_points_are_split_outside_parentheses(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "pg": "X: y.\n\nDiffers from the paper in: one (a; b\nand c); the points listed in `ppo.py`; three.\n"
        "Differs from SafePO in: four.\n",
        "ppo": "P: q.\n\nDiffers from the paper in: p.",
    }
    monkeypatch.setattr(docs(), "module_doc", texts.__getitem__)
    assert docs().differences("pg", "the paper") == ["one (a; b and c)", "the points listed in `ppo.py`", "three"]
    assert docs().differences("pg", "SafePO") == ["four"]
    assert list(docs().difference_list("pg", "the paper"))[1:3] == ["- the points listed in [P](ppo.md)", "  - p"]
    with pytest.raises(ValueError, match=r"ppo\.py lacks"):
        docs().differences("ppo", "SafePO")


@pytest.mark.parametrize("row", docs().PUBLISHED, ids=lambda row: row.name)
def test_published_options_exist_and_change_something(row: Any) -> None:
    for name in row.algorithms:
        assert row.name in known(name)
        assert make_config(name, **{row.name: row.value}).hash() != make_config(name).hash()
        assert f"`{row.name}={row.value!r}`" in page(name)


# --- prose ------------------------------------------------------------------------------------------------------------

WORDS = {"info", "cost_names", "cost_hazards", "episodes", "obs", "action", "preset", "config_file", "tuned"}
"""What stands in backticks and is no setting: names of arguments, of entries of `info`, of an ONNX file."""
WORDS |= {*ENCODERS, "train", "evaluate", "onnx", "onnxscript", "i", "episode_length", "one_minus_gamma", "none"}


@pytest.mark.parametrize("name", ["README", *ALL_ALGORITHMS])
def test_names_in_the_prose_exist(name: str) -> None:
    """Settings are spelt as in the code."""
    settings = set().union(*map(known, ALL_ALGORITHMS)) if name == "README" else known(name)
    text = docs().fragment(f"{name}.md")
    text = re.sub(r"\$`.*?`\$", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    words = set(re.findall(r"`([a-z][a-z_]*)`", text)) - accepted(name)
    assert words <= settings | set(ALL_ALGORITHMS) | set(PRESETS) | WORDS


def test_numbers_in_the_prose() -> None:
    settings = make_config("cup").settings
    assert f"coefficient is {coefficient(settings.gamma, settings.cost_gae_lambda):.2f}" in page("cup")
    assert f"over the last {WINDOW} finished episodes" in page("README")


# --- links, commands, examples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    assert links(path)
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists() and (not anchor or anchor in anchors(target)), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_are_accepted(path: Path) -> None:
    commands = [line for block in blocks(path, "bash") for line in block.splitlines()]
    assert commands
    for line in commands:
        words = shlex.split(line)
        if words[0] == "torchrun":
            words = ["safepo", *words[words.index("safepo") + 1 :]]
        assert words[0] == "safepo"
        if words[1] == "train":
            config, *_ = cli.parse_train(words[2], words[3:])
            for flag in (word for word in words if word.startswith("--")):
                assert flag.removeprefix("--").replace("-", "_") in known(config.algorithm) | {"preset"}
        else:
            cli._parser().parse_args(words[1:])


def test_settings_file_of_the_index(tmp_path: Path) -> None:
    (block,) = blocks(FOLDER / "README.md", "toml")
    (tmp_path / "c.toml").write_text(block)
    assert make_config("ppo_lag", file=tmp_path / "c.toml").settings.multiplier_lr == 0.05
    assert make_config("ppo", file=tmp_path / "c.toml").run.steps_per_epoch == 10_000


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_python_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand but for the budget and the environment, a toy."""
    train, evaluate = safepo.train, safepo.evaluate
    toy = {
        **(SMALL if path.stem not in MODEL_ALGORITHMS else {"env_id": SMALL["env_id"], "preset": "debug"}),
        **({"env_id": PULL} if path.stem in TEAM_ALGORITHMS else {}),
        "total_steps": 200,
        "eval_episodes": 0,
        "log_dir": str(tmp_path),
    }
    monkeypatch.setattr(safepo, "train", lambda name, **settings: train(name, **{**settings, **toy}))
    monkeypatch.setattr(safepo, "evaluate", lambda run, **settings: evaluate(run, episodes=1))
    (example,) = blocks(path, "python")
    names = {"obs": [0.0, 0.0, 0.0]}
    exec(compile(example, path.name, "exec"), names)
    assert Path(str(names["run"])).is_dir()
