"""One reader of pictures for training and for the device: whole, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from codriver.files.images import BadImage, decode_image, numbered

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
FORMS = {
    "baseline": (".jpg", []),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "restarts": (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]),
    "png": (".png", []),
}


def encoded(form: str) -> bytes:
    suffix, options = FORMS[form]
    return bytes(cv2.imencode(suffix, NOISE, options)[1].tobytes())


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_picture_is_read_with_or_without_something_behind_its_end(form: str) -> None:
    whole = decode_image(encoded(form))
    assert whole.shape == (48, 64, 3) and whole.dtype == np.uint8
    np.testing.assert_array_equal(decode_image(encoded(form) + bytes(50)), whole)


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_that_was_cut_short_anywhere_is_refused(form: str) -> None:
    content = encoded(form)
    for length in {2, 8, 20, 40, *range(50, len(content), max(len(content) // 40, 1)), len(content) - 1}:
        with pytest.raises(BadImage):
            decode_image(content[:length])
        if length == len(content) - 1:
            continue  # of a PNG that is one byte of a checksum
        with pytest.raises(BadImage):  # as after a power cut: the file has its length, and its end is zeros
            decode_image(content[:length] + bytes(len(content) - length))


def test_the_reason_tells_a_cut_file_from_an_empty_one_and_from_no_picture() -> None:
    for content, why in ((encoded("png")[:-4], "cut off"), (b"", "empty"), (b"text", "no picture")):
        with pytest.raises(BadImage, match=why):
            decode_image(content)


def test_a_thumbnail_inside_does_not_count_as_the_end_of_the_picture() -> None:
    content, small = encoded("baseline"), bytes(cv2.imencode(".jpg", NOISE[:8, :8])[1].tobytes())
    exif = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small  # a segment that holds a whole JPEG
    with_thumbnail = content[:2] + exif + content[2:]
    np.testing.assert_array_equal(decode_image(with_thumbnail), decode_image(content))
    with pytest.raises(BadImage, match="cut off"):
        decode_image(with_thumbnail[:-40])


def test_frames_are_those_files_whose_name_is_a_number_in_the_order_of_numbers(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.png", "2.JPEG", "cover.jpg", "3.txt", ".4.jpg"):
        (tmp_path / name).touch()
    assert {number: path.name for number, path in numbered(tmp_path).items()} == {2: "2.JPEG", 9: "9.png", 10: "10.jpg"}
    assert list(numbered(tmp_path)) == [2, 9, 10] and numbered(tmp_path / "nowhere") == {}
