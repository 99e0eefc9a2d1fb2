"""Build a bundle for one target, and let it prove itself before it is kept.

python -m targets.build QUANTIZED --target x86-ort --out demo.bundle
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codriver.artefact import provenance
from codriver.bundle import Bundle, why_not
from codriver.bundle_writer import new_bundle, seal
from codriver.cpu import cpu_features
from codriver.errors import BundleError, CodriverError, SourceError
from codriver.golden import check_golden
from codriver.manifest import Manifest, StreamSpec, TaskSpec, VariantSpec
from codriver.perceiver import Perceiver
from codriver.policy import default_policy
from codriver.signing import sign_bundle
from codriver.tasks import VIEWS
from codriver.window import ContextConfig
from targets.card import model_card
from targets.estimate import estimate
from targets.gate import GateError, Miss, Verdict, check_names, judge
from targets.leave_out import LeftOverError, check_left_out, file_without, kept_tasks, metrics_without
from targets.list import add_profiles_argument
from targets.profile import Profile, load_profile
from targets.sources import open_source

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is up to whoever ships the bundle."""

    version: int = 0  # see Manifest.version
    without: tuple[str, ...] = ()  # tasks that are not to be in it
    key: Path | None = None  # private key to sign it with
    allow: tuple[str, ...] = ()  # checks of the gate that may be missed; the manifest says so for ever


DEFAULT = Release()


