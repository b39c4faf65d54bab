"""`python -m benchmarks report STORE`: a static page, tables for papers, figures for papers, a leaderboard.

index.html                       everything, interactive, self-contained
results.md, runs.csv             tables
leaderboard.csv, .json           a row per environment, limit and method
figures/*.png, *.svg             curves, scatter, aggregates
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.results import Frames

__all__ = ["Frames", "write_report"]


def write_report(
    store: Frames,
    output: Path | str,
    *,
    title: str = "Benchmark report",
    suites: Sequence[str] = (),
    pictures: bool = True,
) -> Path:
    """Write the report of a store into a folder; returns the page. `suites` restricts it to runs of these.

    `store` needs the frames `runs()`, `curves()` and `evaluations()`. Raises `UserError` if there is no run.
    """
    from benchmarks.report.figures import looks
    from benchmarks.report.page import page
    from benchmarks.report.results import aggregate, read_results
    from benchmarks.report.tables import leaderboard, leaderboard_json, markdown

    results = read_results(store, suites)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    styles = looks(results)
    found = aggregate(results)
    table = leaderboard(results)
    files = {
        "results.md": markdown(results, found),
        "leaderboard.json": leaderboard_json(table, results),
        "leaderboard.csv": table.to_csv(index=False),
        "runs.csv": results.finals.drop(columns=["config", "versions", "hardware", "order"]).to_csv(index=False),
        "index.html": page(results, found, title, output, styles),
    }
    for name, text in files.items():
        (output / name).write_text(text, encoding="utf-8")
    if pictures:
        from benchmarks.report.pictures import write_pictures

        write_pictures(results, found, styles, output / "figures")
    return output / "index.html"
