"""Shapes over a picture, in Foxglove's words. Coordinates begin at the corner of the recorded picture's first pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codriver.recording.reader import RecordedStep
from codriver.recording.schemas import BYTES, NUMBER, TEXT, TIME, WHOLE, having, listed, schema
from codriver.tasks import GESTURE_POINTS, KEYPOINTS, POSTURE_POINTS
from codriver.view.cameras import LIMBS, MIN_SCORE
from codriver.view.dense import SHOWN

POINTS, LINE_LOOP, LINE_LIST = 1, 2, 4  # of foxglove.PointsAnnotation
POINT, COLOR = having(x=NUMBER, y=NUMBER), having(r=NUMBER, g=NUMBER, b=NUMBER, a=NUMBER)
SHAPE = having(
    timestamp=TIME, type=WHOLE, points=listed(POINT), outline_color=COLOR, outline_colors=listed(COLOR),
    fill_color=COLOR, thickness=NUMBER,
)  # fmt: skip
LABEL = having(
    timestamp=TIME, position=POINT, text=TEXT, font_size=NUMBER, text_color=COLOR, background_color=COLOR
)  # fmt: skip
OVER = {"timestamp": TIME, "circles": listed(having()), "points": listed(SHAPE), "texts": listed(LABEL)}
OVER_SCHEMA = schema("foxglove.ImageAnnotations", OVER)
LINE = {"timestamp": TIME, "level": WHOLE, "message": TEXT, "name": TEXT, "file": TEXT, "line": WHOLE}
LOG_SCHEMA = schema("foxglove.Log", LINE)
SIZE = {"width": WHOLE, "height": WHOLE, "step": WHOLE}
RAW_SCHEMA = schema("foxglove.RawImage", {"timestamp": TIME, "frame_id": TEXT, "encoding": TEXT, **SIZE, "data": BYTES})

Rgb = tuple[float, float, float]
WHITE, BLACK, BODY, LIMB, VEHICLE = (1.0,) * 3, (0.0,) * 3, (0.55, 0.75, 1.0), (0.25, 0.95, 0.65), (1.0, 0.78, 0.16)
FAINTEST = 0.25  # of a point that hardly anybody vouches for: still to be seen


@dataclass(frozen=True)
class Drawing:
    stamp: dict[str, int]  # of the picture
    height_px: int  # of the picture: how large letters are
    scale: tuple[float, float]  # across and down, from the pixels of a percept to those of the picture
    shapes: list[dict[str, Any]] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        """A foxglove.ImageAnnotations. One without shapes takes those of the picture before away."""
        return {"timestamp": self.stamp, "circles": [], "points": self.shapes, "texts": self.labels}

    def box(self, corners: tuple[float, float, float, float], text: str, colour: Rgb) -> None:
        """corners: left, top, right, bottom in the percept's pixels."""
        left, top, right, bottom = (float(v) * s for v, s in zip(corners, self.scale * 2, strict=True))
        self.shape(LINE_LOOP, [(left, top), (right, top), (right, bottom), (left, bottom)], [_rgba(colour)])
        self.label((left, top), text, colour)

    def shape(self, kind: int, points: list[tuple[float, float]], colours: list[dict[str, float]]) -> None:
        """points: of the picture. colours: one for each point or line, or one for all."""
        self.shapes.append({
            "timestamp": self.stamp, "type": kind, "points": [{"x": x, "y": y} for x, y in points],
            "outline_color": colours[0], "outline_colors": colours if len(colours) > 1 else [],
            "fill_color": _rgba(BLACK, 0.0), "thickness": max(1.0, self.height_px / 200) * (2 if kind == POINTS else 1),
        })  # fmt: skip

    def label(self, at: tuple[float, float], text: str, colour: Rgb) -> None:
        """at: the left lower corner of it, in the picture; moved down where nothing of it would be seen."""
        size = max(8.0, self.height_px / 30)
        self.labels.append({
            "timestamp": self.stamp, "position": {"x": max(at[0], 0.0), "y": max(at[1], size * 1.2)}, "text": text,
            "font_size": size, "text_color": _rgba(colour), "background_color": _rgba(BLACK, 0.6),
        })  # fmt: skip


def drawn_driver(drawing: Drawing, step: RecordedStep) -> None:
    """Body, face and skeleton, found or given, and how sure the finder is of each; or why nobody is there."""
    sight = step.percept["driver"]
    told = {part: f"{part} {source}" for part, source in sight["sources"].items()}
    for part, share in sight["certainty"].items():
        if sight["sources"][part] == "found":
            told[part] = f"{part} {100 * share:.0f} %"
    if sight["present"] is False:
        drawing.label((0.0, 0.0), sight["reason"], WHITE)
    for part, colour in (("body", BODY), ("face", WHITE)):
        if sight[f"{part}_px"] is not None:
            x, y, width, height = sight[f"{part}_px"]
            drawing.box((x, y, x + width, y + height), told[part], colour)
    keypoints, scale = sight["keypoints"], drawing.scale
    if keypoints is None and step.driver is not None:  # who gave them: they were recorded in the picture's pixels
        keypoints, scale = step.driver.keypoints, (1.0, 1.0)
    if keypoints is not None:
        drawing.label((0.0, float(drawing.height_px)), told["posture"], LIMB)
        _skeleton(drawing, np.asarray(keypoints, np.float64).reshape(KEYPOINTS, 3) * (*scale, 1.0))


def _skeleton(drawing: Drawing, keypoints: Any) -> None:
    """keypoints: (136, 3) x, y in the picture, score. The surer, the less one sees through."""
    seen = np.isfinite(keypoints).all(axis=1) & (keypoints[:, :2] > 0).any(axis=1) & (keypoints[:, 2] >= MIN_SCORE)
    scores = np.clip(keypoints[:, 2], FAINTEST, 1.0)
    at = [(float(x), float(y)) for x, y in keypoints[:, :2]]
    limbs = [limb for limb in LIMBS if seen[list(limb)].all()]
    if limbs:
        ends = [at[point] for limb in limbs for point in limb]
        drawing.shape(LINE_LIST, ends, [_rgba(LIMB, float(scores[list(limb)].min())) for limb in limbs])
    points = [point for point in (*POSTURE_POINTS, *GESTURE_POINTS) if seen[point]]
    if points:
        colours = [_rgba(LIMB, float(scores[point])) for point in points]
        drawing.shape(POINTS, [at[point] for point in points], colours)


def drawn_boxes(drawing: Drawing, step: RecordedStep) -> None:
    """Of every task that detects: boxes with class and score, as the step answered them."""
    for result in step.percept["dense"].values():
        for found in result.get("boxes", ()):
            if found["score"] >= SHOWN:
                drawing.box(tuple(found["box_px"]), f"{found['label']} {found['score']:.2f}", VEHICLE)


def _rgba(colour: Rgb, opacity: float = 1.0) -> dict[str, float]:
    return dict(zip("rgba", (*colour, opacity), strict=True))
