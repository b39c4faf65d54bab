"""Claims, leases and what a store reads from folders."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pandas as pd
import pytest

import benchmarks.store
from benchmarks.store import MAX_DEATHS, Store, command_of, open_store, progress, read_folder, worker_name
from benchmarks.suite import load_suite
from safepo.cli import parse_train
from safepo.config import make_config
from safepo.errors import UserError
from safepo.trainer import train
from tests.benchmarks.helpers import TOY, write_suite

ELSEWHERE = "elsewhere:1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "bench")
    store.add(load_suite(write_suite(tmp_path, seeds=[0, 1])).jobs, "small")
    return store


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of `safepo train`."""
    sizes = {"num_envs": 2, "steps_per_epoch": 200, "total_steps": 600, "passes": 2, "eval_episodes": 2}
    return train("ppo_lag", env_id=TOY, log_dir=str(tmp_path_factory.mktemp("old")), **sizes)


def ids(store: Store) -> list[str]:
    return list(store.runs()["run"])


def status(store: Store) -> dict[str, int]:
    return store.runs()["status"].value_counts().to_dict()


def test_adding_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    before = store.runs()
    assert len(before) == 4 and set(before["suites"]) == {("small",)} and set(before["status"]) == {"queued"}
    store.add(load_suite(write_suite(tmp_path, "more", seeds=[1, 2])).jobs, "more")
    after = store.runs().set_index("run")["suites"]
    assert sorted(after) == [("more",)] * 2 + [("more", "small")] * 2 + [("small",)] * 2


