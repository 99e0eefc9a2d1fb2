"""A small bundle and a few clips that it has not seen, to ship beside the code: what `make try` shows.

python -m training.synth DATA --clips 24 --seed 5 --videos test
python -m targets.release QUANTIZED --data DATA --out samples/try

The bundle is as targets.build makes it for x86-ort, with the first of its golden clips alone: their lossless pictures
are most of a bundle. The clips are the first of DATA's test split, not chosen by how they are answered.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codriver.bundle.manifest import Manifest
from codriver.errors import ConfigError
from codriver.sources.aide import read_annotation
from codriver.tasks import AIDE, VIEWS
from targets.build import build
from targets.packing.draft import Release
from workshop.aide_splits import ClipRef, read_split
from workshop.artifacts import staged_folder, write_text
from workshop.command import command

BUNDLE, CLIPS, CARD, TARGET = "demo.bundle", "clips", "README.md", "x86-ort"
GOLDEN_CLIPS = 1
CARD_TEXT = """\
# What `make try` shows

A released bundle, [{bundle}]({bundle}/MODEL_CARD.md), and {n} clips of 3 s that neither training nor calibration saw.
**All of it is drawn**: {kind}, for training and here. It shows that the line works; it must not
drive a decision in a car. Each clip begins a new context: there is no answer before it has seen enough.
Licence: Apache-2.0, as the code.

| | |
|---|---|
| bundle | `{id}` |
| for | x86 processors, ONNX Runtime: {variants} |
| trained on | {train} clips, {val} for validation |
| clips here | seed {seed} of {generator}, the first of the test split |

## How well

In full precision on {test_clips} held-out test clips, not those here, {how}. INT8 through this very bundle:
`python -m targets.validate`. Majority: always answering the class that training saw most.

| task | accuracy % | macro-F1 % | majority % |
|---|---|---|---|
{scores}

## What is in the clips

{labels}

## Made by

```
{commands}
```
"""


def release(quantized: Path, data: Path, out: Path, clips: int, before: Sequence[str] = ()) -> Manifest:
    """Leave bundle, clips and card at `out`, as a whole or not at all. before: commands that led here, for the card."""
    refs = read_split(data, "test")[:clips]
    with staged_folder(out, _refuse_stranger) as folder:
        manifest = build(quantized, TARGET, folder / BUNDLE, release=Release(golden_clips=GOLDEN_CLIPS))
        for ref in refs:
            copy_clip(ref, folder / CLIPS)
        this = f"python -m targets.release QUANTIZED --data DATA --clips {len(refs)} --out {out.as_posix()}"
        write_text(folder / CARD, card(manifest, data, refs, [*before, this]))
    return manifest


def copy_clip(ref: ClipRef, folder: Path) -> None:
    """One video per view, and a JSON that `--source` takes."""
    (folder / ref.id).mkdir(parents=True)
    for view in VIEWS:
        video = ref.folder / f"{view}.mp4"
        if not video.is_file():
            raise ConfigError(f"{video} is missing; make the footage with training.synth --videos test")
        shutil.copyfile(video, folder / ref.id / video.name)
    source = {view: {"file": f"{ref.id}/{view}.mp4"} for view in VIEWS}
    write_text(folder / f"{ref.id}.json", json.dumps(source, indent=1) + "\n")


def card(manifest: Manifest, data: Path, refs: Sequence[ClipRef], commands: Sequence[str]) -> str:
    made = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    synth = (
        f"python -m {made['generator']} DATA --clips {made['arguments']['clips']} --seed {made['seed']} --videos test"
    )
    trained = manifest.training["clips"]
    return CARD_TEXT.format(
        bundle=BUNDLE,
        n=len(refs),
        kind=manifest.training["kind"],
        id=manifest.id,
        variants=", ".join(variant.name for variant in manifest.variants),
        train=trained["train"],
        val=trained["val"],
        seed=made["seed"],
        generator=made["generator"],
        test_clips=manifest.metrics["clips"],
        how="from frames alone" if _alone(manifest) else "with the data set's boxes and keypoints",
        scores="\n".join(score_rows(manifest)),
        labels="\n".join(label_rows(refs)),
        commands="\n".join([*commands[:-1], synth, commands[-1]]),
    )


def _alone(manifest: Manifest) -> Any:
    """Scores with frames alone, by task; nothing where the run was not scored by this finder's eyes."""
    return manifest.metrics.get("frames_alone", {}).get("test")


def score_rows(manifest: Manifest) -> list[str]:
    """As the page answers: what is asked about the driver rests on what the finder sees, if there is one."""
    by_task = _alone(manifest) or manifest.metrics["fp32"]
    rows = []
    for task in manifest.tasks:
        scores = by_task[task.name]
        cells = " | ".join(f"{100 * scores[key]:.1f}" for key in ("accuracy", "macro_f1", "majority"))
        rows.append(f"| {AIDE[task.name].title} | {cells} |")
    return rows


def label_rows(refs: Sequence[ClipRef]) -> list[str]:
    rows = [f"| clip | {' | '.join(task.title for task in AIDE.tasks)} |", "|---" * (1 + len(AIDE.tasks)) + "|"]
    for ref in refs:
        truth = read_annotation(ref.annotation).truth
        rows.append(f"| {ref.id} | {' | '.join(truth[task.name] for task in AIDE.tasks)} |")
    return rows


def _refuse_stranger(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / BUNDLE / "manifest.json").is_file():
        raise ConfigError(f"{out} exists and holds no {BUNDLE}; name another folder")


@command("targets.release")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m targets.release",
        description="A small bundle with a few clips and a card, to ship beside the code.",
        epilog="example: python -m targets.release out/quantized --data out/data --out samples/try",
    )
    parser.add_argument("quantized", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="of training.synth, with another seed than training's")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; one that was made so is replaced")
    parser.add_argument("--clips", type=int, default=4, metavar="N", help="the first of the test split (4)")
    parser.add_argument("--before", action="append", default=[], metavar="COMMAND", help="that led here, for the card")
    args = parser.parse_args(argv)
    manifest = release(args.quantized, args.data, args.out, args.clips, args.before)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    sys.stdout.write(f"release: {args.out}  {manifest.id}  {size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
