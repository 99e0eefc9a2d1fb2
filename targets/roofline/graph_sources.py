"""Where graphs to estimate come from: one ONNX file, a bundle, or a folder made by quantize.run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codriver.bundle.manifest import MANIFEST_NAME, PART, Manifest, VariantSpec
from codriver.bundle.manifest_json import read_manifest
from codriver.errors import SourceError
from targets.profiles.profile import Profile
from workshop.dense_report import DenseQuantizedReport, is_dense
from workshop.quantized_report import REPORT, QuantizedReport

# For a dialect that was not emitted, or as OpenVINO's IR, another one stands in: its graph has the same layers.
INT8_STAND_INS = ("ort-x86", "ort-x86-7bit", "tensorrt", "ort-arm")
FP32_STAND_INS = ("fp32",)


@dataclass
class GraphSource:
    """Graphs by dialect: (name, path) of each that a step runs. One ONNX file stands under the dialect ""."""

    folder: Path
    dialects: Mapping[str, tuple[tuple[str, str], ...]]
    notes: list[str] = field(default_factory=list)  # for people: what stands in for what

    def graphs_for(self, profile: Profile) -> list[tuple[str, str, str]]:
        """(name, path, engine) of the graphs that this target runs, the best dialect's that can be read."""
        if "" in self.dialects:
            return [(name, path, profile.variants[0].engine) for name, path in self.dialects[""]]
        readable = [d for d, graphs in self.dialects.items() if all(path.endswith(".onnx") for _, path in graphs)]
        for variant in profile.variants:
            if variant.dialect in readable:
                return [(name, path, variant.engine) for name, path in self.dialects[variant.dialect]]
        wanted = profile.variants[0]
        stand_ins = FP32_STAND_INS if wanted.dialect.endswith("fp32") else INT8_STAND_INS
        other = next((dialect for dialect in stand_ins if dialect in readable), None)
        if other is None:
            raise SourceError(
                f"{self.folder} holds no ONNX graph of {wanted.dialect} or one like it, only {', '.join(self.dialects)}"
                f"; run quantize.run with --dialect {wanted.dialect}"
            )
        self.notes.append(f"{other} stands in for {wanted.dialect}, which is not here as ONNX")
        return [(name, path, wanted.engine) for name, path in self.dialects[other]]

    def onnx_paths(self) -> list[str]:
        """Every graph in the source, once."""
        found = [path for graphs in self.dialects.values() for _, path in graphs if path.endswith(".onnx")]
        return list(dict.fromkeys(found))


def _of_a_step(encoder: str, fuser: str, finder: str | None) -> tuple[tuple[str, str], ...]:
    """Of a step that looks for the driver, as the slowest ones do."""
    return (("encoder", encoder), ("fuser", fuser), *((("finder", finder),) if finder else ()))


def _of_a_variant(manifest: Manifest, variant: VariantSpec) -> tuple[tuple[str, str], ...]:
    """Of an encoder in parts the group's graph for each of its streams."""
    names = {f"{PART}{g}": [f"{PART}{s.name}" for s in members] for g, members in manifest.groups.items()}
    return tuple((name, path) for role, path in variant.graphs.items() for name in names.get(role, [role]))


def open_source(path: Path) -> GraphSource:
    if path.is_file():
        return GraphSource(path.parent, {"": ((path.stem, path.name),)})
    if (path / MANIFEST_NAME).is_file():
        manifest = read_manifest(path)
        return GraphSource(path, {v.name: _of_a_variant(manifest, v) for v in manifest.variants})
    if is_dense(path):
        dialects = DenseQuantizedReport.read(path).dialects
        return GraphSource(path, {name: (("dense", some.dense.path),) for name, some in dialects.items()})
    if (path / REPORT).is_file():
        pairs = QuantizedReport.read(path).dialects
        finders = {name: some.finder.path if some.finder else None for name, some in pairs.items()}
        return GraphSource(path, {n: _of_a_step(d.encoder.path, d.fuser.path, finders[n]) for n, d in pairs.items()})
    raise SourceError(f"{path} is not there, or neither an ONNX file, a bundle nor a folder made by quantize.run")
