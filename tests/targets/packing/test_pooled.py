"""A fuser that is handed means and maxima answers as the whole one does of the slots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import StreamSpec
from codriver.config import ContextConfig
from codriver.engines import open_engine
from codriver.engines.base import GraphFiles
from codriver.errors import BundleError
from codriver.network.context import Context, Encoded
from codriver.network.fuser_inputs import FuserInputs
from codriver.tasks import AIDE, STREAMS, VIEW_OF
from targets.packing.pooled import pooled
from tests.tiny import make_tiny_bundle, tiny_files, tiny_fuser, tiny_manifest
from workshop.bundle_writer import new_bundle, seal

MANIFEST = tiny_manifest()
PATH = "ort-x86/fuser-pooled.onnx"


@pytest.mark.torch
@pytest.mark.parametrize("frames", [1, 7, 40], ids=["one slot", "half of the slots", "every slot"])
def test_the_rest_answers_as_the_whole_fuser_of_the_same_memory(frames: int) -> None:
    torch = pytest.importorskip("torch")
    from quantize.export.onnx_export import onnx_from_module
    from quantize.graphs.graphs import FUSER_INPUTS, FuserGraph, example_context
    from training.model.uvm3tl import SIZES, UVM3TL

    torch.manual_seed(0)
    model = UVM3TL(SIZES["tiny"]).eval()
    whole = onnx_from_module(FuserGraph(model).eval(), example_context(model.config), FUSER_INPUTS, AIDE.names)
    streams = [replace(s, slot=model.config.slot_shape(s.name)) for s in MANIFEST.streams]
    manifest = replace(MANIFEST, streams=tuple(streams), context=ContextConfig())
    context = remembered(streams, manifest.context, frames)
    found = pooled("ort-x86/fuser.onnx", whole.SerializeToString())
    assert found and found[0] == PATH
    answers = []
    for graph, signature in (
        (whole.SerializeToString(), manifest.fuser_signature),
        (found[1], manifest.signature_of("fuser-pooled")),
    ):
        inputs = FuserInputs(manifest, signature)
        inputs.fill(context, 0.1 * (frames - 1))
        answers.append(open_engine("onnxruntime", GraphFiles(graph), signature, threads=1).infer(inputs.arrays))
    assert answers[1].keys() == answers[0].keys()
    for task, logits in answers[0].items():
        np.testing.assert_allclose(answers[1][task], logits, atol=1e-5)


def remembered(streams: list[StreamSpec], config: ContextConfig, frames: int) -> Context:
    """Random slots of ten frames a second, the newest without one from the cameras on the right."""
    context, random = Context(replace(MANIFEST, streams=tuple(streams), context=config)), np.random.default_rng(frames)
    for number in range(frames):
        slots = {s.name: random.random(s.slot, np.float32) for s in streams if s.name != "right" or number < frames - 1}
        features = {s.name: np.zeros(s.feature, np.float32) for s in streams}
        context.remember(Encoded(features, slots, slots), dict.fromkeys(map(VIEW_OF.get, STREAMS), 0.1 * number))
    return context


def test_a_fuser_that_pools_in_another_way_stays_whole() -> None:
    assert pooled("ort-x86/fuser.onnx", tiny_fuser(MANIFEST).SerializeToString()) is None


def bundle_with_pooled(out: Path, *, also_whole: bool = False, codes: bool = False) -> Path:
    """A folder whose manifest says so; nobody runs it."""
    files = tiny_files(MANIFEST) | {PATH: b"the rest"}
    variants = [replace(v, pooled=PATH, fuser=v.fuser if also_whole else None, codes=codes) for v in MANIFEST.variants]
    with new_bundle(out) as folder:
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        seal(folder, replace(MANIFEST, variants=tuple(variants)))
    return out


def test_two_fusers_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has a fuser and a pooled one"):
        Bundle.open(bundle_with_pooled(tmp_path / "two", also_whole=True))


def test_it_raises_the_schema_so_that_a_codriver_of_before_says_update_codriver(tmp_path: Path) -> None:
    folders = bundle_with_pooled(tmp_path / "pooled"), make_tiny_bundle(tmp_path / "whole", golden=False)
    assert [json.loads((folder / "manifest.json").read_text())["schema"] for folder in folders] == [5, 3]
    assert Bundle.open(folders[0]).manifest.variants[0].graphs["fuser-pooled"] == PATH
