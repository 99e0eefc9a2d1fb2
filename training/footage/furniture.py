"""What stands in a room: blocks with a class, and where each piece of furniture goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# NYU's numbers of 40 classes
WALL, FLOOR, CABINET, BED, CHAIR, SOFA, TABLE, DOOR, WINDOW, SHELF, PICTURE = range(1, 12)
DESK, CURTAIN, DRESSER, PILLOW, CEILING, TELEVISION, BOX, NIGHT_STAND, LAMP = 14, 16, 17, 18, 22, 25, 29, 32, 35
NOT_ANNOTATED = 0
THICK_M = 0.1  # of walls

Span = tuple[float, float]
Color = tuple[float, float, float]  # BGR 0..255


@dataclass(frozen=True)
class Block:
    """A cuboid that stands upright."""

    middle: tuple[float, float, float]  # metres in the room
    half: tuple[float, float, float]  # half its sides
    turn: float  # radians about z
    kind: int  # NYU's class
    number: int  # of the object it belongs to
    color: Color
    grain: float = 0.05  # how much its brightness varies
    glass: bool = False  # the depth camera sees through it

    def axes(self) -> NDArray[np.float32]:
        """(3, 3) its own directions as rows in the world."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=np.float32)


@dataclass(frozen=True)
class FurniturePart:
    """A cuboid of a piece: along the wall, away from it, up, in metres; the piece's middle is at 0 along the wall."""

    kind: int
    x: Span
    y: Span
    z: Span
    color: Color
    glass: bool = False


def legs(x: float, y: Span, top: float, kind: int, color: Color) -> list[FurniturePart]:
    return [
        FurniturePart(kind, (a - 0.03, a + 0.03), (b - 0.03, b + 0.03), (0, top), color)
        for a in (-x + 0.05, x - 0.05)
        for b in (y[0] + 0.05, y[1] - 0.05)
    ]


WOOD, DARK, WHITE, CLOTH, BLUE, BLACK = (
    (70.0, 105, 150),
    (45.0, 60, 85),
    (205.0, 210, 215),
    (95.0, 100, 140),
    (150.0, 105, 70),
    (30.0, 30, 34),
)


def chair(y: float) -> list[FurniturePart]:
    """y: metres from the wall to its front."""
    seat = FurniturePart(CHAIR, (-0.22, 0.22), (y, y + 0.45), (0.42, 0.47), DARK)
    back = FurniturePart(CHAIR, (-0.22, 0.22), (y + 0.41, y + 0.45), (0.47, 0.92), DARK)
    return [seat, back, *legs(0.22, (y, y + 0.45), 0.42, CHAIR, DARK)]


PIECES: dict[str, list[list[FurniturePart]]] = {  # each a list of objects, each a list of parts
    "bed": [
        [
            FurniturePart(BED, (-0.8, 0.8), (0.05, 2.05), (0.0, 0.5), CLOTH),
            FurniturePart(BED, (-0.85, 0.85), (0.0, 0.06), (0, 1.0), WOOD),
        ],
        [FurniturePart(PILLOW, (-0.65, -0.1), (0.1, 0.5), (0.5, 0.62), WHITE)],
        [FurniturePart(PILLOW, (0.1, 0.65), (0.1, 0.5), (0.5, 0.62), WHITE)],
        [FurniturePart(NIGHT_STAND, (0.95, 1.4), (0.0, 0.4), (0, 0.55), WOOD)],
        [
            FurniturePart(LAMP, (1.15, 1.2), (0.18, 0.23), (0.55, 0.85), DARK),
            FurniturePart(LAMP, (1.05, 1.3), (0.08, 0.33), (0.85, 1.05), WHITE),
        ],
    ],
    "sofa": [
        [
            FurniturePart(SOFA, (-0.95, 0.95), (0.0, 0.85), (0.0, 0.42), BLUE),
            FurniturePart(SOFA, (-0.95, 0.95), (0.0, 0.22), (0.42, 0.85), BLUE),
            FurniturePart(SOFA, (-1.1, -0.92), (0.0, 0.85), (0, 0.6), BLUE),
            FurniturePart(SOFA, (0.92, 1.1), (0.0, 0.85), (0, 0.6), BLUE),
        ],
        [
            FurniturePart(TABLE, (-0.5, 0.5), (1.2, 1.75), (0.38, 0.42), WOOD),
            *legs(0.5, (1.2, 1.75), 0.38, TABLE, WOOD),
        ],
    ],
    "desk": [
        [
            FurniturePart(DESK, (-0.75, 0.75), (0.0, 0.7), (0.72, 0.76), WOOD),
            FurniturePart(DESK, (-0.75, -0.7), (0.0, 0.7), (0, 0.72), WOOD),
            FurniturePart(DESK, (0.7, 0.75), (0.0, 0.7), (0, 0.72), WOOD),
        ],
        [FurniturePart(TELEVISION, (-0.3, 0.3), (0.2, 0.26), (0.82, 1.2), BLACK)],
        chair(0.6),
    ],
    "table": [
        [FurniturePart(TABLE, (-0.7, 0.7), (0.9, 1.7), (0.7, 0.74), WOOD), *legs(0.7, (0.9, 1.7), 0.7, TABLE, WOOD)],
        chair(1.55),
        [FurniturePart(BOX, (-0.5, -0.2), (1.1, 1.35), (0.74, 0.95), CLOTH)],
    ],
    "shelf": [
        [
            FurniturePart(SHELF, (-0.5, 0.5), (0.0, 0.04), (0, 1.9), WOOD),
            FurniturePart(SHELF, (-0.52, -0.48), (0.0, 0.3), (0, 1.9), WOOD),
            FurniturePart(SHELF, (0.48, 0.52), (0.0, 0.3), (0, 1.9), WOOD),
            *(FurniturePart(SHELF, (-0.5, 0.5), (0.0, 0.3), (z, z + 0.03), WOOD) for z in (0.05, 0.5, 0.95, 1.4, 1.87)),
        ],
        [FurniturePart(NOT_ANNOTATED, (-0.3, 0.2), (0.05, 0.25), (0.98, 1.25), BLUE)],
    ],
    "cabinet": [[FurniturePart(CABINET, (-0.6, 0.6), (0.0, 0.55), (0, 2.0), WHITE)]],
    "dresser": [
        [FurniturePart(DRESSER, (-0.6, 0.6), (0.0, 0.5), (0, 0.85), DARK)],
        [FurniturePart(TELEVISION, (-0.45, 0.45), (0.15, 0.2), (0.88, 1.45), BLACK)],
    ],
    "boxes": [
        [FurniturePart(BOX, (-0.3, 0.15), (0.05, 0.5), (0, 0.4), (85.0, 125, 165))],
        [FurniturePart(BOX, (-0.2, 0.1), (0.1, 0.4), (0.4, 0.65), (85.0, 125, 165))],
    ],
}
ON_WALLS: list[list[FurniturePart]] = [
    [FurniturePart(DOOR, (-0.45, 0.45), (0.0, 0.05), (0.0, 2.05), (110.0, 140, 175))],
    [FurniturePart(WINDOW, (-0.6, 0.6), (0.0, 0.04), (0.95, 2.0), (235.0, 225, 210), glass=True)],
    [FurniturePart(CURTAIN, (-0.25, 0.25), (0.0, 0.12), (0.1, 2.2), (120.0, 90, 150))],
    [FurniturePart(PICTURE, (-0.35, 0.35), (0.0, 0.03), (1.2, 1.75), (60.0, 120, 90))],
]


