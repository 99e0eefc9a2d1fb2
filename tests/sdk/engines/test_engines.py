"""What every engine promises, and what ONNX Runtime alone can get wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from codriver.arrays import Arrays
from codriver.bundle.folder import Bundle
from codriver.bundle.variants import choose_variant
from codriver.device.machine import is_installed
from codriver.engines import open_engine, ort
from codriver.engines.base import (
    STAND_INS,
    Engine,
    GraphFiles,
    Signature,
    Tensor,
    check_tensors,
    describe,
)
from codriver.engines.in_place import bind
from codriver.errors import BackendMissing, ConfigError, EngineError
from codriver.perceiver import Perceiver
from codriver.tasks import GROUPS
from tests import ROOT
from tests.tiny import tiny_encoder, tiny_fuser, tiny_manifest

MANIFEST = tiny_manifest()
ENCODER = GraphFiles(tiny_encoder(MANIFEST).SerializeToString())
FUSER = GraphFiles(tiny_fuser(MANIFEST).SerializeToString())


@lru_cache
def as_ir(graph: GraphFiles) -> GraphFiles:
    """The same graph, without INT8, as OpenVINO's IR."""
    openvino = pytest.importorskip("openvino")
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "graph.xml"), Path(folder, "graph.bin")
        openvino.serialize(openvino.Core().read_model(graph.model), str(xml), str(weights))
        return GraphFiles(xml.read_bytes(), weights.read_bytes())


def opened(name: str, graph: GraphFiles, signature: Signature) -> Engine:
    return open_engine(name, as_ir(graph) if name == "openvino" else graph, signature, threads=1)


def random_inputs(signature: Signature, seed: int = 0) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        name: (random.random(tensor.shape) * (255 if tensor.dtype == "uint8" else 1)).astype(tensor.dtype)
        for name, tensor in signature.inputs.items()
    }


