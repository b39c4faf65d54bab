"""The HTML page: one file with plotly.js, data, style and script inside, so that it works from a disk and offline."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from html import escape
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from plotly.offline import get_plotlyjs

from benchmarks.report.figures import Figure, Look, aggregate_figures, speed_figure, task_figures
from benchmarks.report.results import Aggregate, Results, published, random_policy, show_limit, single_limit
from benchmarks.report.statistics import MIN_SEEDS, REPS, Estimate
from benchmarks.report.tables import (
    distinct_commits,
    duration,
    interval,
    mean_std,
    number,
    published_figures,
    share,
    spread,
)

FOLDER = Path(__file__).parent


def page(results: Results, found: Aggregate | None, title: str, output: Path, styles: dict[str, Look]) -> str:
    """The whole page. `output` is its folder, for links."""
    aggregates = aggregate_figures(found, styles) if found else []
    per_task = [task_figures(results, task, i, styles) for i, task in enumerate(results.tasks)]
    speed = speed_figure(results, styles)
    figures = {
        f.name: {"data": f.data, "layout": f.layout} for f in [*aggregates, *chain.from_iterable(per_task), speed]
    }
    body = [
        _header(results, title),
        _toolbar(results, styles),
        "<main>",
        _overview(results, found, aggregates, styles),
        "<h2>Curves and tables</h2>",
        _legend_note(),
        *(
            _task(results, task, figures_, styles, output)
            for task, figures_ in zip(results.tasks, per_task, strict=True)
        ),
        _speed(results, speed),
        _scales(results),
        _runs(results, output),
        _machines(results),
        _method(results),
        "</main>",
    ]
    return _document(title, "\n".join(body), figures)


def _document(title: str, body: str, figures: dict[str, Any]) -> str:
    data = json.dumps(figures, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{(FOLDER / "page.css").read_text()}</style>
</head>
<body>
{body}
<script id="figures" type="application/json">{data}</script>
<script>{get_plotlyjs()}</script>
<script>
{(FOLDER / "page.js").read_text()}</script>
</body>
</html>
"""


def _header(results: Results, title: str) -> str:
    runs = results.runs
    finished = int((runs["status"] == "finished").sum())
    budgets = sorted(set(runs["total_steps"]))
    seeds = sorted({len(group) for _, group in runs.groupby(["task", "method"])["seed"]})
    facts = [
        (f"{finished} of {len(runs)}", "runs finished"),
        (str(runs["env_id"].nunique()), "environments"),
        (str(runs["algorithm"].nunique()), "algorithms"),
        (_span(seeds), "seeds each"),
        (", ".join(f"{steps:,}" for steps in budgets), "environment steps"),
        (", ".join(show_limit(limit) for limit in sorted(set(runs["cost_limit"]), key=_limit_key)), "cost limit"),
        (duration(float(runs["seconds"].fillna(0).sum())), "training time in all"),
    ]
    if commits := distinct_commits(runs["commit"]):
        shown = ", ".join(commits[:3]) + (", …" if len(commits) > 3 else "")
        facts.append((shown, "commit" if len(commits) == 1 else "commits"))
    shown = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in facts)
    last = runs["ended"].dropna()
    date = f" Last run ended {escape(str(last.max())[:16].replace('T', ' '))} UTC." if len(last) else ""
    suites = sorted({suite for row in runs["suites"] for suite in row})
    named = f"Suite{'s' if len(suites) > 1 else ''} {escape(', '.join(suites))}." if suites else ""
    failed = int((runs["status"] == "failed").sum())
    warning = (
        f'<p class="warn">{failed} run{"s" if failed > 1 else ""} failed; <a href="#runs">see the list of runs</a>.</p>'
        if failed
        else ""
    )
    return f"""<header><div><h1>{escape(title)}</h1>
<p class="soft">{named}{date} Return should be high while cost stays below the limit.</p>
<div class="facts">{shown}</div>{warning}</div></header>"""


