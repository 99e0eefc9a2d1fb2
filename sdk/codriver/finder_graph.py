"""What the finder's graph takes and gives. Training reads this file too."""

from __future__ import annotations

from codriver.tasks import GESTURE_POINTS, POSTURE_POINTS

WIDTH_PX, HEIGHT_PX = 256, 144  # of the in-car frame as the graph takes it: 16:9, BGR
BIN_PX = 2  # of that frame, to one class along an axis
LOW, HIGH = -0.25, 1.25  # shares of the frame that coordinates reach to, as keypoints do in preprocess.py
BINS_X, BINS_Y = (round((HIGH - LOW) * side / BIN_PX) for side in (WIDTH_PX, HEIGHT_PX))

JOINT_POINTS = (*POSTURE_POINTS, *GESTURE_POINTS)  # of Halpe-136, in the order of the graph's rows
PART_ROWS = {"posture": slice(0, len(POSTURE_POINTS)), "gesture": slice(len(POSTURE_POINTS), len(JOINT_POINTS))}
# The same point on the body's other side, by row: what a mirror makes of a person.
BODY_PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16), (20, 21), (22, 23), (24, 25))
_OTHER = dict((*BODY_PAIRS, *(pair[::-1] for pair in BODY_PAIRS)))
POSTURE_MIRROR = tuple(_OTHER.get(row, row) for row in range(len(POSTURE_POINTS)))
HAND = len(GESTURE_POINTS) // 2
GESTURE_MIRROR = (*range(HAND, 2 * HAND), *range(HAND))
CORNERS = ("face_low", "face_high", "body_low", "body_high")  # upper left and lower right, the rows after the joints
POINTS = len(JOINT_POINTS) + len(CORNERS)  # of a finder that looks for hands too
PRESENCE = ("driver", "face", "camera")  # is there a driver, is the face to be seen, is the camera usable

PIXELS = "pixels"  # the graph's input, (1, 144, 256, 3) uint8
OUTPUTS = ("x", "y", "presence")  # logits (1, P, BINS_X), (1, P, BINS_Y), (1, 3)


def points_of(*, gesture: bool) -> int:
    """P, how many points a finder looks for: all, or posture and boxes alone."""
    return POINTS if gesture else len(POSTURE_POINTS) + len(CORNERS)
