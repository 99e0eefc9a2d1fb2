"""The two coordinates of a pixel mean the same in picture, map and box, on the way to the network and back."""

from __future__ import annotations

import numpy as np
import pytest

from training.dense.geometry import IGNORE, Letterbox, mirror_boxes

SIZES = [((180, 320), (96, 160)), ((720, 1280), (384, 640)), ((100, 90), (64, 96)), ((33, 57), (32, 64))]


@pytest.mark.parametrize(("camera", "network"), SIZES)
def test_a_marked_block_lands_at_the_same_place_in_picture_map_and_box(
    camera: tuple[int, int], network: tuple[int, int]
) -> None:
    box = Letterbox(camera, network)
    scale = min(network[0] / camera[0], network[1] / camera[1])
    side = int(np.ceil(4 / scale))
    y, x = camera[0] // 3, camera[1] // 2
    image = np.zeros((*camera, 3), dtype=np.uint8)
    classes = np.zeros(camera, dtype=np.uint8)
    image[y : y + side, x : x + side] = 255
    classes[y : y + side, x : x + side] = 1
    (x1, y1, x2, y2), *_ = box.boxes(np.array([[x, y, x + side, y + side]], dtype=np.float32))
    inside = box.window
    for found in (box.image(image)[..., 0] > 127, box.classes(classes) == 1, box.thin(classes) == 1):
        rows, columns = np.nonzero(found)
        kept = (rows >= inside[0].start) & (rows < inside[0].stop)
        rows, columns = rows[kept], columns[kept]
        assert abs((rows.min() + rows.max() + 1) / 2 - (y1 + y2) / 2) <= 0.75
        assert abs((columns.min() + columns.max() + 1) / 2 - (x1 + x2) / 2) <= 0.75


def test_bars_are_unknown_in_maps_and_grey_in_pictures() -> None:
    box = Letterbox((180, 320), (96, 160))
    assert box.inner == (90, 160) and box.corner == (3, 0)
    assert (box.classes(np.ones((180, 320), dtype=np.uint8))[:3] == IGNORE).all()
    assert (box.image(np.zeros((180, 320, 3), dtype=np.uint8))[-3:] == 114).all()


def test_a_line_of_one_pixel_is_not_lost_by_shrinking() -> None:
    lines = np.zeros((180, 320), dtype=np.uint8)
    lines[:, 161] = 1
    box = Letterbox((180, 320), (48, 80))
    assert (box.thin(lines)[box.window] == 1).any(axis=1).all()
    assert not (box.classes(lines)[box.window] == 1).any()


def test_boxes_come_back_to_where_they_were_and_end_at_the_border() -> None:
    box = Letterbox((180, 320), (96, 160))
    boxes = np.array([[10, 20, 50, 60], [300, 100, 320, 180]], dtype=np.float32)
    assert np.allclose(box.boxes_back(box.boxes(boxes)), boxes, atol=1e-4)
    outside = box.boxes_back(np.array([[-20, -20, 500, 500]], dtype=np.float32))
    assert outside.tolist() == [[0, 0, 320, 180]]


def test_a_map_of_cells_comes_back_with_each_cell_over_its_own_pixels() -> None:
    box = Letterbox((192, 320), (96, 160))
    cells = np.arange(24 * 40).reshape(24, 40) % 251
    back = box.classes_back(cells.astype(np.uint8))
    assert back.shape == (192, 320)
    assert (back == np.repeat(np.repeat(cells, 8, axis=0), 8, axis=1)).all()


def test_a_mirror_exchanges_left_and_right_of_a_box_as_of_its_pixels() -> None:
    picture = np.zeros((20, 40), dtype=np.uint8)
    picture[5:9, 3:10] = 1
    mirrored = mirror_boxes(np.array([[3, 5, 10, 9]], dtype=np.float32), 40)
    rows, columns = np.nonzero(picture[:, ::-1])
    assert mirrored.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
