"""Lint an ONNX file against the dialect of INT8 that a runtime wants. Works on any file, needs no GPU and no runtime.

python -m quantize.lint FILE --dialect tensorrt
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from codriver.console import put, put_json, table
from quantize.executed.opening import Compared, Opened, compared, opened
from quantize.rules.dialects import RULES, VALID
from quantize.rules.mend import Mended, mended
from quantize.rules.read import MAX_BYTES, GraphError, read_model
from quantize.rules.rule import Asked, Finding, Rule
from quantize.rules.view import GraphView
from workshop.command import command
from workshop.onnx_files.shapes import Shapes, add_shape_argument, declared_inputs

SCHEMA = 1
SHOWN = 20  # findings of one rule that people get to see; --json has all
WIDTH = 110


@dataclass(frozen=True)
class LintReport:
    """What a dialect's rules find in a model."""

    dialect: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> list[Rule]:
        found = {finding.rule for finding in self.findings}
        return [rule for rule in RULES[self.dialect] if rule.number in found]

    def of(self, rule: Rule) -> list[Finding]:
        return [finding for finding in self.findings if finding.rule == rule.number]

    def summary(self) -> str:
        rules, broken, findings = len(RULES[self.dialect]), len(self.broken), len(self.findings)
        return f"{rules} rules, {broken} broken, {findings} finding{'' if findings == 1 else 's'}"


def lint(model: onnx.ModelProto, dialect: str, asked: Asked | None = None) -> LintReport:
    """Check every rule of a dialect."""
    asked, graph = asked or Asked(), GraphView(model)
    found = [Finding(rule.number, *where) for rule in RULES[dialect] for where in rule.check(graph, asked)]
    return LintReport(dialect, tuple(found))


def judged_file(path: Path, report: LintReport) -> tuple[LintReport, Opened | None]:
    """The report, with what ONNX Runtime says of a file that no rule calls broken; None where it was not asked.

    Its refusal breaks the rule of valid files, but for want of a kernel where the dialect is another runtime's.
    """
    if any(rule.severity == "error" for rule in report.broken):
        return report, None
    found = opened(path, optimized=is_onnxruntimes(report.dialect))
    return _with_opening(report, found), found


def is_onnxruntimes(dialect: str) -> bool:
    return dialect.startswith("ort")


def _with_opening(report: LintReport, found: Opened) -> LintReport:
    if found.refused is None or (found.of_no_kernel and not is_onnxruntimes(report.dialect)):
        return report
    finding = Finding(VALID.number, "file", found.sentence())
    return LintReport(report.dialect, (finding, *report.findings))


def mend_file(
    path: Path, model: onnx.ModelProto, out: Path, shapes: Shapes, *, optimized: bool, float_outputs: bool
) -> tuple[Mended, Compared]:
    """Write the mended model to `out`, whole or not at all, once both files compute the same. GraphError if not."""
    result = mended(model, float_outputs=float_outputs)
    if result.model.ByteSize() > MAX_BYTES:
        raise GraphError(
            f"{out} would have over 2 GiB with its weights inside, which no ONNX file can; nothing written"
        )
    data = result.model.SerializeToString(deterministic=True)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            new = Path(folder) / "new.onnx"
            new.write_bytes(data)
            sizes = shapes.or_plausible(declared_inputs(model))
            tried = compared(path, new, sizes, optimized=optimized, aside=result.made_float)
            if tried.differing:
                raise GraphError(
                    f"{path} gives other values when mended, at {', '.join(tried.differing)}; nothing written. This "
                    "is a fault of ours: please report it with the file"
                )
            os.replace(new, out)
    except OSError as error:
        raise GraphError(f"{out} cannot be written: {error.strerror}") from error
    return result, tried


def rule_lines(rule: Rule) -> list[str]:
    lines = [f"{rule.number:>2}  {rule.title}  [{rule.severity}{', --fix' if rule.fixable else ''}]"]
    for label, text in (("why", rule.why), ("mend", rule.mend)):
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"    {label:<6}", subsequent_indent=" " * 10)
    return lines


def report_lines(name: str, report: LintReport) -> list[str]:
    lines = [f"{name} against {report.dialect}: {report.summary()}"]
    for rule in report.broken:
        found = report.of(rule)
        rows = table([(printable(finding.where), printable(finding.what)) for finding in found[:SHOWN]])
        more = [f"      and {len(found) - SHOWN} more: --json has them all"] if len(found) > SHOWN else []
        lines += ["", *rule_lines(rule), *(f"      {row}" for row in rows), *more]
    return lines


def printable(text: str) -> str:
    """A name from a file, safe for a terminal and on one line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def as_json(name: str, report: LintReport, done: Sequence[str] | None) -> dict[str, Any]:
    told = ("number", "title", "severity", "fixable", "why", "mend")
    rules = [{key: getattr(rule, key) for key in told} for rule in RULES[report.dialect]]
    return {
        "schema": SCHEMA,
        "kind": "lint",
        "file": name,
        "dialect": report.dialect,
        "rules": [
            rule | {"findings": len(report.of(found))} for rule, found in zip(rules, RULES[report.dialect], strict=True)
        ],
        "broken": len(report.broken),
        "findings": [asdict(finding) for finding in report.findings],
        "mended": None if done is None else list(done),
    }


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.lint",
        description="Check an ONNX file against the INT8 dialect of a runtime. Exit: 0 clean, 1 findings, 2 wrong use.",
        epilog="example: python -m quantize.lint model.onnx --dialect tensorrt --fix mended.onnx",
    )
    parser.add_argument("file", type=Path, nargs="?", help="an ONNX file")
    parser.add_argument("--dialect", choices=RULES, required=True)
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write a copy with all mended that changes no value")
    parser.add_argument("--float-outputs", action="store_true", help="with --fix: drop Q/DQ in front of graph outputs")
    add_shape_argument(parser)
    parser.add_argument("--expect", type=Path, metavar="LIST", help="convolutions that must be in INT8, a name a line")
    parser.add_argument("--quantized-output", action="append", default=[], metavar="NAME", help="may end in Q/DQ")
    parser.add_argument("--rules", action="store_true", help="print the dialect's rules")
    parser.add_argument("--json", action="store_true", help="print for machines")
    return parser


def asked_for(args: argparse.Namespace) -> Asked:
    names = None
    if args.expect is not None:
        try:
            names = frozenset(args.expect.read_text(encoding="utf-8").split("\n")) - {""}
        except (OSError, UnicodeDecodeError) as error:
            raise GraphError(f"{args.expect} is no list of names, one a line: {error}") from error
    return Asked(int8=names, quantized_outputs=frozenset(args.quantized_output))


def checked_file(args: argparse.Namespace) -> int:
    model, asked = read_model(args.file), asked_for(args)
    notes: list[str] = []
    if args.fix is None:
        name, done = str(args.file), None
        report, found = judged_file(args.file, lint(model, args.dialect, asked))
    else:
        if args.fix.resolve() == args.file.resolve():
            raise GraphError(f"--fix {args.fix} is the file itself; give the path of a new file")
        shapes = Shapes.read(args.shape, f"python -m quantize.lint {args.file} --dialect {args.dialect} --fix OUT")
        optimized = is_onnxruntimes(args.dialect)
        result, tried = mend_file(
            args.file, model, args.fix, shapes, optimized=optimized, float_outputs=args.float_outputs
        )
        name, done, found = str(args.fix), result.done, tried.after
        report = _with_opening(lint(result.model, args.dialect, asked), found)
        notes = [f"mended: {text}" for text in done] or ["mended: nothing"]
        notes += ["outputs: the same to the bit" if tried.open is None else f"outputs: not compared, {tried.open}"]
    if args.json:
        put_json(as_json(name, report, done) | {"opened": None if found is None else found.sentence()})
    else:
        put("\n".join([*notes, *report_lines(name, report), *([] if found is None else ["", found.sentence()])]))
    return 1 if report.findings else 0


def print_rules(dialect: str) -> None:
    rules = RULES[dialect]
    put("\n".join([f"{dialect}: {len(rules)} rules", *(line for rule in rules for line in ["", *rule_lines(rule)])]))


@command("quantize.lint")
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.rules:
        print_rules(args.dialect)
        return 0
    if args.file is None:
        raise GraphError("no FILE given; see --help")
    if args.float_outputs and args.fix is None:
        raise GraphError("--float-outputs belongs to --fix OUT")
    return checked_file(args)


if __name__ == "__main__":
    sys.exit(main())
