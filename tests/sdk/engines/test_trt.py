"""The TensorRT engine against a recording stand-in: what it asks of CUDA and TensorRT, in which order, and lets go.

No GPU takes part. That the names and arguments are NVIDIA's is the business of test_trt_contract.py.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codriver.arrays import Arrays
from codriver.bundle.loader import fastest
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles, Signature
from codriver.engines.trt.build import BuildOptions
from codriver.engines.trt.engine import TrtEngine
from codriver.engines.trt.store import EngineStore
from codriver.errors import BackendMissing, EngineError
from tests.sdk.engines.fake_nvidia import Error, FakeTensorRT, install
from tests.tiny import tiny_fuser, tiny_manifest

MANIFEST = tiny_manifest()
SIGNATURE = MANIFEST.fuser_signature
GRAPH = GraphFiles(tiny_fuser(MANIFEST).SerializeToString())
TENSORS = len(SIGNATURE.inputs) + len(SIGNATURE.outputs)


def random_inputs(seed: int, signature: Signature = SIGNATURE) -> Arrays:
    random = np.random.default_rng(seed)
    return {name: random.random(tensor.shape).astype(tensor.dtype) for name, tensor in signature.inputs.items()}


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    return install(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "cache", key_file=tmp_path / "state" / "key")


@pytest.fixture
def engine(trt: FakeTensorRT, store: EngineStore) -> Iterator[TrtEngine]:
    engine = TrtEngine(GRAPH, SIGNATURE, store=store)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def expected() -> list[Arrays]:
    reference = open_engine("onnxruntime", GRAPH, SIGNATURE, threads=1)
    return [reference.infer(random_inputs(seed)) for seed in range(3)]


def assert_same(found: Arrays, expected: Arrays) -> None:
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_answers_are_those_of_the_graph_on_every_run(engine: TrtEngine, expected: list[Arrays]) -> None:
    for seed in (0, 1, 2, 1):
        assert_same(engine.infer(random_inputs(seed)), expected[seed])


def test_the_network_is_strongly_typed_and_parsed_from_our_bytes(trt: FakeTensorRT, engine: TrtEngine) -> None:
    assert trt.events[0] == f"network {1 << 1}"
    assert f"workspace {1024 << 20}" in trt.events


@pytest.mark.parametrize(("version", "flagged"), [("10.3.0", False), ("10.16.2", True), ("11.4.1", True)])
def test_a_flag_that_an_older_tensorrt_lacks_is_not_set_there(
    monkeypatch: pytest.MonkeyPatch, store: EngineStore, version: str, flagged: bool
) -> None:
    trt = install(monkeypatch, version)
    TrtEngine(GRAPH, SIGNATURE, store=store).close()
    assert ("flag editable timing cache" in trt.events) is flagged


def test_every_tensor_has_its_address_before_the_first_run_and_the_graph_is_recorded_after_the_warm_up(
    trt: FakeTensorRT, engine: TrtEngine
) -> None:
    del trt.events[:]
    engine.infer(random_inputs(0))
    assert trt.events == ["address"] * TENSORS + ["run", "run", "record"]
    calls = trt.cudart.calls
    assert calls.index("cudaStreamSynchronize") < calls.index("cudaStreamBeginCapture")


def test_a_step_after_the_first_is_one_launch_and_one_wait(trt: FakeTensorRT, engine: TrtEngine) -> None:
    engine.infer(random_inputs(0))
    del trt.cudart.calls[:]
    engine.infer(random_inputs(1))
    assert trt.cudart.calls == ["cudaGraphLaunch", "cudaStreamSynchronize"]


def test_the_graph_is_recorded_again_when_an_address_changes(
    trt: FakeTensorRT, engine: TrtEngine, expected: list[Arrays]
) -> None:
    engine.infer(random_inputs(0))
    (lane,) = engine._lanes.values()
    name = next(iter(SIGNATURE.inputs))
    old = lane._buffers[name]
    lane._buffers[name] = engine._cuda.new_buffer(old.host.nbytes)
    assert_same(engine.infer(random_inputs(1)), expected[1])
    assert trt.events.count("record") == 2 and len(trt.cudart.graphs) == 1
    engine._cuda.free_buffer(lane._buffers[name])
    lane._buffers[name] = old


def test_each_thread_has_its_own_context_stream_and_buffers(
    trt: FakeTensorRT, engine: TrtEngine, expected: list[Arrays]
) -> None:
    barrier = threading.Barrier(3)
    answers: dict[int, list[Arrays]] = {}

    def work(seed: int) -> None:
        barrier.wait(timeout=10)
        answers[seed] = [engine.infer(random_inputs(seed)) for _ in range(20)]
        barrier.wait(timeout=10)  # no thread ends, and gives its number away, before all have begun

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trt.contexts) == len(trt.cudart.streams) == 3
    assert len(trt.cudart.memory) == 3 * TENSORS * 2  # host and device
    assert len(trt.cudart.current) == 3  # each made the device its own
    for seed, found in answers.items():
        for one in found:
            assert_same(one, expected[seed])


def test_closing_lets_everything_go_once(trt: FakeTensorRT, engine: TrtEngine) -> None:
    engine.infer(random_inputs(0))
    engine.close()
    engine.close()
    cudart = trt.cudart
    assert not cudart.memory and not cudart.streams and not cudart.graphs
    assert cudart.calls.count("cudaFree") == cudart.calls.count("cudaFreeHost") == TENSORS
    order = [call for call in cudart.calls if call in ("cudaGraphExecDestroy", "cudaFree", "cudaStreamDestroy")]
    assert order == ["cudaGraphExecDestroy", *["cudaFree"] * TENSORS, "cudaStreamDestroy"]
    with pytest.raises(EngineError, match="closed"):
        engine.infer(random_inputs(0))


@pytest.mark.parametrize("fault", ["no context", "no memory"])
def test_a_lane_that_cannot_be_made_leaves_nothing_allocated(trt: FakeTensorRT, engine: TrtEngine, fault: str) -> None:
    if fault == "no memory":
        trt.cudart.fails["cudaMalloc"] = Error.cudaErrorMemoryAllocation
    else:
        trt.no_context = True
    with pytest.raises(EngineError, match=r"cudaErrorMemoryAllocation|no memory left"):
        engine.infer(random_inputs(0))
    assert not trt.cudart.memory and not trt.cudart.streams


def test_an_engine_that_cannot_be_recorded_runs_all_the_same_and_says_so(
    trt: FakeTensorRT, engine: TrtEngine, expected: list[Arrays]
) -> None:
    trt.no_recording = True
    with pytest.warns(RuntimeWarning, match="without a CUDA graph") as told:
        for seed in range(3):
            assert_same(engine.infer(random_inputs(seed)), expected[seed])
    assert len(told) == 1


def test_an_error_on_the_device_is_an_engine_error_that_says_to_restart(trt: FakeTensorRT, engine: TrtEngine) -> None:
    engine.infer(random_inputs(0))
    trt.cudart.fails["cudaStreamSynchronize"] = Error.cudaErrorStreamCaptureInvalidated
    with pytest.raises(EngineError, match=r"cudaErrorStreamCaptureInvalidated.*restart"):
        engine.infer(random_inputs(0))


def test_the_second_start_builds_nothing(trt: FakeTensorRT, store: EngineStore) -> None:
    for _ in range(2):
        TrtEngine(GRAPH, SIGNATURE, store=store).close()
    assert trt.builds == 1


@pytest.mark.parametrize("change", ["graph", "version", "option", "power mode", "driver"])
def test_whatever_a_plan_depends_on_is_part_of_its_key(
    monkeypatch: pytest.MonkeyPatch, store: EngineStore, change: str
) -> None:
    first = install(monkeypatch)
    TrtEngine(GRAPH, SIGNATURE, store=store).close()
    second = install(monkeypatch, "10.16.3") if change == "version" else first
    second.builds = 0
    graph, options = GRAPH, BuildOptions()
    if change == "graph":
        graph = GraphFiles(tiny_fuser(MANIFEST, seed=1).SerializeToString())
    if change == "option":
        options = BuildOptions(optimization_level=5)
    if change == "power mode":
        monkeypatch.setattr("codriver.engines.trt.engine.power_mode", lambda: "25W")
    if change == "driver":
        monkeypatch.setattr("codriver.engines.trt.engine.driver_version", lambda: "570.1")
    TrtEngine(graph, SIGNATURE, store=store, options=options).close()
    assert second.builds == 1


def test_a_plan_that_was_changed_is_never_deserialized(trt: FakeTensorRT, store: EngineStore, tmp_path: Path) -> None:
    TrtEngine(GRAPH, SIGNATURE, store=store).close()
    for path in (tmp_path / "cache").glob("*.entry"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    TrtEngine(GRAPH, SIGNATURE, store=store).close()
    assert trt.builds == 2 and trt.events.count("deserialize") == 2


def test_what_one_build_timed_the_next_one_starts_with(trt: FakeTensorRT, store: EngineStore) -> None:
    put: list[bytes] = []
    real = store.put
    store.put = lambda facts, data: put.append(data) if facts["kind"] == "timing cache" else None  # type: ignore
    TrtEngine(GRAPH, SIGNATURE, store=store).close()
    store.put = real  # type: ignore[method-assign]
    TrtEngine(GRAPH, SIGNATURE, store=store).close()
    TrtEngine(GRAPH, SIGNATURE, store=store, options=BuildOptions(optimization_level=5)).close()
    assert put == [b"timed;"] and trt.builds == 3
    from codriver.engines.trt.engine import device_facts

    timings = store.get({"kind": "timing cache", **device_facts(trt, engine_gpu())})
    assert timings == b"timed;timed;"


def engine_gpu() -> Any:
    from codriver.engines.trt.engine import open_cuda

    return open_cuda().gpu()


def test_a_build_that_fails_says_what_tensorrt_said(trt: FakeTensorRT, store: EngineStore) -> None:
    trt.no_plan = True
    with pytest.raises(EngineError, match="built no engine: no implementation for node 7"):
        TrtEngine(GRAPH, SIGNATURE, store=store)


def test_bytes_that_are_no_graph_are_an_engine_error(trt: FakeTensorRT, store: EngineStore) -> None:
    with pytest.raises(EngineError, match=r"TensorRT 10\.16\.2 refused the graph: no ONNX model"):
        TrtEngine(GraphFiles(b"no graph"), SIGNATURE, store=store)


def test_a_graph_that_departs_from_the_manifest_is_refused_before_the_long_build(
    trt: FakeTensorRT, store: EngineStore
) -> None:
    with pytest.raises(EngineError, match="graph's inputs do not fit the manifest"):
        TrtEngine(GRAPH, MANIFEST.encoder_signature, store=store)
    assert trt.builds == 0


def test_ctrl_c_ends_a_build_and_leaves_the_handler_as_it_was(trt: FakeTensorRT, store: EngineStore) -> None:
    before = signal.getsignal(signal.SIGINT)
    trt.on_step = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        TrtEngine(GRAPH, SIGNATURE, store=store)
    assert signal.getsignal(signal.SIGINT) is before
    trt.on_step = lambda: None
    TrtEngine(GRAPH, SIGNATURE, store=store).close()


def test_a_missing_tensorrt_says_what_to_install_on_this_platform(
    monkeypatch: pytest.MonkeyPatch, store: EngineStore
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendMissing, match=r"pip install 'codriver\[tensorrt\]'"):
        TrtEngine(GRAPH, SIGNATURE, store=store)
    monkeypatch.setattr("codriver.engines.trt.build.is_jetson", lambda: True)
    with pytest.raises(BackendMissing, match="apt install python3-libnvinfer"):
        TrtEngine(GRAPH, SIGNATURE, store=store)


@pytest.mark.parametrize("version", ["8.6.1", "10.1.0", "12.0.0"])
def test_a_tensorrt_that_this_code_is_not_written_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, store: EngineStore, version: str
) -> None:
    install(monkeypatch, version)
    with pytest.raises(BackendMissing, match=rf"TensorRT {version} came, expected 10\.3 to 11"):
        TrtEngine(GRAPH, SIGNATURE, store=store)


def test_a_gpu_that_is_not_there_is_an_engine_error_with_the_next_step(trt: FakeTensorRT, store: EngineStore) -> None:
    trt.cudart.fails["cudaGetDeviceCount"] = Error.cudaErrorNoDevice
    with pytest.raises(EngineError, match=r"no NVIDIA GPU that CUDA can use \(cudaErrorNoDevice\).*nvidia-smi"):
        TrtEngine(GRAPH, SIGNATURE, store=store)


def test_without_any_cuda_package_the_message_names_one(trt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "cuda.bindings", "pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendMissing, match="pip install cuda-bindings"):
        TrtEngine(GRAPH, SIGNATURE)


def test_the_fastest_of_several_engines_is_named_with_each_ones_time() -> None:
    class Slow:
        def __init__(self, wait_s: float) -> None:
            self.wait_s = wait_s

        def infer(self, inputs: Arrays) -> Arrays:
            threading.Event().wait(self.wait_s)
            return {}

        def close(self) -> None: ...

    name, medians_ms = fastest(
        {"int8": Slow(0.004), "fp16": Slow(0.0)}, {"int8": SIGNATURE, "fp16": SIGNATURE}, runs=5, warm_up_runs=1
    )
    assert name == "fp16" and medians_ms["int8"] >= 4.0 > medians_ms["fp16"]
