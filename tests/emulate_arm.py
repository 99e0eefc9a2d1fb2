"""Run our tests and a bundle's golden vectors on an emulated ARM processor.

    python -m tests.emulate_arm out/arm.bundle --out tests/results/arm.json

The interpreter, NumPy, ONNX Runtime and OpenCV are the ones that an ARM device gets; only the processor is emulated, by
qemu. Right or wrong is proven by it, fast or slow is not. The first run fetches about 120 MB into .venv/arm.
See docs/arm.md. Exit code 0: all holds, 1: something fails, 2: something is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk"))

from codriver.bundle.manifest import MANIFEST_NAME
from codriver.console import put, put_json, say, table
from codriver.device.machine import describe_machine
from tests.arm_machine import PROCESSORS, ROOT, Machine, MissingError, prepare
from workshop.artifacts import provenance, write_json
from workshop.command import command

TESTS = ("tests/sdk", "tests/samples")
HUNG_S = 2 * 3600.0  # qemu can hang where a processor would not
SPEED = "its limit of processor time is for a real processor"
KILLED = "its writers are killed within 12 ms, before an emulated one has made a file"
WRITES = "counts the process's writes, and qemu writes 304 bytes itself when /proc/self/auxv is read"
# By what a test is marked with, or by its name: why it cannot tell anything here.
NOT_MARKED = {
    "slow": "a minute and more of a real processor's time",
    "tensorrt": "NVIDIA's bindings are fetched for the host's processor",
    "openvino": "its wheel is not installed here",
}
NOT_NAMED = {
    "tests/sdk/engines/test_graphcheck_onnx.py::test_a_file_of_small_change_is_refused_within_a_second": SPEED,
    "tests/sdk/engines/test_store.py::"
    "test_200_writers_killed_leave_no_torn_file_and_no_orphan_after_the_next_start": KILLED,
    "tests/sdk/test_privacy.py::test_a_thousand_steps_write_nothing_and_connect_nowhere": WRITES,
    "tests/sdk/test_privacy.py::test_one_byte_and_one_socket_would_have_been_seen": WRITES,
}
ABOUT = """
import json, platform, sys
from importlib.metadata import version
from codriver.device.cpu import cpu_features
from codriver.device.machine import describe_machine
packages = {name: version(name) for name in sys.argv[1:]}
print(json.dumps({**describe_machine(), "features": sorted(cpu_features()), "packages": packages}))
"""


def emulate(machine: Machine, bundle: Path | None, tests: Sequence[str]) -> dict[str, Any]:
    """JSON-ready: what was run, and under "faults" what does not hold, for people."""
    say("== 2/4 the emulated machine")
    names = [package.split("=")[0] for package in machine.packages]
    about = answer(run(machine, "-c", ABOUT, *names))
    if "error" in about:
        raise MissingError(f"the emulated Python does not run: {about['error']}; delete {machine.folder} and try again")
    say(f"  {about['cpu']} ({machine.processor}), {', '.join(about['features'])}, Python {about['python']}")
    say(f"  {machine.qemu}")
    result = {
        "schema": 1,
        "kind": "emulated-arm",
        **provenance((), None),
        "host": describe_machine(),
        "emulated": {**about, "processor": machine.processor, "by": machine.qemu},
        "bundle": proven(machine, bundle) if bundle else None,
        "tests": tested(machine, tests) if tests else None,
    }
    return result | {"faults": faults(result)}


def run(machine: Machine, *arguments: str, loud: bool = False) -> subprocess.CompletedProcess[str]:
    """loud: what it prints goes to stderr."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'sdk'}{os.pathsep}{ROOT}"}
    streams: dict[str, Any] = {"stdout": sys.stderr, "stderr": sys.stderr} if loud else {"capture_output": True}
    command = [str(machine.python), *arguments]
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, text=True, timeout=HUNG_S, **streams)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"did not end within {HUNG_S:g} s")


