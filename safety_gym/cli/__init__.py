"""The `safety-gym` command: list, show, play, bench, doctor, conformance; one module each.

`main(argv)` returns the exit code: 0 good, 1 a check failed, 2 wrong arguments or something missing on this machine
(one line on stderr). What a command needs beyond the standard library is imported when it runs.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from safety_gym.cli import bench, conformance, doctor, listing, play, show
from safety_gym.cli.common import DISTRIBUTION, Command, UserError, version

__all__ = ["UserError", "main"]

COMMANDS: Mapping[str, Command] = {
    module.COMMAND.name: module.COMMAND for module in (listing, show, play, bench, doctor, conformance)
}

EPILOG = """examples:
  safety-gym list goal
  safety-gym show SafetyPointGoal1-v0
  safety-gym show SafetyPointGoal1-v0 lidar_num_bins=32 "hazards={'num': 12}"
  safety-gym play SafetyCarButton1-v0 --seed 3
  safety-gym bench SafetyPointGoal1-v0 --num-envs 1 16 256
  safety-gym doctor

`safety-gym COMMAND --help` explains a command. Exit codes: 0 good, 1 a check failed, 2 an error told in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    try:
        if not args:
            parser.print_help(sys.stderr)
            return 2
        options, rest = parser.parse_known_args(args)
        if rest and hasattr(options, "options") and all(re.match(r"\w[\w.]*=", text) for text in rest):
            options.options += rest  # argparse takes positional arguments only up to the first flag
        elif rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"safety-gym: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives until the interpreter ends
        return 0
    except SystemExit as ended:  # --help and --version
        return ended.code if isinstance(ended.code, int) else 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose from ", message)
        if wrong:
            close = difflib.get_close_matches(wrong[1], COMMANDS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"
            raise UserError(f"unknown command {wrong[1]!r}; {hint}")
        raise UserError(f"{message} (`{self.prog} --help` explains)")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Leaves the longest command on the line of its help; argparse forgets the indentation of commands."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 15


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="safety-gym",
        description="Safe reinforcement learning environments: look at them, drive them, measure them, check them.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    number = version(DISTRIBUTION) or "(a checkout, not installed)"
    about = "print the version and exit"
    parser.add_argument("--version", action="version", version=f"{DISTRIBUTION} {number}", help=about)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        more = f"{command.about[0].upper()}{command.about[1:]}. {command.more}"
        subparser = commands.add_parser(name, help=command.about, description=more)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser
