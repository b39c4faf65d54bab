"""Write the pages of docs/algorithms from the settings, the docstrings and the logs of the algorithms.

    python scripts/make_algorithm_docs.py            # write the pages; `make docs` does it
    python scripts/make_algorithm_docs.py --check    # write nothing; exit code 1 where a page differs

Prose, equations and pseudo-code stand in scripts/algorithm_docs, a fragment for each page; tables of settings come from
the settings' dataclasses, differences from the modules' docstrings, lists of metrics from an epoch of each algorithm.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import math
import re
import sys
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from make_docs import code, codes, link, table

from safepo import tuned
from safepo.algorithms import ALGORITHMS, MODEL_ALGORITHMS, TEAM_ALGORITHMS, AlgorithmInfo
from safepo.algorithms.settings import TrustRegionSettings
from safepo.config import PRESETS, RunConfig, make_config, presets_of
from safepo.trainer import Trainer, make_trainer

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "algorithms"
FRAGMENTS = ROOT / "scripts" / "algorithm_docs"
INDEX = "README.md"
NOTICE = (
    "<!-- Written by scripts/make_algorithm_docs.py from safepo and scripts/algorithm_docs. Edit those, then run "
    "`make docs`. -->"
)
DOCUMENTED = ALGORITHMS | TEAM_ALGORITHMS
TEAMS = tuple(TEAM_ALGORITHMS)
TEAMS_BY_PPO = ("mappo", "happo", "mappo_lag")
ENV_ID, TEAM_ID, TWO_COSTS = (
    "SafetyPointGoal1-v0",
    "SafetyPointMultiGoal1-v0",
    ("SafetyPointGoal2-v0", "cost_hazards=10,cost_vases_contact=5"),
)
"""Environments of the example commands."""

METRICS: Mapping[str, str] = {
    "ep/return": "episode return",
    "ep/cost": 'episode cost, the sum of `info["cost"]`',
    "ep/length": "episode length in steps",
    "cost/<name>": 'sum over an episode of `info["cost_<name>"]`, or of a limited group of entries; one for each',
    "ep/count": "episodes that have ended since training started",
    "safety/cost_rate": "limited costs per step of training",
    "safety/violating_episodes": "share of training episodes above a limit",
    "safety/longest_violation": "longest run of unsafe steps",
    "safety/cost_regret": "summed excess of training episodes",
    "loss/policy": "at first order the policy's loss on all samples after its update, of the first stage where there "
    "are two; in a trust region minus the change of the surrogate `mean(rho A)`",
    "loss/reward_critic": "mean squared error of the reward's critic on all samples after the update",
    "loss/cost_critic": "the same of the costs' critics, averaged over them",
    "value/reward_adv": "mean advantage of the reward before it is standardised",
    "value/cost_adv": "mean advantage of the costs before they are centred, averaged over them",
    "train/epoch": "epochs done",
    "train/kl": "mean KL(old || new) of all samples after the update: summed over action dimensions at first order, "
    "averaged over them in a trust region (0 if the line search took no step); after the first stage where there "
    "are two",
    "train/std": "mean standard deviation of the actions; for discrete actions the mean entropy in nats",
    "train/passes": "passes over the data until the KL test stopped them; of the first stage where there are two",
    "train/lr": "step size of the actor in this epoch",
    "train/multiplier": "the multiplier after its step, the one that the policy's update used; with several limits "
    "`train/multiplier/<name>` for each",
    "train/multiplier/<agent>": "the multiplier of each agent; `train/multiplier` is their mean",
    "train/alpha": "size of the full step along `H^-1 g`",
    "train/xHx": "curvature `x.Hx` of the KL along `x = H^-1 g`",
    "train/gradient_norm": "norm of the surrogate's gradient `g`",
    "train/line_search": "trials until one was accepted, 1 being the full step; 0: none was, the policy stayed",
    "train/step_norm": "norm of the step that was taken, over the actor's parameters",
    "train/case": "case of the dual problem, 0 to 4 (see the table above)",
    "train/nu": "weight of the cost's direction in the step",
    "train/excess": "`c`, the scaled excess of the measured cost",
    "train/projection_kl": "mean KL(half || new) of all samples after the second stage",
    "train/projection_passes": "passes of the second stage",
    "time/rollout": "seconds of collecting",
    "time/update": "seconds of advantages and update",
    "time/total": "seconds of all epochs so far",
    "time/steps_per_s": "environment steps per second of the epoch",
}
"""What each metric means, in the order of the tables."""

MODEL_METRICS: Mapping[str, str] = {
    "train/decisions": "decisions taken",
    "train/updates": "updates made",
    "train/loss_vector": "the world model's loss: reconstruction of vectors, times `vector_scale`",
    "train/loss_image": "of images",
    "train/loss_reward": "of rewards",
    "train/loss_cost": "of costs",
    "train/loss_cont": "of ends",
    "train/loss_dyn": "KL that trains the prior, weighted",
    "train/loss_rep": "KL that trains the posterior, weighted",
    "train/loss_ahead": "of rewards and costs foretold from actions alone (with `overshoot`)",
    "train/return_imagined": "mean imagined return",
    "train/return_scale": "`S`",
    "train/entropy": "entropy of the actor in nats",
    "train/cost_return_imagined": "mean imagined cost return of the starts (osrp_lag, bsrp_lag)",
    "train/multiplier": "how strongly costs weigh (osrp_lag, bsrp_lag)",
    "train/penalty": "`c` (bsrp_lag)",
    "train/cost_smoothed": "episode cost that the multiplier sees (osrp_lag)",
    "train/cost_limit": "the limit of an episode, while it falls (with `limit_decisions`)",
    "plan/feasible": "share of the last iteration's candidates that are feasible (planners)",
    "plan/return": "score of its best candidate",
    "plan/cost": "predicted cost of that one",
}
"""The same for algorithms that learn a model."""

REFERENCES: Mapping[str, tuple[str, ...]] = {
    "pg": (
        "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning (Machine Learning)",
        "Policy Gradient Methods for Reinforcement Learning with Function Approximation (NIPS)",
    ),
    "natural_pg": ("A Natural Policy Gradient (NIPS)",),
    "trpo": ("Trust Region Policy Optimization (ICML)",),
    "ppo": ("Proximal Policy Optimization Algorithms",),
    "ppo_lag": ("Benchmarking Safe Exploration in Deep Reinforcement Learning",),
    "trpo_lag": ("Benchmarking Safe Exploration in Deep Reinforcement Learning",),
    "rcpo": ("Reward Constrained Policy Optimization (ICLR)",),
    "cpo": ("Constrained Policy Optimization (ICML)",),
    "pcpo": ("Projection-Based Constrained Policy Optimization (ICLR)",),
    "cup": ("Constrained Update Projection Approach to Safe Policy Optimization (NeurIPS)",),
    "focops": ("First Order Constrained Optimization in Policy Space (NeurIPS)",),
    "cppo_pid": ("Responsive Safety in Reinforcement Learning by PID Lagrangian Methods (ICML)",),
    "mappo": ("The Surprising Effectiveness of PPO in Cooperative Multi-Agent Games (NeurIPS 2022)",),
    "happo": ("Trust Region Policy Optimisation in Multi-Agent Reinforcement Learning (ICLR 2022)",),
    "mappo_lag": ("Multi-Agent Constrained Policy Optimisation",),
    "macpo": ("Multi-Agent Constrained Policy Optimisation",),
    "safe_dreamer": ("SafeDreamer: Safe Reinforcement Learning with World Models (ICLR 2024)",),
}
"""Titles of the papers in the table of algorithms."""


@dataclass(frozen=True)
class Published:
    """A setting whose default differs from that of published results."""

    name: str
    value: Any
    whose: str
    effect: str
    algorithms: tuple[str, ...] = field(default_factory=lambda: tuple(ALGORITHMS))


PUBLISHED = (
    Published("num_envs", 10, "SafePO", "an epoch holds fewer, longer pieces of episodes", tuple(DOCUMENTED)),
    Published("clip_mode", "joint", "SafePO", "one gradient norm over all networks that are fitted together"),
    Published("cost_scale", "none", "SafePO, OmniSafe", "the excess is not scaled to a step", ("cpo", "pcpo")),
    Published("line_search_steps", 20, "OmniSafe", "a longer line search", ("cpo",)),
    Published("multiplier_max", 0.2, "SafePO", "the multiplier is at its bound at once", ("cup",)),
    Published("target_kl", 0.01, "OmniSafe", "both stages stop earlier", ("cup",)),
    Published("passes", 10, "OmniSafe", "fewer passes over the data", ("pg",)),
    Published("steps_per_epoch", 10_000, "SafePO", "shorter epochs", TEAMS),
    Published("policy_input", "safepo", "SafePO", "policies see the state and a code of their agent", TEAMS),
    Published("hidden", (128, 128, 128), "SafePO", "a layer more", TEAMS_BY_PPO),
    Published("passes", 5, "SafePO", "fewer passes over the data", TEAMS_BY_PPO),
    Published("batch_size", 10_000, "SafePO", "a pass is one step, with all samples", TEAMS),
    Published("target_kl", math.inf, "SafePO", "the passes are never stopped", TEAMS_BY_PPO),
    Published("entropy_coef", 0.01, "SafePO", "a small bonus for random actions", TEAMS_BY_PPO),
    Published("max_grad_norm", 10.0, "SafePO", "smaller steps where gradients are large", TEAMS),
    Published("critic_l2", 0.0, "SafePO", "no weight decay", TEAMS),
    Published("multiplier_init", 0.78, "SafePO", "costs weigh from the first epoch", ("mappo_lag",)),
    Published("multiplier_lr", 5e-5, "SafePO", "the multiplier stays where it starts", ("mappo_lag",)),
    Published("critic_lr", 5e-3, "SafePO", "larger steps of the critics", ("macpo",)),
    Published("passes", 1, "SafePO", "the critics make one step per epoch", ("macpo",)),
    Published("cost_scale", "one_minus_gamma", "SafePO", "the excess is scaled by 1 - gamma", ("macpo",)),
    Published("cg_iterations", 10, "SafePO", "a rougher solution", ("macpo",)),
    Published("line_search_steps", 10, "SafePO", "a shorter line search", ("macpo",)),
    Published("line_search_decay", 0.5, "SafePO", "each trial is half the one before", ("macpo",)),
)
"""Options that reproduce published behaviour."""


def pages() -> dict[str, str]:
    """Return the text of every page by file name."""
    found = {INDEX: index_page()} | {f"{name}.md": algorithm_page(info) for name, info in DOCUMENTED.items()}
    found |= {f"{name}.md": model_page(info) for name, info in MODEL_ALGORITHMS.items()}
    return {name: f"{text.rstrip()}\n" for name, text in sorted(found.items())}


# --- what the code says -----------------------------------------------------------------------------------------------


@cache
def field_texts(kind: type[Any]) -> dict[str, str]:
    """Return the texts under the fields that a class itself defines (not those it inherits), by name."""
    if not dataclasses.is_dataclass(kind):
        return {}
    body = typing.cast("ast.ClassDef", ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]).body
    texts = {}
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
                raise ValueError(f"{kind.__name__}.{name} has no text under it")
            texts[name] = " ".join(str(after.value.value).split())
    return texts


def settings_rows(kind: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield setting, default and meaning; what the class itself defines comes first, then what it inherits."""
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    types, seen = typing.get_type_hints(kind), set()
    for parent in kind.__mro__:
        for name, text in field_texts(parent).items():
            if name in seen:
                continue
            seen.add(name)
            if typing.get_origin(types[name]) is typing.Literal:
                text += f" Accepted: {codes(typing.get_args(types[name]))}."
            yield code(name), code(show(defaults[name])), text


