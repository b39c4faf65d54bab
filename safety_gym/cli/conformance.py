"""`safety-gym conformance`: replay recorded trajectories of the reference suite."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safety_gym.cli.common import DISTRIBUTION, Command, UserError, count_of, to_json, told, version


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of trajectories (*.npz)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON")


def _run(args: argparse.Namespace) -> int:
    from safety_gym.conformance import Report, check_file, find_files

    folder: Path = args.folder
    if not folder.is_dir():
        raise UserError(f"{str(folder)!r} is no folder")
    if args.json is not None and not args.json.parent.is_dir():
        raise UserError(f"--json {str(args.json)!r}: the folder {str(args.json.parent)!r} does not exist")
    with told():
        files = find_files(folder)
    skipped = sorted({path.name for path in folder.glob("*.npz")} - {path.name for path in files})
    reports: list[Report] = []
    for path in files:
        try:
            report = check_file(path)
        except Exception as error:  # what is wrong with one file must not hide the others
            problem = f"cannot be replayed: {type(error).__name__}: {error}"
            report = Report(path.name, path.name.split("__")[0], problems=[problem])
        reports.append(report)
        print(report.line(), flush=True)
    failed = sum(not r.passed for r in reports)
    print(
        f"{len(reports) - failed} of {count_of(len(reports), 'file')} agree with the reference"
        + (f", {failed} fail" if failed else "")
        + (f"; {len(skipped)} skipped (environments that are not built)" if skipped else "")
    )
    if args.json is not None:
        _write(args.json, reports, skipped)
    return 1 if failed else 0


def _write(path: Path, reports: Sequence[Any], skipped: Sequence[str]) -> None:
    from safety_gym.conformance import TOLERANCES

    content = {
        "versions": {name: version(name) for name in (DISTRIBUTION, "mujoco", "numpy", "gymnasium")},
        "tolerances": {name: dataclasses.asdict(t) for name, t in TOLERANCES.items()},
        "passed": sum(r.passed for r in reports),
        "failed": sum(not r.passed for r in reports),
        "skipped": skipped,
        "files": [dataclasses.asdict(r) for r in reports],
    }
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(to_json(content) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"--json {str(path)!r}: {error}") from error


COMMAND = Command(
    "conformance",
    "replay recorded trajectories of the reference suite",
    "Compares each file step by step and prints one line; exit code 1 if any file fails. Files of environments "
    "that are not built yet are skipped.",
    _add_arguments,
    _run,
)
