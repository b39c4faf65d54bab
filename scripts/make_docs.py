"""Write docs/environments and the tables of docs/multi_agent.md from the tables that make the environments.

    python scripts/make_docs.py            # write the pages; `make docs` does it
    python scripts/make_docs.py --check    # write nothing; exit code 1 where a page differs

Numbers, terms, sizes and ids come from `safety_gym.describe`; only the words in `ABOUT`, `NOTES` and `VERSIONS` stand
here. The pictures are drawn by scripts/doc_pictures.py.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from safety_gym import registry
from safety_gym.describe import bounds_words, describe
from safety_gym.multi_agent import multi_agent_ids
from safety_gym.multi_agent.vector import MultiAgentVectorEnv
from safety_gym.registry import VELOCITY, EnvId
from safety_gym.robots import ROBOTS
from safety_gym.tasks import TASKS
from safety_gym.tasks.multi_goal import MULTI_GOAL_OPTION_HELP, MultiGoalConfig
from safety_gym.tasks.multi_velocity import DIVIDED_OPTION_HELP, DividedConfig
from safety_gym.views import SafetyEnv
from safety_gym.walkers import WALKERS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "environments"
MULTI_AGENT = Path(__file__).resolve().parent.parent / "docs" / "multi_agent.md"
NOTICE = "<!-- Written by scripts/make_docs.py from the tables in safety_gym. Edit those, then run `make docs`. -->"
NAVIGATION = tuple(name for name in TASKS if name != VELOCITY)
Data = dict[str, Any]

ABOUT: Mapping[str, str] = {
    "Point": "A ball with a nose that slides in the plane. One motor pushes it along the nose, one servo turns it. "
    "Forward is +x of the body.",
    "Car": "A cart on two wheels and a ball. Each wheel has its motor; equal torques drive it straight. Forward is "
    "**-y** of the body: what lies straight ahead is at the border of the lidar's bins 11 and 12.",
    "Racecar": "A car with a driven rear axle and steered front wheels. It cannot turn on the spot. Forward is +x of "
    "the body.",
    "Doggo": "A four-legged robot of two halves that a passive waist joins. Each leg has three driven joints: two at "
    "the hip, one at the ankle. Forward is +x of the body.",
    "Ant": "A torso on four legs, each with a driven hip and ankle. An episode ends when it lies on the floor.",
    "HalfCheetah": "A runner on two legs in the xz plane. Falling over does not end an episode.",
    "Hopper": "One leg that hops in the xz plane.",
    "Swimmer": "Three links that swim in a viscous fluid in the xy plane. Nothing ends an episode before its time.",
    "Walker2d": "Two legs that walk in the xz plane. The feet have different friction, as in Gymnasium's `v4` model.",
    "Ant (walker)": "A torso on four legs. Another model than the [robot Ant](robot_ant.md) of the other tasks.",
    "Humanoid": "A body with arms and legs.",
}
"""A sentence or two about each robot and walker."""

NOTES: Mapping[str, str] = {
    "Goal": "The goal is a zone: the robot drives into it. Vases can be pushed.",
    "Button": "One button is the goal; the green cylinder that marks it cannot be touched. A press draws the next goal "
    "button, possibly the same one. For {delay} steps from a press on, and from the reset on, wrong buttons cost "
    "nothing and `buttons_lidar` reads 0, so that the robot can leave; `info` has no `cost_buttons` in these steps "
    "([button timer](../concepts.md#button-timer)). Gremlins run clockwise on circles of radius {travel} m, once in "
    "6.3 s.",
    "Push": "The box has four columns at its corners, so that the robot can catch it. Distances are in three "
    "dimensions, and the origins of robot, box and goal have different heights: a distance never becomes 0.",
    "Circle": "The circle can be driven over; `circle_lidar` tells where its centre is. The walls are drawn, but the "
    "robot passes through them; what costs is where its origin is.",
    "BuildingGoal": "The [Goal](goal.md) task among things of a building site. The signpost stands in a green ring, in "
    "which the goal counts as reached; signs lie where hazards are, toolboxes are vases. What stands around can be "
    "touched, which costs at levels 1 and 2; fence, buildings, cranes and heaps of earth are only seen.",
    "BuildingButton": "The [Button](button.md) task on the site of [BuildingGoal](buildinggoal.md). The signpost marks "
    "the button to press; the hovering robots are gremlins. Touching what stands around costs at all levels.",
    "BuildingPush": "The [Push](push.md) task on the site of [BuildingGoal](buildinggoal.md): the crate is the push "
    "box, drums are pillars. In the reference suite the origin of the goal lies 0.7 m under the ground and no box can "
    'reach it; here it is where that of Push is. `goal={{"origin_z": -0.7}}` gives the original.',
    "Race": "The corridor leads along fences and rocks to its open end, where the flower bush stands. Touching them "
    "costs at levels 1 and 2, and so does driving into the green bushes. At level 2 the robot starts behind a bend; "
    "one of the rocks stands 0.5 m further right there and leaves a passage. At the start the goal is out of the "
    "lidar's range. Houses and trees are only seen.",
    "FormulaOne": "A closed circuit of 180 m between walls, driven clockwise. There are seven stages: a robot starts "
    "at one of them with a random heading, the signpost stands at the next; when it is reached it moves on, round "
    "and round. Stages are up to 30 m apart, so that the lidar rarely reads one. Touching walls or barriers costs at "
    "levels 1 and 2; barriers lie anywhere on and beside the road, at level 2 more of them near stages. With barriers "
    "the physics is integrated with Euler's method, under which resting barriers sleep: 2,350 control steps per second "
    'of one core instead of 26 with the reference\'s RK4 (`integrator="rk4"`; '
    "[differences](../differences.md#formulaone)). Grandstands, trees and hills are only seen.",
    "FadingEasy": "The [Goal](goal.md) task for agents that see: only pictures differ from it. In every step the "
    "opacity of what fades falls by 1 / {fading_steps} of its start value, until it is invisible; the picture shows "
    "the levels after 65 % of that time. A new goal is seen again. At level 2 hazards fade, too, and are seen again in "
    "steps in which the robot is in one.",
    "FadingHard": "As [FadingEasy](fadingeasy.md), in {fading_steps} steps; at level 2 vases fade as well, and are "
    "seen again in steps in which one is touched or moves.",
    "Run": "The lane runs along y, from the start at y = 16.5 m. Its walls are drawn, but the robot passes through "
    "them; what costs is where its origin is. Nothing is observed but the robot's own sensors.",
}
"""What the tables do not say about a task."""

VERSIONS: Mapping[tuple[str, str], str] = {
    ("Ant", "1.0.0"): "feet of density 5 instead of 50000 kg/m^3: the robot of release 1.0.0 of the reference suite, "
    "on which its published tables rest",
    ("Racecar", "mujoco-2.3.3"): "the chassis' mass and inertia as MuJoCo 2.3.3 computed them from the reference's "
    "mesh",
}
"""What the older versions of robots are."""

FORMS: Mapping[str, str] = {
    "zone": "flat zone, touches nothing",
    "solid": "solid, cannot be moved",
    "free": "solid, can be pushed",
    "driven": "solid, moves by itself",
    "mark": "drawn only",
}


def pages() -> dict[str, str]:
    """Return the text of every page by file name."""
    found = {"README.md": index_page(), "velocity.md": velocity_page()}
    found |= {_task_file(name): task_page(name) for name in NAVIGATION}
    found |= {_robot_file(name): robot_page(name) for name in ROBOTS}
    found |= {_walker_file(name): walker_page(name) for name in WALKERS}
    return {name: f"{text.rstrip()}\n" for name, text in sorted(found.items())}


# --- the tables -------------------------------------------------------------------------------------------------------


@cache
def about(env_id: str, **options: Any) -> Data:
    return describe(env_id, options)


@cache
def made() -> tuple[EnvId, ...]:
    """Return the parsed ids that can be made."""
    return tuple(registry.grammar())


def levels(task: str) -> list[str]:
    """Return the levels of a navigation task that have objects."""
    return [level for level in TASKS[task].levels if level != "Base"]


def nav_id(robot: str, task: str, level: str) -> str:
    return EnvId(robot, task, level).canonical


def walker_id(walker: str, version: int = 1) -> str:
    return EnvId(walker, VELOCITY, "", version=version).canonical


# --- Markdown ---------------------------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """Return a table; columns in `right` are aligned to the right."""
    lines = [header, ["---:" if i in right else "---" for i in range(len(header))], *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", NOTICE, *(part for part in parts if part)])


def code(text: Any) -> str:
    return f"`{text}`"


def codes(texts: Iterable[Any]) -> str:
    return ", ".join(map(code, texts))


def python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def vector(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def same(values: Mapping[str, Any], show: Callable[[Any], str] = str) -> str:
    """Return the value that all names share, or every value with its names: `1 (levels 0, 1), 2 (level 2)`."""
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(show(value), []).append(name)
    if len(groups) == 1:
        return next(iter(groups))
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in groups.items())


def link(text: str, file: str) -> str:
    return f"[{text}]({file})"


def picture(text: str, file: str) -> str:
    return f"![{text}](../images/{file})"


def thumbnail(text: str, file: str) -> str:
    return f'<img src="../images/{file}" alt="{text}" width="200">'


def _task_file(name: str) -> str:
    return f"{name.lower()}.md"


def _robot_file(name: str) -> str:
    return f"robot_{name.lower()}.md"


def _walker_file(name: str) -> str:
    return f"walker_{name.lower()}.md"


# --- sections that several pages have ---------------------------------------------------------------------------------


def action_section(data: Data) -> str:
    action = data["action"]
    rows = [
        (i, code(a["name"]), bounds_words(a["low"], a["high"]), a["meaning"]) for i, a in enumerate(action["actuators"])
    ]
    if action["clipped"]:
        rule = "What lies outside the range is clipped."
    else:
        rule = "What lies outside the range is limited by the engine; the reward sees the action as it was given."
    head = f"## Action\n\n`Box`, {action['size']} numbers u, `{action['dtype']}`. {rule}"
    keys = ", ".join(f"{key.upper()} {vector(values)}" for key, values in action["keys"].items())
    line = f"Keys of `safety-gym play` and of the `...Debug-v0` ids: {keys}." if keys else ""
    return "\n\n".join(filter(None, (head, table(("index", "actuator", "range", "effect"), rows, right=(0,)), line)))


def slices_table(slices: Sequence[Data]) -> str:
    rows = [
        (f"{t['start']}:{t['stop']}", code(t["key"]), t["shape"], bounds_words(t["low"], t["high"]), t["meaning"])
        for t in slices
    ]
    return table(("slice", "key", "shape", "range", "unit, frame, meaning"), rows)


def reward_section(data: Data, values: Mapping[str, Any] | None = None) -> str:
    """Return the terms; `values` are the options that their words name."""
    reward = data["reward"]
    clip = "It is not clipped." if reward["clip"] is None else f"It is clipped to +-{reward['clip']:g}."
    named = ", ".join(f"`{name}` = {value}" for name, value in (values or {}).items())
    terms = table(("term", "value"), [(code(key), words) for key, words in reward["terms"].items()])
    return "\n\n".join(("## Reward", "The sum of", terms, clip + (f" By default {named}." if named else "")))


def named_options(data: Data) -> dict[str, str]:
    """Return the options that the words of the reward name, with their defaults."""
    words = " ".join(data["reward"]["terms"].values())
    found = {}
    for option in data["options"]:
        name = option["name"]
        if re.search(rf"(?<![\w.]){re.escape(name)}\b", words) or (
            "." in name
            and not re.search(rf"\.{name.partition('.')[2]}\b", words)
            and re.search(rf"(?<![\w.]){name.partition('.')[2]}\b", words)
        ):
            found[name] = repr(option["default"])
    return found


INDICATOR = (
    '`info["cost"]` is 1 in a step in which the sum of the raw values is above 0, else 0; every entry is a 0-1 '
    "indicator as well. `constrain_indicator=False` gives the raw values and their sum. "
    "See [cost](../concepts.md#cost)."
)


def options_table(by_name: Mapping[str, Data]) -> str:
    """Return the options of several environments but those of objects, by what the environments are called."""
    names: dict[str, Data] = {}
    defaults: dict[str, dict[str, Any]] = {}
    for label, data in by_name.items():
        for option in data["options"]:
            if not _is_of_object(option["name"]):
                names[option["name"]] = option
                defaults.setdefault(option["name"], {})[label] = option["default"]
    rows = [
        (
            code(name),
            same(defaults[name], _default),
            option["meaning"],
            code(option["alias"]) if option["alias"] else "",
        )
        for name, option in names.items()
    ]
    return table(("option", "default", "meaning", "name in the reference"), rows)


def object_options_table(by_level: Mapping[str, Data]) -> str:
    """Return the options of objects: a row for each field, a column for each kind."""
    meanings: dict[str, str] = {}
    defaults: dict[str, dict[str, dict[str, Any]]] = {}  # kind, field, level
    for label, data in by_level.items():
        for option in data["options"]:
            if _is_of_object(option["name"]):
                kind, _, field = option["name"].partition(".")
                meanings[field] = option["meaning"]
                defaults.setdefault(kind, {}).setdefault(field, {})[label] = option["default"]
    rows = []
    for field, meaning in meanings.items():
        cells = (same(fields[field], _default) if field in fields else "-" for fields in defaults.values())
        rows.append((code(field), *cells, meaning))
    return table(("field", *map(code, defaults), "meaning"), rows)


def _is_of_object(name: str) -> bool:
    return "." in name and not name.startswith("agent.")


def _default(value: Any) -> str:
    text = repr(value)
    return code(text) if len(text) < 200 else f"{len(value)} of them"


def ends_list(by_name: Mapping[str, Data]) -> str:
    """Return what ends episodes as a list; what holds for some only is followed by their names."""
    found: dict[tuple[str, str], list[str]] = {}
    for label, data in by_name.items():
        for end in data["limits"]["ends"]:
            found.setdefault((end["how"], end["when"]), []).append(label)
    lines = []
    for (how, when), labels in sorted(found.items(), key=lambda item: "unstable" in item[0][1]):
        whom = "" if len(labels) == len(by_name) else f" ({', '.join(labels)})"
        words = re.sub(r"info\['(\w+)'\]", r'`info["\1"]`', when)
        lines.append(f"- **{how}** {words}{whom}")
    return "\n".join(lines)


def ids_table(entries: Sequence[EnvId]) -> str:
    """Return ids with their twins and sizes, those of navigation tasks with their variants."""
    navigation = any(e.task != VELOCITY for e in entries)
    rows = []
    for e in entries:
        row: tuple[Any, ...] = (code(e.canonical), code(e.twin), "yours", "")
        if e.level != "Base":
            data = about(e.canonical)
            row = (*row[:2], data["observation"]["size"], data["action"]["size"])
        for variant in ("Vision", "Debug") if navigation else ():
            other = EnvId(e.robot, e.task, e.level, variant)
            row += (codes((other.canonical, other.twin)) if other in made() else "-",)
        rows.append(row)
    more = ("with camera frames", "driven by keys") if navigation else ()
    header = ("id", "Gymnasium twin", "observation", "action", *more)
    return table(header, rows, right=(2, 3))


def example(env_id: str, *more: str) -> str:
    lines = python(
        "import safety_gym",
        "",
        f'env = safety_gym.make("{env_id}")',
        "obs, info = env.reset(seed=0)",
        "obs, reward, cost, terminated, truncated, info = env.step(env.action_space.sample())",
        "",
        f'envs = safety_gym.make_vec("{env_id}", num_envs=8)  # arrays of 8 rows',
        "obs, info = envs.reset(seed=0)",
        "obs, reward, cost, terminated, truncated, info = envs.step(envs.action_space.sample())",
        *more,
    )
    return f"## Example\n\n{lines}"


def size_cells(data: Data) -> tuple[Any, ...]:
    return data["observation"]["size"], data["action"]["size"], f"{data['physics']['control_step']:g} s"


SIZES = ("sensors", "actions", "control step")


# --- index ------------------------------------------------------------------------------------------------------------


def index_page() -> str:
    names = {name for e in made() for name in (e.canonical, e.twin)}
    return page(
        "Environments",
        f"{len(names)} ids can be made: {len(NAVIGATION)} navigation tasks in up to three levels with {len(ROBOTS)} "
        f"robots, and the velocity task with {len(WALKERS)} walkers in two versions. `safety-gym list --all` prints "
        "them; `safety-gym show ID` prints what these pages hold about one, with your options applied. What lidars "
        "read and what costs mean: [concepts](../concepts.md).",
        "## Tasks",
        table(("task", "what to do", "levels", "steps", "charged"), _task_rows(), right=(3,)),
        "## Ids",
        table(
            ("id", "what it is"),
            (
                ("`SafetyPointGoal1-v0`", "robot Point, task Goal, level 1"),
                (
                    "`SafetyPointGoal1Gymnasium-v0`",
                    "the same under the name of the reference suite's Gymnasium registry",
                ),
                ("`SafetyPointGoal1Vision-v0`", "with what its [camera](../vision.md) sees in the observation"),
                ("`SafetyPointGoal1Debug-v0`", 'the same, driven with keys in a window (`render_mode="human"`)'),
                ("`SafetyPointGoalBase-v0`", 'the objects are yours: `config={"Goal": {}, "Hazards": {"num": 4}}`'),
                ("`SafetyHopperVelocity-v1`", "the walker Hopper; `-v0` has another speed limit"),
            ),
        ),
        "## Robots",
        "Of the navigation tasks. `sensors` is the length of the robot's part of the observation.",
        table(("", "robot", "", *SIZES), _who_rows("robot", ROBOTS, _robot_data), right=(3, 4)),
        "## Walkers",
        "Of the velocity task: the models of the installed Gymnasium.",
        table(("", "walker", "", *SIZES), _who_rows("walker", WALKERS, _walker_data), right=(3, 4)),
    )


def _task_rows() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for name in NAVIGATION:
        datas = [about(nav_id("Point", name, level)) for level in levels(name)]
        keys = dict.fromkeys(term["key"] for data in datas for term in data["cost"]["terms"])
        shown = (link(name, _task_file(name)), TASKS[name].summary, ", ".join(levels(name)))
        rows.append((*shown, datas[0]["limits"]["max_episode_steps"], codes(keys)))
    data = about(walker_id("Hopper"))
    shown = (link(VELOCITY, _task_file(VELOCITY)), data["summary"], "`-v0`, `-v1`")
    rows.append((*shown, data["limits"]["max_episode_steps"], codes(term["key"] for term in data["cost"]["terms"])))
    return rows


def _who_rows(what: str, names: Iterable[str], data: Callable[[str], Data]) -> list[tuple[Any, ...]]:
    return [
        (
            thumbnail(f"the {what} {name}", f"{what}_{name.lower()}.jpg"),
            link(name, f"{what}_{name.lower()}.md"),
            words_about(name, what),
            *size_cells(data(name)),
        )
        for name in names
    ]


def words_about(name: str, what: str) -> str:
    return ABOUT.get(f"{name} ({what})", ABOUT[name])


def _robot_data(name: str) -> Data:
    return about(nav_id(name, "Run", "0"))  # nothing but the robot is observed


def _walker_data(name: str) -> Data:
    return about(walker_id(name))


# --- navigation tasks -------------------------------------------------------------------------------------------------


def task_page(name: str) -> str:
    by_level = {f"level {level}": about(nav_id("Point", name, level)) for level in levels(name)}
    by_robot = {robot: about(nav_id(robot, name, levels(name)[-1])) for robot in ROBOTS}
    last = list(by_level.values())[-1]
    lidars = bool(_object_slices(last))
    return page(
        name,
        TASKS[name].summary,
        picture(f"Starts of the task {name}", f"task_{name.lower()}.jpg"),
        _notes(name, last),
        _task_example(name),
        "## Levels",
        _levels_table(by_level),
        _placing_words(name),
        "## Objects",
        _objects_table(by_level),
        _own_boxes() if name == "Push" else "",
        "## Observation",
        f"`Box`, `{last['observation']['dtype']}`, one vector; `observation_flatten=False` gives a `Dict` by key. "
        "First the sensors of the robot, listed on its page"
        + (", then lidars of the objects ([what they read](../concepts.md#lidar))." if lidars else ".")
        + " `Vision` ids have a `Dict` to which [camera frames](../vision.md) are added.",
        _observation_tables(name),
        "## Action",
        table(("robot", "numbers", "range"), [_action_row(*item) for item in by_robot.items()], right=(1,)),
        reward_section(last, named_options(last)),
        "## Cost",
        _cost_table(by_level),
        INDICATOR,
        "## End of an episode",
        ends_list(by_robot),
        "A goal that is reached is replaced, and the episode goes on."
        if last["limits"]["goals"] and last["limits"]["continue_goal"]
        else "",
        "## Ids",
        ids_table([e for e in made() if e.task == name and not e.variant]),
        "## Options",
        "`make(id, name=value)` and `make(id, agent={...})`. The names of the reference suite's configuration are "
        "understood as well.",
        options_table(by_level),
        'Of the objects: `make(id, hazards={"num": 12})`. Objects that a level does not have can be added in the same '
        "way; `make(id, vases=None)` removes some.",
        object_options_table(by_level),
    )


def _notes(name: str, data: Data) -> str:
    values = {option["name"]: option["default"] for option in data["options"]}
    return NOTES[name].format(
        delay=values.get("buttons.resampling_delay"),
        travel=values.get("gremlins.travel"),
        fading_steps=values.get("fading_steps"),
    )


def _task_example(name: str) -> str:
    env_id = nav_id("Point", name, levels(name)[len(levels(name)) // 2])
    kind = {"Goal": "hazards", "Button": "gremlins", "Push": "pillars"}.get(name)
    if kind is None:
        return example(env_id)
    return example(env_id, "", f'env = safety_gym.make("{env_id}", {kind}={{"num": 6}}, lidar_num_bins=32)  # options')


def _levels_table(by_level: Mapping[str, Data]) -> str:
    rows = []
    for label, data in by_level.items():
        start = data["start"]
        places = start["locations"] or start["placements"] or ()
        rows.append(
            (
                label.removeprefix("level "),
                ", ".join(_count(o) for o in data["objects"]),
                vector(data["extents"]),
                ", ".join(map(_place, places)) or "the extents",
                data["limits"]["max_episode_steps"],
                codes(term["key"] for term in data["cost"]["terms"]) or "nothing",
            )
        )
    return table(("level", "objects", "extents, m", "robot starts in, m", "steps", "charged"), rows, right=(4,))


def _place(place: Sequence[float]) -> str:
    """Return a rectangle, or a point, also for a rectangle of almost no size."""
    large = len(place) == 4 and max(place[2] - place[0], place[3] - place[1]) > 1e-6
    return vector(place if large else place[:2])


def _placing_words(name: str) -> str:
    by_robot = {robot: about(nav_id(robot, name, levels(name)[0]))["limits"]["seconds"] for robot in ROBOTS}
    seconds = same(by_robot, lambda value: f"{value:g} s")
    return (
        "Rectangles are (xmin, ymin, xmax, ymax). Robot and objects are placed in them at random, clear of each other "
        f"by their keep-out radii; a layout that would start with a cost is drawn again. An episode lasts {seconds}."
    )


def _count(o: Data) -> str:
    """Return the number of objects with the name of their kind: `8 hazards`, `1 vase`, `push box`."""
    kind = o["kind"].replace("_", " ")
    if not kind.endswith("s"):
        return str(kind)
    return f"{o['num']} {kind[:-1] if o['num'] == 1 else kind}"


def _objects_table(by_level: Mapping[str, Data]) -> str:
    kinds: dict[str, dict[str, Data]] = {}
    for label, data in by_level.items():
        for o in data["objects"]:
            kinds.setdefault(o["kind"], {})[label] = o
    rows = []
    for kind, by in kinds.items():
        some = next(iter(by.values()))
        observed = some["lidar"] and some["mobility"] != "mark"
        rows.append(
            (
                code(kind),
                ", ".join(str(by[label]["num"]) if label in by else "-" for label in by_level),
                same({label: o["size"] for label, o in by.items()}, "{:g}".format),
                same({label: o["keepout"] for label, o in by.items()}, "{:g}".format),
                FORMS[some["mobility"]],
                code(f"{kind}_lidar") if observed else "-",
                same({label: _charges(kind, by_level[label]) for label in by}),
            )
        )
    numbers = ", ".join(label.removeprefix("level ") for label in by_level)
    header = ("kind", f"number in level {numbers}", "size, m", "keep-out, m", "form", "observed by", "charges")
    return table(header, rows)


def _charges(kind: str, data: Data) -> str:
    return codes(term["key"] for term in data["cost"]["terms"] if term["charged_by"] == kind) or "-"


def _own_boxes() -> str:
    """Return which robots push a box of their own."""
    lines = []
    for robot, record in ROBOTS.items():
        values = ", ".join(f"{key} {value:g}" for key, value in record.push_box.items())
        if values:
            lines.append(f"{robot} cannot handle the standard box; its own has {values} (m, kg/m^3).")
    return " ".join(lines)


def _object_slices(data: Data) -> list[Data]:
    own = {term.key for term in ROBOTS[data["robot"]].terms}
    return [t for t in data["observation"]["slices"] if t["key"] not in own]


def _observation_tables(name: str) -> str:
    """Return a table for levels that observe the same, with the slices of every robot."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for level in levels(name):
        keys = tuple(t["key"] for t in _object_slices(about(nav_id("Point", name, level))))
        groups.setdefault(keys, []).append(level)
    if len(groups) == 1:
        return _observation_table(name, levels(name)[0])
    return "\n\n".join(
        f"{'Level' if len(found) == 1 else 'Levels'} {' and '.join(found)}:\n\n{_observation_table(name, found[0])}"
        for found in groups.values()
    )


def _observation_table(name: str, level: str) -> str:
    datas = {robot: about(nav_id(robot, name, level)) for robot in ROBOTS}
    rows: list[list[str]] = [["sensors of the robot", "", "", *(f"0:{ROBOTS[robot].nobs}" for robot in ROBOTS)]]
    for i, term in enumerate(_object_slices(datas["Point"])):
        slices = (_object_slices(data)[i] for data in datas.values())
        places = (f"{t['start']}:{t['stop']}" for t in slices)
        rows.append([code(term["key"]), bounds_words(term["low"], term["high"]), term["meaning"], *places])
    rows.append(["length", "", "", *(str(data["observation"]["size"]) for data in datas.values())])
    return table(("key", "range", "meaning", *(link(robot, _robot_file(robot)) for robot in ROBOTS)), rows)


def _action_row(robot: str, data: Data) -> tuple[Any, ...]:
    ranges = dict.fromkeys(bounds_words(a["low"], a["high"]) for a in data["action"]["actuators"])
    return link(robot, _robot_file(robot)), data["action"]["size"], ", ".join(ranges)


def _cost_table(by_level: Mapping[str, Data]) -> str:
    terms: dict[str, Data] = {}
    where: dict[str, list[str]] = {}
    for label, data in by_level.items():
        for term in data["cost"]["terms"]:
            terms[term["key"]] = term
            where.setdefault(term["key"], []).append(label.removeprefix("level "))
    rows = []
    for key, term in terms.items():
        present = "always" if term["every_step"] else "in some steps"
        rows.append((code(key), code(term["charged_by"]), term["meaning"], ", ".join(where[key]), present))
    return table(("entry of `info`", "charged by", "raw value", "levels", "present"), rows)


