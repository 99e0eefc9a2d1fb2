"""Scores of the official tools on what tests.official wrote. Runs in their environment, and imports none of us.

ENV/bin/python tests/official/theirs.py FOLDER [--edges]     writes FOLDER/theirs.json
"""

from __future__ import annotations

import contextlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TOOLS = ("bdd100k", "scalabel", "pycocotools", "cityscapesScripts", "numpy", "scikit-image", "pillow")


def files(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*.png"))]


def boxes(folder: Path) -> dict[str, float]:
    from bdd100k.common.utils import load_bdd100k_config
    from bdd100k.label.to_scalabel import bdd100k_to_scalabel
    from scalabel.eval.detect import evaluate_det
    from scalabel.label.io import load

    config = load_bdd100k_config("det")
    truth, answers = (
        bdd100k_to_scalabel(load(str(path), 1).frames, config)
        for path in (folder / "labels/det_20/det_val.json", folder / "answers/boxes.json")
    )
    found = evaluate_det(truth, answers, config.scalabel, nproc=1)
    rows = {"ap_coco": found.AP, "ap50_coco": found.AP50, "ap75_coco": found.AP75, "recall100_coco": found.AR100}
    return {name: row[0]["car"] / 100 for name, row in rows.items()}


def drivable(folder: Path) -> dict[str, float]:
    from bdd100k.eval.seg import evaluate_drivable

    truth, answers = files(folder / "labels/drivable/masks/val"), files(folder / "answers/drivable")
    return {"miou_foreground": evaluate_drivable(truth, answers, nproc=1).summary()["mIoU"] / 100}


def lanes(folder: Path) -> dict[str, float]:
    """All lanes of truth and answers are parallel, so that this one class is what we call a lane."""
    from bdd100k.eval.lane import evaluate_lane_marking

    found = evaluate_lane_marking(files(folder / "labels/lane/masks/val"), files(folder / "answers/lane"), nproc=1)
    return {f"f_{w}px": getattr(found, f"F1_pix{w}")[0]["parallel"] / 100 for w in (1, 2, 5)}


def semantics(folder: Path) -> dict[str, float]:
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official

    args = SimpleNamespace(**vars(official.args))
    args.evalInstLevelScore, args.JSONOutput, args.quiet = False, False, True
    found = official.evaluateImgLists(files(folder / "answers/semantics"), files(folder / "gtFine/val"), args)
    scores = {f"iou_{name}": score for name, score in found["classScores"].items() if score == score}
    return {"miou": found["averageScoreClasses"]} | scores


def edges(folder: Path, suppressed: str) -> dict[str, float]:
    """pyEdgeEval's own code for one picture; maxima over levels as papers take them, without its interpolation.

    suppressed: by whom, `theirs` or `ours`; then what is left to differ is the pairing.
    """
    import numpy as np
    from pyEdgeEval.common.binary_label.evaluate_boundaries import evaluate_boundaries_threshold

    sums, own = np.zeros((4, 101)), np.zeros(4)
    for path in sorted((folder / "edges").glob("*.npz")):
        held = np.load(path)
        levels = np.nextafter(np.arange(101, dtype=np.float32) / 100, np.float32(2))  # ours is above, theirs at least
        answer, by_them = held["answer" if suppressed == "theirs" else "suppressed"], suppressed == "theirs"
        reach = float(held["reach"])
        counts = np.array(
            evaluate_boundaries_threshold(levels, answer, held["truth"], max_dist=reach, apply_nms=by_them)
        )
        sums += counts
        own += counts[:, f_of(counts).argmax()]
    return {"ods_f": float(f_of(sums).max()), "ois_f": float(f_of(own))}


def f_of(counts: Any) -> Any:
    """counts: recalled, real, precise, answered."""
    recall, precision = counts[0] / (counts[1] + (counts[1] == 0)), counts[2] / (counts[3] + (counts[3] == 0))
    return 2 * precision * recall / (precision + recall + ((precision + recall) == 0))


def main() -> None:
    root, wanted = Path(sys.argv[1]), sys.argv[2:]
    judges = {"bdd100k": (boxes, drivable, lanes), "cityscapes": (semantics,)}
    scores = {}
    with contextlib.redirect_stdout(sys.stderr):
        for kind in ("random", "footage"):
            for benchmark, tasks in judges.items():
                scores |= {f"{kind}/{benchmark}/{judge.__name__}": judge(root / kind / benchmark) for judge in tasks}
        if "--edges" in wanted:
            for whose in ("ours", "theirs"):
                scores[f"random/nyudv2/edges, {whose}"] = edges(root / "random", whose)
    tools = {name: version(name) for name in (*TOOLS, *(["pyEdgeEval"] if "--edges" in wanted else []))}
    result = {"python": sys.version.split()[0], "tools": tools, "scores": scores}
    (root / "theirs.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
