"""Does a bundle believe in a driver who is not there, or lose one who is? And how much does a point tremble?

    python -m training.scenes out/others --each 200 --seed 3        # not the scenes that the finder learned from
    python -m targets.presence out/demo.bundle --scenes out/others --data out/data --out out/presence.json

Cabins without a driver and covered lenses, where none may be believed in for longer than 0.5 s; a driver who sits down
in an empty seat, to be found within 1 s; drives, in which the driver may not be lost for longer than 0.5 s; and a still
picture under a sensor's noise. In-car frames alone, each through Perceiver.step. Exit code 1 beyond a limit.

--noise puts more of a sensor's noise on all frames, drives no more than --clips: it shows from where on belief ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codriver.console import Progress, put, table
from codriver.errors import ConfigError
from codriver.perceiver import Perceiver
from targets.trial.presence import FOUND_S, WRONG_S, jitter_px, sits_down, summed, wrong
from workshop.aide_splits import SPLITS, read_split
from workshop.artifacts import provenance, write_text
from workshop.command import command

WITHOUT_DRIVER = ("empty_seat", "passenger_only", "back_seat", "covered_lens")
STILLS = 20  # clips whose first frame is held still
SCHEMA = 1


def presence(
    bundle: Path, scenes: Path, data: Path, split: str, clips: int, variant: str | None = None, noise: float = 0.0
) -> dict[str, Any]:
    """clips: of each scene, and of the people who sit down, at most; under noise of drives too."""
    drives = [ref.folder for ref in read_split(data, split)][: clips if noise else None]
    staged = {name: _clips(scenes, name)[:clips] for name in WITHOUT_DRIVER}
    pairs = list(zip(staged["empty_seat"], drives, strict=False))
    with Perceiver.open(bundle, variant=variant) as perceiver:
        if perceiver.manifest.finder is None:
            raise ConfigError(f"{bundle} has no finder, so it sees no driver; quantize with --finder and build it anew")
        rows = [
            summed(
                name,
                _each(name, folders, lambda folder: wrong(perceiver, folder, driver=False, noise=noise)),
                WRONG_S,
                "believed in",
            )
            for name, folders in staged.items()
        ]
        found = _each("sits down", pairs, lambda pair: sits_down(perceiver, pair[0], pair[1], noise))
        rows.append(summed("sits down", found, FOUND_S, "until found"))
        lost = _each("drive", drives, lambda folder: wrong(perceiver, folder, driver=True, noise=noise))
        rows.append(summed(f"drive, {split}", lost, WRONG_S, "lost"))
        stills = _each("still", drives[:STILLS], lambda folder: jitter_px(perceiver, folder))
        about = {"bundle": perceiver.manifest.id, "variant": perceiver.variant, "engine": perceiver.engine}
    known = [value for value in stills if np.isfinite(value)]
    jitter = {"clips": len(known), "mean_px": float(np.mean(known)) if known else None}
    origin = provenance(("onnxruntime", "openvino"), None)
    return {"schema": SCHEMA, "kind": "presence", **origin, **about, "noise": noise, "rows": rows, "jitter": jitter}


def _clips(scenes: Path, name: str) -> list[Path]:
    found = sorted(path for path in (scenes / name).glob("*") if path.is_dir())
    if not found:
        raise ConfigError(f"{scenes}/{name} holds no clips; make them with training.scenes, with a seed of their own")
    return found


def _each(name: str, items: Sequence[Any], work: Any) -> list[Any]:
    found = []
    with Progress(name, total=len(items)) as progress:
        for item in items:
            found.append(work(item))
            progress.step()
    return found


def for_people(result: dict[str, Any]) -> str:
    rows = [("", "clips", "frames", "longest s", "of", "allowed s", "clips beyond")]
    for row in result["rows"]:
        numbers = (str(row["clips"]), str(row["frames"]), f"{row['longest_s']:.2f}")
        rows.append((row["name"], *numbers, row["what"], f"{row['limit_s']:g}", str(row["beyond"])))
    jitter = result["jitter"]
    still = "no point was found" if jitter["mean_px"] is None else f"a point moves {jitter['mean_px']:.2f} px a frame"
    return "\n".join(
        [f"{result['bundle']}, {result['variant']}", *table(rows), f"still, {jitter['clips']} clips: {still}"]
    )


@command("targets.presence")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.presence",
        description="Whether a bundle sees a driver where there is one and none where there is none, over time.",
        epilog="example: python -m targets.presence out/demo.bundle --scenes out/others --data out/data",
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "--scenes", type=Path, required=True, help="of training.scenes, with another seed than training's"
    )
    parser.add_argument("--data", type=Path, required=True, help="drives, in AIDE's layout")
    parser.add_argument("--split", choices=tuple(SPLITS), default="test", help="of the drives (test)")
    parser.add_argument("--clips", type=int, default=200, metavar="N", help="of each scene at most (200)")
    parser.add_argument(
        "--noise", type=float, default=0.0, metavar="LEVELS", help="of a sensor, sigma, on all frames (0)"
    )
    parser.add_argument("--variant", help="of the bundle; default: the one for this machine")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    result = presence(args.bundle, args.scenes, args.data, args.split, args.clips, args.variant, args.noise)
    if args.out:
        write_text(args.out, json.dumps(result) + "\n")
    put(json.dumps(result) if args.json else for_people(result))
    return 1 if any(row["beyond"] for row in result["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