# --- robots -----------------------------------------------------------------------------------------------------------


def robot_page(name: str) -> str:
    data, record = about(nav_id(name, "Goal", "1")), ROBOTS[name]
    own = [t for t in data["observation"]["slices"] if t["key"] in {term.key for term in record.terms}]
    return page(
        name,
        ABOUT[name],
        picture(f"The robot {name}", f"robot_{name.lower()}.jpg"),
        example(nav_id(name, "Goal", "1")),
        "## Facts",
        table(("", ""), _robot_facts(name, data)),
        "## Observation",
        f"The robot's part of the observation, {record.nobs} numbers (`{data['observation']['dtype']}`); what the task "
        "adds follows it. The site frame is the one of the sensors' site on the robot's body.",
        slices_table(own),
        action_section(data),
        "## Ids",
        "The tasks: " + ", ".join(link(task, _task_file(task)) for task in NAVIGATION) + ".",
        ids_table([e for e in made() if e.robot == name and e.task != VELOCITY and not e.variant]),
    )


def _robot_facts(name: str, data: Data) -> list[tuple[str, str]]:
    record, start, physics = ROBOTS[name], data["start"], data["physics"]
    height, keepout = start["spawn_z"], start["keepout"]
    facts = [
        ("model", f"`envs/assets/{record.file}`, {physics['robot_mass']:.4g} kg"),
        *_physics_facts(physics),
        ("start", f"at height {height:g} m, heading at random, keep-out radius {keepout:g} m"),
    ]
    if record.home:
        joints = f"{vector(record.home)} rad, with uniform noise of +-{record.home_noise:g} rad"
        facts.append(("joints at the start", joints))
    floor = record.alive_above
    alive = "always" if floor is None else f"while its origin is above {floor:g} m; then the episode is terminated"
    facts.append(("alive", alive))
    facts += [(code(f'robot_version="{version}"'), VERSIONS[name, version]) for version in record.versions]
    return facts


