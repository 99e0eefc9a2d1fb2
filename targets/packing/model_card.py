"""The model card: what a bundle's model was trained on, how well it does, and what it must not be used for."""

from __future__ import annotations

from targets.profiles.profile import Profile
from workshop.quantized_report import QuantizedReport

TEMPLATE = """\
# {name}

A driver and road perception model (size {size}) for {target}. Made by codriver on {created} from commit {commit}.

From the paper UV-M3TL (arXiv 2602.01594): the topology of DB-SCME, as its figure shows it. Codriver's own, because the
paper's are not public: the encoders, the temporal part, every width, the equations of AFD-Loss, and the heads by which
each slot learns alone.

## Trained on

{data}. Clips: {train} for training, {val} for validation, {test} for testing.
Calibrated for INT8 on {calibration} training clips, stratified by the labels of every task
(ids' sha256 {ids}).

## What it answers, and how well in full precision

{n} held-out test clips. Majority: always answering the class that training saw most.

| task | classes | accuracy % | macro-F1 % | majority % |
|---|---|---|---|---|
{rows}

INT8 accuracy through this very bundle: `python -m targets.validate BUNDLE --data DATA`.

## Where the driver is

{finder}

## Limits

{limits}
{law}"""

EMOTION = "driver_emotion"
LAW = """\
* Inferring emotions at a workplace is restricted by law in some places (EU AI Act, Art. 5(1)(f)); a professional
  driver's cab is one. `targets.build --without driver_emotion` makes a bundle that cannot.
"""

SYNTHETIC = """\
* **The footage is synthetic.** The model has never seen a person or a road. It shows that the line works; it must not
  drive a decision in a car."""
REAL = "* AIDE is licensed for non-commercial research and education only; so are weights trained on it."


NO_FINDER = """\
Somebody else must say (`driver=`): there is no finder in this bundle, and without that what is asked about the driver
is invalid."""
ALONE = """
Held-out test clips in full precision, accuracy and macro-F1 in %, with the data set's boxes and keypoints and with what
the finder sees; below, accuracy on validation clips as found, with one of the driver's streams or all of them masked,
and by how certain the finder was of the driver's joints:

| |{titles}|
|---|{rules}|
{rows}"""
FINDER = """\
Found in the in-car frame by a graph of its own, trained on the data set's boxes and keypoints ({size} size, weights'
sha256 {sha256}). Full precision on {frames} validation frames, then each runtime that runs where it was quantized, %:

| | {names} |
|---|{rules}|
{rows}
{looks_for}
{absence}
{alone}"""
KNOWS = "It has seen cabins without a driver, with others in the car and with a covered lens, all of them drawn."
ALL_PARTS = "It looks for face, body, posture and gesture."
NO_HANDS = (
    "It looks for face, body and posture, not for hands: the gesture stream is masked unless a caller gives keypoints."
)
NEVER = "**It has never seen a cabin without a driver: what it says of presence means nothing.**"


def _finder(report: QuantizedReport) -> str:
    origin = report.finder
    if origin is None:
        return NO_FINDER
    found = {"full precision": origin.check} | {
        name: some.finder_check.scores
        for name, some in report.dialects.items()
        if some.finder_check is not None and some.finder_check.scores is not None
    }
    rows = [f"| {name} | {' | '.join(f'{100 * v:.1f}' for v in scores.values())} |" for name, scores in found.items()]
    return FINDER.format(
        size=origin.size,
        sha256=origin.weights_sha256[:16],
        frames=origin.check_frames,
        names=" | ".join(origin.check),
        rules="|".join("---" for _ in origin.check),
        rows="\n".join(rows),
        looks_for=ALL_PARTS if origin.gesture else NO_HANDS,
        absence=KNOWS if origin.knows_absence else NEVER,
        alone=_alone(report),
    )


def _alone(report: QuantizedReport) -> str:
    """Frames alone against annotations, and what each stream is worth."""
    run, tasks = report.run, report.tasks
    rows = []
    for name, scores in (("annotations", run.test), ("frames alone", run.frames_alone.test)):
        if scores:
            found = [scores[task.name] for task in tasks]
            rows.append((name, [f"{100 * some.accuracy:.1f} / {100 * some.macro_f1:.1f}" for some in found]))
    for part, accuracy in run.frames_alone.without.items():
        name = "validation, as found" if part == "nothing" else f"validation, without {part}"
        rows.append((name, [f"{100 * accuracy[task.name]:.1f}" for task in tasks]))
    for third in run.frames_alone.by_certainty:
        name = f"validation, {third.clips} clips, certainty {third.low:.2f} to {third.high:.2f}"
        rows.append((name, [f"{100 * third.accuracy[task.name]:.1f}" for task in tasks]))
    return ALONE.format(
        titles="|".join(f" {task.title} " for task in tasks),
        rules="|".join("---" for _ in tasks),
        rows="\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in rows),
    )


def model_card(name: str, profile: Profile, report: QuantizedReport) -> str:
    run, kind = report.run, report.run.data.kind
    rows = []
    for task in report.tasks:
        scores = run.test[task.name]
        values = " | ".join(f"{100 * value:.1f}" for value in (scores.accuracy, scores.macro_f1, scores.majority))
        rows.append(f"| {task.title} | {', '.join(task.labels)} | {values} |")
    return TEMPLATE.format(
        name=name,
        size=run.size,
        target=profile.title,
        created=report.created,
        commit=report.git_commit,
        data=kind[:1].upper() + kind[1:],
        **run.data.clips,
        n=run.test_clips,
        calibration=report.calibration.clips,
        ids=report.calibration.ids_sha256[:16],
        rows="\n".join(rows),
        finder=_finder(report),
        limits=SYNTHETIC if "synthetic" in kind else REAL,
        law=LAW if EMOTION in [task.name for task in report.tasks] else "",
    )
