"""A bundle with maps and boxes, made in milliseconds: its graph's outputs follow from how bright the picture is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import TensorProto

from codriver.bundle.manifest import Manifest, VariantSpec
from codriver.dense.letterbox import Letterbox
from codriver.dense.results import DenseResult, read_outputs
from codriver.dense.spec import PIXELS, DenseSpec
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles
from tests.tiny import _Graph, tiny_files, tiny_manifest, write_bundle
from workshop.bundle_writer import default_policy
from workshop.dense_golden import write_golden_picture

SPEC = DenseSpec(
    task_set="bdd100k", tasks=("vehicles", "drivable_area", "lane_lines"), height_px=64, width_px=96, least_score=0.2
)
EVERY_KIND = DenseSpec(task_set="nyudv2", tasks=("semantics", "depth", "normals", "edges"), height_px=32, width_px=64)
CAMERA = (90, 160)  # height, width


def scenery(number: int, size: tuple[int, int] = CAMERA) -> np.ndarray:
    """A picture that no camera's health objects to."""
    return np.random.default_rng(number).integers(40, 200, (*size, 3), dtype=np.uint8)


def tiny_dense(spec: DenseSpec) -> bytes:
    """Each output is a pattern of its own, times one and a bit of how bright the picture is."""
    graph = _Graph(5)
    random = np.random.default_rng(7)
    mean = graph.add("ReduceMean", [graph.add("Cast", [PIXELS], to=TensorProto.FLOAT)], axes=[0, 1, 2, 3], keepdims=0)
    bright = graph.add("Mul", [mean, graph.constant(np.array(1 / 255, np.float32))])
    for name, shape in spec.outputs.items():
        pattern = random.normal(0, 2, shape).astype(np.float32)
        graph.add("Mul", [graph.constant(pattern), bright], name)
    return bytes(graph.model(spec.signature).SerializeToString())


def road_manifest(spec: DenseSpec = SPEC, **changes: object) -> Manifest:
    """A draft of a bundle of one camera."""
    variant = VariantSpec(name="ort-x86-7bit", engine="onnxruntime", requires=(), dense="ort-x86-7bit/dense.onnx")
    draft = replace(
        tiny_manifest(("incar",)), streams=(), tasks=(), finder=None, task_set=spec.task_set, dense=spec,
        policy=default_policy([spec.view]), variants=(variant,),
    )  # fmt: skip
    return replace(draft, **changes)


def combined_manifest(spec: DenseSpec = SPEC) -> Manifest:
    """A draft of a bundle with the four answers and the road."""
    draft = tiny_manifest()
    variants = tuple(replace(variant, dense=f"{variant.name}/dense.onnx") for variant in draft.variants)
    return replace(draft, dense=spec, variants=variants)


def make_tiny_road(out: Path, draft: Manifest | None = None) -> Path:
    """Write a bundle at `out`, with one golden picture."""
    draft = draft or road_manifest()
    assert draft.dense is not None
    files: dict[str, bytes | Path] = dict(tiny_files(draft)) if draft.streams else {"card.md": b"# tiny road\n"}
    for variant in draft.variants:
        assert variant.dense
        files[variant.dense] = tiny_dense(draft.dense)
    folder = out.parent / f"{out.name}.golden"
    results = answers_of(draft.dense, scenery(0))
    write_golden_picture(folder, scenery(0), {variant.name: results for variant in draft.variants})
    files |= {f"golden/{path.name}": path for path in folder.iterdir()}
    write_bundle(out, replace(draft, golden="golden/golden.json"), files)
    return out


def answers_of(spec: DenseSpec, image: np.ndarray) -> dict[str, DenseResult]:
    """What the tiny graph makes of a picture, without any Perceiver."""
    box = Letterbox(image.shape[:2], (spec.height_px, spec.width_px))
    engine = open_engine("onnxruntime", GraphFiles(tiny_dense(spec)), spec.signature, threads=1)
    return read_outputs(spec, engine.infer({PIXELS: box.image(image)[None]}), box, 0.0)