def build(
    quantized: Path, target: str, out: Path, profiles: Sequence[Path] = (), release: Release = DEFAULT
) -> Manifest:
    """Pack graphs, golden vectors and model card, unless the gate refuses; see gate.py for what it asks."""
    profile = load_profile(target, profiles)
    check_names(release.allow, profile)
    report = read_report(quantized)
    with new_bundle(out) as folder:
        draft = manifest_draft(out.name.removesuffix(".bundle"), profile, report, release)
        for path in packed_files(quantized, profile, report):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(file_without(quantized, path, release.without))
        card = model_card(draft.name, profile, report, release.without)
        (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        seal(folder, draft)
        results = metrics_without(report["dialects"], release.without)
        verdict = judge(results, profile, floor_ms(quantized, profile))
        verdict.misses += prove(folder)
        verdict.refuse_unless(release.allow)
        tell(verdict)
        manifest = seal(folder, replace(draft, metrics={**draft.metrics, "gate": verdict.to_json(release.allow)}))
        check_left_out(folder, report["task_set"], release.without)
        if release.key:
            sys.stderr.write(f"  signed by {sign_bundle(folder, release.key)}\n")
    return manifest


def read_report(quantized: Path) -> dict[str, Any]:
    path = quantized / "report.json"
    if not path.is_file():
        raise SourceError(f"{quantized} holds no report.json; make a quantized folder with quantize.run")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise SourceError(f"{path} is not JSON: {error}; quantize the run again") from error
    if report.get("schema") != SCHEMA or report.get("kind") != "quantized":
        raise SourceError(f"{path}: schema {report.get('schema')!r}, expected {SCHEMA}; quantize the run again")
    return dict(report)


def manifest_draft(name: str, profile: Profile, report: dict[str, Any], release: Release = DEFAULT) -> Manifest:
    check_emitted(profile, report)
    origin = provenance(("onnxruntime",), report["seed"])
    return Manifest(
        name=name,
        version=release.version,
        target=profile.name,
        task_set=report["task_set"],
        color=report["color"],
        created=origin["created"],
        tools=report["tools"] | origin["tools"],
        git_commit=origin["git_commit"],
        seed=report["seed"],
        tasks=task_specs(report, release),
        streams=tuple(
            StreamSpec(**(stream | {key: tuple(stream[key]) for key in ("feature", "slot")}))
            for stream in report["streams"]
        ),
        variants=tuple(variant_spec(name, report["dialects"][name]) for name in profile.dialects),
        context=ContextConfig(**report["context"]),
        policy=default_policy(s["name"] for s in report["streams"] if s["name"] in VIEWS),
        golden=report["golden"],
        metrics=measured(report, release),
        training=report["run"]["data"] | {"calibration_clips": report["calibration"]["clips"]},
    )


def check_emitted(profile: Profile, report: dict[str, Any]) -> None:
    """Raise a GateError unless each of the profile's dialects was emitted, for the engine that is to run it."""
    missing = [dialect for dialect in profile.dialects if dialect not in report["dialects"]]
    if missing:
        raise GateError(
            f"target {profile.name} needs {', '.join(missing)}, which was not emitted; run quantize.run with it"
        )
    for variant in profile.variants:
        emitted = report["dialects"][variant.dialect]["engine"]
        if emitted != variant.engine:
            raise GateError(
                f"target {profile.name} runs {variant.dialect} in {variant.engine}, and it was emitted for {emitted}; "
                "correct the profile's variants"
            )


def task_specs(report: dict[str, Any], release: Release) -> tuple[TaskSpec, ...]:
    fitted = report.get("confidence", {})  # by task
    return tuple(
        TaskSpec(
            name=task.name,
            labels=task.labels,
            needs_any=task.needs_any,
            kind=task.kind,
            temperature=fitted.get(task.name, {}).get("temperature", 1.0),
        )
        for task in kept_tasks(report["task_set"], release.without)
    )


def variant_spec(name: str, emitted: dict[str, Any]) -> VariantSpec:
    return VariantSpec(
        name=name,
        engine=emitted["engine"],
        requires=tuple(emitted["requires"]),
        encoder=emitted["encoder"]["path"],
        fuser=emitted["fuser"]["path"],
    )


def measured(report: dict[str, Any], release: Release) -> dict[str, Any]:
    """What is known of the model's accuracy, without the tasks that are left out."""
    run = report["run"]
    return {
        "fp32": metrics_without(run["test"], release.without),
        "clips": run["test_clips"],
        "clips_sha256": run["data"]["clips_sha256"]["test"],
        "confidence": metrics_without(report.get("confidence", {}), release.without),
        "subsets": metrics_without(run.get("subsets", []), release.without),
    }


def floor_ms(quantized: Path, profile: Profile) -> float | None:
    """Of a step, predicted; None where the folder holds no graph that can be read."""
    try:
        return sum(floor.time_ms for floor in estimate(open_source(quantized), profile))
    except SourceError:
        return None


def tell(verdict: Verdict) -> None:
    for miss in verdict.misses:
        sys.stderr.write(f"  allowed, and written into the manifest: {miss.name}: {miss.message}\n")
    for sentence in verdict.open:
        sys.stderr.write(f"  open: {sentence}\n")


def packed_files(quantized: Path, profile: Profile, report: dict[str, Any]) -> list[str]:
    entries = [report["dialects"][name][part] for name in profile.dialects for part in ("encoder", "fuser")]
    files = [file for entry in entries for file in (entry, entry.get("weights")) if file]
    graphs = list(dict.fromkeys(file["path"] for file in files))  # dialects of one runtime share their fuser
    golden = sorted(path.relative_to(quantized).as_posix() for path in (quantized / "golden").iterdir())
    return [*graphs, *golden]


def prove(folder: Path) -> list[Miss]:
    """Run the golden vectors in each variant that this machine can run right; returns those that fail."""
    misses = []
    manifest = Bundle.open(folder).manifest
    features = cpu_features()
    for variant in manifest.variants:
        lacking = why_not(variant, features)
        if lacking:
            sys.stderr.write(f"  {variant.name}: not proven here, it {lacking}\n")
            continue
        with Perceiver.open(folder, variant=variant.name) as perceiver:
            differences = check_golden(perceiver)
        wrong = [d for d in differences if not d.ok]
        if wrong:
            text = "; ".join(f"{d.task} is off by {d.max_abs:.4f}, at most {d.tolerance} is allowed" for d in wrong)
            misses.append(Miss("golden", variant.name, f"the golden vectors fail: {text}"))
            continue
        worst = max(d.max_abs for d in differences)
        sys.stderr.write(f"  {variant.name}: golden vectors hold, worst probability difference {worst:.4f}\n")
    return misses


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.build",
        description="Build a bundle for one target and prove it on golden vectors.",
        epilog="example: python -m targets.build out/quantized --target x86-ort --out out/demo.bundle",
    )
    parser.add_argument("quantized", type=Path)
    parser.add_argument("--target", required=True, help="a name that targets.list prints")
    add_profiles_argument(parser)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", type=int, default=0, help="of the bundle; devices can refuse lower ones (0)")
    parser.add_argument("--without", action="append", default=[], metavar="TASK", help="leave a task out; repeatable")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="private key; see `codriver keygen`")
    parser.add_argument("--allow", action="append", default=[], metavar="CHECK", help="pack although this check fails")
    parser.add_argument("--json", action="store_true", help="print the manifest")
    args = parser.parse_args(argv)
    release = Release(version=args.version, without=tuple(args.without), key=args.sign, allow=tuple(args.allow))
    try:
        manifest = build(args.quantized, args.target, args.out, args.profiles, release)
    except (GateError, LeftOverError) as error:
        sys.stderr.write(f"targets.build: {error}\n")
        return 1
    except (BundleError, CodriverError) as error:
        sys.stderr.write(f"targets.build: {error}\n")
        return 2
    size_mb = sum(file.bytes for file in manifest.files.values()) / 1e6
    sys.stdout.write(manifest.to_json() if args.json else f"bundle: {args.out}  {manifest.id}  {size_mb:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
