"""What the processor is said to be able to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codriver.device import machine
from codriver.device.cpu import VNNI_FLAGS, cpu_features, cpu_flags, default_threads


def cpuinfo(tmp_path: Path, *cores: str) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text("".join(f"processor\t: {n}\nflags\t\t: {flags}\n\n" for n, flags in enumerate(cores)))
    return path


@pytest.mark.parametrize("flag", ["avx512_vnni", "avx_vnni", "amx_int8"])
def test_each_flag_of_wide_int8_products_is_vnni(tmp_path: Path, flag: str) -> None:
    assert cpu_features(cpuinfo(tmp_path, f"fpu avx2 {flag} sse"), "x86_64") == {"x86", "vnni"}


def test_a_machine_is_told_with_its_instructions_for_int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = cpuinfo(tmp_path, "avx2 avx512_vnni amx_int8 amx_bf16")
    assert cpu_flags(both) & VNNI_FLAGS == {"amx_int8", "avx512_vnni"}
    monkeypatch.setattr(machine, "_cpu_model", lambda: "A processor")
    for path, told in ((both, "A processor, amx_int8, avx512_vnni"), (tmp_path / "missing", "A processor")):
        monkeypatch.setattr(machine, "cpu_flags", lambda path=path: cpu_flags(path))
        assert machine.describe_machine()["cpu"] == told


def test_avx512_alone_is_not_vnni(tmp_path: Path) -> None:
    assert cpu_features(cpuinfo(tmp_path, "avx2 avx512f avx512bw avx512_vnni_not"), "x86_64") == {"x86"}


def test_a_feature_that_one_core_lacks_is_not_there(tmp_path: Path) -> None:
    assert cpu_features(cpuinfo(tmp_path, "avx2 avx_vnni", "avx2"), "AMD64") == {"x86"}


def test_arm_says_dotprod(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n")
    assert cpu_features(path, "aarch64") == {"arm", "dotprod"}


def test_nothing_is_assumed_where_nothing_is_known(tmp_path: Path) -> None:
    assert cpu_features(tmp_path / "missing", "x86_64") == {"x86"}
    assert cpu_features(cpuinfo(tmp_path, "avx_vnni"), "riscv64") == frozenset()


def test_threads_are_at_least_one_and_no_more_than_the_process_may_use() -> None:
    assert 1 <= default_threads() <= len(os.sched_getaffinity(0))


def test_threads_without_affinity_count_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads() == 1