def settings_table(kind: type[Any]) -> str:
    return table(("setting", "default", "meaning"), settings_rows(kind))


def show(value: Any) -> str:
    """Return a value as Python would write it, with underscores in large integers."""
    return f"{value:_}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)


def module_doc(name: str) -> str:
    kind, _ = (DOCUMENTED | MODEL_ALGORITHMS)[name].load()
    return inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")


def title(name: str) -> str:
    """Return what an algorithm is called, from the first words of its module."""
    return module_doc(name).partition(":")[0]


def differences(name: str, what: str) -> list[str]:
    """Return the points of "Differs from the paper in: ..." or "Differs from SafePO in: ..." of a module."""
    found = re.search(rf"^Differs from {what} in: (.*?)(?=\n\n|\nDiffers from|\Z)", module_doc(name), re.M | re.S)
    if found is None:
        raise ValueError(f'the docstring of {name}.py lacks "Differs from {what} in: "')
    points = re.split(r"; (?![^()]*\))", " ".join(found[1].split()))
    return [point.removesuffix(".") for point in points]


def difference_list(name: str, what: str, depth: int = 0) -> Iterator[str]:
    """Yield list items; the points of an algorithm that is referred to are nested below."""
    for point in differences(name, what):
        others = [other for other in re.findall(r"`(\w+)\.py`", point) if other in DOCUMENTED]
        for other in others:
            point = point.replace(code(f"{other}.py"), link(title(other), f"{other}.md"))
        yield f"{'  ' * depth}- {point}"
        if "points listed" in point:
            for other in others:
                yield from difference_list(other, what, depth + 1)


