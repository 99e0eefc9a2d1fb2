"""An encoder in parts answers as the whole one, to the bit, whoever computes which stream."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from codriver.bundle.folder import Bundle
from codriver.device.cores import Cores
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles
from codriver.engines.by_stream import ByStream
from codriver.engines.in_place import bind
from codriver.errors import BundleError, EngineError
from codriver.perceiver import Perceiver
from codriver.tasks import GROUPS
from targets.packing.by_stream import by_stream
from targets.roofline.graph_sources import open_source
from tests.tiny import (
    GOLDEN_STEPS,
    answers,
    make_tiny_bundle,
    run,
    tiny_encoder,
    tiny_files,
    tiny_manifest,
    tiny_steps,
)
from workshop.bundle_writer import new_bundle, seal

MANIFEST = tiny_manifest()
WHOLE = tiny_encoder(MANIFEST).SerializeToString()


def in_parts(threads: int, parts: dict[str, bytes]) -> ByStream:
    engines = {
        group: open_engine("onnxruntime", GraphFiles(data), MANIFEST.signature_of(f"encoder-{group}"), threads=1)
        for group, data in parts.items()
    }
    return ByStream(engines, MANIFEST.encoder_signature, Cores(threads))


def parts_of(model: bytes) -> dict[str, bytes]:
    found = by_stream("ort-x86/encoder.onnx", model)
    assert list(found) == [f"ort-x86/encoder-{group}.onnx" for group in GROUPS]
    return dict(zip(GROUPS, found.values(), strict=True))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_parts_give_the_bits_of_the_whole(threads: int) -> None:
    random = np.random.default_rng(0)
    inputs = {
        name: random.integers(0, 256, t.shape).astype(t.dtype)
        if t.dtype == "uint8"
        else random.random(t.shape, np.float32)
        for name, t in MANIFEST.encoder_signature.inputs.items()
    }
    expected = open_engine("onnxruntime", GraphFiles(WHOLE), MANIFEST.encoder_signature, threads=1).infer(inputs)
    found = in_parts(threads, parts_of(WHOLE)).infer(inputs)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("threads", [1, 3])
def test_bound_parts_write_each_streams_row(threads: int) -> None:
    random, engine = np.random.default_rng(0), in_parts(threads, parts_of(WHOLE))
    inputs, outputs = MANIFEST.encoder_signature.zeros(), MANIFEST.encoder_signature.room()
    run = bind(engine, inputs, outputs)
    for _ in range(3):
        for values in inputs.values():
            values[...] = random.integers(0, 256, values.shape)
        run()
        for name, values in engine.infer(inputs).items():
            np.testing.assert_array_equal(outputs[name], values)


def test_a_part_holds_nothing_of_another_group() -> None:
    for group, data in parts_of(WHOLE).items():
        graph = onnx.load_from_string(data).graph
        assert {value.name.split("_")[0] for value in (*graph.input, *graph.output)} == {group}
        assert {value.type.tensor_type.shape.dim[0].dim_value for value in graph.input} == {1}
    assert sum(map(len, parts_of(WHOLE).values())) < 1.1 * len(WHOLE)


def bundle_in_parts(out: Path, *, without: str | None = None, also_whole: bool = False) -> Path:
    """As make_tiny_bundle, its encoders in parts."""
    files, variants = tiny_files(MANIFEST), []
    for variant in MANIFEST.variants:
        assert variant.encoder
        whole = files[variant.encoder] if also_whole else files.pop(variant.encoder)
        parts = {path: data for path, data in by_stream(variant.encoder, whole).items() if path != without}
        files |= parts
        variants.append(replace(variant, encoder=variant.encoder if also_whole else None, encoders=tuple(parts)))
    with new_bundle(out) as folder:
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        seal(folder, replace(MANIFEST, variants=tuple(variants)))
    return out


def test_a_bundle_in_parts_answers_as_the_whole_one_and_goes_on_after_a_swap(tmp_path: Path) -> None:
    whole, parts = make_tiny_bundle(tmp_path / "whole", golden=False), bundle_in_parts(tmp_path / "parts")
    assert Bundle.open(parts).manifest.variants[0].encoders[1] == "ort-x86/encoder-outside.onnx"
    with Perceiver.open(whole, threads=2) as one, Perceiver.open(parts, threads=2) as other:
        *steps, last = tiny_steps(GOLDEN_STEPS + 1)
        found = [answers(run(some, steps)) for some in (one, other)]
        assert found[0]["tasks"] == found[1]["tasks"] and found[0]["state"] == "ok"
        other.swap(Perceiver.open(parts, threads=2))
        assert "the context goes on" in " ".join(other.step(*last).reasons)


@pytest.mark.parametrize("how", [{"without": "ort-x86/encoder-face.onnx"}, {"also_whole": True}])
def test_an_encoder_that_lacks_a_part_or_is_there_twice_is_refused(how: dict, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected one encoder or encoder-body, encoder-face"):
        Bundle.open(bundle_in_parts(tmp_path / "parts", **how))


def test_a_part_that_fails_is_an_engine_error_and_the_others_still_work() -> None:
    engine = in_parts(2, parts_of(WHOLE))
    inputs = MANIFEST.encoder_signature.zeros()
    with pytest.raises(EngineError, match="face"):
        engine.infer(inputs | {"face": np.zeros((1, 3, 3, 3), np.uint8)})
    assert engine.infer(inputs)["face_slot"].shape == MANIFEST.encoder_signature.outputs["face_slot"].shape
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(inputs)


def test_parts_raise_the_schema_so_that_a_codriver_of_before_says_update_codriver(tmp_path: Path) -> None:
    folders = bundle_in_parts(tmp_path / "parts"), make_tiny_bundle(tmp_path / "whole", golden=False)
    assert [json.loads((folder / "manifest.json").read_text())["schema"] for folder in folders] == [4, 3]


def test_an_estimate_counts_a_groups_graph_for_each_of_its_streams(tmp_path: Path) -> None:
    names = [name for name, _ in open_source(bundle_in_parts(tmp_path / "parts")).dialects["ort-x86"]]
    assert names[:4] == ["encoder-incar", "encoder-front", "encoder-left", "encoder-right"]
    assert names.count("fuser") == 1 and "encoder-outside" not in names
