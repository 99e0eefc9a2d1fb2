"""Maps and boxes over the camera's picture, for people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from codriver.arrays import Image
from codriver.dense.results import Boxes, DenseResult, Map, Segmentation
from codriver.view import draw, text
from codriver.view.theme import FAINT, SOFT, TEXT, Rect

SHOWN = 0.3  # least score of a box that is drawn
COLORS = np.array(  # BGR
    [(60, 160, 60), (170, 110, 40), (40, 40, 220), (40, 200, 220), (200, 60, 200), (120, 160, 200), (200, 200, 60)],
    dtype=np.uint8,
)
LANE, BOX = (60, 230, 255), (40, 200, 220)
UNSEEN = ("background", "unknown")


def overlaid(image: Image, results: Mapping[str, DenseResult], scale: float = 1.0) -> Image:
    """A new picture: classes tinted, boxes outlined, distances as a bar of colour with its unit.

    scale: of the image, to the camera's picture, whose pixels boxes are in. Of maps without classes the first one is
    laid over the upper right quarter, as it hides what is below.
    """
    out = image.copy()
    valid = [result for result in results.values() if result.valid]
    for result in valid:
        if isinstance(result, Segmentation):
            _tint(out, result)
    insets = [r for r in valid if isinstance(r, Map) and not isinstance(r, Segmentation)]
    for result in valid:
        if isinstance(result, Boxes):
            _outline(out, result, scale)
    if insets:
        _inset(out, insets[0])
    return out


def _tint(out: Image, result: Segmentation) -> None:
    """Every class but the background; a class of lines strongly, as it covers little."""
    classes = result.on(*out.shape[:2])
    shown = [(number, label) for number, label in enumerate(result.labels) if label not in UNSEEN]
    table = np.zeros((256, 3), np.uint8)
    for place, (number, label) in enumerate(shown):
        table[number] = LANE if label == "lane" else COLORS[place % len(COLORS)]
    at = np.isin(classes, [number for number, _ in shown])
    share = 0.8 if len(shown) == 1 else 0.45
    out[at] = (out[at] * (1 - share) + table[classes[at]] * share).astype(np.uint8)


def _outline(out: Image, result: Boxes, scale: float) -> None:
    import cv2

    for x1, y1, x2, y2 in (scale * result.boxes_px[result.scores >= SHOWN]).round().astype(int).tolist():
        cv2.rectangle(out, (x1, y1), (x2, y2), BOX, max(1, out.shape[1] // 400))


def _inset(out: Image, result: Map) -> None:
    """The map in a corner, and below it what its colours mean."""
    import cv2

    height, width = out.shape[0] // 3, out.shape[1] // 3
    colours, high = colored(result, height, width)
    out[:height, -width:] = colours
    if result.unit:
        bar = max(6, height // 12)
        ramp = np.repeat(np.linspace(0, 255, width).astype(np.uint8)[None], bar, axis=0)
        out[height : height + bar, -width:] = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)
        said, at = f"0 .. {high:.3g} {result.unit}", (out.shape[1] - width + 2, height + 3 * bar)
        cv2.putText(out, said, at, cv2.FONT_HERSHEY_SIMPLEX, bar / 14, (255, 255, 255), 1, cv2.LINE_AA)


def colored(result: Map, height: int, width: int) -> tuple[Image, float]:
    """A map without classes as a picture, and the value of its brightest colour."""
    import cv2

    values: NDArray[np.float32] = result.on(height, width)
    if result.kind == "normals":
        return np.asarray(((values[..., ::-1] + 1) * 127.5).round(), np.uint8), 1.0
    high = 1.0 if not result.unit else max(float(np.percentile(values, 98)), 1e-6)
    shades = np.clip(values * (255 / high), 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO), np.uint8), high


def draw_results(image: Image, rect: Rect, results: Mapping[str, DenseResult]) -> None:
    """A card that says in a line each what was answered, or why not."""
    draw.card(image, rect)
    for number, (name, result) in enumerate(results.items()):
        line = rect.inset(14)._replace(y=rect.y + 14 + 22 * number)
        title = name.replace("_", " ").capitalize()
        wide = text.put(image, title, (line.x, line.y + 12), 12, TEXT if result.valid else SOFT, weight=text.MEDIUM)
        said = text.fit(told(result), 11, line.width - wide - 12)
        text.put(image, said, (line.x + wide + 12, line.y + 12), 11, SOFT if result.valid else FAINT)


def told(result: DenseResult) -> str:
    """A result in a few words."""
    about = result.to_dict()
    if not result.valid:
        return result.reason
    if isinstance(result, Boxes):
        return f"{(result.scores >= SHOWN).sum()} above {SHOWN:g}"
    if isinstance(result, Segmentation):
        largest = sorted(about["shares"].items(), key=lambda item: -item[1])[:3]
        return ", ".join(f"{label} {100 * share:.0f} %" for label, share in largest if share >= 0.005)
    return f"half below {about['p50']:.3g} {about['unit']}".rstrip() if "p50" in about else "there"
