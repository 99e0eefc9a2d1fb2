"""Every test clip through the bundle, frame by frame, as a car would; then a timed stream: evidence for this machine.

    python -m targets.validate demo.bundle --data DATA --out evidence.json
    python -m targets.validate fp32.bundle int8.bundle other.bundle --data DATA --out evidence.json --html evidence.html

Accuracy is compared with the first bundle in full precision among those given, clip by clip (McNemar's exact test and
an interval of the difference); without one, only with the shares that the bundle itself records of full precision on
the same clips. Exit code 1 if a budget of a target's profile is missed, or if there was nothing to compare with. What
so few clips or steps can not show is said, and misses nothing. A variant that this machine lacks something for is on
the page with the reason; so is one whose engine should run here and fails, while the others go on: exit code 1.

--target NAME judges all bundles by the budgets of one profile, say your product's, instead of by those that each was
built for. It has to be a profile of this device: another one's latency is measured there.

Of a bundle with a finder every clip runs twice: with annotations, which the budgets are about, and with frames alone,
which is what a car has; the two are compared clip by clip. With --streams also without each of the driver's streams;
with --every 3 a clip is stepped at 5 Hz, in a third of the time; with --dask the workers of a cluster share the clips,
and every count is the same to the bit.

Where several ran, their steps are also timed in turns, which a busy spell of the machine does not tilt: read which is
faster from that, not from latencies taken one after the other.

Each bundle's results are kept beside --out until all are there: after a stop, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codriver.bundle.folder import Bundle
from codriver.bundle.manifest import Manifest, VariantSpec
from codriver.bundle.variants import why_not
from codriver.cli.shared import positive
from codriver.console import put, say
from codriver.device.cpu import cpu_features
from codriver.device.machine import describe_machine
from codriver.doctor.facts import fits, machine_facts
from codriver.engines.base import UNPROVEN
from codriver.errors import ConfigError
from codriver.files.atomic import sha256
from targets.evidence.schema import SCHEMA, parts_folder
from targets.evidence.text import summary
from targets.evidence.verdict import against, ran, reference_of
from targets.list import add_profiles_argument
from targets.profiles.profile import load_profile
from targets.trial.clips import check_rhythm
from targets.trial.conditions import identity
from targets.trial.interleaved import in_turns
from targets.trial.trial import TAIL_STEPS, EngineFailed, Trial, run_apart
from workshop.aide_splits import ClipRef, read_split, split_digest
from workshop.artifacts import git_commit, provenance, write_text
from workshop.command import command


@dataclass(frozen=True, kw_only=True)
class ValidateOptions:
    """How to validate."""

    profiles: tuple[Path, ...] = ()  # folders of the user's own
    target: str | None = None  # whose budgets to judge by; None: those that each bundle was built for
    all_variants: bool = False  # of each bundle; else the one that a device like this one takes
    steps: int = TAIL_STEPS  # of the timed stream
    threads: int | None = None
    streams: bool = False  # also without each of the driver's streams
    every: int = 1  # step the first frame set of a clip and each so manieth to its last alone
    dask: str | None = None  # address of the scheduler whose workers run the clips; None: all here
    board: str | None = None  # what this machine is called among others
    parts: Path | None = None  # where results are kept until all are there


def validate(bundles: Sequence[Path], data: Path, options: ValidateOptions) -> dict[str, Any]:
    """Evidence of all bundles. What cannot run here is in it too, with the reason."""
    if options.target:
        check_device(options.target)
    refs = read_split(data, "test")
    clips = {"n": len(refs), "sha256": split_digest(refs), "ids_sha256": ids_digest(refs)}
    subjects, trials = [], {}
    opened = [
        (bundle, Bundle.open(bundle).manifest) for bundle in bundles
    ]  # what is broken is told before hours of work
    for _, manifest in opened:
        check_rhythm(options.every, manifest)
    for bundle, manifest in opened:
        full = manifest.metrics.get("fp32") if manifest.metrics.get("clips_sha256") == clips["sha256"] else None
        for variant, lacking in choose(manifest, options.all_variants):
            head = heading(manifest, variant, options)
            if lacking:
                subjects.append(head | {"status": "not run", "why": lacking})
                continue
            rest = (options.steps, options.threads, options.streams, options.every, options.dask)
            trial = Trial(bundle, variant.name, data, *rest)
            try:
                found = resumed(trial, head | {"clips": clips}, options.parts)
            except EngineFailed as error:
                say(f"  {head['key']} failed: {error}")
                subjects.append(head | {"status": "not run", "why": str(error), "failed": True})
                continue
            subjects.append(head | {"status": "ran", "full_precision": full} | found)
            trials[head["key"]] = trial
    _add_turns(subjects, trials)
    origin = provenance(("onnxruntime", "openvino"), None)
    return {"schema": SCHEMA, "kind": "evidence", **origin, "clips": clips, "subjects": subjects}


def _add_turns(subjects: Sequence[dict[str, Any]], trials: Mapping[str, Trial]) -> None:
    """Give each subject that ran what its step takes against full precision's, or the first's: `in_turns`."""
    if len(trials) < 2:
        return
    reference = reference_of(subjects) or ran(subjects)[0]
    try:
        found = in_turns(trials, reference["key"])
    except EngineFailed as error:
        say(f"  not timed in turns, though each ran alone: {error}")
        return
    for subject in subjects:
        if subject["status"] == "ran":
            subject["in_turns"] = found[subject["key"]]


def check_device(target: str) -> None:
    """Raise a ConfigError if this machine can tell that it is not the target's device."""
    facts = machine_facts()
    if fits(target, facts) is False:
        here = f"{facts['architecture']}, {facts['jetson']['board'] if facts['jetson'] else facts['cpu']['model']}"
        raise ConfigError(
            f"--target {target} is another device than this one ({here}); validate there, or name a target for this one"
        )


