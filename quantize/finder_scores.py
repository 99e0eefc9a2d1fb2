"""How well the finder of each dialect finds, in its own runtime, on clips that it never saw.

python -m quantize.finder_scores Q --data DATA --finder RUN

Beside it what no device has, the truth of the frame before; and, given the finder's run, the mean pose of what it was
trained on, which needs no picture. Intervals: bootstrap over clips, each the mean of its
frames; differences are paired by clip.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from codriver.device.machine import describe_machine
from codriver.errors import ConfigError
from codriver.finder_graph import points_of
from quantize.finder import runs_here, sights_in_runtime
from training.finder.pictures import Pictures, drive_pictures
from training.finder.run import load_finder
from training.finder.scores import frame_before, score_points
from workshop.aide_splits import read_split
from workshop.artifacts import provenance, write_json
from workshop.command import command
from workshop.quantized_report import QuantizedReport
from workshop.resampling import BootstrapConfig, interval, resample

FRAMES = 15  # of each clip: 0.2 s apart, as a device looks
REFERENCE, BEFORE, MEAN = "fp32", "frame_before", "mean_pose"


def measure(
    quantized: Path, data: Path, split: str, bootstrap: BootstrapConfig, run: Path | None = None
) -> dict[str, Any]:
    """Scores by dialect, and the difference to full precision where that is among them. Shares, not percent.

    run: of training.finder, whose mean pose is scored too.
    """
    mean = None if run is None else np.asarray(load_finder(run).record.mean_pose, np.float32)
    report = QuantizedReport.read(quantized)
    entries = {name: some for name, some in report.dialects.items() if some.finder and runs_here(some)}
    if not entries or report.finder is None:
        raise ConfigError(f"{quantized} holds no finder that runs here; give quantize.run a --finder")
    refs = read_split(data, split)
    gesture = report.finder.gesture
    pictures = drive_pictures(refs, FRAMES, lambda items: tqdm(items, desc="decode", leave=False, disable=None))
    pictures = pictures.of(points_of(gesture=gesture))
    found = {
        name: np.stack([sight.points for sight in sights_in_runtime(quantized, some, pictures, gesture=gesture)])
        for name, some in tqdm(entries.items(), desc="find", leave=False, disable=None)
    }
    baselines = {BEFORE: frame_before(pictures)}
    if mean is not None:
        baselines[MEAN] = np.broadcast_to(mean, pictures.points.shape)
    clips = {name: by_clip(points, pictures) for name, points in {**found, **baselines}.items()}
    weights = resample(len(refs), bootstrap) / len(refs)
    return {
        **provenance(("onnxruntime", "openvino"), None),
        "machine": describe_machine(),
        "split": split,
        "clips": len(refs),
        "frames": len(pictures),
        "bootstrap": asdict(bootstrap),
        "scores": {name: _told(some, weights, bootstrap) for name, some in clips.items()},
        "differences": {
            f"{name} - {other}": _told({key: some[key] - clips[other][key] for key in some}, weights, bootstrap)
            for name, some in clips.items()
            for other in (REFERENCE, *baselines)
            if name not in (other, *baselines) and other in clips
        },
    }


def by_clip(points: NDArray[np.float32], pictures: Pictures) -> dict[str, NDArray[np.float64]]:
    """(n, P, 2) -> by score, one number a clip."""
    rows: dict[str, list[int]] = {}
    for row, clip in enumerate(pictures.clips):
        rows.setdefault(clip, []).append(row)
    scores = [score_points(points[some], pictures.at(some)) for some in rows.values()]
    return {name: np.array([some[name] for some in scores]) for name in scores[0]}


def _told(
    clips: Mapping[str, NDArray[np.float64]], weights: NDArray[np.float64], bootstrap: BootstrapConfig
) -> dict[str, Any]:
    return {
        name: {"value": float(some.mean()), "interval": interval(weights @ some, bootstrap)}
        for name, some in clips.items()
    }


def table(report: Mapping[str, Any]) -> str:
    ways = list(report["scores"])
    lines = [f"{report['clips']} clips, {report['frames']} frames", f"{'%':18}" + "".join(f"{way:>26}" for way in ways)]
    for name in report["scores"][ways[0]]:
        cells = [_percent(report["scores"][way][name]) for way in ways]
        lines.append(f"{name:18}" + "".join(f"{cell:>26}" for cell in cells))
    for pair, scores in report["differences"].items():
        lines += ["", f"{pair}, points"] + [f"  {name:18}{_percent(told):>24}" for name, told in scores.items()]
    return "\n".join(lines)


def _percent(told: Mapping[str, Any]) -> str:
    low, high = told["interval"]
    return f"{100 * told['value']:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


@command("quantize.finder_scores")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m quantize.finder_scores",
        description="Score each dialect's finder in its runtime on held-out clips.",
        epilog="example: python -m quantize.finder_scores out/quantized --data out/data",
    )
    parser.add_argument("quantized", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="in AIDE's layout")
    parser.add_argument("--finder", type=Path, metavar="RUN", help="of training.finder: its mean pose is scored too")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    report = measure(args.quantized, args.data, args.split, BootstrapConfig(), args.finder)
    if args.out:
        write_json(args.out, report)
    sys.stdout.write((json.dumps(report) if args.json else table(report)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
