"""Workers as tasks of a Ray cluster, `python -m benchmarks run SUITE --engine ray --address ...`.

Needed on every node, at the same paths: this checkout, the Python that runs the driver, and the folder of the store, on
a file system that the nodes share (that is where checkpoints lie, so that a run continues on another node). Only the
driver opens the store. It claims runs, starts a task for each, and collects the folder when the task has ended. A task
whose worker or node is lost goes back to the queue and continues from its last checkpoint, as in the local engine.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import worker
from benchmarks.runner import POLL, how_it_died, start_worker
from safepo.config import Config, config_from_dict
from safepo.errors import UserError


def train(plain: dict[str, Any], threads: int) -> str:
    """What a task does: a worker process, as in the local engine; returns how it died, empty if it ended by itself."""
    process = start_worker(config_from_dict(plain), threads)
    assert process.stderr is not None
    try:
        while process.poll() is None:  # Ray's interrupt does not reach into a blocking wait
            time.sleep(POLL)
        return how_it_died(process.returncode, process.stderr.read())
    except KeyboardInterrupt:  # the task was cancelled
        process.terminate()
        process.wait()
        return ""
    finally:
        if process.poll() is None:
            process.terminate()


class RayEngine:
    """Tasks on a cluster; `workers` at a time (0: as many as the cluster has processors for)."""

    def __init__(self, address: str = "auto", workers: int = 0, threads: int = 1) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise UserError('Ray is not installed; pip install "safe-rl-suite[cluster]"') from None
        self.ray, self.workers, self.threads = ray, workers, threads
        try:
            ray.init(
                address=address,
                runtime_env={"env_vars": {"PYTHONPATH": str(worker.ROOT)}},
                log_to_driver=False,
                configure_logging=False,
            )
        except ConnectionError as error:
            raise UserError(f"address {address!r}: no Ray cluster answers ({error})") from None
        # Retries are the store's: it knows whether a run gets further.
        self.task = ray.remote(num_cpus=threads, max_retries=0)(train)

    @property
    def capacity(self) -> int:
        return self.workers or max(1, int(self.ray.cluster_resources().get("CPU", 0)) // self.threads)

    def start(self, config: Config) -> Any:
        log_dir = str(Path(config.run.log_dir).resolve())
        return self.task.remote(replace(config, run=replace(config.run, log_dir=log_dir)).to_dict(), self.threads)

    def poll(self, handle: Any) -> str | None:
        done, _ = self.ray.wait([handle], timeout=0)
        if not done:
            return None
        try:
            return self.ray.get(handle)
        except self.ray.exceptions.TaskCancelledError:
            return ""
        except self.ray.exceptions.RayError as error:
            return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"

    def stop(self, handle: Any, at_once: bool = False) -> None:
        self.ray.cancel(handle, force=at_once)

    def close(self) -> None:
        self.ray.shutdown()