def heading(manifest: Manifest, variant: VariantSpec, options: ValidateOptions) -> dict[str, Any]:
    """What is known of a subject before it runs."""
    return {
        "key": f"{manifest.id}/{variant.name}",
        "bundle": manifest.id,
        "target": manifest.target,
        "judged_by": options.target or manifest.target,
        "variant": variant.name,
        "engine": variant.engine,
        "machine": describe_machine() | identity() | {"board": options.board},
        "budget": budgets(options.target or manifest.target, options.profiles),
    }


def ids_digest(refs: Sequence[ClipRef]) -> str:
    return sha256("\n".join(ref.id for ref in refs).encode())


def budgets(target: str, profiles: Sequence[Path]) -> dict[str, Any]:
    profile = load_profile(target, profiles)
    return {
        "accuracy_points": dict(profile.accuracy_budget_points),
        "latency_ms": profile.latency_budget_ms,
        "memory_mb": profile.memory_budget_mb,
    }


def choose(manifest: Manifest, all_variants: bool) -> list[tuple[VariantSpec, str]]:
    """The variants to speak of, each with why it does not run here; empty if it does."""
    features = cpu_features()
    found = []
    for variant in manifest.variants:
        lacking = why_not(variant, features)
        reasons = [f"it {lacking}", UNPROVEN.get(variant.engine, "")] if lacking else []
        found.append((variant, "; ".join(filter(None, reasons))))
    running = [pair for pair in found if not pair[1]]
    return found if all_variants or not running else running[:1]


def resumed(trial: Trial, question: Mapping[str, Any], parts: Path | None) -> dict[str, Any]:
    """The trial's results: those that lie in `parts` if they answer the same question, else new ones, put there."""
    if parts is None:
        return measured(trial)
    asked = json.dumps([question, trial.steps, trial.threads, trial.parts, trial.every, git_commit()], sort_keys=True)
    path = parts / f"{sha256(asked.encode())[:24]}.json"
    if path.is_file():
        say(f"  {question['key']}: measured before, taken from {path}")
        return dict(json.loads(path.read_text(encoding="utf-8")))
    found = measured(trial)
    parts.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(found))
    return found