@cache
def logged(name: str) -> tuple[str, ...]:
    """Return the metrics that an algorithm logs in an epoch."""
    env_id = TEAM_ID if name in TEAMS else ENV_ID
    config = make_config(name, env_id=env_id, total_steps=8, steps_per_epoch=8, num_envs=1, passes=1, device="cpu")
    trainer = Trainer(config)
    try:
        trainer.start()
        keys = trainer.run_epoch()
    finally:
        trainer.close()
    return tuple(dict.fromkeys(as_documented(key) for key in keys))


def as_documented(key: str) -> str:
    """A metric's name with a placeholder for a name that belongs to the environment."""
    return re.sub("^train/multiplier/.*", "train/multiplier/<agent>", re.sub("^cost/.*", "cost/<name>", key))


def logged_by_all() -> set[str]:
    return set.intersection(*(set(logged(name)) for name in DOCUMENTED))


def metrics_table(names: set[str]) -> str:
    unknown = names - METRICS.keys()
    if unknown:
        raise ValueError(f"METRICS has no text for {', '.join(sorted(unknown))}")
    return table(("metric", "meaning"), [(code(name), text) for name, text in METRICS.items() if name in names])


# --- pages ------------------------------------------------------------------------------------------------------------


def algorithm_page(info: AlgorithmInfo) -> str:
    name = info.name
    kind, settings = info.load()
    module = f"safepo/algorithms/{name}.py"
    return "\n\n".join(
        (
            f"# {title(name)}",
            NOTICE,
            fragment(f"{name}.md"),
            "## Settings",
            f"Those of [a run](README.md#settings-of-a-run) and these; `safepo train {name} --help` lists all. "
            f"Code: {link(code(module), f'../../{module}')}.",
            settings_table(settings),
            "## Metrics",
            "Besides [those of every run](README.md#metrics-of-a-run):",
            metrics_table(set(logged(name)) - logged_by_all()),
            "## Differs from the paper in",
            "\n".join(difference_list(name, "the paper")),
            "## Differs from SafePO in",
            "\n".join(difference_list(name, "SafePO")),
            f"And in what [differs everywhere](README.md#{EVERYWHERE}).",
            "## Published behaviour",
            "Options that give what published results rest on, where the default is another:",
            published_table(name),
            "All of SafePO's:",
            bash(f"safepo train {name} {' '.join(published_options(name, 'SafePO'))}"),
            "What its defects did has no option.",
            "## Example",
            example(info, getattr(kind, "scalar", True)),
            "## Reference",
            reference(info),
        )
    )


