"""The engine store: nothing that was not built here is handed on, and no file system can stop the service."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codriver.engines.trt.store import EngineStore
from tests import ROOT
from tests.sdk.engines.crash_model import disks_after_a_power_cut, recorded
from tests.sdk.engines.store_process import FACTS, store_in

PLAN = bytes(range(256)) * 8
SCRIPT = Path(__file__).with_name("store_process.py")


def process(*arguments: object) -> subprocess.Popen[str]:
    root = ROOT
    environment = os.environ | {"PYTHONPATH": f"{root / 'sdk'}{os.pathsep}{root}"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    limit_s = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < limit_s, f"{path.name} did not appear"
        time.sleep(0.002)


def entry(folder: Path) -> Path:
    (path,) = folder.glob("cache/*.entry")
    return path


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return store_in(tmp_path)


def test_what_was_put_is_got_also_by_a_later_process(store: EngineStore, tmp_path: Path) -> None:
    assert store.get(FACTS) is None
    store.put(FACTS, PLAN)
    assert store.get(FACTS) == PLAN
    assert store_in(tmp_path).get(FACTS) == PLAN


@pytest.mark.parametrize("fact", list(FACTS))
def test_another_fact_is_another_entry(store: EngineStore, fact: str) -> None:
    store.put(FACTS, PLAN)
    assert store.get(FACTS | {fact: "other"}) is None


def test_the_order_of_facts_does_not_matter(store: EngineStore) -> None:
    store.put(FACTS, PLAN)
    assert store.get(dict(reversed(FACTS.items()))) == PLAN


def test_two_engines_are_built_at_once(store: EngineStore, tmp_path: Path) -> None:
    """While one process builds its own, another need not wait with its own."""
    built: list[bytes] = []
    other = Thread(target=lambda: built.append(store_in(tmp_path).get_or_build({"graph": "h"}, lambda: PLAN)))

    def build() -> bytes:
        other.start()
        other.join(timeout=20)
        return PLAN if built else b"waited"

    assert store.get_or_build(FACTS, build) == PLAN


def test_an_entry_is_built_once(store: EngineStore) -> None:
    built: list[bytes] = []

    def build() -> bytes:
        built.append(PLAN)
        return PLAN

    assert [store.get_or_build(FACTS, build) for _ in range(3)] == [PLAN] * 3
    assert len(built) == 1


def test_a_build_that_fails_keeps_nothing_and_is_tried_again(store: EngineStore) -> None:
    def fail() -> bytes:
        raise OSError("the builder's own")

    with pytest.raises(OSError, match="the builder's own"):
        store.get_or_build(FACTS, fail)
    assert store.get_or_build(FACTS, lambda: PLAN) == PLAN


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    store_in(folder).put(FACTS, PLAN)
    return folder


@given(place=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_a_rebuild(shared: Path, place: int, bit: int) -> None:
    path = entry(shared)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    store = store_in(shared)
    assert store.get(FACTS) is None
    assert store.get_or_build(FACTS, lambda: PLAN) == PLAN
    assert store.get(FACTS) == PLAN


@given(length=st.integers(0))
def test_any_part_of_an_entry_is_a_rebuild(shared: Path, length: int) -> None:
    path = entry(shared)
    data = path.read_bytes()
    path.write_bytes(data[: length % len(data)])
    assert store_in(shared).get(FACTS) is None
    store_in(shared).put(FACTS, PLAN)


def test_bytes_after_the_end_are_a_rebuild(store: EngineStore, tmp_path: Path) -> None:
    store.put(FACTS, PLAN)
    path = entry(tmp_path)
    path.write_bytes(path.read_bytes() + b"\0")
    assert store.get(FACTS) is None


def test_an_entry_under_anothers_name_is_a_rebuild(store: EngineStore, tmp_path: Path) -> None:
    other = FACTS | {"device": "other"}
    store.put(FACTS, PLAN)
    first = entry(tmp_path)
    store.put(other, b"other")
    (second,) = set(tmp_path.glob("cache/*.entry")) - {first}
    os.replace(first, second)
    assert store.get(other) is None


def test_an_entry_of_another_device_is_a_rebuild(store: EngineStore, tmp_path: Path) -> None:
    elsewhere = store_in(tmp_path / "elsewhere")
    elsewhere.put(FACTS, PLAN)
    store.put(FACTS, PLAN)
    os.replace(entry(tmp_path / "elsewhere"), entry(tmp_path))
    assert store.get(FACTS) is None


def test_the_key_is_outside_the_cache_and_only_its_owner_may_read_either(store: EngineStore, tmp_path: Path) -> None:
    store.put(FACTS, PLAN)
    key = tmp_path / "state" / "engines.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in (tmp_path / "cache", tmp_path / "state"))
    assert key.read_bytes() not in entry(tmp_path).read_bytes()
    assert entry(tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_could_read_is_replaced_and_its_entries_rebuilt(store: EngineStore, tmp_path: Path) -> None:
    store.put(FACTS, PLAN)
    key = tmp_path / "state" / "engines.key"
    before = key.read_bytes()
    key.chmod(0o644)
    assert store_in(tmp_path).get(FACTS) is None
    assert key.read_bytes() != before


def test_a_key_that_was_cut_short_is_replaced(store: EngineStore, tmp_path: Path) -> None:
    key = tmp_path / "state" / "engines.key"
    key.write_bytes(key.read_bytes()[:5])
    store_in(tmp_path).put(FACTS, PLAN)
    assert len(key.read_bytes()) == 32 and store_in(tmp_path).get(FACTS) == PLAN


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "readable by others"])
def test_an_entry_that_is_no_plain_file_of_ours_is_not_read(store: EngineStore, tmp_path: Path, kind: str) -> None:
    store.put(FACTS, PLAN)
    path = entry(tmp_path)
    if kind == "readable by others":
        path.chmod(0o644)
    else:
        path.rename(tmp_path / "real")
        make: dict[str, Callable[[], Any]] = {
            "link": lambda: path.symlink_to(tmp_path / "real"),
            "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir,
        }
        make[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.get(FACTS) is None
        assert store.get_or_build(FACTS, lambda: PLAN) == PLAN


def test_deleting_the_cache_at_work_costs_a_build_and_no_more(store: EngineStore, tmp_path: Path) -> None:
    store.put(FACTS, PLAN)
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    (tmp_path / "cache").rmdir()
    assert store.get_or_build(FACTS, lambda: PLAN) == PLAN
    assert store.get(FACTS) == PLAN


def test_the_store_stays_within_its_bound_and_the_one_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "cache", key_file=tmp_path / "state" / "k", max_bytes=3 * (len(PLAN) + 200))
    for number in range(20):
        store.put({"number": str(number)}, PLAN)
        time.sleep(0.01)  # file times are as coarse as the kernel's clock
        assert store.get({"number": "0"}) == PLAN  # used all the time
        assert sum(p.stat().st_size for p in (tmp_path / "cache").iterdir()) <= 3 * (len(PLAN) + 200)
    kept = [number for number in range(20) if store.get({"number": str(number)}) is not None]
    assert kept == [0, 18, 19]


def test_an_entry_larger_than_the_bound_is_not_kept_and_pushes_nothing_out(tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "cache", key_file=tmp_path / "state" / "k", max_bytes=3000)
    store.put(FACTS, PLAN)
    with pytest.warns(RuntimeWarning, match="larger than the whole store"):
        assert store.get_or_build({"graph": "large"}, lambda: PLAN * 2) == PLAN * 2
    assert store.get(FACTS) == PLAN


def test_entries_that_fill_the_bound_to_the_byte_are_kept(tmp_path: Path) -> None:
    store_in(tmp_path).put({"number": "0"}, PLAN)
    size = entry(tmp_path).stat().st_size
    for count in (1, 2):
        store = EngineStore(tmp_path / "cache", key_file=tmp_path / "state" / "engines.key", max_bytes=count * size)
        for number in range(count):
            store.put({"number": str(number)}, PLAN)
        assert [store.get({"number": str(number)}) for number in range(count)] == [PLAN] * count


def test_an_entry_that_another_process_removes_meanwhile_is_room_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    store = EngineStore(tmp_path / "cache", key_file=tmp_path / "state" / "k", max_bytes=len(PLAN) + 200)
    store.put(FACTS, PLAN)
    look = Path.lstat

    def look_and_lose(path: Path) -> os.stat_result:
        status = look(path)
        os.unlink(path)
        return status

    monkeypatch.setattr(Path, "lstat", look_and_lose)
    store.put({"graph": "newer"}, PLAN)
    assert store.get({"graph": "newer"}) == PLAN and not recwarn.list


def test_what_is_built_while_another_waits_for_it_is_not_built_again(store: EngineStore, tmp_path: Path) -> None:
    got: list[bytes] = []
    waiting = Thread(target=lambda: got.append(store_in(tmp_path).get_or_build(FACTS, lambda: b"built again")))

    def build() -> bytes:
        waiting.start()
        waiting.join(timeout=0.2)  # by then it waits for the lock; if it does not yet, it finds the entry
        return PLAN

    assert store.get_or_build(FACTS, build) == PLAN
    waiting.join(timeout=20)
    assert got == [PLAN]


def test_a_start_leaves_alone_what_a_living_writer_writes(
    store: EngineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, *parts: bytes) -> None:
        half = path.with_name(".half.tmp")
        half.write_bytes(parts[0])
        store_in(tmp_path)
        assert half.exists()
        half.unlink()

    monkeypatch.setattr("codriver.engines.trt.store.write_private", write)
    store.put(FACTS, PLAN)
    (tmp_path / "cache" / ".left.tmp").touch()
    store_in(tmp_path)
    assert not list((tmp_path / "cache").glob("*.tmp"))  # of a writer that is dead


def test_a_folder_that_others_could_enter_becomes_ours_alone(tmp_path: Path) -> None:
    for name in ("cache", "state"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)  # whatever the umask is
    store_in(tmp_path)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("cache", "state")] == [0o700, 0o700]


def test_200_writers_killed_leave_no_torn_file_and_no_orphan_after_the_next_start(tmp_path: Path) -> None:
    with process("kill", tmp_path, 200, 1) as killer:
        output, _ = killer.communicate(timeout=120)
    seen = json.loads(output)
    assert killer.returncode == 0
    assert (seen["torn"], seen["left"]) == (0, 0)
    assert seen["found"] > 100 and seen["orphans"] > 10, seen  # they were killed while they wrote


def test_8_processes_that_open_at_once_build_each_entry_once(tmp_path: Path) -> None:
    with process("open", tmp_path, 8) as crowd:
        output, _ = crowd.communicate(timeout=60)
    assert json.loads(output) == [0] * 8  # 8 x 25 times the right bytes
    assert len(list((tmp_path / "cache").glob("*.entry"))) == 3
    assert sorted(path.name[:7] for path in tmp_path.glob("built-*")) == ["built-0", "built-1", "built-2"]


def test_when_the_process_that_builds_is_killed_another_builds_at_once(tmp_path: Path) -> None:
    with process("hold", tmp_path) as holder:
        wait_for(tmp_path / "holding")
        holder.kill()
    start_s = time.monotonic()
    assert store_in(tmp_path).get_or_build(FACTS, lambda: PLAN) == PLAN
    assert time.monotonic() - start_s < 1.0


@pytest.mark.parametrize("before", [None, b"an older plan" * 50], ids=["nothing before", "an older plan before"])
def test_no_power_cut_leaves_a_torn_file(tmp_path: Path, before: bytes | None) -> None:
    store = store_in(tmp_path)
    if before:
        store.put(FACTS, before)
    with recorded(tmp_path / "cache") as recording:
        store.put(FACTS, PLAN)
    path = tmp_path / "cache"
    seen = set()
    for disk in disks_after_a_power_cut(recording):
        disk.write_to(path)
        found = store_in(tmp_path).get(FACTS)
        assert found in (before, PLAN), disk
        assert not list(path.glob(".*.tmp"))
        seen.add((disk.all_done, found == PLAN))
    assert seen == {(False, False), (False, True), (True, True)}  # once all is done, the new plan is there for good


def test_the_model_of_power_cuts_finds_what_a_missing_fsync_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_in(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    with recorded(tmp_path / "cache") as recording:
        store.put(FACTS, PLAN)
    path = tmp_path / "cache"
    torn = 0
    for disk in disks_after_a_power_cut(recording):
        disk.write_to(path)
        torn += bool(list(path.glob("*.entry"))) and store_in(tmp_path).get(FACTS) is None
    assert torn > 0


CALLS = ("open", "write", "fsync", "replace", "utime", "mkdir", "unlink", "stat", "lstat", "scandir")
LASTING = {"once": 1, "from then on": 10**6}


@pytest.mark.parametrize("lasting", list(LASTING))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO], ids=errno.errorcode.get)
def test_a_file_system_that_fails_at_any_call_costs_the_cache_and_not_the_service(
    tmp_path: Path, code: int, lasting: str
) -> None:
    """Exhaustive: the k-th call fails, for every k until none does."""
    for k in range(1000):
        folder = tmp_path / str(k)
        folder.mkdir()
        with warnings.catch_warnings(record=True) as caught, failing(k, LASTING[lasting], code) as count:
            warnings.simplefilter("always")
            assert store_in(folder).get_or_build(FACTS, lambda: PLAN) == PLAN
        assert len(caught) <= 1
        afterwards = store_in(folder)
        assert afterwards.get(FACTS) in (None, PLAN)
        assert afterwards.get_or_build(FACTS, lambda: PLAN) == afterwards.get(FACTS) == PLAN
        assert not list(folder.glob("*/.*.tmp"))
        if count() <= k:
            assert k > 20  # calls that a first start makes
            return
        assert caught or count() > k, "a failure that nobody was told of"
    raise AssertionError("it never got through")


@contextmanager
def failing(first: int, how_many: int, code: int) -> Iterator[Callable[[], int]]:
    """Calls first, first + 1, ... of the system fail with this code. Yields how many calls there were."""
    made = 0

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            made += 1
            if first < made <= first + how_many:
                raise OSError(code, os.strerror(code))
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield lambda: made


def test_a_disk_that_is_full_in_the_middle_of_a_write_leaves_no_file_behind(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.warns(RuntimeWarning, match="cannot be written in .*CODRIVER_CACHE") as told:
            answers = [store.get_or_build(FACTS, lambda: PLAN) for _ in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert answers == [PLAN] * 3 and len(told) == 1
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_a_place_that_cannot_be_made_costs_the_cache_and_not_the_service() -> None:
    with pytest.warns(RuntimeWarning, match="/proc/codriver") as told:
        store = EngineStore(Path("/proc/codriver/cache"), key_file=Path("/proc/codriver/key"))
        answers = [store.get_or_build(FACTS, lambda: PLAN) for _ in range(3)]
    assert answers == [PLAN] * 3 and len(told) == 1


def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    EngineStore().put(FACTS, PLAN)
    assert list((tmp_path / "xdg-cache" / "codriver" / "engines").glob("*.entry"))
    assert (tmp_path / "xdg-state" / "codriver" / "engines.key").is_file()
    monkeypatch.setenv("CODRIVER_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("CODRIVER_STATE", str(tmp_path / "our-state"))
    EngineStore().put(FACTS, PLAN)
    assert list((tmp_path / "ours" / "engines").glob("*.entry"))
    assert (tmp_path / "our-state" / "engines.key").is_file()


@pytest.mark.parametrize("xdg", [None, "a/relative/path"])
def test_without_the_environment_the_place_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdg: str | None
) -> None:
    """The XDG specification says where, and that a relative path is to be ignored."""
    for name in ("CODRIVER_CACHE", "CODRIVER_STATE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
        if xdg and name.startswith("XDG"):
            monkeypatch.setenv(name, xdg)
    monkeypatch.setenv("HOME", str(tmp_path))
    EngineStore().put(FACTS, PLAN)
    assert list((tmp_path / ".cache/codriver/engines").glob("*.entry"))
    assert (tmp_path / ".local/state/codriver/engines.key").is_file()