def _toolbar(results: Results, styles: dict[str, Look]) -> str:
    options = "".join(f"<option>{escape(task)}</option>" for task in results.tasks)
    chips = "".join(
        f'<button class="chip" type="button" aria-pressed="true" data-method="{escape(method)}" '
        f'data-constrained="{"yes" if look.constrained else "no"}" title="Double click: this one alone">'
        f"{_swatch(look)}{escape(method)}</button>"
        for method, look in styles.items()
    )
    picks = "".join(
        f'<button class="quick" type="button" data-pick="{name}">{text}</button>'
        for name, text in (
            ("all", "All"),
            ("constrained", "Constrained"),
            ("unconstrained", "Ignoring the cost"),
            ("none", "None"),
        )
    )
    return f"""<nav aria-label="Filters"><div>
<label>Environment <select id="task"><option value="">All environments</option>{options}</select></label>
{picks}
<label><input type="checkbox" id="seeds"> every seed</label>
<label><input type="checkbox" id="published"> published figures</label>
<div class="break"></div><div class="chips">{chips}</div></div></nav>"""


def _swatch(look: Look) -> str:
    """A short line as in the curves."""
    dashes = {
        "solid": "",
        "dot": "2 3",
        "dash": "6 3",
        "dashdot": "6 3 2 3",
        "longdash": "9 3",
        "longdashdot": "9 3 2 3",
    }
    return (
        '<svg class="swatch" width="24" height="8" aria-hidden="true"><line x1="0" y1="4" x2="24" y2="4" '
        f'stroke="{look.colour}" stroke-width="3" stroke-dasharray="{dashes[look.dash]}"/></svg>'
    )


def _legend_note() -> str:
    return (
        '<p class="note">Line: mean over seeds; band: ± 1 standard error of that mean. Dashed lines and open markers: '
        "algorithms that ignore the cost. Black dashes: the cost limit. Return and cost are means over the last 50 "
        "training episodes. In the scatter a large marker is the mean over seeds, a small one a seed. Dotted lines and "
        f"crosses (if switched on): published, {published()['steps']:,} steps. Drag to zoom, double click to reset.</p>"
    )


def _plots(figures: Iterable[Figure], kind: str = "") -> str:
    items = "".join(
        f'<figure><h4>{escape(f.title)}</h4><div class="plot" id="{f.name}" data-figure="{f.name}"></div></figure>'
        for f in figures
    )
    return f'<div class="plots {kind}">{items}</div>'