def furnished(rng: np.random.Generator, room: NDArray[np.float64]) -> list[Block]:
    """All blocks of a room of this length, width and height: its shell, then pieces along its walls."""
    blocks = shell(rng, room)
    for wall in range(4):
        chosen = rng.permutation(list(PIECES))[: int(rng.integers(1, 3))]
        spots = rng.permutation([0.27, 0.73])
        for name, spot in zip(chosen, spots, strict=False):
            blocks += placed(rng, PIECES[str(name)], wall, float(spot), room, len(blocks))
        for k in rng.permutation(len(ON_WALLS))[: int(rng.integers(0, 3))]:
            blocks += placed(rng, [ON_WALLS[int(k)]], wall, float(rng.uniform(0.2, 0.8)), room, len(blocks))
    return blocks


def shell(rng: np.random.Generator, room: NDArray[np.float64]) -> list[Block]:
    """Floor, ceiling and four walls."""
    x, y, z = (float(side) for side in room)
    floor, wall, ceiling = (tinted(rng, color) for color in ((80.0, 115, 150), (175.0, 190, 200), (215.0, 215, 215)))
    t = THICK_M / 2
    return [
        Block((x / 2, y / 2, -t), (x, y, t), 0, FLOOR, 0, floor, 0.15),
        Block((x / 2, y / 2, z + t), (x, y, t), 0, CEILING, 1, ceiling),
        Block((-t, y / 2, z / 2), (t, y, z), 0, WALL, 2, wall),
        Block((x + t, y / 2, z / 2), (t, y, z), 0, WALL, 3, wall),
        Block((x / 2, -t, z / 2), (x, t, z), 0, WALL, 4, wall),
        Block((x / 2, y + t, z / 2), (x, t, z), 0, WALL, 5, wall),
    ]


def placed(
    rng: np.random.Generator,
    piece: list[list[FurniturePart]],
    wall: int,
    spot: float,
    room: NDArray[np.float64],
    first: int,
) -> list[Block]:
    """A piece against a wall.

    wall: 0 the one at y = 0, then on to the left. spot: share of its length. first: number of the first object.
    """
    turn = wall * np.pi / 2
    c, s = np.cos(turn), np.sin(turn)
    x, y = float(room[0]), float(room[1])
    corner = np.array([(0, 0), (x, 0), (x, y), (0, y)][wall])
    along, away = np.array([c, s]), np.array([-s, c])
    start = corner + along * spot * (x if wall % 2 == 0 else y) + away * 0.01
    scale = rng.uniform(0.88, 1.1)
    blocks = []
    for k, parts in enumerate(piece):
        color = tinted(rng, parts[0].color)
        for part in parts:
            shade = color if part.color == parts[0].color else part.color
            spans = np.array([part.x, part.y, part.z]) * np.array([[scale], [scale], [1.0]])
            middle, half = spans.mean(axis=1), np.ptp(spans, axis=1) / 2
            at = start + along * middle[0] + away * middle[1]
            place = (float(at[0]), float(at[1]), float(middle[2]))
            sides = (float(half[0]), float(half[1]), float(half[2]))
            blocks.append(Block(place, sides, turn, part.kind, first + k, shade, glass=part.glass))
    return blocks


def tinted(rng: np.random.Generator, color: Color) -> Color:
    """Another shade of a colour, sometimes another colour."""
    b, g, r = np.clip(np.array(color) * rng.uniform(0.75, 1.2) * rng.uniform(0.85, 1.15, 3), 8, 245)
    return float(b), float(g), float(r)
