"""A SLURM array job from a suite: one task per run, each calling the worker with its line of a file of configurations.

The tasks write to the folders of their runs only, on a file system that the nodes share; the store takes the results in
when `python -m benchmarks status` or `run` looks at it. Submitting the script again continues what is not
finished: tasks of finished runs return at once.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.store import Store
from benchmarks.worker import ROOT, command

_SCRIPT = """#!/bin/bash
# {count} runs of suite {suite}; written by `python -m benchmarks slurm`.
# Submit with `sbatch {script}`, again to continue what is not finished; see `python -m benchmarks status {store}`.
#SBATCH --job-name=bench-{suite}
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={threads}
#SBATCH --output={logs}/%A_%a.log
#SBATCH --requeue
#SBATCH --signal=B:TERM@300
{options}
set -euo pipefail
cd {root}
export OMP_NUM_THREADS={threads} SAFETY_GYM_THREADS={threads} PYTHONUNBUFFERED=1
# The worker takes the place of this shell, so that SLURM's signal before the time limit reaches it.
exec {command} < <(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {jobs})
"""


def write_script(store: Store, suite: str, runs: Sequence[str], threads: int, options: Sequence[str]) -> Path:
    """Write the script and its file of configurations into the folder `slurm` beside the store; returns the script.

    `options` are further lines for `#SBATCH`, such as `--partition=cpu`.
    """
    folder = (store.folder / "slurm").resolve()
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    jobs, script = folder / f"{suite}.jsonl", folder / f"{suite}.sh"
    configs = [store.config(run) for run in runs]
    configs = [replace(c, run=replace(c.run, log_dir=str(Path(c.run.log_dir).resolve()))) for c in configs]
    jobs.write_text("".join(json.dumps(config.to_dict()) + "\n" for config in configs))
    text = _SCRIPT.format(
        count=len(runs),
        last=len(runs) - 1,
        suite=suite,
        script=script,
        store=store.folder,
        threads=threads,
        logs=logs,
        root=shlex.quote(str(ROOT)),
        command=shlex.join(command()),
        jobs=shlex.quote(str(jobs)),
        options="\n".join(f"#SBATCH {option}" for option in options),
    )
    script.write_text(text.replace("\n\n", "\n"))
    return script