def _overview(results: Results, found: Aggregate | None, figures: list[Figure], styles: dict[str, Look]) -> str:
    if found is None:
        return (
            "<h2>Over all environments</h2><p>No aggregate: no finished run has both a score and a cost relative to "
            "its limit (a score needs the return of a random policy; see <a href='#scales'>scores</a>).</p>"
        )
    methods, tasks, seeds, means = found.methods, found.tasks, found.seeds, found.means
    left = [task for task in results.tasks if task not in tasks]
    gone = [method for method in results.methods if method not in methods]
    notes = [
        f"{len(methods)} methods × {len(tasks)} environments × {seeds} seed{'s' if seeds > 1 else ''}: "
        "the largest block of finished runs without a hole, so that all are judged by the same runs."
    ]
    if left:
        notes.append(f"Not in it: {', '.join(left)}.")
    if gone:
        notes.append(f"Methods not in it: {', '.join(gone)}.")
    if seeds < MIN_SEEDS:
        notes.append(f"No intervals: they need {MIN_SEEDS} seeds.")
    rows = []
    for method, look in styles.items():
        if method not in methods:
            continue
        own = results.summary[(results.summary["method"] == method) & results.summary["task"].isin(tasks)]
        within = int(own["within_limit"].sum())
        rows.append(
            f'<tr data-method="{escape(method)}"><td class="left">{_swatch(look)}{escape(method)}</td>'
            f"<td>{_estimate(means['score'][method])}</td>"
            f'<td class="{"within" if means["cost_ratio"][method].value <= 1 else "above"}">'
            f"{_estimate(means['cost_ratio'][method])}</td>"
            f"<td>{within} of {len(own)}</td><td>{share(float(own['violating_mean'].mean()))}</td></tr>"
        )
    table = (
        '<div class="scroll"><table class="wide"><thead><tr><th class="left">Method</th><th>Return score, IQM</th>'
        "<th>Cost / limit, IQM</th><th>Environments with mean cost within the limit</th>"
        f"<th>Training episodes above the limit</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    return f"""<h2>Over all environments</h2><p>{escape(" ".join(notes))}</p>
<p class="note">Interquartile mean (IQM): mean of the middle half of all runs. Bars, bands and brackets: 95 % stratified
bootstrap intervals over seeds. Score 0 is a random policy, 1 the <a href="#scales">reference</a>.</p>
{_plots(figures[:2], "two")}{table}
<h3>Performance profiles</h3>
<p class="note">Share of runs above a threshold τ. Return: higher is better. Cost: what is left at 1 are the runs above
their limit; lower is better.</p>
{_plots(figures[2:], "two")}"""


def _estimate(estimate: Estimate) -> str:
    bounds = interval(estimate.low, estimate.high)
    return f"{number(estimate.value, 2)}<small>{escape(bounds)}</small>"


def _task(results: Results, task: str, figures: list[Figure], styles: dict[str, Look], output: Path) -> str:
    runs = results.runs[results.runs["task"] == task]
    env_id, cost_limit = runs.iloc[0][["env_id", "cost_limit"]]
    rows = results.summary[results.summary["task"] == task]
    if len(rows):
        table = _task_table(rows.sort_values("rank"), styles)
    else:
        table = '<p class="soft">No run has finished yet; curves show what there is.</p>'
    open_ = runs[runs["status"] != "finished"]
    notes = []
    if len(open_):
        counts = open_["status"].value_counts()
        notes.append("Not finished, not in the table: " + ", ".join(f"{n} {name}" for name, n in counts.items()) + ".")
    if single_limit(cost_limit) is None:
        notes.append(f"Limits of single costs: {show_limit(cost_limit)}. The curve shows the sum of all costs.")
    noted = f'<p class="note">{escape(" ".join(notes))}</p>' if notes else ""
    videos = [(row["method"], row["seed"], path) for row in runs.to_dict("records") for path in _videos(row["folder"])]
    if videos:
        links = ", ".join(f'<a href="{_link(p, output)}">{escape(m)} seed {s}</a>' for m, s, p in videos)
        films = f'<p class="note">Videos: {links}.</p>'
    else:
        films = ""
    return f"""<section class="task" data-task="{escape(task)}"><h3>{escape(env_id)}
<span class="soft">· cost limit {escape(show_limit(cost_limit))}</span></h3>
{_plots(figures)}{table}{noted}{films}{_commands(runs)}</section>"""


def _task_table(rows: pd.DataFrame, styles: dict[str, Look]) -> str:
    modes = [mode for mode in ("deterministic", "stochastic") if rows[f"{mode}_return_mean"].notna().any()]
    evaluated = "".join(f'<th class="group" colspan="3">Evaluation, {mode}</th>' for mode in modes)
    measured = '<th class="first">Return</th><th>Cost</th><th>Violating</th>'
    head = f"""<thead><tr><th class="left" colspan="3"></th><th class="group" colspan="3">Training</th>{evaluated}
<th class="group" colspan="2">Normalised</th><th class="group" colspan="2">Speed</th>
<th class="group" colspan="2">Published, {published()["steps"] // 10**6} M steps</th></tr>
<tr><th>#</th><th class="left">Method</th><th>Seeds</th>{measured * (1 + len(modes))}
<th class="first">Score</th><th>Cost / limit</th><th class="first">Time</th><th>Steps/s</th>
<th class="first">Return</th><th>Cost</th></tr></thead>"""
    body = "".join(_task_row(row, modes, styles[row["method"]]) for row in rows.to_dict("records"))
    return f'<div class="scroll"><table class="results">{head}<tbody>{body}</tbody></table></div>'


def _task_row(row: dict[str, Any], modes: list[str], look: Look) -> str:
    def cell(name: str, kind: str = "") -> str:
        text, bounds = spread(row, name)
        return f'<td class="{kind}">{text}<small>{bounds}</small></td>'

    within = "within" if row["within_limit"] else "above"
    measured = "".join(
        f"{cell(f'{mode}return', 'first')}{cell(f'{mode}cost', '' if mode else within)}"
        f"<td>{share(row[f'{mode}violating_mean'])}</td>"
        for mode in ("", *(f"{mode}_" for mode in modes))
    )
    figures = published_figures(row["env_id"], row["cost_limit"], row["algorithm"])
    known, costs = (mean_std(*figures[:2]), mean_std(*figures[2:])) if figures else ("–", "–")
    return (
        f'<tr data-method="{escape(row["method"])}"><td>{row["rank"]}</td>'
        f'<td class="left">{_swatch(look)}{escape(row["method"])}</td><td>{row["seeds"]}</td>{measured}'
        f'<td class="first">{number(row["score_mean"], 2)}</td>'
        f'<td class="{within}">{number(row["cost_ratio_mean"], 2)}</td>'
        f'<td class="first">{duration(row["seconds_mean"])}</td><td>{number(row["steps_per_s_mean"])}</td>'
        f'<td class="first published">{known}</td><td class="published">{costs}</td></tr>'
    )


def _commands(runs: pd.DataFrame) -> str:
    commands = "\n".join(str(command) for command in runs["command"].dropna())
    return f"<details><summary>Exact commands</summary><pre>{escape(commands)}</pre></details>" if commands else ""


def _speed(results: Results, figure: Figure) -> str:
    if not figure.data:
        return ""
    return f"""<h2>Speed</h2><p class="note">Environment steps per second of training, collection and update together; a
marker per environment, mean over its seeds. Compare only runs of the same machine that had it to themselves.</p>
{_plots([figure], "one")}"""


def _scales(results: Results) -> str:
    rows = []
    for task in results.tasks:
        scale = results.scales.get(task)
        cells = (
            f"<td>{number(scale.random)}</td><td>{number(scale.reference)}</td>"
            f"<td class='left'>{escape(scale.source)}</td>"
            if scale
            else "<td>–</td><td>–</td><td class='left'>no score</td>"
        )
        rows.append(f"<tr><td class='left'>{escape(task)}</td>{cells}</tr>")
    about, random = published(), random_policy()
    return f"""<h2 id="scales">Scores and published figures</h2>
<p>Score of the return: (return − random) / (reference − random). Random: {escape(random["policy"])},
{random["episodes"]} episodes. Reference: the published return of PPO, which ignores the cost, or the best mean of this
store where nothing is published. A constrained method need not reach 1. Cost is divided by its limit (with several
limits: the largest ratio).</p>
<div class="scroll"><table class="wide"><thead><tr><th class="left">Environment</th><th>Random return</th>
<th>Reference return</th><th class="left">Reference</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>
<p class="note">Published figures are {escape(about["implementation"])}'s, after {about["steps"]:,} steps with cost
limit {about["cost_limit"]:g}; seeds: {escape(about["seeds"])}. {escape(about["note"])} They are shown at the
same limit only. With another budget they say where training may go, not what these runs should have reached.
Source: {escape(about["source"])}</p>"""


def _runs(results: Results, output: Path) -> str:
    runs = results.runs
    attention = runs.assign(
        late=runs["status"].map({"failed": 0, "running": 1, "interrupted": 2, "queued": 3}).fillna(4)
    )
    rows = "".join(_run_row(row, output) for row in attention.sort_values("late", kind="stable").to_dict("records"))
    counts = ", ".join(f"{n} {name}" for name, n in runs["status"].value_counts().items())
    return f"""<h2 id="runs">Runs</h2><p>{escape(counts)}.</p>
<div class="scroll long"><table class="wide"><thead><tr><th class="left">Run</th><th class="left">State</th>
<th>Steps</th><th>Time</th><th>Steps/s</th><th>Attempts</th><th class="left">Worker</th><th class="left">Started</th>
<th class="left">Commit</th><th class="left">Details</th></tr></thead><tbody>{rows}</tbody></table></div>"""


def _run_row(row: dict[str, Any], output: Path) -> str:
    details = []
    if row["error"]:
        details.append(f"<details><summary>Traceback</summary><pre>{escape(str(row['error']))}</pre></details>")
    if row["command"]:
        details.append(f"<details><summary>Command</summary><pre>{escape(str(row['command']))}</pre></details>")
    details += [f'<a href="{_link(path, output)}">{escape(path.name)}</a>' for path in _videos(row["folder"])]
    steps = f"{_int(row['step']):,}" + ("" if row["status"] == "finished" else f" of {_int(row['total_steps']):,}")
    started = "" if pd.isna(row["started"]) else str(row["started"])[:16].replace("T", " ")
    cells = (
        f"<td>{steps}</td><td>{duration(_float(row['seconds']))}</td><td>{number(_float(row['steps_per_s']))}</td>"
        f"<td>{_int(row['attempts'])}</td>"
    )
    texts = "".join(
        f'<td class="left">{escape(text)}</td>' for text in (_text(row["worker"]), started, _text(row["commit"]))
    )
    return (
        f'<tr data-method="{escape(row["method"])}" data-of-task="{escape(row["task"])}">'
        f'<td class="left">{escape(row["run"])}</td><td class="left"><span class="state {escape(row["status"])}">'
        f'{escape(row["status"])}</span></td>{cells}{texts}<td class="left">{"".join(details)}</td></tr>'
    )


def _machines(results: Results) -> str:
    """Versions and hardware: one entry per combination that occurs."""
    blocks = []
    for name, column in (("Versions", "versions"), ("Hardware", "hardware")):
        texts = results.runs[column].map(lambda found: json.dumps(found, sort_keys=True) if found else "")
        for text, number_ in texts[texts != ""].value_counts().items():
            items = "".join(
                f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in json.loads(str(text)).items()
            )
            blocks.append(f"<h3>{name} <span class='soft'>of {number_} runs</span></h3><dl>{items}</dl>")
    return "<h2>Versions and hardware</h2>" + ("".join(blocks) or "<p>Nothing recorded.</p>")


def _method(results: Results) -> str:
    return f"""<h2>How the numbers are made</h2><dl>
<dt>Return, cost</dt><dd>Undiscounted sums over an episode. Training: mean over the last 50 episodes of the stochastic
policy at the end of training. Evaluation: fresh episodes of the final policy with frozen statistics.</dd>
<dt>Violating</dt><dd>Training: share of all episodes since the start whose cost exceeded the limit. Evaluation: share
of the evaluation episodes.</dd>
<dt>±, [ ]</dt><dd>Standard deviation over seeds (n − 1). From {MIN_SEEDS} seeds on, the 95 % interval of the mean
(Student's t), cut at 0 where a quantity cannot be negative.</dd>
<dt>#</dt><dd>Methods whose mean cost is within the limit come first, by return; then the others, by cost / limit.</dd>
<dt>Aggregates</dt><dd>rliable: interquartile mean over all runs of all environments, percentile intervals of {REPS:,}
stratified bootstrap samples, the same ones at every call.</dd>
<dt>Environments</dt><dd>An environment with two cost limits counts as two; several settings of one algorithm are named
by what differs.</dd></dl>
<footer>Written by <code>python -m benchmarks report</code>. Tables as CSV, JSON and Markdown, and figures as PNG and
SVG, lie beside this page.</footer>"""


def _videos(folder: Any) -> list[Path]:
    if not isinstance(folder, (str, Path)) or not Path(folder).is_dir():
        return []
    return sorted([*Path(folder).glob("*.mp4"), *Path(folder).glob("videos/*.mp4")])


def _link(path: Path, output: Path) -> str:
    return quote(Path(os.path.relpath(path, output)).as_posix())


def _span(values: list[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _limit_key(limit: str) -> tuple[float, str]:
    value = single_limit(limit)
    return (float("inf") if value is None else value, limit)


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _int(value: Any) -> int:
    return 0 if value is None or value != value else int(value)
