"""The threads of a step: who does what, what becomes of errors, and that nobody is left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from codriver.device.cores import Cores


@pytest.fixture
def two() -> Iterator[Cores]:
    cores = Cores(2)
    yield cores
    cores.close()


def helpers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "codriver helper"}


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("items", [0, 1, 5])
def test_every_item_is_done_once(count: int, items: int) -> None:
    cores, done = Cores(count), list[int]()
    cores.each(done.append, range(items))
    cores.close()
    assert sorted(done) == list(range(items))


def test_two_items_are_at_work_at_the_same_time(two: Cores) -> None:
    both = threading.Barrier(2, timeout=10)
    two.each(lambda _: both.wait(), range(2))  # would break after ten seconds


def test_the_first_item_is_done_in_the_callers_thread(two: Cores) -> None:
    where = {}
    two.each(lambda item: where.setdefault(item, threading.get_ident()), "abc")
    assert where["a"] == threading.get_ident()


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_is_raised_when_nobody_is_at_work_any_more(two: Cores, bad: int) -> None:
    both, ended = threading.Barrier(2, timeout=10), []

    def work(item: int) -> None:
        both.wait()
        if item == bad:
            raise ValueError(f"item {item}")
        ended.append(item)

    with pytest.raises(ValueError, match=f"item {bad}"):
        two.each(work, range(2))
    assert ended == [1 - bad]
    two.each(ended.append, [7])
    assert ended[-1] == 7


def test_helpers_end_with_close_and_with_whoever_forgot_it() -> None:
    before = helpers()
    closed, forgotten = Cores(3), Cores(2)
    closed.each(int, range(3))
    forgotten.each(int, range(3))
    started = helpers() - before
    assert len(started) == 3
    closed.close()
    del forgotten
    for thread in started:
        thread.join(10)
    assert not helpers() & started


def test_no_more_helpers_are_started_than_there_is_work_for() -> None:
    before, cores = helpers(), Cores(200)
    assert helpers() == before
    for items in (3, 5, 2):
        cores.each(int, range(items))
    assert len(helpers() - before) == 4
    cores.close()


def test_where_the_system_gives_no_more_threads_those_there_are_do_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    cores, done = Cores(4), list[int]()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    cores.each(done.append, range(5))
    assert done == list(range(5))
    cores.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_helpers_of_its_own(two: Cores) -> None:
    child = os.fork()
    if child == 0:
        both = threading.Barrier(2, timeout=10)
        try:
            two.each(lambda _: both.wait(), range(2))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