def measured(trial: Trial) -> dict[str, Any]:
    return run_apart(trial) | {"measured": provenance((), None)}


def problems(evidence: Mapping[str, Any]) -> list[str]:
    """What speaks against these bundles, one sentence each; none if all that ran may ship, or might."""
    subjects = evidence["subjects"]
    there, reference = ran(subjects), reference_of(subjects)
    if not there:
        return [f"{subject['key']} was not run here: {subject['why']}" for subject in subjects]
    named = [(f"{subject['key']}: " if len(there) > 1 else "", subject) for subject in there]
    broken = [f"{subject['key']} failed: {subject['why']}" for subject in subjects if subject.get("failed")]
    return [*broken, *(f"{name}{text}" for name, subject in named for text in against(subject, reference))]


def run(args: argparse.Namespace) -> dict[str, Any]:
    parts = parts_folder(args.out) if args.out else None
    options = ValidateOptions(
        profiles=tuple(args.profiles),
        target=args.target,
        all_variants=args.all_variants,
        steps=args.steps,
        threads=args.threads,
        streams=args.streams,
        every=args.every,
        dask=args.dask,
        board=args.board,
        parts=parts,
    )
    evidence = validate(args.bundle, args.data, options)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.out, json.dumps(evidence) + "\n")
    html = args.html or (args.out.with_suffix(".html") if args.out else None)
    if html:
        from targets.evidence.page import evidence_page  # matplotlib takes a second

        html.parent.mkdir(parents=True, exist_ok=True)
        write_text(html, evidence_page([evidence]))
        say(f"page: {html}")
    if parts and parts.is_dir():
        for path in parts.glob("*.json"):
            path.unlink()
        parts.rmdir()
    return evidence


@command("targets.validate", stopped="with --out the same command goes on from the trials that ended")
def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    evidence = run(args)
    put(json.dumps(evidence) if args.json else summary(evidence))
    found = problems(evidence)
    for problem in found:
        say(f"targets.validate: {problem}")
    return 1 if found else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m targets.validate",
        description="Accuracy, latency, memory and energy of bundles on this machine, against their budgets.",
        epilog="example: python -m targets.validate out/demo.bundle --data out/data --out out/evidence.json",
    )
    parser.add_argument(
        "bundle", type=Path, nargs="+", help="folders with a manifest.json; one in full precision first"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="labelled clips in AIDE's layout; the test split is used"
    )
    parser.add_argument(
        "--target", metavar="NAME", help="judge all by this profile's budgets; default: the one each was built for"
    )
    add_profiles_argument(parser)
    parser.add_argument("--out", type=Path, help="evidence.json to write")
    parser.add_argument("--html", type=Path, help="page to write; default: beside --out")
    parser.add_argument("--all-variants", action="store_true", help="of each bundle, not just the one for this machine")
    parser.add_argument("--steps", type=positive, default=TAIL_STEPS, help=f"of the timed stream ({TAIL_STEPS})")
    parser.add_argument("--threads", type=positive, help="of one inference; default: physical cores")
    parser.add_argument(
        "--streams", action="store_true", help="also without each of the driver's streams: 3.5 times as long"
    )
    parser.add_argument(
        "--every",
        type=positive,
        default=1,
        metavar="N",
        help="step a clip's first frame set and each Nth to its last alone: 3 is 5 Hz, what slots of 0.2 s hold (1)",
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="share the clips among a Dask scheduler's workers: samples/farm"
    )
    parser.add_argument("--board", metavar="NAME", help="what the page calls this machine; default: its hostname")
    parser.add_argument("--json", action="store_true", help="print the evidence as JSON")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
