"""Every name of NVIDIA's that our code uses exists, takes those arguments, or stands behind a guard for its version.

NVIDIA's real bindings are loaded over stub libraries: they need nine C functions to import (reference/int8.md 2.9).
Nothing can be built or run with them; a wrong name, a removed flag or a wrong argument is found. The list is read from
our source (nvidia_names.py). The wheels come from `python -m tests.fetch_bindings`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest

from tests import ROOT
from tests.fetch_bindings import CUDA, TENSORRT, folder_of
from tests.sdk.engines.nvidia_names import Use, uses

pytestmark = pytest.mark.tensorrt

TRT_USES = uses("build.py", "engine.py")
CUDA_USES = uses("cuda.py")
STUBS = {
    "nvinfer": "createInferBuilder_INTERNAL createInferRuntime_INTERNAL createInferRefitter_INTERNAL "
    "getPluginRegistry getBuilderPluginRegistry",
    "nvinfer_plugin": "initLibNvInferPlugins",
    "nvonnxparser": "createNvOnnxParser_INTERNAL createNvOnnxParserRefitter_INTERNAL getNvOnnxParserVersion",
}
SCRIPT = Path(__file__).with_name("nvidia_check.py")


def bindings(release: str) -> Path:
    folder = folder_of(release)
    if not folder.is_dir():
        why = f"NVIDIA's bindings {release} are not in {folder}: python -m tests.fetch_bindings"
        if os.environ.get("CODRIVER_REQUIRE_BINDINGS"):  # where a check must not be left out quietly
            pytest.fail(why)
        pytest.skip(why)
    return folder


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Paths of the three libraries by TensorRT's major version."""
    folder = tmp_path_factory.mktemp("stubs")
    paths: dict[str, list[str]] = {}
    for major in ("10", "11"):
        for name, symbols in STUBS.items():
            soname = f"lib{name}.so.{major}"
            source = "\n".join(f"void *{symbol}(void) {{ return 0; }}" for symbol in symbols.split())
            command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{soname}", "-o", str(folder / soname)]
            subprocess.run(command, input=source, text=True, check=True)
            paths.setdefault(major, []).append(str(folder / soname))
    return paths


@cache
def faults_of(release: str, libraries: tuple[str, ...], asked: tuple[Use, ...]) -> list[str]:
    """What the bindings of a release have against each use; "" if nothing. A process can load but one release."""
    module = "tensorrt_bindings" if release in TENSORRT else "cuda.bindings.runtime"
    command = [sys.executable, "-I", "-W", "ignore", str(SCRIPT), str(bindings(release)), module, *libraries]
    given = json.dumps([asdict(use) for use in asked])
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [str(fault) for fault in json.loads(done.stdout)]


def numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def faults_with(release: str, stubs: dict[str, list[str]], asked: list[Use]) -> dict[str, str]:
    libraries = tuple(stubs[release.partition(".")[0]]) if release in TENSORRT else ()
    found = faults_of(release, libraries, tuple(asked))
    return {f"{use.where} {use}": fault for use, fault in zip(asked, found, strict=True) if fault}


@pytest.mark.parametrize("release", TENSORRT)
def test_every_tensorrt_name_that_we_use_is_there_with_these_arguments_or_guarded(
    release: str, stubs: dict[str, list[str]]
) -> None:
    assert len(TRT_USES) > 50
    asked = [use for use in TRT_USES if use.since <= numbers(release)]
    assert faults_with(release, stubs, asked) == {}


@pytest.mark.parametrize("release", CUDA)
def test_every_cuda_name_that_we_use_is_there_with_these_arguments(release: str, stubs: dict[str, list[str]]) -> None:
    assert len(CUDA_USES) > 30
    assert faults_with(release, stubs, CUDA_USES) == {}


def test_every_guard_is_needed_by_an_older_version(stubs: dict[str, list[str]]) -> None:
    for use in {replace(use, where="") for use in TRT_USES if use.since > (0, 0) and use.owner == "BuilderFlag"}:
        older = [release for release in TENSORRT if numbers(release) < use.since]
        assert any(faults_with(release, stubs, [use]) for release in older), f"{use}: the guard has no reason"