def _physics_facts(physics: Data) -> list[tuple[str, str]]:
    return [
        ("control step", f"{physics['control_step']:g} s: {physics['substeps']} substeps of {physics['timestep']:g} s"),
        ("integrator", physics["integrator"]),
    ]


# --- velocity ---------------------------------------------------------------------------------------------------------

SPEEDS: Mapping[str, str] = {"x": "signed x", "abs_x": "absolute x", "planar": "planar"}
MEASURED: Mapping[str, str] = {
    "joint": "the root joint",
    "torso": "the body `torso`",
    "mass": "the centre of mass",
}


def velocity_page() -> str:
    new = {walker: about(walker_id(walker)) for walker in WALKERS}
    hopper = new["Hopper"]
    weights = ("walker", "forward weight", "control weight", "healthy reward", "healthy", "control step")
    return page(
        VELOCITY,
        f"{hopper['summary']} The reward grows with the forward speed; a step above the speed limit costs 1.",
        picture("HalfCheetah below and above its speed limit", "task_velocity.jpg"),
        "The ball over the torso is green, paler the faster the walker is, and red in a step that costs.",
        example(walker_id("Hopper")),
        "## Speed limits",
        table(("walker", "limit of `-v0`, m/s", "speed", "limit of `-v1`, m/s", "speed"), _limit_rows(), right=(1, 3)),
        "The versions differ in nothing else. The speed is the mean over the control step, the change of position over "
        "its duration: along x with its sign (running backwards is free), or the length of the planar velocity. A step "
        "costs where the speed is above the limit, not at it. The limits are half the speed that an unconstrained PPO "
        "agent reached in 1e7 steps, as published with Safety-Gymnasium; they stay what they are where an option "
        "changes the dynamics. See [velocity cost](../concepts.md#velocity-cost).",
        "## Reward",
        "forward weight x mean x velocity + healthy reward - control weight x sum of squared actions. The healthy "
        'reward is paid in every step, the one that ends the episode included (`rules="v4"`).',
        table(weights, [_weight_row(*item) for item in new.items()], right=(1, 2, 3)),
        "## Cost",
        table(("entry of `info`", "raw value"), [("`cost_velocity`", "by how much the speed is above the limit, m/s")]),
        INDICATOR,
        "## End of an episode",
        ends_list(new),
        "## Ids",
        ids_table([e for e in made() if e.task == VELOCITY]),
        "## Options",
        "`make(id, name=value)`; the names follow Gymnasium's constructors. The defaults are those of `-v1`.",
        options_table(new),
    )


