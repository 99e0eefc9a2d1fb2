"""A bundle so small that a test makes it in milliseconds, yet real: ONNX graphs that obey the contract.

The graphs are random linear maps over all they are given: what is put in another place changes the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from codriver.bundle.folder import Bundle
from codriver.bundle.loader import LoadedBundle
from codriver.bundle.manifest import FinderSpec, Manifest, StreamSpec, TaskSpec, VariantSpec
from codriver.engines import open_engine
from codriver.engines.base import Engine, GraphFiles, Signature
from codriver.finder.peaks import read_sight
from codriver.finder_graph import BINS_X, BINS_Y, HIGH, LOW, PIXELS, points_of
from codriver.perceiver import Perceiver
from codriver.percept import Driver, Percept
from codriver.tasks import AIDE, JOINTS, STREAMS, VIEWS
from codriver.verify.golden import Answers, told_of
from workshop.bundle_writer import default_policy, new_bundle, seal
from workshop.golden_vectors import write_golden

SIZE_PX = {name: 12 for name in STREAMS} | {"face": 8, "posture": 26, "gesture": 42}
GOLDEN_STEPS = 9  # the first gives no slot; eight slots are half of the context: enough for valid answers
DTYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}


def tiny_manifest(streams: tuple[str, ...] = STREAMS, **changes: object) -> Manifest:
    """A draft, without files and id, of a bundle with these streams."""
    needs = {task.name: tuple(view for view in task.needs_any if view in streams) for task in AIDE.tasks}
    tasks = [TaskSpec(name=task.name, labels=task.labels, needs_any=needs[task.name]) for task in AIDE.tasks]
    finds = "incar" in streams
    draft = Manifest(
        name="tiny",
        target="test",
        created="2026-01-01T00:00:00Z",
        tools={"onnx": onnx.__version__},
        git_commit="0" * 40,
        seed=0,
        tasks=tuple(task for task in tasks if task.needs_any),
        streams=tuple(_stream(name) for name in streams),
        variants=(_variant("ort-x86", "vnni", finds=finds), _variant("ort-x86-7bit", finds=finds)),
        finder=FinderSpec() if finds else None,
        policy=default_policy(view for view in VIEWS if view in streams),
    )
    made = replace(draft, **changes)
    return made if all(variant.finder for variant in made.variants) else without_finder(made)


def without_finder(manifest: Manifest) -> Manifest:
    """The same draft, of a bundle whose caller must say where the driver is."""
    variants = tuple(replace(variant, finder=None) for variant in manifest.variants)
    return replace(manifest, finder=None, variants=variants)


def _stream(name: str) -> StreamSpec:
    if name in JOINTS:
        return StreamSpec(name=name, kind="joints", size=SIZE_PX[name], feature=(5,), slot=(4, 1, 1))
    return StreamSpec(name=name, kind="image", size=SIZE_PX[name], feature=(2, 3, 3), slot=(4, 2, 2))


def _variant(name: str, *requires: str, finds: bool = True) -> VariantSpec:
    graphs = {role: f"{name}/{role}.onnx" for role in ("encoder", "fuser", *(["finder"] if finds else []))}
    return VariantSpec(name=name, engine="onnxruntime", requires=requires, **graphs)


def tiny_files(manifest: Manifest) -> dict[str, bytes]:
    """Both variants' graphs; the second one's weights differ a little, as 7-bit ones would."""
    files = {"card.md": b"# tiny\n\nA random model for tests.\n"}
    for seed, variant in enumerate(manifest.variants):
        files[variant.encoder] = tiny_encoder(manifest, seed).SerializeToString()
        files[variant.fuser] = tiny_fuser(manifest, seed).SerializeToString()
        if variant.finder:
            files[variant.finder] = tiny_finder(manifest).SerializeToString()
    return files


def tiny_encoder(manifest: Manifest, seed: int = 0) -> onnx.ModelProto:
    """Each stream's feature is a random linear map of its frame, its motion one of the frame and the feature before,
    its slot one of all that and the motion before."""
    graph = _Graph(seed)
    for group, members in manifest.groups.items():
        n, first = len(members), members[0]
        scale = 1 / 255 if first.kind == "image" else 1.0
        feature, slot = int(np.prod(first.feature)), int(np.prod(first.slot))
        frames, before = (n, *first.input), (n, *first.feature)
        graph.reshape(graph.linear(group, frames, feature, scale), (n, *first.feature), f"{group}_feature")
        for what in ("motion", "slot"):
            parts = [graph.linear(group, frames, slot, scale), graph.linear(f"{group}_before", before, slot)]
            if what == "slot":
                parts.append(graph.linear(f"{group}_motion_before", (n, *first.slot), slot))
            graph.reshape(graph.add("Sum", parts), (n, *first.slot), f"{group}_{what}")
    return graph.model(manifest.encoder_signature)


def tiny_fuser(manifest: Manifest, seed: int = 0) -> onnx.ModelProto:
    """Each task's logits are a random linear map of every feature in every slot, and of the mask."""
    graph = _Graph(100 + seed)
    signature = manifest.fuser_signature
    for task in manifest.tasks:
        classes = len(task.labels)
        parts = [graph.linear(name, tensor.shape, classes) for name, tensor in signature.inputs.items()]
        graph.add("Sum", parts, task.name)
    return graph.model(signature)


