"""Build a bundle for one target, and let it prove itself before it is kept.

python -m targets.build QUANTIZED --target x86-ort --out demo.bundle
python -m targets.build QUANTIZED --target x86-ort --target orin-nano-8gb-25w --out bundles
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import Manifest
from codriver.bundle.variants import why_not
from codriver.cli.shared import positive
from codriver.device.cpu import cpu_features
from codriver.errors import CodriverError, ConfigError, SourceError
from codriver.perceiver import Perceiver
from codriver.tasks import AIDE
from codriver.verify.golden import check_golden, said_wrong
from targets.estimate import estimate
from targets.list import add_profiles_argument
from targets.packing.dense import alone, dense_part, figures, joined, judge_dense
from targets.packing.dense import card as dense_card
from targets.packing.draft import DEFAULT, Release, draft_of_one_camera, manifest_draft
from targets.packing.gate import GateError, Miss, Verdict, check_names, judge
from targets.packing.leave_out import LeftOverError, check_left_out
from targets.packing.model_card import model_card
from targets.packing.pack import pack
from targets.packing.reference_run import rehearse
from targets.profiles.profile import Profile, load_profile
from targets.roofline.graph_sources import open_source
from workshop.bundle_writer import new_bundle, seal
from workshop.command import command
from workshop.dense_report import DenseQuantizedReport, is_dense
from workshop.quantized_report import QuantizedReport
from workshop.signing import sign_bundle

CARD = "MODEL_CARD.md"


def build(
    quantized: Path, target: str, out: Path, profiles: Sequence[Path] = (), release: Release = DEFAULT
) -> Manifest:
    """Pack graphs, golden vectors and model card, unless the gate refuses; see gate.py for what it asks."""
    profile = load_profile(target, profiles)
    check_names(release.allow, profile)
    name = out.name.removesuffix(".bundle")
    if is_dense(quantized):
        contents, report = of_one_camera(quantized, name, profile, release), None
    else:
        report = QuantizedReport.read(quantized).without(release.without)
        contents = of_four_cameras(quantized, name, profile, report, release)
    with new_bundle(out) as folder:
        for path, data in contents.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        draft, verdict = contents.draft, contents.verdict
        seal(folder, draft)
        verdict.misses += prove(folder)
        verdict.refuse_unless(release.allow)
        tell(verdict)
        manifest = seal(folder, replace(draft, metrics={**draft.metrics, "gate": verdict.to_json(release.allow)}))
        if report:
            check_left_out(folder, report)
        if release.key:
            sys.stderr.write(f"  signed by {sign_bundle(folder, release.key)}\n")
    return manifest


@dataclass(frozen=True)
class Contents:
    """A bundle before it is written: files and card, manifest without their hashes, what speaks against it."""

    files: Mapping[str, bytes]
    draft: Manifest
    verdict: Verdict


def of_four_cameras(
    quantized: Path, name: str, profile: Profile, report: QuantizedReport, release: Release
) -> Contents:
    """The four answers, and with `release.dense` maps and boxes beside them."""
    packed = pack(quantized, profile, report, release.golden_clips)
    verdict = judge(report.dialects, profile, floor_ms(quantized, profile))
    card, dense = model_card(name, profile, report), None
    if release.dense:
        seen = DenseQuantizedReport.read(release.dense)
        dense = replace(seen.dense, every_s=release.every_s)
        packed = joined(packed, dense_part(release.dense, profile, seen, dense))
        judge_dense(seen, profile, verdict)
        card = f"{card}\n{dense_card('Maps and boxes', profile, seen)}"
    draft = manifest_draft(name, profile, report, packed.variants, release)
    if dense:
        draft = replace(draft, dense=dense, metrics={**draft.metrics, "dense": figures(seen, profile)})
    return Contents({**packed.files, CARD: card.encode()}, draft, verdict)


def of_one_camera(quantized: Path, name: str, profile: Profile, release: Release) -> Contents:
    """Maps and boxes alone."""
    if release.without:
        raise ConfigError(
            f"--without {release.without[0]}: {quantized} answers with maps and boxes of one camera, of which none can "
            "be left out; choose them when it is trained: training.train --tasks"
        )
    report = DenseQuantizedReport.read(quantized)
    spec = replace(report.dense, every_s=release.every_s)
    part = dense_part(quantized, profile, report, spec)
    packed, verdict = alone(part, profile.without(AIDE.names), report), Verdict()
    judge_dense(report, profile, verdict)
    draft = draft_of_one_camera(name, profile, report, packed.variants, release)
    return Contents({**packed.files, CARD: dense_card(name, profile, report).encode()}, draft, verdict)


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


def prove(folder: Path) -> list[Miss]:
    """Run the golden vectors in each variant; returns those that fail.

    What this machine cannot run right is rehearsed node by node if it is a graph for TensorRT, or said to be open.
    """
    misses = []
    for variant in Bundle.open(folder).manifest.variants:
        lacking = why_not(variant, cpu_features())
        if lacking and variant.engine != "tensorrt":
            sys.stderr.write(f"  {variant.name}: not proven here, it {lacking}\n")
            continue
        if lacking:
            differences, how = rehearse(folder, variant), "in ONNX Runtime, node by node; not in TensorRT"
        else:
            with Perceiver.open(folder, variant=variant.name) as perceiver:
                differences, how = check_golden(perceiver), f"in {perceiver.engine}"
        text = said_wrong(differences)
        if text:
            misses.append(Miss("golden", variant.name, f"the golden vectors fail: {text}"))
            continue
        worst = max(d.max_abs for d in differences)
        sys.stderr.write(f"  {variant.name}: golden vectors hold {how}, worst probability difference {worst:.4f}\n")
    return misses


def build_all(
    quantized: Path, targets: Sequence[str], out: Path, profiles: Sequence[Path], release: Release
) -> dict[Path, Manifest | CodriverError]:
    """One bundle for one target at `out`, or for several in `out`; a bundle that fails does not stop the others."""
    found: dict[Path, Manifest | CodriverError] = {}
    places = {out: targets[0]} if len(targets) == 1 else {out / f"{name}.bundle": name for name in targets}
    for place, target in places.items():
        if len(targets) > 1:
            sys.stderr.write(f"{target}\n")
            place.parent.mkdir(parents=True, exist_ok=True)
        try:
            found[place] = build(quantized, target, place, profiles, release)
        except CodriverError as error:
            sys.stderr.write(f"targets.build: {error}\n")
            found[place] = error
    return found


EXAMPLES = """examples:
  python -m targets.build out/quantized --target x86-ort --out out/demo.bundle
  several at once, each at out/bundles/TARGET.bundle:
    python -m targets.build out/quantized --target x86-ort --target orin-nano-8gb-25w --out out/bundles
