"""The array script does in bash, without SLURM, what a task does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.cli import main
from benchmarks.store import Store
from tests.benchmarks.helpers import write_suite


def test_each_task_trains_its_run(tmp_path: Path) -> None:
    suite, path = write_suite(tmp_path), tmp_path / "a store"
    options = ["--options=--partition=cpu", "--options=--time=1:00:00"]
    assert main(["slurm", str(suite), "--store", str(path), "--threads", "2", *options]) == 0
    script = path / "slurm" / "small.sh"
    text = script.read_text()
    for line in ("--array=0-1", "--cpus-per-task=2", "--partition=cpu", "--time=1:00:00", "--signal=B:TERM@300"):
        assert f"#SBATCH {line}\n" in text
    assert text.index("set -euo") > text.rindex("#SBATCH")  # SLURM reads options up to the first command
    for _ in range(2):  # the second time, runs are finished
        tasks = [
            subprocess.Popen(["bash", script], cwd=tmp_path, env={**os.environ, "SLURM_ARRAY_TASK_ID": str(task)})
            for task in (0, 1)
        ]
        assert [task.wait(timeout=180) for task in tasks] == [0, 0]
    with Store(path) as store:
        assert set(store.runs()["status"]) == {"queued"}
        store.sync()
        assert set(store.runs()["status"]) == {"finished"} and len(store.evaluations()) == 8
        assert [hardware["threads"] for hardware in store.runs()["hardware"]] == [2, 2]