def proven(machine: Machine, bundle: Path) -> dict[str, Any]:
    """What `codriver doctor`, `info` and `verify` say there, and which share of each encoder runs in INT8."""
    say(f"== 3/4 {bundle.name}: doctor, info, verify, audit")
    path, started_s = str(bundle.absolute()), time.monotonic()
    doctor = answer(run(machine, "-m", "codriver", "doctor", path, "--json"))
    info = answer(run(machine, "-m", "codriver", "info", path, "--json"))
    verified = answer(run(machine, "-m", "codriver", "verify", path, "--json"))
    for one in verified.get("golden", []):
        say(f"  {one['task']}: off by {one['max_abs']:.2g} of {one['tolerance']:g} allowed")
    found: dict[str, Any] = {"doctor": "ok" if doctor.get("ok") else doctor.get("error") or doctor["advice"]}
    found |= {"info": "ok" if "manifest" in info else info["error"], "verify": verified, "int8_share": {}}
    for variant in info.get("manifest", {}).get("variants", []):
        graph = str(bundle.absolute() / variant["encoder"])
        audit = answer(run(machine, "-m", "quantize.audit", graph, "--runtime", "onnxruntime", "--runs", "1", "--json"))
        found["int8_share"][variant["name"]] = audit.get("int8_share")
        say(f"  {variant['name']}: {audit.get('int8_share') or 0:.2%} of the encoder's work runs in INT8")
    return found | {"seconds": round(time.monotonic() - started_s, 1)}


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Its JSON; what it said instead under "error"."""
    try:
        return dict(json.loads(done.stdout))
    except json.JSONDecodeError:
        return {"error": (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]}


def tested(machine: Machine, tests: Sequence[str]) -> dict[str, Any]:
    """Counts, what failed, and what was left out."""
    say(f"== 4/4 {', '.join(tests)}: all of them take 20 minutes or more")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.xml"
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "emulated"]
        command += ["-m", " and ".join(f"not {name}" for name in NOT_MARKED)]
        command += [f"--deselect={test}" for test in NOT_NAMED]
        done = run(machine, *command, f"--junitxml={report}", *tests, loud=True)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.is_file() else []
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return {
        "exit_code": done.returncode,
        "passed": len(cases) - len(failed) - len(skipped),
        "failed": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
        "skipped": count(str(case.find("skipped").get("message")) for case in skipped),  # type: ignore[union-attr]
        "left_out": {f"marked {name}": why for name, why in NOT_MARKED.items()} | NOT_NAMED,
        "seconds": round(time.monotonic() - started_s, 1),
    }


def count(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items()))


def faults(result: dict[str, Any]) -> list[str]:
    """What does not hold, for people."""
    found: list[str] = []
    bundle, tests = result["bundle"], result["tests"]
    if bundle:
        verified = bundle["verify"]
        found += [f"codriver {name}: {bundle[name]}" for name in ("doctor", "info") if bundle[name] != "ok"]
        found += [] if verified.get("ok") else [f"codriver verify: {verified.get('error') or 'golden answers are off'}"]
        found += [f"{name}: not audited" for name, share in bundle["int8_share"].items() if share is None]
    if tests:
        found += [f"failed: {name}" for name in tests["failed"]]
        if tests["exit_code"] not in (0, 1) or not tests["passed"]:
            found += [f"pytest ended with {tests['exit_code']} after {tests['passed']} passed tests"]
    return found


def lines(result: dict[str, Any]) -> list[str]:
    tests = result["tests"]
    rows = [["emulated", f"{result['emulated']['processor']}, {result['emulated']['by']}"]]
    if result["bundle"]:
        off = max((one["max_abs"] for one in result["bundle"]["verify"].get("golden", [])), default=None)
        rows += [["golden", "not reached" if off is None else f"worst probability difference {off:.2g}"]]
    if tests:
        skipped = sum(tests["skipped"].values())
        rows += [["tests", f"{tests['passed']} passed, {len(tests['failed'])} failed, {skipped} skipped"]]
    return table(rows) + result["faults"] + ["fails" if result["faults"] else "all holds"]


@command("tests.emulate_arm")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.emulate_arm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?", help="built for target arm-ort; none: tests alone")
    parser.add_argument(
        "--processor", choices=PROCESSORS, default="cortex-a76", help="Orin's, or one without dot products"
    )
    parser.add_argument("--tests", nargs="*", default=TESTS, metavar="PATH", help="tests/sdk; no path: none")
    parser.add_argument(
        "--with", dest="wanted", action="append", default=[], metavar="NAME==VERSION", help="another version"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv/arm", help="where the machine is kept (.venv/arm)")
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args(argv)
    if args.bundle and not (args.bundle / MANIFEST_NAME).is_file():
        say(
            f"emulate_arm: {args.bundle} holds no {MANIFEST_NAME}; "
            "make a bundle: python -m targets.build QUANTIZED --target arm-ort --out arm.bundle"
        )
        return 2
    if not args.bundle and not args.tests:
        parser.error("neither a bundle nor tests: nothing to run")
    say("== 1/4 interpreter and wheels for aarch64")
    try:
        result = emulate(prepare(args.folder, args.processor, args.wanted), args.bundle, args.tests)
    except MissingError as error:
        say(f"emulate_arm: {error}")
        return 2
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, result)
    if args.json:
        put_json(result)
    else:
        put("\n".join(lines(result)))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
