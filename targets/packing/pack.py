"""What goes into a bundle: each variant's graphs as its target wants them, golden vectors, profile and build plan.

A target with FP16 outside INT8 gets its types written into the graphs (fp16.py), and a twin without INT8: which of the
two is faster is for the device to say (`engine="fastest"`), INT8 does not always win there (reference/int8.md 2.2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import onnx

from codriver.bundle.device_profile import PROFILE_NAME
from codriver.bundle.manifest import VariantSpec
from codriver.engines.trt.build import BuildOptions
from targets.packing.by_stream import by_stream
from targets.packing.codes import in_codes
from targets.packing.fp16 import to_half
from targets.packing.gate import GateError
from targets.packing.leave_out import file_without
from targets.packing.pooled import pooled
from targets.packing.stacked import stacked
from targets.profiles.profile import Profile
from workshop.emitted_dialect import EmittedDialect
from workshop.quantized_report import QuantizedReport

FULL = "fp32"  # the dialect that a twin is made of
INT8, TWIN = "tensorrt", "tensorrt-fp16"
PLAN = "build_plan.json"


@dataclass(frozen=True)
class Packed:
    """Variants, best first, and every file of the bundle but card and manifest."""

    variants: tuple[VariantSpec, ...]
    files: Mapping[str, bytes]


def pack(quantized: Path, profile: Profile, report: QuantizedReport, golden_clips: int | None = None) -> Packed:
    """Everything that the quantized folder gives for this target, without the tasks that the report has left out.

    golden_clips: how many of the golden clips with answers, the first ones; None: all. Pictures of nobody always.
    """
    check_emitted(profile, report)
    read: Callable[[str], bytes] = lambda path: file_without(quantized, path, report.left_out)  # noqa: E731
    variants: list[VariantSpec] = []
    graphs: dict[str, bytes] = {}
    for name in profile.dialects:
        if name == INT8 and in_half(profile):
            pair, sources = _in_half(profile, report)
            variants += pair
            graphs |= {path: half_of(read(source)) for path, source in sources.items()}
        else:
            variant = _variant(profile, name, report.dialects[name])
            own = {path: read(path) for path in variant.paths}
            if variant.engine == "onnxruntime" and variant.encoder:
                variant, own = _in_parts(variant, own)
            variants.append(variant)
            graphs |= own
    files = graphs | golden_files(quantized, report, golden_clips)
    if in_half(profile):
        files[report.golden] = _with_twin(files[report.golden])
    files |= profile_json(profile.without(report.left_out))
    if profile.tensorrt:
        files[PLAN] = _json(build_plan(profile, variants, graphs))
    return Packed(tuple(variants), files)


def profile_json(profile: Profile) -> dict[str, bytes]:
    return {PROFILE_NAME: _json(asdict(profile))}


def golden_files(quantized: Path, report: QuantizedReport, clips: int | None = None) -> dict[str, bytes]:
    """The golden vectors and their frames. A GateError if there are none: a device could not prove itself."""
    if not (quantized / report.golden).is_file():
        raise GateError(f"{quantized} holds no {report.golden}; run quantize.run with --golden 1 or more")
    content = json.loads(file_without(quantized, report.golden, report.left_out))
    answered = [clip for clip in content["clips"] if any(clip["expected"].values())]
    content["clips"] = answered[:clips] + [clip for clip in content["clips"] if clip not in answered]
    frames = {name for clip in content["clips"] for step in clip["steps"] for name in step["frames"].values()}
    folder = Path(report.golden).parent
    paths = sorted((folder / name).as_posix() for name in frames)
    return {report.golden: _json(content)} | {path: (quantized / path).read_bytes() for path in paths}


def check_emitted(profile: Profile, report: QuantizedReport) -> None:
    """Raise a GateError unless each dialect that is needed was emitted, for the engine that is to run it."""
    wanted = [*profile.dialects, *([FULL] if in_half(profile) else [])]
    missing = [dialect for dialect in wanted if dialect not in report.dialects]
    if missing:
        options = " ".join(f"--dialect {name}" for name in wanted)
        raise GateError(
            f"target {profile.name} needs {', '.join(missing)}, which was not emitted; run quantize.run with {options}"
        )
    for variant in profile.variants:
        emitted = report.dialects[variant.dialect].engine
        if emitted != variant.engine:
            raise GateError(
                f"target {profile.name} runs {variant.dialect} in {variant.engine}, and it was emitted for {emitted}; "
                "correct the profile's variants"
            )


def in_half(profile: Profile) -> bool:
    """Whether what is not INT8 becomes FP16 by explicit types: TensorRT's strongly typed networks ask for that."""
    return profile.other_precision == "fp16" and INT8 in profile.dialects