"""


@command("targets.build")
def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    release = Release(
        version=args.version,
        without=tuple(args.without),
        key=args.sign,
        allow=tuple(args.allow),
        mirrored=args.other_side,
        golden_clips=args.golden,
        dense=args.dense,
        every_s=args.every,
    )
    targets = list(dict.fromkeys(args.target))
    found = build_all(args.quantized, targets, args.out, args.profiles, release)
    manifests = {place: some for place, some in found.items() if isinstance(some, Manifest)}
    if args.json:
        texts = [manifest.to_json().rstrip() for manifest in manifests.values()]
        sys.stdout.write((f"[{','.join(texts)}]" if len(targets) > 1 else "".join(texts)) + "\n" * bool(texts))
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(manifests))
    errors = [some for some in found.values() if isinstance(some, CodriverError)]
    if not errors:
        return 0
    return 1 if all(isinstance(error, GateError | LeftOverError) for error in errors) else 2


def _lines(manifests: Mapping[Path, Manifest]) -> list[str]:
    return [
        f"bundle: {place}  {manifest.id}  {sum(file.bytes for file in manifest.files.values()) / 1e6:.1f} MB"
        for place, manifest in manifests.items()
    ]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m targets.build",
        description="Build a bundle for each target and prove it on golden vectors.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("quantized", type=Path)
    parser.add_argument("--target", action="append", required=True, help="a name that targets.list prints; repeatable")
    add_profiles_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="the bundle; of several targets, the folder for them")
    parser.add_argument("--version", type=int, default=0, help="of the bundle; devices can refuse lower ones (0)")
    parser.add_argument("--without", action="append", default=[], metavar="TASK", help="leave a task out; repeatable")
    parser.add_argument(
        "--other-side",
        action="store_true",
        help="the driver sits on the other side than in the data set: right-hand drive",
    )
    parser.add_argument(
        "--golden",
        type=positive,
        metavar="N",
        help="pack the first N golden clips alone; lossless pictures of 320x180 take some 1.7 MB a clip",
    )
    parser.add_argument("--dense", type=Path, metavar="Q", help="made by quantize.dense: add its maps and boxes")
    parser.add_argument("--every", type=float, default=0.0, metavar="S", help="between two looks for these (0: always)")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="private key; see `python -m targets.keygen`")
    parser.add_argument("--allow", action="append", default=[], metavar="CHECK", help="pack although this check fails")
    parser.add_argument("--json", action="store_true", help="print the manifest; of several targets, a list of them")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
