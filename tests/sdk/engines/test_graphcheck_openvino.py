"""OpenVINO's graphs are looked over without OpenVINO."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from codriver.engines.graphcheck.openvino import check_ir
from codriver.errors import EngineError
from tests.tiny import tiny_encoder, tiny_manifest

openvino = pytest.importorskip("openvino")
pytestmark = pytest.mark.openvino


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The XML and the weights of a tiny encoder."""
    path = tmp_path_factory.mktemp("ir") / "m.xml"
    model = openvino.Core().read_model(tiny_encoder(tiny_manifest()).SerializeToString())
    openvino.save_model(model, path, compress_to_fp16=False)
    return path.read_bytes(), Path(path).with_suffix(".bin").read_bytes()


def refused(xml: bytes, weights: bytes) -> str:
    with pytest.raises(EngineError) as error:
        check_ir(xml, weights)
    return error.value.code


def test_a_graph_of_ours_passes(graph: tuple[bytes, bytes]) -> None:
    check_ir(*graph)


LAYER = b'<layer id="9999" name="l" type="%s" version="%s">%s</layer></layers>'


def add(kind: bytes, version: bytes = b"opset1", inner: bytes = b"") -> Callable[[bytes], bytes]:
    return lambda xml: xml.replace(b"</layers>", LAYER % (kind, version, inner))


def first(pattern: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda xml: re.sub(pattern, new, xml, count=1)


def doctype(entity: bytes) -> Callable[[bytes], bytes]:
    return lambda xml: first(rb"<net ", b"<!DOCTYPE net [%s]>\n<net " % entity)(xml)


REFUSED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "an entity": ("graph-unknown-part", doctype(b'<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">')),
    "an entity from outside": ("graph-unknown-part", doctype(b'<!ENTITY a SYSTEM "file:///etc/passwd">')),
    "an instruction": ("graph-unknown-part", first(rb"<net ", b"<?do it?><net ")),
    "another's layer": ("graph-foreign-domain", add(b"Add", b"extension")),
    "a layer that we do not use": ("graph-operator", add(b"ReadValue")),
    "a graph in the graph": ("graph-nested", add(b"Add", inner=b"<body><layers/></body>")),
    "a shape without end": ("graph-too-big", first(rb"<dim>\d+</dim>", b"<dim>99999999999</dim>")),
    "a shape that is not fixed": ("graph-too-big", first(rb"<dim>\d+</dim>", b"<dim>-1</dim>")),
    "weights outside": ("graph-external-data", first(rb'offset="\d+"', b'offset="999999999"')),
    "weights before the file": ("graph-external-data", first(rb'offset="\d+"', b'offset="-8"')),
    "a size of another shape": ("graph-malformed", first(rb' size="(\d+)"', rb' size="1\1"')),
    "texts": ("graph-unknown-part", first(rb'element_type="\w+"( shape="[^"]*" offset)', rb'element_type="string"\1')),
    "another document": ("graph-malformed", lambda xml: b"<svg/>"),
    "no document": ("graph-malformed", lambda xml: b"\x08\x0a graph"),
    "half of it": ("graph-malformed", lambda xml: xml[: len(xml) // 2]),
    "too much of it": ("graph-too-big", lambda xml: xml + b" " * (16 << 20)),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_graph_is_refused_for(fault: str, graph: tuple[bytes, bytes]) -> None:
    code, change = REFUSED[fault]
    xml = change(graph[0])
    assert xml != graph[0]
    assert refused(xml, graph[1]) == code


def test_nan_among_the_weights_is_found(graph: tuple[bytes, bytes]) -> None:
    weights = bytearray(graph[1])
    found = re.search(rb'element_type="f32" shape="[^"]*" offset="(\d+)"', graph[0])
    assert found is not None
    offset = int(found.group(1))
    weights[offset : offset + 4] = np.float32("nan").tobytes()
    assert refused(graph[0], bytes(weights)) == "graph-not-a-number"
