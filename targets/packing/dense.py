"""Maps and boxes of one camera as a part of a bundle: the graph in every variant, golden pictures, checks, figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codriver.bundle.manifest import VariantSpec
from codriver.dense.golden import TOLERANCE
from codriver.dense.spec import DenseSpec
from codriver.files.decode import encode
from targets.packing.gate import GateError, Miss, Verdict
from targets.packing.pack import FULL, INT8, TWIN, Packed, half_of, in_half, profile_json
from targets.profiles.profile import Profile
from workshop.dense_report import DenseDialect, DenseQuantizedReport

INT8_SHARE = 0.95  # least share of multiply-accumulates in INT8


@dataclass(frozen=True)
class DensePart:
    """What goes into a bundle beside, or in place of, the four answers."""

    spec: DenseSpec
    files: Mapping[str, bytes]  # graphs and pictures
    graphs: Mapping[str, str]  # variant -> path
    pictures: list[dict[str, Any]]  # as golden.json has them
    engines: Mapping[str, DenseDialect]  # of the variants


def dense_part(folder: Path, profile: Profile, report: DenseQuantizedReport, spec: DenseSpec) -> DensePart:
    """What this target takes of a folder made by quantize.dense. A GateError if a dialect is not there."""
    wanted = [*profile.dialects, *([FULL] if in_half(profile) else [])]
    missing = [name for name in wanted if name not in report.dialects]
    if missing:
        options = " ".join(f"--dialect {name}" for name in wanted)
        raise GateError(f"{folder} lacks {', '.join(missing)} for target {profile.name}; run quantize.dense {options}")
    sources = {name: (report.dialects[name], name == INT8 and in_half(profile)) for name in profile.dialects}
    if in_half(profile):
        sources[TWIN] = (replace(report.dialects[FULL], engine="tensorrt"), True)
    files: dict[str, bytes] = {}
    graphs: dict[str, str] = {}
    for name, (some, half) in sources.items():
        source = some.dense
        graphs[name] = path = f"{name}/{Path(source.path).name}"
        data = (folder / source.path).read_bytes()
        files[path] = half_of(data) if half else data
        if source.weights:
            files[source.weights.path] = (folder / source.weights.path).read_bytes()
    content = json.loads((folder / report.golden).read_text())
    pictures = content.get("pictures", [])
    for picture in pictures:
        if in_half(profile):
            picture["expected"][TWIN] = picture["expected"][FULL]
        picture["expected"] = {name: some for name, some in picture["expected"].items() if name in graphs}
        own = {some["map"] for answers in picture["expected"].values() for some in answers.values() if "map" in some}
        for name in sorted({picture["picture"], *own}):
            files[f"golden/{name}"] = (folder / report.golden).with_name(name).read_bytes()
    return DensePart(spec, files, graphs, pictures, {name: some for name, (some, _) in sources.items()})


def alone(part: DensePart, profile: Profile, report: DenseQuantizedReport) -> Packed:
    """A bundle of one camera."""
    variants = tuple(
        VariantSpec(
            name=name,
            engine=some.engine,
            requires=some.requires,
            versions=profile.tensorrt if some.engine == "tensorrt" else (),
        )
        for name, some in part.engines.items()
    )
    golden = {"schema": 1, "clips": []}
    return joined(Packed(variants, profile_json(profile) | {report.golden: json.dumps(golden).encode()}), part)


def joined(packed: Packed, part: DensePart) -> Packed:
    """The same with maps and boxes."""
    golden = next(path for path in packed.files if path.endswith("golden.json"))
    content = json.loads(packed.files[golden]) | {"pictures": part.pictures}
    variants = tuple(replace(variant, dense=part.graphs[variant.name]) for variant in packed.variants)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    return Packed(variants, {**packed.files, **part.files, golden: text.encode()})


def judge_dense(report: DenseQuantizedReport, profile: Profile, verdict: Verdict) -> None:
    """Add what speaks against the graphs of this target: lint, INT8 share, parity of the runtime, cost of INT8."""
    kinds = {task.name: task.kind for task in report.dense.asked}
    for name in profile.dialects:
        some = report.dialects[name]
        if some.lint is not None and some.lint.findings:
            verdict.misses.append(Miss("lint", name, f"of maps and boxes: {some.lint.first}"))
        share = some.audit.int8_share if some.audit else None
        if share is not None and share < INT8_SHARE:
            text = f"of maps and boxes: {100 * share:.1f} % of the multiply-accumulates run in INT8"
            verdict.misses.append(Miss("audit", name, f"{text}, at least {100 * INT8_SHARE:.0f} % are wanted"))
        for task, apart in some.parity.get(some.accuracy_of, {}).items():
            if apart > TOLERANCE[kinds[task]]:
                text = f"{task} is off by {apart:.4f}, at most {TOLERANCE[kinds[task]]:g} is allowed"
                verdict.misses.append(Miss("parity", name, text))
        verdict.open += [f"{way} of {name}, maps and boxes, did not run: {why}" for way, why in some.not_run.items()]
        if some.audit is not None and not some.accuracy:
            verdict.open.append(
                f"accuracy:{name}: INT8 of maps and boxes was not judged; quantize with fp32 among them"
            )
        for task, one in some.accuracy.items():
            text = f"{task} is worse by {100 * one.cost:.2f}{one.unit} of {one.judged_by}"
            if one.low > one.allowed:
                verdict.misses.append(Miss("accuracy", name, f"{text}, at most {100 * one.allowed:g} are allowed"))
            elif one.high > one.allowed:
                more = f"{one.pictures} pictures cannot show that it is within {100 * one.allowed:g}"
                verdict.open.append(f"accuracy:{name}: {text}; {more}")


def figures(report: DenseQuantizedReport, profile: Profile) -> dict[str, Any]:
    """For the manifest."""
    accuracy = {
        name: {task: asdict(one) for task, one in report.dialects[name].accuracy.items()} for name in profile.dialects
    }
    return {"fp32": encode(report.run.test), "int8": accuracy, "pictures": dict(report.run.pictures)}


def card(name: str, profile: Profile, report: DenseQuantizedReport) -> str:
    """The model card of a bundle of one camera, or its section in that of four."""
    rows = []
    for dialect in profile.dialects:
        for task, one in report.dialects[dialect].accuracy.items():
            before, after = one.fp32[one.judged_by], one.scores[one.judged_by]
            rows.append(f"| {dialect} | {task} | {one.judged_by} | {before:.4f} | {after:.4f} | {one.pictures} |")
    counts = ", ".join(f"{count} of {split}" for split, count in report.run.pictures.items())
    return "\n".join(
        [
            f"# {name}",
            "",
            f"Maps and boxes of the {report.dense.view} camera, task set {report.dense.task_set}, for {profile.title}.",
            "The model on maps is codriver's own instantiation of UV-M3TL; no figure here is the paper's.",
            f"Trained on {counts} pictures; calibrated on {len(report.run.calibration)} of train.",
            "What a score means: docs/benchmarks.md.",
            "",
            "| dialect | task | score | FP32 | INT8 | pictures |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "Where the pictures are synthetic, this shows that the line works; it must not drive a decision in a car.",
            "",
        ]
    )