def _limit_rows() -> list[tuple[Any, ...]]:
    rows = []
    for walker in WALKERS:
        limits = (about(walker_id(walker, version))["limits"] for version in (0, 1))
        cells = ((limit["velocity_threshold"], SPEEDS[limit["velocity_kind"]]) for limit in limits)
        rows.append((link(walker, _walker_file(walker)), *(cell for pair in cells for cell in pair)))
    return rows


def _weight_row(walker: str, data: Data) -> tuple[str, ...]:
    options = {option["name"]: option["default"] for option in data["options"]}
    weights = (f"{options[key]:g}" for key in ("forward_reward_weight", "ctrl_cost_weight", "healthy_reward"))
    healthy = [end["when"].partition(": ")[2] for end in data["limits"]["ends"] if "healthy" in end["when"]]
    step = f"{data['physics']['control_step']:g} s"
    return link(walker, _walker_file(walker)), *weights, healthy[0] if healthy else "always", step


def walker_page(name: str) -> str:
    old, new = (about(walker_id(name, version)) for version in (0, 1))
    limits = [
        (code(d["id"]), d["limits"]["velocity_threshold"], SPEEDS[d["limits"]["velocity_kind"]]) for d in (old, new)
    ]
    observation, clip = new["observation"], WALKERS[name].clip
    return page(
        f"{name} (walker)",
        f"{words_about(name, 'walker')} One of the walkers of the [velocity task](velocity.md).",
        picture(f"The walker {name}", f"walker_{name.lower()}.jpg"),
        example(walker_id(name)),
        "## Facts",
        table(("", ""), _walker_facts(name, new)),
        "## Observation",
        f"`Box`, {observation['size']} numbers, `{observation['dtype']}`; `observation_flatten=False` gives a `Dict` "
        "by key." + (f" Velocities are clipped to +-{clip:g}." if clip else ""),
        slices_table(observation["slices"]),
        action_section(new),
        reward_section(new),
        "## Cost",
        "1 in a step in which the speed is above the limit, else 0.",
        table(("id", "limit, m/s", "speed"), limits, right=(1,)),
        INDICATOR,
        "## End of an episode",
        ends_list({"": new}),
        '## What `rules="v5"` changes',
        _v5_changes(new, about(walker_id(name), rules="v5")),
        "## Entries of `info`",
        codes(_info_keys(walker_id(name))) + ".",
        "## Ids",
        ids_table([e for e in made() if e.task == VELOCITY and e.robot == name]),
        "## Options",
        options_table({"`-v0`": old, "`-v1`": new}),
    )