WRONG = {
    "a name that never was": Use("Builder", "build_engine_from_thin_air", "call"),
    "a flag that 11 removed": Use("BuilderFlag", "FP16", "get"),
    "too few arguments": Use("Builder", "build_serialized_network", "call", 1),
    "too many arguments": Use("IExecutionContext", "execute_async_v3", "call", 2),
    "an unknown keyword": Use("IBuilderConfig", "set_timing_cache", "call", 1, ("ignore",)),
    "another name for a parameter of an override": Use("ILogger", "log", "override", 0, ("level", "msg")),
    "a property that cannot be set": Use("ICudaEngine", "num_io_tensors", "set"),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_check_finds(what: str, stubs: dict[str, list[str]]) -> None:
    assert faults_with("11.4", stubs, [WRONG[what]])


def test_the_stand_in_has_no_name_that_tensorrt_lacks_and_the_list_lacks_none_that_runs(
    stubs: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the stand-in saw while an engine was built and run is in the list that was read from the source."""
    from codriver.engines.trt.engine import TrtEngine
    from codriver.engines.trt.store import EngineStore
    from tests.sdk.engines import test_trt
    from tests.sdk.engines.fake_nvidia import _Seen, install

    _Seen.seen.clear()
    install(monkeypatch)
    store = EngineStore(tmp_path / "cache", key_file=tmp_path / "key")
    engine = TrtEngine(test_trt.GRAPH, test_trt.SIGNATURE, store=store)
    engine.infer(test_trt.random_inputs(0))
    engine.close()
    listed = {(use.owner, use.name) for use in TRT_USES}
    classes = {owner for owner, _ in listed}
    seen = {(owner, name) for owner, name in _Seen.seen if owner in classes}
    assert len(seen) > 25 and seen <= listed
    asked = [Use(owner, name, "get") for owner, name in seen]
    assert faults_with("10.16", stubs, asked) == {}


LIVE = """
import ctypes, sys, threading
folder, sdk, *libraries = sys.argv[1:]
for library in libraries:
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
sys.path[:0] = [folder, sdk]
import tensorrt_bindings as trt
from codriver.engines.trt.build import OLDEST, NEWEST, _make_monitor, make_log, numpy_name, release
from codriver.console import Progress
assert OLDEST <= release(trt) < NEWEST
log = make_log(trt)
log.log(trt.ILogger.WARNING, "a warning")
log.log(trt.ILogger.ERROR, "an error")
assert log.told() == "an error", log.told()
stop, progress = threading.Event(), Progress("build", 0)
monitor = _make_monitor(trt, progress, stop)
monitor.phase_start("phase", None, 7)
assert monitor.step_complete("phase", 0) and (progress.total, progress.count) == (7, 1)
stop.set()
assert not monitor.step_complete("phase", 1)
assert [numpy_name(d) for d in (trt.float32, trt.uint8, trt.DataType.HALF)] == ["float32", "uint8", "float16"]
"""


@pytest.mark.parametrize("release", TENSORRT)
def test_our_logger_and_monitor_are_made_and_called_with_the_real_base_classes(
    release: str, stubs: dict[str, list[str]]
) -> None:
    sdk = ROOT / "sdk"
    command = [sys.executable, "-W", "ignore", "-c", LIVE, str(bindings(release)), str(sdk)]
    done = subprocess.run([*command, *stubs[release.partition(".")[0]]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks what a machine without a GPU is told")
@pytest.mark.parametrize("release", CUDA)
def test_cuda_bindings_tell_us_of_a_missing_gpu_as_our_code_expects(release: str) -> None:
    """The real bindings, with no stub: what a machine without a driver answers."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from codriver.engines.trt.engine import open_cuda\n"
        "from codriver.errors import EngineError\n"
        "try:\n    sys.stdout.write(open_cuda().gpu().name)\n"
        "except EngineError as error:\n    sys.stdout.write(str(error))\n"
    )
    sdk = ROOT / "sdk"
    command = [sys.executable, "-W", "ignore", "-c", code, str(bindings(release)), str(sdk)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    gpu_here = Path("/proc/driver/nvidia/version").exists()
    assert gpu_here or "there is no NVIDIA GPU that CUDA can use" in done.stdout