def tiny_finder(manifest: Manifest) -> onnx.ModelProto:
    """A driver in the middle of every frame, surely; how bright the frame is moves nothing by a visible amount."""
    graph = _Graph(0)
    signature = manifest.signature_of("finder")
    mean = graph.add("ReduceMean", [graph.add("Cast", [PIXELS], to=TensorProto.FLOAT)], axes=[0, 1, 2, 3], keepdims=0)
    nothing = graph.add("Mul", [mean, graph.constant(np.array(1e-9, np.float32))])
    assert manifest.finder is not None
    for name, logits in finder_logits(gesture=manifest.finder.gesture).items():
        graph.add("Add", [nothing, graph.constant(logits)], name)
    return graph.model(signature)


def finder_logits(
    shift: float = 0.0,
    presence: tuple[float, float, float] = (9.0, 9.0, 9.0),
    spread_bins: float = 1.0,
    gesture: bool = True,
) -> dict[str, np.ndarray]:
    """What a finder says of a driver: face 0.3 to 0.7 of the frame, body 0.1 to 0.9, joints between, all moved right.

    spread_bins: of the belief around each point; 100 is hardly any certainty.
    """
    logits = {}
    for axis, bins in (("x", BINS_X), ("y", BINS_Y)):
        places = np.linspace(0.3, 0.7, points_of(gesture=gesture))
        places[-4:] = (0.3, 0.7, 0.1, 0.9)  # low and high of face and body
        centres = LOW + (np.arange(bins) + 0.5) * (HIGH - LOW) / bins
        off_bins = (centres - places[:, None] - (shift if axis == "x" else 0.0)) * bins / (HIGH - LOW)
        logits[axis] = (-0.5 * (off_bins / spread_bins) ** 2)[None].astype(np.float32)
    return logits | {"presence": np.array([presence], np.float32)}