def _walker_facts(name: str, data: Data) -> list[tuple[str, str]]:
    start, physics, threshold = data["start"], data["physics"], data["limits"]["reward_threshold"]
    scale, normal = f"{start['reset_noise_scale']:g}", start["velocity_noise"] == "normal"
    velocities = f"normal with standard deviation {scale}" if normal else f"uniform in +-{scale}"
    margins = f'`{physics["margins"]}`: the contacts of MuJoCo before 3.5; `margins="as_written"` takes the file\'s'
    facts = [
        ("model", f"`{physics['model']}` of the installed Gymnasium, {physics['robot_mass']:.4g} kg"),
        *_physics_facts(physics),
        ("start", f"the model's pose; noise on positions uniform in +-{scale}, on velocities {velocities}"),
        ("velocity measured at", MEASURED[WALKERS[name].measured]),
        ("contact margins", margins),
    ]
    return facts if threshold is None else [*facts, ("reward threshold", f"{threshold:g}, in Gymnasium's registry")]


def _v5_changes(v4: Data, v5: Data) -> str:
    """Return what the rules of newer Gymnasium environments change, from both descriptions."""
    before, after = ({t["key"]: t for t in d["observation"]["slices"]} for d in (v4, v5))
    lines = []
    for key in {**before, **after}:
        old, new = (found[key]["shape"][0] if key in found else 0 for found in (before, after))
        if old and old != new:
            lines.append(f"`{key}` has {new} numbers instead of {old}")
        elif old != new:
            lines.append(f"`{key}`, {new} numbers, is observed: {after[key]['meaning']}")
    old, new = (d["observation"]["size"] for d in (v4, v5))
    if old != new:
        lines.append(f"the observation has {new} numbers instead of {old}")
    for term, words in v5["reward"]["terms"].items():
        if v4["reward"]["terms"].get(term) != words:
            lines.append(f"reward term `{term}`: {words}")
    old_keys, new_keys = _info_keys(v4["id"]), _info_keys(v5["id"], rules="v5")
    if more := [key for key in new_keys if key not in old_keys]:
        lines.append(f"`info` has {codes(more)} as well")
    if less := [key for key in old_keys if key not in new_keys]:
        lines.append(f"`info` has no {codes(less)}")
    if file := WALKERS[v4["robot"]].file_v5:
        lines.append(f"the model is `{file}`")
    return "\n".join(f"- {line}" for line in lines) or "Nothing."