def model_page(info: AlgorithmInfo) -> str:
    name = info.name
    kind, settings = info.load()
    folder = "/".join(kind.__module__.split(".")[:-1])
    metrics = model_metrics(name)
    return "\n\n".join(
        (
            f"# {title(name)}",
            NOTICE,
            fragment(f"{name}.md").replace("{{presets}}", presets_table(presets_of(name))),
            "## Settings",
            f"Those of [a run](README.md#settings-of-a-run) and these; `safepo train {name} --help` lists all. "
            f"Code: {link(code(folder), f'../../{folder}')}.",
            settings_table(settings),
            "## Metrics",
            "Besides `ep/`, `cost/`, `safety/` and `time/` of [every run](README.md#metrics-of-a-run):",
            table(("metric", "meaning"), [(code(key), text) for key, text in metrics.items()]),
            "## Differs from the paper in",
            "\n".join(difference_list(name, "the paper")),
            "## Differs from the code published with it in",
            "\n".join(difference_list(name, "the code published with it")),
            "## Example",
            bash(
                f"safepo train {name} --env-id {ENV_ID} --preset tiny_plus --variant bsrp_lag --cost-limit 2",
                f"safepo train {name} --env-id SafetyPointGoal1Vision-v0 --image-size 64 --preset tiny_plus "
                "--variant osrp --action-repeat 4",
            ),
            python_example(name, f'"{ENV_ID}", preset="tiny_plus", variant="bsrp_lag", cost_limit=2'),
            "## Reference",
            reference(info),
        )
    )


def model_metrics(name: str) -> Mapping[str, str]:
    """`MODEL_METRICS`, of which an epoch has shown that they are all, but for images, episodes and schedules."""
    found = {"train/loss_image", "train/cost_smoothed", "train/cost_limit"}
    for variant in ("osrp_lag", "bsrp_lag"):
        trainer = make_trainer(make_config(name, env_id=ENV_ID, preset="debug", variant=variant, device="cpu"))
        try:
            trainer.start()
            found.update(trainer.run_epoch())
        finally:
            trainer.close()
    of_all = {key for key in found if key.startswith(("ep/", "cost/", "safety/", "time/"))} | {"train/epoch"}
    if (odd := (found - of_all) ^ MODEL_METRICS.keys()) != set():
        raise ValueError(f"MODEL_METRICS and what {name} logs differ in {', '.join(sorted(odd))}")
    return MODEL_METRICS