def _variant(profile: Profile, name: str, entry: EmittedDialect) -> VariantSpec:
    return VariantSpec(
        name=name,
        engine=entry.engine,
        requires=entry.requires,
        encoder=entry.encoder.path,
        fuser=entry.fuser.path,
        finder=entry.finder.path if entry.finder else None,
        versions=profile.tensorrt if entry.engine == "tensorrt" else (),
    )


def _in_parts(variant: VariantSpec, graphs: Mapping[str, bytes]) -> tuple[VariantSpec, dict[str, bytes]]:
    """The same for ONNX Runtime: its encoder a graph for each group, its fuser with the tasks' branches stacked and
    handed means and maxima, and between them codes in place of numbers; of these what the graphs allow."""
    encoder, fuser = variant.encoder, variant.fuser
    assert encoder and fuser
    encoders = by_stream(encoder, graphs[encoder])
    others = {path: data for path, data in graphs.items() if path not in (encoder, fuser)}
    variant, found = replace(variant, encoder=None, encoders=tuple(encoders)), others | encoders
    one = stacked(graphs[fuser])
    rest = pooled(fuser, one)
    if rest is None:
        return variant, found | {fuser: one}
    path, graph = rest
    variant = replace(variant, fuser=None, pooled=path)
    coded = in_codes(encoders, graph)
    if coded is None:
        return variant, found | {path: graph}
    return replace(variant, codes=True), found | coded[0] | {path: coded[1]}


def _in_half(profile: Profile, report: QuantizedReport) -> tuple[tuple[VariantSpec, ...], dict[str, str]]:
    """TensorRT's variant and its twin, and where each of their files comes from.

    The twin has full precision's own fuser.
    """
    entry, full = report.dialects[INT8], report.dialects[FULL]
    int8 = _variant(profile, INT8, entry)
    own, others = int8.graphs, _variant(profile, FULL, full).graphs
    twins = {role: f"{TWIN}/{role}.onnx" for role in own}
    sources = {path: path for path in own.values()} | {path: others[role] for role, path in twins.items()}
    return (int8, replace(int8, name=TWIN, **cast(Any, twins))), sources


def half_of(model: bytes) -> bytes:
    return bytes(to_half(onnx.load_from_string(model)).SerializeToString(deterministic=True))


def _with_twin(golden: bytes) -> bytes:
    """The twin is to answer as full precision does."""
    content = json.loads(golden)
    for clip in content["clips"]:
        for answers in (clip["expected"], clip.get("found", {})):
            if FULL in answers:
                answers[TWIN] = answers[FULL]
    return _json(content)


def build_plan(profile: Profile, variants: Collection[VariantSpec], graphs: Mapping[str, bytes]) -> dict[str, Any]:
    """What the device will build, from what, and what makes a plan stale."""
    return {
        "schema": 1,
        "kind": "build plan",
        "target": profile.name,
        "built": "on the device, at first open, into its engine store; a plan from elsewhere is never loaded",
        "tensorrt": list(profile.tensorrt),
        "jetpack": list(profile.jetpack),
        "compute_capability": profile.compute_capability,
        "power_mode": profile.nvpmodel or None,
        "network": "strongly typed: INT8 where the graph has Q/DQ, FP16 where its tensors are float16",
        "options": asdict(BuildOptions()),
        "stale_with": ["graph", "TensorRT", "GPU", "driver", "power mode", "options"],
        "engines": [
            {"variant": v.name, "part": part, "path": path, "sha256": hashlib.sha256(graphs[path]).hexdigest()}
            for v in variants
            for part, path in v.graphs.items()
        ],
        "race": [variant.name for variant in variants] if len(variants) > 1 else [],
    }


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()
