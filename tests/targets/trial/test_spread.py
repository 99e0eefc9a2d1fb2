"""Clips over the workers of a real Dask cluster, processes on loopback: the numbers are those of one machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from targets.trial import spread as spreading
from targets.trial.spread import spread
from targets.trial.trial import Trial, run_apart, run_here
from tests.aide import write_dataset
from tests.dask_cluster import cluster, kill_one_in_the_middle
from tests.tiny import make_tiny_bundle
from workshop.aide_splits import read_split

CLIPS, FRAMES, VARIANT = 24, 27, "ort-x86-7bit"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All clips but one are test clips."""
    root = write_dataset(tmp_path_factory.mktemp("data"), clips=CLIPS + 1, frames=FRAMES)
    rows = [f"AIDE_Dataset/{n:04}/,AIDE_Dataset/annotation/{n:04}.json" for n in range(1, CLIPS + 2)]
    for split, members in {"training": rows[:1], "validation": [], "testing": rows[1:]}.items():
        (root / f"{split}.csv").write_text("\n".join(["0,1", *members]) + "\n")
    return root


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.bundle", golden=False)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with cluster(tmp_path_factory.mktemp("cluster"), workers=1) as client:
        yield client


def trial(bundle: Path, data: Path, **named: Any) -> Trial:
    return Trial(bundle, VARIANT, data, steps=2, threads=1, **named)


@pytest.mark.slow
def test_three_workers_of_which_one_is_killed_give_the_numbers_of_one_machine_to_the_bit(
    tmp_path: Path, bundle: Path, data: Path
) -> None:
    alone = run_apart(trial(bundle, data))
    with cluster(tmp_path, workers=3) as client, ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill_one_in_the_middle, client, CLIPS - 1)
        shared = run_apart(trial(bundle, data, dask=client.scheduler.address))
        done = killing.result()
        assert CLIPS / 3 - 1 <= done < CLIPS - 1, "not in the middle"
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 2
    assert (shared["tasks"], shared["driver"]) == (alone["tasks"], alone["driver"])
    assert len(shared["tasks"]["driver_emotion"]["predicted"]) == len(shared["driver"]["certainty"]) == CLIPS
    assert shared["clips_by"] in ("2 workers of Dask", "3 workers of Dask") and "clips_by" not in alone


def test_a_worker_of_another_commit_is_refused(
    workers: Client, bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "git_commit", lambda: "another")
    spreading._machine.cache_clear()
    with pytest.raises(ConfigError, match=r"worker tcp://\S+ has another commit, \S+, and this machine another"):
        run_here(trial(bundle, data, dask=workers.scheduler.address))
    spreading._machine.cache_clear()


def test_a_bundle_that_lies_elsewhere_on_a_worker_is_told(workers: Client, bundle: Path, data: Path) -> None:
    refs, opening = read_split(data, "test")[:1], (bundle.parent / "gone", VARIANT, 1, "")
    with Perceiver.open(bundle, variant=VARIANT, threads=1) as here, pytest.raises(ConfigError) as told:
        spread(workers.scheduler.address, here, opening, refs, parts=False, every=1)
    assert "a worker of tcp://" in str(told.value) and "have to lie there as here" in str(told.value)


def test_without_a_cluster_the_message_says_what_to_start(
    bundle: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "CONNECT_S", 1)
    with pytest.raises(ConfigError, match=r"no Dask cluster at tcp://127.0.0.1:9 .* start `dask scheduler`"):
        run_here(trial(bundle, data, dask="tcp://127.0.0.1:9"))
