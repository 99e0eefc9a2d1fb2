"""manifest.json: the contract between the workshop that makes a bundle and the device that runs it.

These are its types; manifest_json.py reads them, strictly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from codriver.config import ContextConfig, Policy
from codriver.engines.base import Signature, Tensor
from codriver.tasks import GROUPS, VIEWS

SCHEMA = 2
MANIFEST_NAME = "manifest.json"
CONTEXT_KEYS = ("slots", "slot_s", "tolerance_s", "max_rate_hz", "min_context")


def weights_of(graph: str) -> str | None:
    """Where the weights of a graph lie: an IR's in the .bin beside its .xml, an ONNX file's in itself."""
    return f"{graph.removesuffix('.xml')}.bin" if graph.endswith(".xml") else None


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One question that the bundle answers."""

    name: str
    labels: tuple[str, ...]  # in the order of the logits
    needs_any: tuple[str, ...]  # views of which at least one must be fresh
    kind: str = "classification"
    hold_s: float = 0.0  # a view whose newest filled slot is this old is still fresh; 0: it must fill the newest slot
    temperature: float = 1.0  # logits are divided by it, so that probabilities mean what they say
    unknown_below: float = 0.0  # the answer is "unknown" while no class is this likely

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "labels": list(self.labels),
            "needs_any": list(self.needs_any),
            "hold_s": self.hold_s,
            "temperature": self.temperature,
            "unknown_below": self.unknown_below,
        }


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """One input of the encoder: an image (1, size_px, size_px, 3) uint8 or joints (1, points, 3) float32."""

    name: str
    kind: str  # "image" or "joints"
    size: int  # size_px of an image, points of joints
    feature: tuple[int, ...]  # shape of one encoded frame, handed in again one slot later
    slot: tuple[int, ...]  # shape of what the context remembers of one frame

    @property
    def input(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return (self.size, self.size, 3) if self.kind == "image" else (self.size, 3)

    @property
    def dtype(self) -> str:
        return "uint8" if self.kind == "image" else "float32"

    @property
    def slot_name(self) -> str:
        return f"{self.name}_slot"

    def to_json(self) -> dict[str, Any]:
        size_key = "size_px" if self.kind == "image" else "points"
        return {
            "name": self.name,
            "kind": self.kind,
            size_key: self.size,
            "feature": list(self.feature),
            "slot": list(self.slot),
        }


@dataclass(frozen=True, kw_only=True)
class VariantSpec:
    """One pair of graphs, and what a machine must have to run it right."""

    name: str  # the dialect: ort-x86, ort-x86-7bit, ...
    engine: str  # the runtime that its graphs are made for: one of engines.RUNTIMES
    requires: tuple[str, ...]  # features of the processor, see device/cpu.py; () runs anywhere
    encoder: str  # paths in the bundle; the weights of an .xml lie beside it, see `weights_of`
    fuser: str
    versions: tuple[str, ...] = ()  # of the runtime that may run it, as "10.3"; () any

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is needed to run it."""
        graphs = (self.encoder, self.fuser)
        return graphs + tuple(path for path in map(weights_of, graphs) if path)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "engine": self.engine,
            "requires": list(self.requires),
            "encoder": self.encoder,
            "fuser": self.fuser,
        } | ({"versions": list(self.versions)} if self.versions else {})


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    sha256: str
    bytes: int

    def to_json(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "bytes": self.bytes}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle is, needs and holds. `seal` in writer.py adds `id` and `files`."""

    name: str
    target: str
    created: str  # ISO 8601
    tools: Mapping[str, str]  # name -> version
    git_commit: str
    seed: int
    tasks: tuple[TaskSpec, ...]
    streams: tuple[StreamSpec, ...]  # in the order of the fuser's mask
    variants: tuple[VariantSpec, ...]  # best first
    context: ContextConfig = field(default_factory=ContextConfig)
    policy: Policy = field(default_factory=Policy)
    task_set: str = "aide"
    color: str = "bgr"  # what the graphs take; frames may come in the other order
    version: int = 0  # rises with every release of a bundle, so that an older one can be refused
    golden: str | None = None  # path of golden.json in the bundle
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileSpec] = field(default_factory=dict)
    id: str = ""

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(stream.name for stream in self.streams if stream.name in VIEWS)

    @property
    def sizes_px(self) -> dict[str, int]:
        """Image stream -> side of the square picture that the encoder takes of it."""
        return {stream.name: stream.size for stream in self.streams if stream.kind == "image"}

    @property
    def groups(self) -> dict[str, tuple[StreamSpec, ...]]:
        """Streams that share an encoder: they are rows of one batch, in this order."""
        by_name = {stream.name: stream for stream in self.streams}
        members = {group: tuple(by_name[n] for n in names if n in by_name) for group, names in GROUPS.items()}
        return {group: some for group, some in members.items() if some}

    @property
    def encoder_signature(self) -> Signature:
        """By group of n streams: frames (n, H, W, 3) uint8 or (n, P, 3) float32, and what each stream's feature was one
        slot earlier, (n, *feature), zeros where unknown -> features (n, *feature) and slots (n, *slot)."""
        inputs, before, features, slots = {}, {}, {}, {}
        for group, members in self.groups.items():
            n, first = len(members), members[0]
            inputs[group] = Tensor(first.dtype, (n, *first.input))
            before[f"{group}_before"] = Tensor("float32", (n, *first.feature))
            features[f"{group}_feature"] = Tensor("float32", (n, *first.feature))
            slots[f"{group}_slot"] = Tensor("float32", (n, *first.slot))
        return Signature(inputs=inputs | before, outputs=features | slots)

    @property
    def fuser_signature(self) -> Signature:
        """float32 (1, T, *slot) per stream and mask (1, S, T) -> float32 logits (1, K) per task."""
        slots = self.context.slots
        inputs = {s.slot_name: Tensor("float32", (1, slots, *s.slot)) for s in self.streams}
        inputs["mask"] = Tensor("float32", (1, len(self.streams), slots))
        outputs = {task.name: Tensor("float32", (1, len(task.labels))) for task in self.tasks}
        return Signature(inputs=inputs, outputs=outputs)

    def to_json(self) -> str:
        """The text of manifest.json, always the same for the same content."""
        return json.dumps(self._content(), indent=1, allow_nan=False) + "\n"

    def with_id(self) -> Manifest:
        """The same manifest under its id: its name and a hash over all of it, the files' hashes included."""
        content = replace(self, id="").to_json().encode()
        return replace(self, id=f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}")

    def _content(self) -> dict[str, Any]:
        context = self.context
        return {
            "schema": SCHEMA,
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "target": self.target,
            "created": self.created,
            "tools": dict(self.tools),
            "git_commit": self.git_commit,
            "seed": self.seed,
            "task_set": self.task_set,
            "tasks": [task.to_json() for task in self.tasks],
            "color": self.color,
            "streams": [stream.to_json() for stream in self.streams],
            "context": {key: getattr(context, key) for key in CONTEXT_KEYS},
            "policy": self.policy.to_json(),
            "variants": [variant.to_json() for variant in self.variants],
            "golden": self.golden,
            "metrics": dict(self.metrics),
            "training": dict(self.training),
            "files": {path: self.files[path].to_json() for path in sorted(self.files)},
        }
