"""Build a bundle without some of the model's tasks: they are cut out of graphs, golden answers, card and manifest.

What is left out exists nowhere in the bundle: no output, no weight that only it used, no name, no figure.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnx

from codriver.errors import CodriverError
from codriver.tasks import TASK_SETS
from workshop.quantized_report import QuantizedReport


class LeftOverError(CodriverError):
    """Something of a task that was left out is still there."""


def file_without(folder: Path, path: str, without: Collection[str]) -> bytes:
    """A file of a quantized folder as it goes into the bundle."""
    data = (folder / path).read_bytes()
    if not without:
        return data
    if path.endswith(".onnx"):
        return bytes(graph_without(onnx.load_from_string(data), without).SerializeToString(deterministic=True))
    if path.endswith((".xml", ".bin")):
        graph = (folder / path).with_suffix(".xml")
        return ir_without(graph.read_bytes(), graph.with_suffix(".bin").read_bytes(), without)[path.endswith(".bin")]
    if path.endswith("golden.json"):
        return golden_without(json.loads(data), without)
    return data


def graph_without(model: onnx.ModelProto, tasks: Collection[str]) -> onnx.ModelProto:
    """The same graph without these outputs, without what only they needed, and without their names."""
    graph = model.graph
    _keep(graph.output, lambda output: output.name not in tasks)
    keep_needed(graph)
    _keep(graph.value_info, lambda _: False)
    for task in tasks:
        _forget_name(graph, task)
    onnx.checker.check_model(model, full_check=True)
    return model


def keep_needed(graph: onnx.GraphProto) -> None:
    """Take out the nodes and the weights that no output needs."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):  # in a graph, whoever gives comes before whoever takes
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    _keep(graph.initializer, lambda tensor: tensor.name in needed)


def _keep(items: Any, wanted: Any) -> None:
    """Take all but the wanted ones out of a repeated field."""
    kept = [item for item in items if wanted(item)]
    del items[:]
    items.extend(kept)


def _forget_name(graph: onnx.GraphProto, task: str) -> None:
    """The exporter names a shared constant after its first user, which may be the one that is gone."""
    names = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    new = {name: _free(name.replace(task, "shared"), names) for name in sorted(names) if task in name}
    for node in graph.node:
        node.name = new.get(node.name, node.name)
        for side in (node.input, node.output):
            side[:] = [new.get(name, name) for name in side]
    for tensor in graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def ir_without(model: bytes, weights: bytes, tasks: Collection[str]) -> tuple[bytes, bytes]:
    """The same for OpenVINO's form: XML and weights."""
    import openvino

    whole = openvino.Core().read_model(model, weights)
    results = [result for result in whole.get_results() if not result.input(0).get_source_output().names & set(tasks)]
    cut = openvino.Model(results, whole.get_parameters(), "codriver")
    for node in cut.get_ordered_ops():
        for task in tasks:
            node.set_friendly_name(node.get_friendly_name().replace(task, "shared"))
            for output in node.outputs():
                output.get_tensor().set_names({name for name in output.names if task not in name})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        openvino.save_model(cut, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def golden_without(content: dict[str, Any], tasks: Collection[str]) -> bytes:
    for clip in content["clips"]:
        for answers in clip["expected"].values():
            for task in tasks:
                answers.pop(task, None)
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def check_left_out(folder: Path, report: QuantizedReport) -> None:
    """Look for the names of what was left out in every file of a bundle; a LeftOverError says where one is."""
    for task in (TASK_SETS[report.task_set][name] for name in report.left_out):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            data = path.read_bytes()
            labels = task.labels if path.suffix in (".json", ".md", ".xml") else ()
            for word in (task.name, task.title, task.annotation_key, *labels):
                if word.encode() in data:
                    where = path.relative_to(folder).as_posix()
                    raise LeftOverError(f"{where} still holds {word!r} of {task.name}, which was to be left out")