@pytest.fixture(params=["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino), "fake"])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["encoder", "fuser"])
def signature_and_graph(request: pytest.FixtureRequest) -> tuple[Signature, GraphFiles]:
    if request.param == "encoder":
        return MANIFEST.encoder_signature, ENCODER
    return MANIFEST.fuser_signature, FUSER


@pytest.fixture
def signature(signature_and_graph: tuple[Signature, GraphFiles]) -> Signature:
    return signature_and_graph[0]


@pytest.fixture
def engine(engine_name: str, signature_and_graph: tuple[Signature, GraphFiles]) -> Iterator[Engine]:
    signature, graph = signature_and_graph
    engine = opened(engine_name, graph, signature)
    yield engine
    engine.close()


def test_outputs_have_the_names_types_and_shapes_of_the_signature(engine: Engine, signature: Signature) -> None:
    outputs = engine.infer(random_inputs(signature))
    assert describe(outputs) == dict(signature.outputs)
    assert all(np.isfinite(values).all() for values in outputs.values())


def test_the_same_input_gives_the_same_output(engine: Engine, signature: Signature) -> None:
    first, second = (engine.infer(random_inputs(signature)) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_another_input_gives_another_output(engine: Engine, signature: Signature) -> None:
    first, second = (engine.infer(random_inputs(signature, seed)) for seed in range(2))
    assert all(not np.array_equal(first[name], second[name]) for name in first)


def test_outputs_belong_to_the_caller(engine: Engine, signature: Signature) -> None:
    first = engine.infer(random_inputs(signature))
    kept = {name: values.copy() for name, values in first.items()}
    second = engine.infer(random_inputs(signature, seed=1))
    for name in first:
        np.testing.assert_array_equal(first[name], kept[name])
        assert not np.shares_memory(first[name], second[name])
        first[name][:] = 0


def test_inputs_are_not_written_to(engine: Engine, signature: Signature) -> None:
    inputs = random_inputs(signature)
    kept = {name: values.copy() for name, values in inputs.items()}
    engine.infer(inputs)
    for name in inputs:
        np.testing.assert_array_equal(inputs[name], kept[name])


def test_bound_to_arrays_it_reads_and_writes_them_as_they_are_at_each_run(engine: Engine, signature: Signature) -> None:
    inputs, outputs = random_inputs(signature), signature.room()
    run = bind(engine, inputs, outputs)
    for seed in (1, 2):
        for name, values in random_inputs(signature, seed).items():
            inputs[name][...] = values
        run()
        expected = engine.infer(random_inputs(signature, seed))
        for name, values in outputs.items():
            np.testing.assert_array_equal(values, expected[name])


def test_bound_to_arrays_a_closed_engine_says_so_and_keeps_no_graph(engine: Engine, signature: Signature) -> None:
    run = bind(engine, signature.zeros(), signature.room())
    engine.close()
    for _ in range(2):
        with pytest.raises(EngineError, match="closed"):
            run()


def test_arrays_that_are_bound_stay_although_nobody_else_holds_them(engine: Engine, signature: Signature) -> None:
    inputs, outputs = signature.zeros(), signature.room()
    run, arrays = bind(engine, inputs, outputs), [*inputs.values(), *outputs.values()]
    if isinstance(engine, ort.OrtEngine):
        run.binding = None  # newer ONNX Runtimes keep them in there; 1.23 wrote where they had been
    held = [weakref.ref(values) for values in arrays]
    del inputs, outputs, arrays
    assert all(ref() is not None for ref in held) and run


def test_onnxruntime_binds_no_arrays_that_do_not_fit(signature_and_graph: tuple[Signature, GraphFiles]) -> None:
    """It would read and write beyond their ends."""
    signature, graph = signature_and_graph
    engine, name = opened("onnxruntime", graph, signature), next(iter(signature.outputs))
    short = signature.room() | {name: np.zeros((1, 1), np.float32)}
    with pytest.raises(EngineError, match=rf"outputs given .*{name}"):
        bind(engine, signature.zeros(), short)
    with pytest.raises(EngineError, match=r"inputs given .* is missing"):
        bind(engine, {}, signature.room())
    spread = {name: np.zeros((*t.shape, 2), t.dtype)[..., 0] for name, t in signature.outputs.items()}
    with pytest.raises(EngineError, match="in one piece"):
        bind(engine, signature.zeros(), spread)
    engine.close()


def test_a_closed_onnxruntime_frees_its_session_although_somebody_holds_what_was_bound() -> None:
    engine = opened("onnxruntime", FUSER, MANIFEST.fuser_signature)
    assert isinstance(engine, ort.OrtEngine)
    run, session = bind(engine, MANIFEST.fuser_signature.zeros(), MANIFEST.fuser_signature.room()), engine.session
    gone = weakref.ref(session)
    del session
    engine.close()
    assert gone() is None and run


@pytest.mark.parametrize("fault", ["missing", "shape", "dtype"])
def test_inputs_that_do_not_fit_are_engine_errors(engine: Engine, signature: Signature, fault: str) -> None:
    inputs = random_inputs(signature)
    name = next(iter(inputs))
    if fault == "missing":
        del inputs[name]
    else:
        inputs[name] = inputs[name][:, :-1] if fault == "shape" else inputs[name].astype(np.float64)
    with pytest.raises(EngineError, match=name):
        engine.infer(inputs)


def test_a_closed_engine_says_so(engine: Engine, signature: Signature) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(random_inputs(signature))


@pytest.mark.parametrize("name", list(MANIFEST.fuser_signature.inputs))
def test_two_slots_swapped_change_every_answer(engine_name: str, name: str) -> None:
    engine = opened(engine_name, FUSER, MANIFEST.fuser_signature)
    inputs = random_inputs(MANIFEST.fuser_signature)
    before = engine.infer(inputs)
    axis = 2 if name == "mask" else 1  # (1, S, T) or (1, T, ...)
    inputs[name] = np.ascontiguousarray(np.roll(inputs[name], 1, axis=axis))
    after = engine.infer(inputs)
    engine.close()
    assert all(not np.allclose(before[task], after[task], atol=1e-7) for task in before)


def changed_rows(engine_name: str, name: str, row: int) -> dict[str, list[int]]:
    """The rows of each output of the encoder that change with this row of an input."""
    engine = opened(engine_name, ENCODER, MANIFEST.encoder_signature)
    inputs = random_inputs(MANIFEST.encoder_signature)
    first = engine.infer(inputs)
    inputs[name][row] = (255 if inputs[name].dtype == np.uint8 else 1) - inputs[name][row]
    second = engine.infer(inputs)
    engine.close()
    rows = {output: (first[output] != second[output]).reshape(len(first[output]), -1).any(axis=1) for output in first}
    return {output: np.flatnonzero(changed).tolist() for output, changed in rows.items() if changed.any()}


@pytest.mark.parametrize(("group", "row"), [(g, row) for g, some in GROUPS.items() for row in range(len(some))])
def test_a_frame_leaks_neither_into_another_group_nor_into_another_row(engine_name: str, group: str, row: int) -> None:
    assert changed_rows(engine_name, group, row) == {f"{group}_{what}": [row] for what in ("feature", "motion", "slot")}


@pytest.mark.parametrize(("group", "row"), [(g, row) for g, some in GROUPS.items() for row in range(len(some))])
def test_a_feature_of_earlier_reaches_its_own_slot_alone(engine_name: str, group: str, row: int) -> None:
    assert changed_rows(engine_name, f"{group}_before", row) == {f"{group}_motion": [row], f"{group}_slot": [row]}
    assert changed_rows(engine_name, f"{group}_motion_before", row) == {f"{group}_slot": [row]}


@pytest.fixture(params=["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)])
def runtime(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.mark.parametrize("model", [b"no graph", b"", b"<?xml version='1.0'?><net></net>"])
def test_bytes_that_are_no_graph_are_an_engine_error(runtime: str, model: bytes) -> None:
    with pytest.raises(EngineError, match="the graph"):
        open_engine(runtime, GraphFiles(model), MANIFEST.encoder_signature)


def test_a_graph_that_departs_from_the_manifest_is_named_with_both_shapes(runtime: str) -> None:
    other = tiny_manifest(streams=("incar", "front", "left", "right"))
    with pytest.raises(EngineError, match="graph's inputs do not fit the manifest: face is not expected"):
        opened(runtime, ENCODER, other.encoder_signature)
    with pytest.raises(EngineError, match="gesture is missing"):
        opened(runtime, GraphFiles(tiny_encoder(other).SerializeToString()), MANIFEST.encoder_signature)


@pytest.mark.openvino
def test_openvino_takes_no_onnx_because_it_misreads_signed_int8_there() -> None:
    pytest.importorskip("openvino")
    with pytest.raises(EngineError, match="it is no IR"):
        open_engine("openvino", ENCODER, MANIFEST.encoder_signature)


@pytest.mark.openvino
def test_a_signal_after_two_engines_are_closed_in_the_order_they_were_opened_is_handled(tmp_path: Path) -> None:
    """What Perceiver.close does, then Ctrl-C. In a process of its own: the fault is a segmentation fault."""
    ir = as_ir(ENCODER)
    (tmp_path / "graph.xml").write_bytes(ir.model)
    (tmp_path / "graph.bin").write_bytes(ir.weights)
    program = """
import gc, os, signal
from pathlib import Path
from codriver.engines import GraphFiles, open_engine
from tests.tiny import tiny_manifest
graph = GraphFiles(Path("graph.xml").read_bytes(), Path("graph.bin").read_bytes())
engines = [open_engine("openvino", graph, tiny_manifest().encoder_signature, threads=1) for _ in range(2)]
while engines:
    engines.pop(0).close()
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True
    )
    assert (ran.returncode, ran.stdout.split()) == (0, [b"handled"]), ran.stderr.decode()


@pytest.mark.openvino
def test_both_runtimes_give_the_same_numbers() -> None:
    inputs = random_inputs(MANIFEST.encoder_signature)
    ort, openvino = (opened(name, ENCODER, MANIFEST.encoder_signature) for name in ("onnxruntime", "openvino"))
    first, second = ort.infer(inputs), openvino.infer(inputs)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-5)


@pytest.mark.openvino
def test_an_ir_whose_weights_are_cut_short_is_an_engine_error() -> None:
    ir = as_ir(ENCODER)
    with pytest.raises(EngineError, match="a constant lies outside the weights"):
        open_engine("openvino", GraphFiles(ir.model, ir.weights[:100]), MANIFEST.encoder_signature)


def test_a_tensor_of_another_type_is_named_with_both_types() -> None:
    with pytest.raises(EngineError, match=r"x is uint8 \(1, 2\), expected float32 \(1, 2\)"):
        check_tensors("inputs", {"x": Tensor("uint8", (1, 2))}, {"x": Tensor("float32", (1, 2))})


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_missing_runtime_is_a_backend_missing_with_the_pip_command(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert not is_installed(name)
    with pytest.raises(BackendMissing, match=rf"pip install 'codriver\[{name}\]'"):
        open_engine(name, ENCODER, MANIFEST.encoder_signature)


def test_an_unknown_engine_is_a_config_error_that_lists_the_known() -> None:
    with pytest.raises(
        ConfigError, match="'tpu' is not known; this codriver has onnxruntime, openvino, tensorrt, onnxruntime-cuda"
    ):
        open_engine("tpu", ENCODER, MANIFEST.encoder_signature)


@pytest.mark.parametrize("name", list(STAND_INS))
def test_a_provider_that_this_onnx_runtime_lacks_is_named_with_the_way_to_get_it(name: str) -> None:
    with pytest.raises(
        BackendMissing, match=f"without {ort.PROVIDERS[name][0]}.* it has .*CPU.*install onnxruntime-gpu"
    ):
        open_engine(name, ENCODER, MANIFEST.encoder_signature)


def test_a_provider_that_leaves_work_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's provider is in every wheel and takes none of our nodes: ONNX Runtime would run all on the CPU."""
    monkeypatch.setitem(ort.PROVIDERS, "onnxruntime-cuda", ("AzureExecutionProvider",))
    with pytest.raises(
        EngineError,
        match=r"assigned to the default CPU EP.*no part of it may run on the CPU here: see whether nvidia-smi",
    ):
        open_engine("onnxruntime-cuda", ENCODER, MANIFEST.encoder_signature)


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")  # ONNX Runtime's own, before it goes on without
def test_a_provider_that_is_listed_and_does_not_load_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(EngineError, match="CPU"):
        open_engine("onnxruntime-cuda", ENCODER, MANIFEST.encoder_signature)


def test_tensorrt_of_onnx_runtime_is_asked_for_int8_where_the_graph_has_it_and_keeps_no_plan() -> None:
    plain, coded = ort._provider_options("TensorrtExecutionProvider", b""), b"DequantizeLinear QuantizeLinear"
    assert (plain["trt_int8_enable"], plain["trt_engine_cache_enable"]) == ("0", "0")
    assert ort._provider_options("TensorrtExecutionProvider", coded)["trt_int8_enable"] == "1"


def test_a_stand_in_runs_the_variants_of_its_runtimes_only_where_it_is_named(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    assert choose_variant(bundle, {"x86", "vnni"}).engine == "onnxruntime"
    found = choose_variant(bundle, set(), "onnxruntime-cuda")
    assert (found.name, found.engine, found.requires) == ("ort-x86", "onnxruntime-cuda", ())
    with pytest.raises(ConfigError, match="'onnxruntime-tensorrt': the bundle has variants for onnxruntime"):
        choose_variant(bundle, set(), "onnxruntime-tensorrt")
    with pytest.raises(ConfigError, match="variant ort-x86 is for onnxruntime"):
        Perceiver.open(bundle_path, engine="onnxruntime-tensorrt", variant="ort-x86")
    with pytest.raises(BackendMissing, match="without CUDAExecutionProvider"):
        Perceiver.open(bundle_path, engine="onnxruntime-cuda", variant="ort-x86")
