"""What the driver does over a clip: emotion moves the face, behaviour moves head, hands, gaze and speech."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.footage.motion import FRAMES, TIME_S, Curve, bump, poisson_times, pulses, ramp, wander

# Positions are in frame heights, y down, from the frame's top left; angles in degrees.
REST_HANDS = {"right": (0.80, 0.86), "left": (1.33, 0.88)}  # on the wheel; sides are the driver's


@dataclass
class Script:
    """Every moving quantity of the driver, one curve each."""

    yaw: Curve  # head turned to the image's right
    pitch: Curve  # head down
    roll: Curve  # head tilted
    shift_x: Curve  # head moved, frame heights
    shift_y: Curve
    lean: Curve  # torso moved sideways, frame heights
    lids: Curve  # 1 open, 0 closed
    gaze_x: Curve  # -1..1
    gaze_y: Curve
    brow_in: Curve  # inner ends raised
    brow_out: Curve  # outer ends raised
    frown: Curve  # inner ends drawn together
    corners: Curve  # mouth corners raised
    mouth: Curve  # opening
    press: Curve  # lips pressed thin
    grin: Curve  # mouth widened
    hand: dict[str, np.ndarray]  # side -> (FRAMES, 2) wrist
    curl: dict[str, Curve]  # side -> 0 open hand, 1 fist
    aim: dict[str, Curve | None]  # side -> hand's direction in degrees from the image's right; None: the forearm's
    prop: str = ""  # "phone" or "cigarette"
    prop_side: str = "right"
    puff: Curve = field(default_factory=lambda: still())  # cigarette at the lips, 0..1


def still(value: float = 0.0) -> Curve:
    return np.full(FRAMES, value)


def dart(rng: np.random.Generator, rate_hz: float, size: float) -> Curve:
    """Gaze that jumps and holds."""
    jumps = np.searchsorted(poisson_times(rng, rate_hz), TIME_S)
    return np.asarray(np.clip(rng.normal(0, size, jumps.max() + 1)[jumps], -1, 1))


def neutral(rng: np.random.Generator) -> Script:
    """A calm driver, both hands on the wheel. The offsets are the person: some faces look cross at rest."""
    steer = wander(rng, 0.012)
    hands = {
        side: np.stack([x + rng.normal(0, 0.02) + 0.3 * steer, y + rng.normal(0, 0.015) + sign * steer], axis=1)
        for (side, (x, y)), sign in zip(REST_HANDS.items(), (1, -1), strict=True)
    }
    return Script(
        yaw=wander(rng, 2.5) + rng.normal(0, 3),
        pitch=wander(rng, 1.5) + rng.normal(0, 2.5),
        roll=wander(rng, 1.5),
        shift_x=wander(rng, 0.004),
        shift_y=wander(rng, 0.003),
        lean=wander(rng, 0.004),
        lids=still(1 + rng.normal(0, 0.07)),
        gaze_x=dart(rng, 0.8, 0.25),
        gaze_y=dart(rng, 0.6, 0.15),
        brow_in=still(rng.normal(0, 0.2)),
        brow_out=still(rng.normal(0, 0.2)),
        frown=still(rng.normal(0, 0.15)),
        corners=still(rng.normal(0, 0.18)) + wander(rng, 0.04),
        mouth=still(0.02),
        press=still(rng.uniform(0, 0.2)),
        grin=still(),
        hand=hands,
        curl={"right": still(0.9), "left": still(0.9)},
        aim={"right": None, "left": None},
    )


# What a feeling adds to the resting face at full strength: curve of the script -> amount.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "Peace": {},
    "Happiness": {"corners": 1.0, "grin": 0.8, "lids": -0.22, "brow_out": 0.25},
    "Anger": {
        "brow_in": -1.0,
        "brow_out": 0.3,
        "frown": 1.0,
        "lids": -0.2,
        "press": 0.8,
        "corners": -0.45,
        "pitch": 3,
    },
    "Anxiety": {
        "brow_in": 1.0,
        "brow_out": -0.15,
        "frown": 0.5,
        "lids": 0.3,
        "corners": -0.5,
        "grin": 0.3,
        "mouth": 0.12,
    },
    "Weariness": {
        "lids": -0.42,
        "brow_in": -0.05,
        "brow_out": -0.6,
        "corners": -0.25,
        "mouth": 0.1,
        "pitch": 4,
        "gaze_y": 0.35,
    },
}
BLINKS = {"Anxiety": (1.0, 0.25), "Weariness": (0.5, 0.8)}  # per second, and how long one takes, s
CALM_BLINKS = (0.3, 0.3)


def feel(script: Script, emotion: str, rng: np.random.Generator) -> None:
    """Put an emotion on the face: it swells and fades a little, as expressions do."""
    strength = np.clip(rng.uniform(0.8, 1.1) + wander(rng, 0.1), 0.55, 1.2)
    for name, amount in EXPRESSIONS[emotion].items():
        setattr(script, name, getattr(script, name) + amount * strength)
    if emotion == "Happiness":
        script.mouth += 0.28 * strength * ramp(rng.uniform(-1.5, 1.0), 0.6)
    elif emotion == "Anxiety":
        script.gaze_x = np.clip(script.gaze_x + dart(rng, 3.0, 0.5), -1, 1)
    elif emotion == "Weariness" and rng.random() < 0.45:
        yawn(script, bump(rng.uniform(0.6, 2.4), 2.2))
    blink_hz, blink_s = BLINKS.get(emotion, CALM_BLINKS)
    script.lids *= 1 - pulses(poisson_times(rng, blink_hz), blink_s)


def yawn(script: Script, course: Curve) -> None:
    script.mouth += 1.1 * course
    script.grin -= 0.4 * course
    script.lids -= 0.4 * course
    script.brow_in += 0.4 * course
    script.pitch -= 6 * course


def talk(script: Script, rng: np.random.Generator, share: float = 1.0) -> None:
    """Syllables at three to five a second, in phrases."""
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(3.0, 4.6) * TIME_S + rng.random() + wander(rng, 0.12)))
    phrase = np.clip(wander(rng, 0.5, 3.0, 1.2) + 0.9, 0.25, 1)
    script.mouth = script.mouth + share * 0.75 * beat * phrase
    script.press = script.press * (1 - 0.8 * share * beat)
    script.pitch = script.pitch + share * wander(rng, 2.5, 1.5, 0.6)


def reach(script: Script, side: str, target: tuple[float, float] | np.ndarray, course: Curve) -> None:
    """Take one hand from where it is towards a place, as far as `course` (0..1) says."""
    away = course[:, None]
    script.hand[side] = script.hand[side] * (1 - away) + np.asarray(target) * away


def head_at(script: Script, dx: float, dy: float, seat: tuple[float, float]) -> np.ndarray:
    """A place that moves with the head."""
    return np.stack([seat[0] + script.shift_x + dx, seat[1] + script.shift_y + dy], axis=1)


def smoke(script: Script, rng: np.random.Generator, seat: tuple[float, float]) -> None:
    side = "right" if rng.random() < 0.7 else "left"
    sign = -1 if side == "right" else 1
    start = rng.uniform(-1.2, 1.2)
    puff = np.clip(ramp(start, 0.7) - ramp(start + rng.uniform(1.3, 2.2), 0.7), 0, 1)
    rest = head_at(script, sign * rng.uniform(0.20, 0.27), rng.uniform(0.22, 0.32), seat)
    at_lips = head_at(script, sign * 0.105, 0.185, seat)
    reach(script, side, rest * (1 - puff[:, None]) + at_lips * puff[:, None], still(1.0))
    script.curl[side] = still(0.45)
    script.aim[side] = still(-70.0 if side == "right" else -110.0) + wander(rng, 4)
    script.prop, script.prop_side, script.puff = "cigarette", side, puff


def phone(script: Script, rng: np.random.Generator, seat: tuple[float, float]) -> None:
    side = "right" if rng.random() < 0.6 else "left"
    sign = -1 if side == "right" else 1
    course = ramp(rng.uniform(-1.5, 0.5), 0.7)
    place = head_at(script, sign * rng.uniform(0.155, 0.175), rng.uniform(0.07, 0.11), seat)
    reach(script, side, place + wander(rng, 0.003)[:, None], course)
    script.curl[side] = 0.9 - 0.25 * course
    script.aim[side] = still(-82.0 if side == "right" else -98.0)
    script.roll += sign * -4 * course
    script.prop, script.prop_side = "phone", side
    if rng.random() < 0.6:
        talk(script, rng, share=0.5)


def look_around(script: Script, rng: np.random.Generator) -> None:
    period = rng.uniform(1.6, 3.0)
    sweep = np.sin(2 * np.pi * (TIME_S / period + rng.random()))
    sweep = np.sign(sweep) * np.abs(sweep) ** 0.7
    script.yaw += sweep * rng.uniform(30, 46)
    script.gaze_x = np.clip(script.gaze_x + 0.8 * sweep, -1, 1)
    script.roll += sweep * rng.uniform(-3, 3)
    script.shift_x += 0.012 * sweep


def doze(script: Script, rng: np.random.Generator) -> None:
    """Lids shut for long, the head sinks, sometimes jerks up."""
    start = rng.uniform(-1.5, 0.4)
    sink = ramp(start, rng.uniform(1.2, 2.2))
    jerk = bump(rng.uniform(1.5, 2.8), 0.6) if rng.random() < 0.5 else still()
    shut = np.clip(ramp(start - 0.3, 0.6) - 0.6 * jerk, 0, 1)
    script.lids = script.lids * (1 - shut)
    down = sink * (1 - 0.7 * jerk)
    script.pitch += rng.uniform(17, 28) * down
    script.roll += rng.choice([-1, 1]) * rng.uniform(4, 14) * down
    script.shift_y += 0.045 * down
    script.curl = {side: curl - 0.3 * down for side, curl in script.curl.items()}


def move_body(script: Script, rng: np.random.Generator) -> None:
    """Lean, twist and reach for something."""
    side = "right" if rng.random() < 0.65 else "left"
    sign = -1 if side == "right" else 1
    course = bump(rng.uniform(0.8, 2.2), rng.uniform(2.0, 3.2))
    lean = sign * rng.uniform(0.09, 0.15) * course + wander(rng, 0.025, 2.5, 1.2)
    script.lean += lean
    script.shift_x += 1.25 * lean
    script.shift_y += 0.25 * np.abs(lean)
    script.roll += sign * rng.uniform(5, 11) * course
    script.yaw += sign * rng.uniform(8, 20) * course
    target = (0.9 + sign * rng.uniform(0.42, 0.62), rng.uniform(0.62, 0.98))
    reach(script, side, target, course)
    script.curl[side] = script.curl[side] - 0.7 * course


def behave(script: Script, behavior: str, rng: np.random.Generator, seat: tuple[float, float]) -> None:
    """Add a behaviour. Normal driving looks into the mirrors now and then, as everybody does."""
    if behavior != "Looking Around" and rng.random() < 0.5:
        glance = bump(rng.uniform(0.2, 2.8), 0.9) * rng.choice([-1.0, 1.0])
        script.yaw += rng.uniform(4, 12) * glance
        script.gaze_x = np.clip(script.gaze_x + 0.7 * glance, -1, 1)
    if behavior == "Talking":
        talk(script, rng)
        script.yaw += rng.choice([-12.0, 0.0, 0.0]) * bump(rng.uniform(0.5, 2.5), 2.5)
    elif behavior == "Smoking":
        smoke(script, rng, seat)
    elif behavior == "Making Phone":
        phone(script, rng, seat)
    elif behavior == "Looking Around":
        look_around(script, rng)
    elif behavior == "Dozing Off":
        doze(script, rng)
    elif behavior == "Body Movement":
        move_body(script, rng)


def write_script(emotion: str, behavior: str, rng: np.random.Generator, seat: tuple[float, float]) -> Script:
    """seat: where the head rests, in frame heights."""
    script = neutral(rng)
    feel(script, emotion, rng)
    behave(script, behavior, rng, seat)
    script.lids = np.clip(script.lids, 0, 1.4)
    script.mouth = np.clip(script.mouth, 0, 1.3)
    script.press = np.clip(script.press, 0, 1)
    return script
