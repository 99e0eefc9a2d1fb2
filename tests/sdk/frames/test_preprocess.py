"""Pixels and keypoints as the graphs take them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from codriver.frames.preprocess import MIN_FACE_PX, crop, joints_from_keypoints, stream_inputs
from codriver.percept import Driver
from codriver.resize import resize

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(1080, 1920), (720, 1280), (721, 1283), (224, 224), (100, 90), (1, 1), (5000, 7)])
def test_any_size_becomes_a_square_of_the_asked_size(shape: tuple[int, int]) -> None:
    image = RANDOM.integers(0, 256, (*shape, 3), np.uint8)
    square = resize(image, 224)
    assert square.shape == (224, 224, 3) and square.dtype == np.uint8 and square.flags.c_contiguous


@pytest.mark.parametrize("shape", [(1080, 1920), (721, 1283), (448, 448), (30, 40), (224, 224)])
def test_a_flat_colour_stays_as_it_is(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (10, 128, 250), np.uint8)
    assert (resize(image, 224) == (10, 128, 250)).all()


@pytest.mark.parametrize("size_px", [28, 56, 112])
def test_shrinking_by_whole_steps_is_the_mean_of_what_is_covered(size_px: int) -> None:
    image = RANDOM.integers(0, 256, (224, 224, 3), np.uint8)
    step = 224 // size_px
    mean = image.reshape(size_px, step, size_px, step, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, size_px) - mean).max() <= 1.5  # each halving rounds once


def test_every_processor_gets_the_same_pixels() -> None:
    """A model trained on one processor sees on another what it was trained on."""
    digest = hashlib.sha256()
    for height, width in ((448, 448), (720, 1280), (480, 640), (300, 417), (90, 160)):
        noise = np.arange(height * width * 3, dtype=np.uint64) ** 2 * 2654435761 >> 13
        digest.update(resize(noise.astype(np.uint8).reshape(height, width, 3), 224).tobytes())
    # x86 with OpenCV 4.10, 4.12 and 5.0; an emulated ARM (docs/arm.md) with 5.0, where INTER_LINEAR gave others
    assert digest.hexdigest()[:16] == "ca9480ef32fbf483"


@pytest.mark.parametrize("shape", [(720, 1280), (1280, 720), (301, 417), (180, 192), (64, 900), (112, 64), (150, 224)])
def test_ways_that_opencv_is_quick_at_give_the_pixels_of_the_plain_one(shape: tuple[int, int]) -> None:
    import cv2

    image = RANDOM.integers(0, 256, (*shape, 3), np.uint8)
    plain, (height, width) = image.astype(np.uint32), shape
    while min(height, width) >= 2 * 112 or max(height, width) > 2 * 112:  # a side alone at 2:1 is left to the last pass
        rows, columns = (2 if side >= 2 * 112 else 1 for side in (height, width))
        height, width = height // rows, width // columns
        blocks = plain[: height * rows, : width * columns].reshape(height, rows, width, columns, 3)
        plain = (blocks.sum(axis=(1, 3)) + rows * columns // 2) // (rows * columns)  # the mean, halves rounded up
    expected = cv2.resize(plain.astype(np.uint8), (112, 112), interpolation=cv2.INTER_LINEAR_EXACT)
    np.testing.assert_array_equal(resize(image, 112), expected)
    out = np.zeros((112, 112, 3), np.uint8)
    assert resize(image, 112, out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("across", [False, True])
def test_a_side_alone_twice_as_long_gives_the_mean_of_two(across: bool) -> None:
    image = RANDOM.integers(0, 256, (112, 224, 3), np.uint8)
    pairs = image.reshape(112, 112, 2, 3).astype(int)
    found = resize(image.transpose(1, 0, 2) if across else image, 112)
    np.testing.assert_array_equal(found.transpose(1, 0, 2) if across else found, (pairs.sum(axis=2) + 1) // 2)


def test_halving_first_differs_little_from_averaging_at_once() -> None:
    import cv2

    x, y = np.meshgrid(np.linspace(0, 9, 1280), np.linspace(0, 7, 720))
    scene = 127 + 60 * np.sin(3 * x) * np.cos(2 * y) + 40 * np.sin(x * y)
    image = np.repeat(scene[..., None], 3, axis=2).astype(np.uint8)
    at_once = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
    assert np.abs(resize(image, 224).astype(int) - at_once).mean() < 1


def test_resizing_does_not_write_to_the_frame() -> None:
    image = RANDOM.integers(0, 256, (224, 224, 3), np.uint8)
    kept = image.copy()
    for size_px in (32, 224, 300):
        resize(image, size_px)[:] = 0 if size_px != 224 else image
    np.testing.assert_array_equal(image, kept)


def test_a_crop_is_clamped_to_the_frame() -> None:
    image = RANDOM.integers(0, 256, (40, 60, 3), np.uint8)
    cut = crop(image, (50, -5, 30, 25), MIN_FACE_PX)
    assert cut is not None
    np.testing.assert_array_equal(cut, image[0:20, 50:60])


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40)])
def test_a_box_that_leaves_less_than_the_least_within_the_frame_is_none(height: int, width: int) -> None:
    """What counts is what is left of it on each side of the frame, whichever is the longer one."""
    image = RANDOM.integers(0, 256, (height, width, 3), np.uint8)
    assert crop(image, (0, height - 9, width, 100), MIN_FACE_PX) is None
    assert crop(image, (width - 9, 0, 100, height), MIN_FACE_PX) is None
    for box, expected in (
        ((0, height - 10, width, 100), image[height - 10 :]),
        ((width - 10, 0, 100, height), image[:, width - 10 :]),
    ):
        cut = crop(image, box, MIN_FACE_PX)
        assert cut is not None
        np.testing.assert_array_equal(cut, expected)


def test_a_box_of_the_face_is_the_face_alone_and_one_of_the_body_the_body_alone() -> None:
    frames, sizes = {"incar": RANDOM.integers(0, 256, (60, 80, 3), np.uint8)}, {"face": 16, "body": 16}
    box = (10.0, 5.0, 40.0, 40.0)
    assert list(stream_inputs(frames, Driver(face_px=box), sizes)) == ["face"]
    assert list(stream_inputs(frames, Driver(body_px=box), sizes)) == ["body"]
    assert sorted(stream_inputs(frames, Driver(face_px=box, body_px=box), sizes)) == ["body", "face"]


def test_keypoints_are_shares_of_the_frame_and_far_ones_are_clipped() -> None:
    keypoints = np.zeros((136, 3), np.float32)
    keypoints[0] = (320, 90, 0.5)
    keypoints[1] = (-1e6, 1e6, 2.0)
    keypoints[2] = (np.nan, 10, 1.0)
    keypoints[135] = (640, 360, 1.0)
    posture, gesture = joints_from_keypoints(keypoints, width_px=640, height_px=360)
    assert posture.shape == (26, 3) and gesture.shape == (42, 3) and posture.dtype == np.float32
    assert posture[:3].tolist() == [[0.5, 0.25, 0.5], [-0.25, 1.25, 1.0], [0, 0, 0]]
    assert gesture[41].tolist() == [1, 1, 1]


def test_numbers_too_large_for_float32_are_not_finite_and_become_zeros() -> None:
    posture, gesture = joints_from_keypoints(np.full((136, 3), 1e300), 640, 360)  # type: ignore[arg-type]
    assert not posture.any() and not gesture.any()
