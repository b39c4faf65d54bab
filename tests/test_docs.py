"""The documentation: reference pages agree with the tables, links and pictures exist, examples run as they stand."""

from __future__ import annotations

import doctest
import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from safety_gym import registry, rendering

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
MAX_BYTES = 2_500_000
"""Of all pictures."""


@cache
def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- reference pages --------------------------------------------------------------------------------------------------


def test_pages_are_what_the_tables_say() -> None:
    wanted = make_docs().pages()
    written = {path.name: path.read_text(encoding="utf-8") for path in make_docs().FOLDER.glob("*.md")}
    assert sorted(written) == sorted(wanted), "run `make docs`"
    differing = [file for file in wanted if wanted[file] != written[file]]
    assert not differing, "run `make docs`"


def test_check_finds_pages_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = make_docs()
    monkeypatch.setattr(docs, "FOLDER", tmp_path)
    monkeypatch.setattr(docs, "pages", lambda: {"a.md": "new\n", "b.md": "as it was\n"})
    (tmp_path / "a.md").write_text("old\n")
    (tmp_path / "b.md").write_text("as it was\n")
    (tmp_path / "gone.md").write_text("of a robot that is no more\n")
    monkeypatch.setattr("sys.argv", ["make_docs.py", "--check"])
    assert docs.main() == 1
    told = capsys.readouterr().err
    assert "a.md" in told and "gone.md" in told and "b.md" not in told and (tmp_path / "a.md").read_text() == "old\n"
    monkeypatch.setattr("sys.argv", ["make_docs.py"])
    assert docs.main() == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == docs.pages()


def test_every_id_is_mentioned() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "environments").glob("*.md"))
    mentioned = {i for i in re.findall(r"`([^`\s]+)`", text) if re.fullmatch(r"Safety\w+-v\d", i)}
    made = {i for entry in registry.grammar() for i in (entry.canonical, entry.twin)}
    assert made == mentioned


# --- links and pictures -----------------------------------------------------------------------------------------------


def links(path: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked() -> None:
    """From the README every page of docs can be reached."""
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += [(path.parent / link.partition("#")[0]).resolve() for link in links(path) if ".md" in link]
    assert set(PAGES) <= seen


def test_pictures() -> None:
    image = pytest.importorskip("PIL.Image", reason="the pictures need Pillow")
    used = {(path.parent / link).resolve() for path in TEXTS for link in links(path) if "images/" in link}
    files = set((DOCS / "images").iterdir())
    assert used == files, "every picture is shown somewhere"
    assert sum(file.stat().st_size for file in files) < MAX_BYTES
    for file in files:
        with image.open(file) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) >= 200 and pixels.std() > 10, f"{file.name} shows nothing"


def test_every_robot_and_task_has_a_picture() -> None:
    shown = {path.name: links(path) for path in (DOCS / "environments").glob("*.md")}
    for file, found in shown.items():
        stem = file.removesuffix(".md")
        if file != "README.md":
            wanted = stem if stem.startswith(("robot_", "walker_")) else f"task_{stem}"
            assert f"../images/{wanted}.jpg" in found


# --- examples ---------------------------------------------------------------------------------------------------------


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M)


def test_examples_of_the_reference_pages_run() -> None:
    examples = {block for path in (DOCS / "environments").glob("*.md") for block in blocks(path, "python")}
    assert len(examples) >= len(registry.tasks.TASKS)
    for example in examples:
        exec(compile(example, "example", "exec"), {})


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path, "pycon")], ids=name)
def test_sessions_print_what_they_show(path: Path) -> None:
    """The `>>>` examples of a page, one after the other in one session."""
    if path.name == "vision.md":
        try:
            rendering.select_backend()
        except rendering.GLUnavailable as error:
            pytest.skip(f"no OpenGL backend: {error}")
    session = doctest.DocTestParser().get_doctest("\n".join(blocks(path, "pycon")), {}, path.name, name(path), 0)
    told: list[str] = []
    result = doctest.DocTestRunner().run(session, out=told.append)
    assert result.attempted and not result.failed, "".join(told)