class _Graph:
    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str | None = None, **attributes: object) -> str:
        output = output or f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def reshape(self, name: str, shape: tuple[int, ...], output: str | None = None) -> str:
        return self.add("Reshape", [name, self.constant(np.array(shape, np.int64))], output)

    def linear(self, name: str, shape: tuple[int, ...], width: int, scale: float = 1.0) -> str:
        """(n, ...) -> (n, width), the same map for each row"""
        size = int(np.prod(shape[1:]))
        weights = self._random.normal(0, 1.5 * scale / np.sqrt(size), (size, width)).astype(np.float32)
        flat = self.reshape(self.add("Cast", [name], to=TensorProto.FLOAT), (shape[0], size))
        return self.add("MatMul", [flat, self.constant(weights)])

    def model(self, signature: Signature) -> onnx.ModelProto:
        inputs, outputs = (
            [helper.make_tensor_value_info(name, DTYPES[t.dtype], t.shape) for name, t in side.items()]
            for side in (signature.inputs, signature.outputs)
        )
        graph = helper.make_graph(self._nodes, "tiny", inputs, outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return model


def tiny_found(manifest: Manifest) -> dict[str, Any]:
    """What the tiny finder sees, by variant that has one: what golden vectors hold beside answers."""
    told = told_of(read_sight(finder_logits()))
    return {variant.name: told for variant in manifest.variants if variant.finder}


def make_tiny_bundle(out: Path, streams: tuple[str, ...] = STREAMS, *, golden: bool = True, **changes: object) -> Path:
    """Write a tiny bundle at `out`, with golden vectors that its own variants gave."""
    draft = tiny_manifest(streams, **changes)
    files: dict[str, bytes | Path] = dict(tiny_files(draft))
    if golden:
        folder = out.parent / f"{out.name}.golden"
        steps = tiny_steps(GOLDEN_STEPS, views=draft.views)
        expected = {variant.name: _answers(draft, files, variant, steps) for variant in draft.variants}
        write_golden(folder, steps, expected, tolerance=0.01, found=tiny_found(draft))
        files |= {f"golden/{path.name}": path for path in folder.iterdir()}
        draft = replace(draft, golden="golden/golden.json")
    write_bundle(out, draft, files)
    return out


def _answers(manifest: Manifest, files: Mapping[str, Any], variant: VariantSpec, steps: list[Any]) -> Answers:
    """What a variant says after the last step, before it is in any bundle."""
    encoder = open_engine("onnxruntime", GraphFiles(files[variant.encoder]), manifest.encoder_signature, threads=1)
    fuser = open_engine("onnxruntime", GraphFiles(files[variant.fuser]), manifest.fuser_signature, threads=1)
    with Perceiver(loaded(manifest, encoder, fuser, variant=variant)) as perceiver:
        percept = [perceiver.step(*step) for step in steps][-1]
    return {name: result.probabilities for name, result in percept.tasks.items()}


def write_bundle(out: Path, draft: Manifest, files: Mapping[str, bytes | Path]) -> Manifest:
    """Write a bundle at `out`. draft: a manifest without id and files. files: path -> bytes or a file."""
    with new_bundle(out) as folder:
        for name, source in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        return seal(folder, draft)


def loaded(manifest: Manifest, encoder: Engine, fuser: Engine, **changes: Any) -> LoadedBundle:
    """A bundle that was never written, on these engines."""
    made = {"folder": Bundle(Path("unwritten"), manifest), "variant": manifest.variants[0], "policy": manifest.policy}
    return LoadedBundle(encoder=encoder, fuser=fuser, **made | changes)


def tiny_steps(
    count: int, rate_hz: float = 5.0, seed: int = 0, views: tuple[str, ...] = VIEWS
) -> list[tuple[dict[str, np.ndarray], float, Driver | None]]:
    """Random frames (40, 60, 3) and a random driver, as the arguments of Perceiver.step."""
    random = np.random.default_rng(seed)
    steps = []
    for number in range(count):
        frames = {view: random.integers(0, 256, (40, 60, 3), np.uint8) for view in views}
        keypoints = (random.random((136, 3)) * [60, 40, 1]).astype(np.float32)
        driver = Driver(face_px=(10, 5, 20, 20), body_px=(5, 2, 40, 36), keypoints=keypoints)
        steps.append((frames, number / rate_hz, driver if "incar" in views else None))
    return steps


def run(perceiver: Perceiver, steps: list[Any]) -> Percept:
    perceiver.reset()
    return [perceiver.step(*step) for step in steps][-1]


def answers(percept: Percept) -> dict[str, Any]:
    """All that does not depend on the clock on the wall."""
    content = percept.to_dict()
    del content["latency_ms"], content["sequence"]
    return content
