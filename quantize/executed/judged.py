"""What the linter says of a graph, laid upon its layers: one with wrong numbers is not in INT8, however it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from codriver.device.cpu import cpu_features
from quantize.executed.layers import Executed, ExecutedLayer
from quantize.rules.dialects import PER_TENSOR, RULES, SCALES
from quantize.rules.rule import Finding
from quantize.rules.view import LINEAR, MOVING, PAIRED, GraphView, Node, source

ONE_FOR_ALL = (SCALES.number, PER_TENSOR.number)  # rules that name the first of the quantizers that share a scale
STEPS = 16  # from a quantizer to the layer that it serves
BEHIND = (*MOVING, "BatchNormalization", "Relu", "Clip", "LeakyRelu")  # between a layer and its output's quantizer


def dialect_of(runtime: str) -> str:
    """The rules that a runtime asks for on this machine."""
    if runtime != "onnxruntime":
        return runtime
    features = cpu_features()
    return "ort-arm" if "arm" in features else "ort-x86" if "vnni" in features else "ort-x86-7bit"


def errors(findings: Sequence[Finding], dialect: str) -> tuple[Finding, ...]:
    severe = {rule.number for rule in RULES[dialect] if rule.severity == "error"}
    return tuple(finding for finding in findings if finding.rule in severe)


def judged(found: Executed, graph: GraphView, faults: Sequence[Finding]) -> Executed:
    """The same, where layers that an error concerns are not in INT8.

    An error that names no layer is about the whole file: TensorRT, which only predicts, would then build nothing.
    """
    faulty: dict[str, str] = {}
    whole = ""
    for fault in faults:
        text = f"rule {fault.rule}, {fault.where}: {fault.what}"
        names = {node.name for node in layers_at(graph, fault)}
        for name in names:
            faulty.setdefault(name, text)
        if not names and found.predicted:
            whole = whole or text
    layers = tuple(_judged(layer, faulty, whole) for layer in found.layers)
    unseen = [name for name in faulty if not any(_is_called(layer.name, name) for layer in layers)]
    if unseen:  # the runtime renamed it beyond recognition: better no layer than a wrong one
        layers = tuple(_judged(layer, {}, faulty[unseen[0]]) for layer in layers)
    return replace(found, layers=layers, errors=tuple(faults))


def _judged(layer: ExecutedLayer, faulty: dict[str, str], whole: str) -> ExecutedLayer:
    text = next((text for name, text in faulty.items() if _is_called(layer.name, name)), whole)
    return replace(layer, int8=False, fault=text) if text and layer.macs != 0 else layer


def _is_called(layer: str, name: str) -> bool:
    """Runtimes add words to a name: `stem_nchwc`, `fused stem`."""
    return layer == name or re.search(rf"(^|[\s_/+,]){re.escape(name)}([\s_/+,]|$)", layer) is not None


def layers_at(graph: GraphView, finding: Finding) -> list[Node]:
    """Convolutions and products that a finding's place concerns: it is one, or stands right before or behind one."""
    nodes = graph.named(finding.where)
    layers = [node for node in nodes if node.op in LINEAR]
    if not layers:
        if finding.rule in ONE_FOR_ALL:
            nodes = [some for node in nodes for some in _of_one_scale(graph, node)]
        layers = [near for node in nodes for near in _beside(node)]
    return list({id(layer): layer for layer in layers}.values())


def _of_one_scale(graph: GraphView, node: Node) -> Iterator[Node]:
    """A quantizer and those that share its scale; any other node alone."""
    yield node
    for other in graph.of(*PAIRED) if node.op in PAIRED else ():
        if other is not node and (other.scope is node.scope and other.input(1) == node.input(1)):
            yield other


def _beside(place: Node) -> Iterator[Node]:
    before = source(place.scope, place.input(0), (*BEHIND, *PAIRED)).node
    if before is not None and before.op in LINEAR:
        yield before
    front = [place]
    seen: set[int] = set()
    for _ in range(STEPS):
        readers = [reader for some in front for reader, _ in some.readers if id(reader) not in seen]
        seen |= {id(reader) for reader in readers}
        yield from (reader for reader in readers if reader.op in LINEAR)
        front = [reader for reader in readers if reader.op in (*PAIRED, *MOVING, "Concat", "Cast")]