EVERYWHERE = "what-differs-from-safepo-everywhere"
"""Anchor of the index."""


def published(name: str) -> list[Published]:
    return [row for row in PUBLISHED if name in row.algorithms]


def published_table(name: str) -> str:
    rows = [(code(f"{row.name}={row.value!r}"), row.whose, row.effect) for row in published(name)]
    return table(("option", "of", "effect"), rows)


def published_options(name: str, whose: str) -> list[str]:
    found = [row for row in published(name) if whose in row.whose]
    values = [" ".join(map(str, row.value)) if isinstance(row.value, tuple) else row.value for row in found]
    return [f"--{row.name.replace('_', '-')} {value}" for row, value in zip(found, values, strict=True)]


def example(info: AlgorithmInfo, scalar: bool) -> str:
    env_id = TEAM_ID if info.name in TEAMS else ENV_ID
    lines = [f"safepo train {info.name} --env-id {env_id} --cost-limit 25 --seed 0"]
    if info.constrained and not scalar:
        lines.append(f"safepo train {info.name} --env-id {TWO_COSTS[0]} --cost-limit {TWO_COSTS[1]}")
    return bash(*lines) + "\n\n" + python_example(info.name, f'"{env_id}", cost_limit=25')


def python_example(name: str, arguments: str) -> str:
    call = f'run = safepo.train("{name}", env_id={arguments}, seed=0)'
    return "\n".join(("```python", "import safepo", "", call, "print(safepo.evaluate(run))", "```"))


def reference(info: AlgorithmInfo) -> str:
    papers = info.paper.split("; ")
    titles = REFERENCES[info.name]
    return "\n".join(f"- {arxiv(paper)}: {name}" for paper, name in zip(papers, titles, strict=True))


def arxiv(text: str) -> str:
    return re.sub(r"arXiv:(\d+\.\d+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def bash(*lines: str) -> str:
    return "\n".join(("```bash", *lines, "```"))


def index_page() -> str:
    tables = {
        "algorithms": algorithms_table(ALGORITHMS),
        "teams": algorithms_table(TEAM_ALGORITHMS),
        "run_settings": settings_table(RunConfig),
        "tuned": tuned_table(),
        "models": models_table(),
        "presets": presets_table(PRESETS),
        "metrics": metrics_table(logged_by_all()),
    }
    text = fragment(INDEX)
    for name, rows in tables.items():
        if text.count(f"{{{{{name}}}}}") != 1:
            raise ValueError(f"{INDEX} of {FRAGMENTS.name} must hold {{{{{name}}}}} once")
        text = text.replace(f"{{{{{name}}}}}", rows)
    return f"# Algorithms\n\n{NOTICE}\n\n{text}"


def fragment(file: str) -> str:
    return (FRAGMENTS / file).read_text(encoding="utf-8").strip()


def algorithms_table(infos: Mapping[str, AlgorithmInfo]) -> str:
    rows = []
    for name, info in infos.items():
        kind, settings = info.load()
        held = "one for each agent" if name in TEAMS else "one" if kind.scalar else "several"
        limits = held if info.constrained else "none"
        update = "trust region" if issubclass(settings, TrustRegionSettings) else "first order"
        rows.append((link(title(name), f"{name}.md"), code(name), info.summary, limits, update, arxiv(info.paper)))
    return table(("", "name", "what it does", "limits", "update", "paper"), rows)


def tuned_table() -> str:
    rows = [
        (code(row.match), codes(f"{name}={show(value)}" for name, value in row.values.items()), row.why)
        for row in tuned.rows()
    ]
    return table(("environments", "settings", "why"), rows)


def models_table() -> str:
    rows = [
        (link(title(name), f"{name}.md"), code(name), info.summary, "one", "first order", arxiv(info.paper))
        for name, info in MODEL_ALGORITHMS.items()
    ]
    return table(("", "name", "what it does", "limits", "update", "paper"), rows)


def presets_table(presets: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (code(name), codes(f"{key}={show(value)}" for key, value in values.items())) for name, values in presets.items()
    ]
    return table(("preset", "settings"), rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a page differs")
    args = parser.parse_args()
    wanted = pages()
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    stale = sorted(name for name in wanted.keys() | written.keys() if wanted.get(name) != written.get(name))
    if args.check:
        for name in stale:
            print(f"docs/algorithms/{name} differs from what the code says; run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    print(f"{len(wanted)} pages in {FOLDER.name}: {len(stale)} written or removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
