"""One camera's record: which picture makes which alarm, and after how long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from codriver.config import HealthConfig, Policy, check_policy, limit
from codriver.errors import ConfigError
from codriver.files.decode import Fault, decode, encode
from codriver.frames.health import ViewHealth, look_at
from codriver.frames.preprocess import joints_from_keypoints, stream_inputs
from codriver.percept import Driver
from codriver.tasks import VIEWS
from workshop.bundle_writer import default_policy

NOISE = np.random.default_rng(0).integers(0, 256, (20, 36, 64, 3), np.uint8)


def fed(pictures: list[np.ndarray], rate_hz: float = 20.0, config: HealthConfig | None = None) -> ViewHealth:
    health = ViewHealth(config or HealthConfig())
    for number, picture in enumerate(pictures):
        health.judge(look_at(picture), number / rate_hz)
    return health


def grey(level: int, spread: int = 0, count: int = 12) -> list[np.ndarray]:
    """Level and level + spread in a fine check, one corner changing from picture to picture."""
    check = (np.indices((36, 64)).sum(axis=0) % 2 * spread + level).astype(np.uint8)
    pictures = [np.repeat(check[..., None], 3, axis=2) for _ in range(count)]
    for number, picture in enumerate(pictures):
        picture[0, 0] = level + number % 2
    return pictures


@pytest.mark.parametrize(
    ("level", "spread", "fault"),
    [(0, 7, "black"), (3, 7, "black"), (4, 7, "black"), (5, 7, ""), (3, 9, ""), (246, 7, "saturated"), (240, 7, "")],
)
def test_black_and_saturated_are_levels_with_little_spread(level: int, spread: int, fault: str) -> None:
    assert fed(grey(level, spread)).fault == fault


@pytest.mark.parametrize(("frames", "fault"), [(10, ""), (11, "black")])
def test_black_lasts_half_a_second_before_it_is_a_fault(frames: int, fault: str) -> None:
    assert fed(grey(0, count=frames)).fault == fault


@pytest.mark.parametrize("rate_hz", [10.0, 15.0, 30.0])
def test_five_equal_pictures_are_frozen_at_any_rate(rate_hz: float) -> None:
    assert fed([NOISE[0]] * 4, rate_hz).fault == ""
    assert fed([NOISE[0]] * 5, rate_hz).fault == "frozen"


def test_one_changed_pixel_among_those_that_are_read_is_no_freeze() -> None:
    other = NOISE[0].copy()
    other[3, 5, 1] ^= 1
    assert fed([NOISE[0], NOISE[0], NOISE[0], other, NOISE[0], NOISE[0], other]).fault == ""


@pytest.mark.parametrize(("blurred", "fault"), [(9, ""), (10, "covered")])
def test_covered_is_no_detail_in_ten_of_sixteen_blocks_for_a_second(blurred: int, fault: str) -> None:
    pictures = []
    for number in range(21):
        picture = NOISE[number % 20] // 32 + np.uint8(100)
        for block in range(blurred):
            row, column = divmod(block, 4)
            picture[row * 9 : row * 9 + 9, column * 16 : column * 16 + 16] = 103
        pictures.append(picture)
    health = ViewHealth(HealthConfig(covered_below=30.0))  # the rim of a block is an edge
    for number, picture in enumerate(pictures):
        health.judge(look_at(picture), number / 20)
    assert health.fault == fault


def test_ten_good_frames_end_a_fault_and_frames_shown_twice_do_not_count() -> None:
    health = fed([NOISE[0]] * 5)
    for number in range(9):
        health.judge(look_at(NOISE[1 + number]), 1.0 + number * 0.1)
        health.judge(look_at(NOISE[1 + number]), 1.05 + number * 0.1)
        assert health.fault == "frozen"
        assert health.status(1.0).reason == f"was frozen; {number + 1} of 10 good frames since"
    health.judge(look_at(NOISE[15]), 2.0)
    assert health.fault == "" and health.status(2.0).status == "ok"


def test_a_fault_that_comes_back_while_the_view_recovers_starts_the_count_anew() -> None:
    health = fed([NOISE[0]] * 5)
    for number in range(9):
        health.judge(look_at(NOISE[1 + number]), 1.0 + number * 0.1)
    for number in range(5):
        health.judge(look_at(NOISE[9]), 2.0 + number * 0.1)
    for number in range(9):
        health.judge(look_at(NOISE[1 + number]), 3.0 + number * 0.1)
        assert health.status(3.0).reason == f"was frozen; {number + 1} of 10 good frames since"
    health.judge(look_at(NOISE[15]), 4.0)
    assert health.fault == ""


def same_grey(level: int) -> np.ndarray:
    return np.full((36, 64, 3), level, np.uint8)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_repeat_by_themselves_and_are_no_freeze(level: int) -> None:
    """Five equal pictures of a dark tunnel take a sixth of a second at 30 Hz; black is told after half of one."""
    assert fed([same_grey(level)] * 14, rate_hz=30.0).fault == ""
    assert fed([same_grey(level)] * 17, rate_hz=30.0).fault == ("black" if level == 0 else "saturated")


def test_what_was_black_is_covered_only_after_a_second_without_detail_in_the_light() -> None:
    health = ViewHealth(HealthConfig())
    for number in range(18):  # 0.9 s
        health.judge(look_at(same_grey(0)), number / 20)
    for number, picture in enumerate(grey(120, count=22), start=18):
        health.judge(look_at(picture), number / 20)
        assert health.fault == ("black" if number - 18 < 20 else "covered")
    assert health.began_s == pytest.approx(18 / 20)


def test_a_picture_is_sampled_down_to_about_90_lines() -> None:
    for height, width in ((720, 1280), (1080, 1920), (180, 320)):
        picture = np.zeros((height, width, 3), np.uint8)
        stride = height // 90
        look = look_at(picture)
        picture[1::stride, :, 1] = 255 if stride > 1 else 0
        assert look_at(picture).pixels == look.pixels  # lines between are not read
        picture[0, 0, 1] = 1
        assert look_at(picture).pixels != look.pixels


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 200, 3), (200, 3, 3), (4, 4, 3)])
def test_pictures_of_any_size_can_be_looked_at(shape: tuple[int, ...]) -> None:
    assert np.isfinite(look_at(np.full(shape, 100, np.uint8)).mean)


def test_a_view_says_why_there_is_no_frame_of_it() -> None:
    health = ViewHealth(HealthConfig())
    assert (health.status(0.0).status, health.status(0.0).reason) == ("never", "no frame yet")
    assert (health.status(0.0, "of the future").status, health.status(0.0, "of the future").reason) == (
        "refused",
        "of the future",
    )
    health.judge(look_at(NOISE[0]), 0.0)
    assert health.status(2.0).reason == "no frame for 2.0 s"
    assert health.status(2.0, "of the past").reason == "no frame for 2.0 s; of the past"


# The policy


def test_a_limit_is_a_number_from_0_to_a_million_unless_it_says_otherwise() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Limits:
        plain_s: float = limit(2.0)
        share: float = limit(0.5, low=0.25, high=1)

    assert Limits() == Limits(plain_s=2.0, share=0.5)
    for good in ({"plain_s": 0, "share": 0.25}, {"plain_s": 1e6, "share": 1}):
        assert encode(decode(Limits, good)) == good
    for bad in ({"plain_s": -0.1, "share": 1}, {"plain_s": 1.1e6, "share": 1}, {"plain_s": 1, "share": 0.2}):
        with pytest.raises(Fault, match="expected a number from 0"):
            decode(Limits, bad)


def test_a_policy_that_can_be_meant_passes_and_masks_no_fault_twice() -> None:
    check_policy(default_policy(VIEWS), VIEWS)
    with pytest.raises(ConfigError, match=r"masked is \['black', 'black'\], expected each once"):
        check_policy(Policy(masked=("black", "black")), VIEWS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"late_s": -1.0}, "late_s is -1.0, expected a number from 0"),
        ({"lost_s": float("nan")}, "lost_s is nan"),
        ({"flat_s": float("inf")}, "flat_s is inf"),
        ({"frozen_frames": 1}, "frozen_frames is 1, expected a whole number from 2"),
        ({"frozen_frames": 5.5}, "frozen_frames is 5.5, expected a whole number"),
        ({"covered_share": 1.5}, "covered_share is 1.5"),
        ({"black_below": True}, "black_below is true"),
        ({"covered_s": "1"}, "covered_s is the text '1'"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_a_config_error(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^policy\.health\.incar\.{message}"):
        check_policy(Policy().with_view("incar", **changes), VIEWS)


def test_a_policy_names_only_what_there_is() -> None:
    with pytest.raises(ConfigError, match="health has no 'blackness'; it has late_s"):
        Policy().with_view("incar", blackness=1.0)
    with pytest.raises(ConfigError, match="health of view 'rear', expected some of incar"):
        check_policy(Policy().with_view("rear", late_s=1.0), VIEWS)
    with pytest.raises(ConfigError, match="masked\\[0\\] is 'late', expected one of lost, black"):
        check_policy(Policy(masked=("late",)), VIEWS)


def test_with_view_changes_one_camera_alone() -> None:
    policy = default_policy(VIEWS).with_view("incar", black_below=2.0)
    assert policy.health_of("incar") == HealthConfig(black_below=2.0) and policy.health_of("left") == HealthConfig()


# The driver


def test_a_joint_that_is_not_a_number_is_masked_and_a_body_of_such_joints_is_absent() -> None:
    incar = {"incar": NOISE[0]}
    for bad, present in ((13, {"posture", "gesture"}), (14, {"gesture"})):
        keypoints = np.ones((136, 3), np.float32)
        keypoints[:bad, 0] = np.nan
        posture, _ = joints_from_keypoints(keypoints, 64, 36)
        assert not posture[:bad].any() and posture[bad:].all()
        assert set(stream_inputs(incar, Driver(keypoints=keypoints), {})) == present


def test_a_status_says_what_kind_of_time_its_newest_frame_has():
    health = ViewHealth(HealthConfig())
    assert health.status(0.0).clock == ""
    health.judge(look_at(NOISE[0]), 1.0, "capture")
    assert health.status(1.0).to_dict()["clock"] == "capture"
    health.judge(look_at(NOISE[1]), 1.1, "arrival")
    assert health.status(1.1).clock == "arrival"