@cache
def _info_keys(env_id: str, **options: Any) -> tuple[str, ...]:
    """Return the entries of `info` of a step."""
    env = SafetyEnv(env_id, **options)
    env.reset(seed=0)
    return tuple(env.step(0 * env.action_space.sample())[4])


# --- several agents ---------------------------------------------------------------------------------------------------


def multi_agent_page(text: str) -> str:
    """Return docs/multi_agent.md with its tables written anew, each between its marker and the next `end`."""
    tables = {
        "table: multi_goal": _multi_goal_table(),
        "options: multi_goal": _own_options(MultiGoalConfig(), MULTI_GOAL_OPTION_HELP),
        "table: velocity": _divided_table(),
        "options: velocity": _own_options(DividedConfig(partition="..."), DIVIDED_OPTION_HELP),
    }
    for name, content in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(pattern, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", text, count=1, flags=re.S)
        if not found:
            raise ValueError(f"docs/multi_agent.md has no marker <!-- {name} -->")
    return text


def _multi_goal_table() -> str:
    rows = []
    for name in multi_agent_ids("MultiGoal"):
        envs = MultiAgentVectorEnv(name, num_threads=1)
        extent = f"+-{envs.sim.task.config.extents[2]:g} m"
        costs = codes(envs.cost_names) or "none"
        sizes = (envs.observation_spaces["agent_0"].shape[0], envs.action_spaces["agent_0"].shape[0])
        rows.append((code(name), *sizes, envs.state_space.shape[0], extent, costs))
    return table(("id", "observation", "actions", "state", "extents", "charged"), rows, right=(1, 2, 3))


def _divided_table() -> str:
    rows = []
    for name in multi_agent_ids("Velocity"):
        envs = MultiAgentVectorEnv(name, num_threads=1)
        config: Any = envs.sim.config
        sizes = [
            " + ".join(str(space.shape[0]) for space in spaces.values())
            for spaces in (envs.observation_spaces, envs.action_spaces)
        ]
        limit = f"{config.velocity_threshold:g}"
        rows.append((code(name), *sizes, envs.state_space.shape[0], limit, SPEEDS[config.velocity_kind]))
    return table(("id", "observations", "actions", "state", "limit, m/s", "speed"), rows, right=(3, 4))


def _own_options(config: Any, meanings: Mapping[str, str]) -> str:
    rows = [(code(name), code(getattr(config, name)), meaning) for name, meaning in meanings.items()]
    return table(("option", "default", "meaning"), rows)


# --- command ----------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a page differs")
    args = parser.parse_args()
    wanted = pages()
    stale = [path for path in FOLDER.glob("*.md") if path.name not in wanted]
    changed = [name for name, text in wanted.items() if not _is_written(FOLDER / name, text)]
    several = multi_agent_page(MULTI_AGENT.read_text(encoding="utf-8"))
    differs = not _is_written(MULTI_AGENT, several)
    if args.check:
        names = [f"environments/{name}" for name in (*changed, *(path.name for path in stale))]
        for name in (*names, *(["multi_agent.md"] if differs else [])):
            print(f"docs/{name} differs from what the tables say; run `make docs`", file=sys.stderr)
        return 1 if names or differs else 0
    if differs:
        MULTI_AGENT.write_text(several, encoding="utf-8")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in changed:
        (FOLDER / name).write_text(wanted[name], encoding="utf-8")
    for path in stale:
        path.unlink()
    print(f"{len(wanted)} pages in {FOLDER.name}: {len(changed)} written, {len(stale)} removed")
    return 0


def _is_written(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
