"""People on foot in the footage: whole bodies beside the car's way, and nothing else of a street depends on them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from training.footage.clip import RenderedClip
from training.footage.labels import plan
from training.footage.mesh import CAR, PARTS, PERSON, Frozen
from training.footage.outside.people import CLEAR_M, figure
from training.footage.scene import labels
from training.footage.spec import ClipSpec


def clip(people: bool, number: int = 1) -> RenderedClip:
    return RenderedClip(ClipSpec(3, number, plan(40, 3)[number][1], 320, 224, people=people))


@pytest.fixture(scope="module")
def street() -> RenderedClip:
    return clip(people=True)


def test_a_street_with_people_is_the_street_without_them_and_people(street: RenderedClip) -> None:
    without, full = clip(people=False).road, street.road
    count = len(without.mesh.points)
    assert len(full.mesh.points) > count and (full.mesh.kinds[count:] >= PERSON).all()
    for name in (field.name for field in fields(Frozen)):
        assert np.array_equal(getattr(full.mesh, name)[:count], getattr(without.mesh, name)), name
    assert np.array_equal(full.moved[: len(without.moved) - 1], without.moved[:-1])
    assert full.horizon == without.horizon and full.skyline.color == without.skyline.color


def test_a_body_has_every_part_once_and_stands_on_the_ground() -> None:
    for seed in range(5):
        body = figure(np.random.default_rng(seed))
        assert sorted(body.parts) == sorted(PARTS)
        corners = np.concatenate(body.shapes)
        assert -0.15 < corners[:, 1].min() < 0.25 and corners[:, 1].max() > 1.7


def test_limbs_hang_together() -> None:
    body = figure(np.random.default_rng(1))
    for upper, lower in (("luarm", "llarm"), ("ruleg", "rlleg"), ("rlarm", "rhand")):
        a, b = (body.shapes[body.parts.index(part)] for part in (upper, lower))
        assert np.allclose((a[1] + a[2]) / 2, (b[0] + b[3]) / 2)


def test_nobody_stands_where_the_car_comes() -> None:
    for number in range(1, 8):
        road = clip(people=True, number=number).road
        movers = np.unique(road.mesh.movers[road.mesh.kinds >= PERSON])
        for mover in movers:
            away = np.hypot(road.moved[mover, :, 0] - road.ego.x, road.moved[mover, :, 1] - road.ego.y)
            assert away.min() > CLEAR_M


def test_labels_tell_a_persons_parts_from_cars_and_give_them_distances_and_normals(street: RenderedClip) -> None:
    known = next(labels(street.road, "front", [22]))
    body = known.kinds >= PERSON
    assert body.sum() > 100 and len(np.unique(known.kinds[body])) >= 8
    cars, people = (set(np.unique(known.vehicles[some]).tolist()) for some in (known.kinds == CAR, body))
    assert cars and people and not cars & people and min(people) >= 0
    assert (known.depth_m[body] > 0).all()
    assert np.allclose(np.linalg.norm(known.normals[body], axis=1), 1, atol=1e-4)