def test_two_claimants_never_get_the_same_run(store: Store, tmp_path: Path) -> None:
    runs, claimed = ids(store), list[str | None]()

    def work(name: str) -> None:
        with Store(tmp_path / "bench") as mine:
            claimed.extend(mine.claim(name, runs) for _ in range(3))

    threads = [threading.Thread(target=work, args=(f"elsewhere:{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 12
    assert sorted(run for run in claimed if run) == sorted(runs)


def test_claims_take_only_what_is_asked_for_in_the_order_of_the_suite(store: Store, tmp_path: Path) -> None:
    wanted = store.add(load_suite(write_suite(tmp_path, seeds=[1])).jobs)
    assert [store.claim(ELSEWHERE, wanted) for _ in range(3)] == [*wanted, None]
    assert status(store) == {"queued": 2, "running": 2}


def test_a_lease_that_runs_out_is_retried_until_the_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = store.claim(ELSEWHERE, ids(store)[:1])
    assert run and store.claim("elsewhere:2", [run]) is None
    assert store.heartbeat(run, ELSEWHERE, 200) and not store.heartbeat(run, "elsewhere:2", 400)
    monkeypatch.setattr(benchmarks.store, "LEASE", -1.0)
    for _ in range(MAX_DEATHS - 1):
        assert store.claim("elsewhere:2", [run]) == run
        assert not store.heartbeat(run, ELSEWHERE)  # the first one learns that it lost the run
    assert store.claim("elsewhere:2", [run]) is None
    row = store.runs().set_index("run").loc[run]
    assert row["status"] == "failed" and row["attempts"] == MAX_DEATHS
    assert "died 3 times at step 200 (last: its runner elsewhere:2 is gone)" in row["error"]
    assert store.retry([run]) == [run] and store.claim(ELSEWHERE, [run]) == run


def test_a_run_that_gets_further_may_die_often(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ids(store)[0]
    for step in range(200, 200 * 2 * MAX_DEATHS, 200):
        monkeypatch.setattr(benchmarks.store, "LEASE", -1.0)
        assert store.claim(ELSEWHERE, [run]) == run
        assert store.heartbeat(run, ELSEWHERE, step)


def test_a_process_that_is_gone_loses_its_run_at_once(store: Store) -> None:
    host = worker_name().rpartition(":")[0]
    (run,) = ids(store)[:1]
    assert store.claim(f"{host}:{2**22 + 1}", [run]) == run  # above any process number of Linux
    assert store.claim(worker_name(), [run]) == run
    assert store.claim(worker_name(), [run]) is None


def test_cancel_and_retry(store: Store) -> None:
    first, second, *_ = ids(store)
    store.claim(ELSEWHERE, [first])
    assert store.cancel([first, second]) == [first, second]
    assert not store.heartbeat(first, ELSEWHERE)  # this is how its runner hears of it
    assert store.release(first, ELSEWHERE) == "cancelled"
    assert store.claim(ELSEWHERE, [first, second]) is None
    assert store.retry([first, second]) == [] and store.retry([first], ("cancelled",)) == [first]
    assert store.cancel([first, "no/such"]) == [first]


def test_without_resume_begun_runs_are_left_alone(store: Store) -> None:
    first, second, *_ = ids(store)
    store.claim(ELSEWHERE, [first])
    store.heartbeat(first, ELSEWHERE, 200)
    store._db.execute("UPDATE runs SET status = 'queued' WHERE run = ?", (first,))
    assert store.claim(ELSEWHERE, [first, second], resume=False) == second
    assert store.claim(ELSEWHERE, [first, second], resume=False) is None
    assert store.claim(ELSEWHERE, [first, second]) == first


def test_folders_are_imported_where_they_are(trained: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "bench")
    run, notes = store.collect_folder(trained)
    assert run == f"ToySpeed-v0/{trained.name}" and notes == []
    (row,) = store.runs().to_dict("records")
    assert (row["status"], row["step"], row["seed"], row["suites"]) == ("finished", 600, 0, ())
    assert Path(row["folder"]).resolve() == trained.resolve()
    assert row["versions"]["torch"] and row["config"]["run"]["num_envs"] == 2
    rows = pd.read_csv(trained / "metrics.csv", float_precision="round_trip")
    curves = store.curves(["train/kl", "ep/cost"])
    assert set(curves["metric"]) == {"train/kl", "ep/cost"}
    assert list(curves[curves["metric"] == "train/kl"]["value"]) == list(rows["train/kl"])
    assert list(curves[curves["metric"] == "train/kl"]["step"]) == [200, 400, 600]
    result = json.loads((trained / "eval.json").read_text())
    evaluations = store.evaluations().groupby("mode")
    assert evaluations.size().to_dict() == {"deterministic": 2, "stochastic": 2}
    for mode, table in evaluations:
        for name in ("return", "cost", "length"):
            assert table[name].mean() == pytest.approx(result[mode][name]["mean"])
    assert store.collect_folder(trained)[1] == ["is finished in the store; left as it is"]


def test_old_evaluations_have_no_rows(trained: Path, tmp_path: Path) -> None:
    old = tmp_path / "ToySpeed-v0" / trained.name
    shutil.copytree(trained, old)
    result = json.loads((old / "eval.json").read_text())
    for mode in ("deterministic", "stochastic"):
        for name in ("return", "cost", "length"):
            del result[mode][name]["values"]
    (old / "eval.json").write_text(json.dumps(result))
    store = Store(tmp_path / "bench")
    _, notes = store.collect_folder(old)
    assert len(notes) == 2 and "no values per episode" in notes[0]
    assert len(store.evaluations()) == 0 and len(store.curves()) > 0
    assert status(store) == {"finished": 1}


def test_folders_say_what_happened(trained: Path, tmp_path: Path) -> None:
    assert read_folder(tmp_path / "nothing").status == "queued"
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / "eval.json").unlink()
    assert read_folder(folder).status == "interrupted"  # trained, not evaluated
    worker = {"worker": ELSEWHERE, "hardware": {}, "commits": ["a", "b"], "started": "then"}
    (folder / "worker.json").write_text(json.dumps(worker))
    found = read_folder(folder)
    assert (found.status, found.worker, found.commit) == ("running", ELSEWHERE, "a, b")
    (folder / "worker.json").write_text(json.dumps({**worker, "ended": "now"}))
    assert read_folder(folder).status == "interrupted"
    (folder / "error.txt").write_text("Traceback")
    assert read_folder(folder).status == "failed"


def test_progress_is_the_last_whole_line(tmp_path: Path) -> None:
    assert progress(tmp_path) == 0
    (tmp_path / "metrics.csv").write_text("step,a\n200,1\n400,2\n60")
    assert progress(tmp_path) == 400


def test_export_and_back(trained: Path, store: Store, tmp_path: Path) -> None:
    store.collect_folder(trained)
    folder = store.export(tmp_path / "export")
    with open_store(folder) as back:
        pd.testing.assert_frame_equal(back.curves(), store.curves(), check_exact=True)
        pd.testing.assert_frame_equal(back.evaluations(), store.evaluations(), check_exact=True)
        own = ["worker", "folder"]
        pd.testing.assert_frame_equal(back.runs().drop(columns=own), store.runs().drop(columns=own))
        assert set(back.runs()["worker"]) == {None}
    assert str(tmp_path) not in pd.read_parquet(folder / "runs.parquet").to_csv()


def test_empty_stores_have_all_columns(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert "steps_per_s" in store.runs() and "value" in store.curves() and "return" in store.evaluations()
        assert store.runs().empty and store.curves().empty and store.evaluations().empty


def test_commands_train_the_same_configuration(tmp_path: Path) -> None:
    for config in (
        make_config("ppo_lag", env_id=TOY, seed=3, cost_limit={"cost": 3, "cost_speed": 1e-3}, hidden=(8, 7)),
        make_config("cpo", env_id="SafetyDoggoGoal1-v0", preset="quick", tuned=False, num_envs=3),
    ):
        words = command_of(config).split()
        assert words[:3] == ["safepo", "train", config.algorithm]
        assert parse_train(config.algorithm, words[3:])[0] == config


def test_wrong_stores(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        open_store(tmp_path / "no")
    (tmp_path / "store.sqlite").write_text("certainly not a database")
    with pytest.raises(UserError, match="not a store"):
        open_store(tmp_path)


def test_reading_while_writing(store: Store, tmp_path: Path) -> None:
    """A reader that had to wait for the writer would give up here with "database is locked"."""
    with store._write():
        assert len(Store(tmp_path / "bench", read_only=True).runs()) == 4
