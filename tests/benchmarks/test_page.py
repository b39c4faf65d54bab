"""The report in headless Chromium: curves are visible, filters work, nothing is fetched, nothing is logged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import write_report
from tests.benchmarks.fake_store import FakeStore, add_seeds

sync_api = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for path in map(shutil.which, BROWSERS) if path), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(BROWSERS)} is installed")
GOAL, HOPPER = "SafetyPointGoal1-v0, limit 25", "SafetyHopperVelocity-v1, limit 25"
PLOTS = ("task0-return", "task0-cost", "task0-scatter", "task1-return", "iqm-return", "profile-cost", "speed")
DESKTOP, NARROW = {"width": 1440, "height": 900}, {"width": 400, "height": 800}


@dataclass
class Opened:
    """A page with what it logged and asked for."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def lines(self, plot: str) -> list[dict[str, float]]:
        """Boxes of the curves that a plot shows."""
        script = """id => [...document.querySelectorAll(`#${id} .scatterlayer .trace .lines path`)]
            .filter(path => path.closest('.trace').querySelector('.js-fill') === null)
            .map(path => path.getBoundingClientRect()).map(({width, height}) => ({width, height}))"""
        return self.page.evaluate(script, plot)

    def rows(self, section: str) -> list[str]:
        """Methods of the rows that a task's table shows."""
        return self.page.eval_on_selector_all(
            f'section[data-task="{section}"] tr[data-method]',
            "rows => rows.filter(row => row.offsetParent).map(row => row.dataset.method)",
        )

    def click_chip(self, method: str) -> None:
        self.page.click(f'.chip[data-method="{method}"]')


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fake = FakeStore()
    for env_id in (GOAL, HOPPER):
        for i, algorithm in enumerate(("ppo", "ppo_lag", "cpo")):
            finals = [10.0 + i, 12.0 + i, 15.0 - i]
            add_seeds(algorithm, finals, [20.0, 30.0, 25.0 + 4 * i], fake, env_id=env_id.partition(",")[0])
    fake.add("cpo", 9, [1.0], [1.0], status="failed", error="Traceback: <it> diverged")
    return write_report(fake, tmp_path_factory.mktemp("report"), pictures=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def loaded(browser: Any, report: Path) -> Iterator[Opened]:
    found = Opened(browser.new_page(viewport=DESKTOP))
    found.page.on("console", lambda message: found.messages.append(message.text))
    found.page.on("pageerror", lambda error: found.messages.append(str(error)))
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.goto(report.as_uri())
    found.page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
    yield found
    found.page.close()


@pytest.fixture
def opened(loaded: Opened) -> Iterator[Opened]:
    """The page with all filters as at the start."""
    loaded.page.set_viewport_size(DESKTOP)
    loaded.page.select_option("#task", "")
    for box in ("#seeds", "#published"):
        loaded.page.uncheck(box)
    loaded.page.click('[data-pick="all"]')
    yield loaded
    assert loaded.messages == []
    assert [url for url in loaded.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_everything_is_drawn(opened: Opened) -> None:
    for plot in PLOTS:
        box = opened.page.locator(f"#{plot} .main-svg").first.bounding_box()
        assert box["width"] > 200 and box["height"] > 100, plot
    assert [len(opened.lines(plot)) for plot in ("task0-return", "task0-cost", "profile-cost")] == [3, 4, 3]
    for plot in ("task0-return", "task0-cost", "task1-return", "task1-cost", "profile-return"):
        curves = opened.lines(plot)
        assert all(line["width"] > 100 for line in curves), plot
        assert sum(line["height"] > 10 for line in curves) >= 3, plot  # the limit is flat
    assert opened.page.locator("#task0-scatter .points path").count() == 3 * (3 + 1)
    assert opened.page.locator("#task0-cost .annotation-text").text_content() == "limit25"


def test_a_method_is_switched_off_and_on(opened: Opened) -> None:
    assert set(opened.rows(GOAL)) == {"PPO", "PPO-Lag", "CPO"}
    opened.click_chip("CPO")
    assert "CPO" not in opened.rows(GOAL) and len(opened.rows(GOAL)) == 2
    assert [len(opened.lines(plot)) for plot in ("task0-return", "task0-cost", "task1-return")] == [2, 3, 2]
    opened.click_chip("CPO")
    assert len(opened.lines("task0-return")) == 3 and len(opened.rows(GOAL)) == 3


def test_groups_of_methods(opened: Opened) -> None:
    for pick, methods in (
        ("unconstrained", {"PPO"}),
        ("constrained", {"PPO-Lag", "CPO"}),
        ("none", set()),
        ("all", {"PPO", "PPO-Lag", "CPO"}),
    ):
        opened.page.click(f'[data-pick="{pick}"]')
        assert set(opened.rows(HOPPER)) == methods and len(opened.lines("task0-return")) == len(methods)
    opened.page.dblclick('.chip[data-method="PPO"]')
    assert set(opened.rows(HOPPER)) == {"PPO"}


def test_an_environment_is_chosen(opened: Opened) -> None:
    opened.page.select_option("#task", GOAL)
    assert opened.rows(HOPPER) == [] and len(opened.rows(GOAL)) == 3
    assert not opened.page.is_visible("#task0-return") and opened.page.is_visible("#task1-return")
    opened.click_chip("CPO")  # while the other environment is hidden
    opened.page.select_option("#task", "")
    assert opened.page.is_visible("#task0-return") and len(opened.lines("task0-return")) == 2
    assert opened.lines("task0-return")[0]["width"] > 100


def test_seeds_and_published_figures(opened: Opened) -> None:
    opened.page.check("#seeds")
    assert len(opened.lines("task1-return")) == 3 * (3 + 1)
    opened.page.uncheck("#seeds")
    opened.page.check("#published")
    assert len(opened.lines("task1-return")) == 3 + 3


def test_failed_run_shows_its_traceback(opened: Opened) -> None:
    assert opened.page.is_visible("text=1 run failed")
    assert not opened.page.is_visible("text=Traceback: <it> diverged")
    opened.page.click("summary:has-text('Traceback')")
    assert opened.page.is_visible("text=Traceback: <it> diverged")


def test_narrow_page_does_not_overflow(opened: Opened) -> None:
    opened.page.set_viewport_size(NARROW)
    # The figures shrink one after another; what never fits ends in a timeout.
    opened.page.wait_for_function(f"document.documentElement.scrollWidth <= {NARROW['width']}")
    boxes = [opened.page.locator(f"#task0-{kind}").bounding_box() for kind in ("return", "cost", "scatter")]
    assert len({round(box["x"]) for box in boxes}) == 1 and boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
