"""What people are shown of a picture: classes in colour, errors bright where truth is known, the extremes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from codriver.dense_tasks import BDD100K, PASCAL_CONTEXT
from codriver.tasks import TaskSet
from training.dense.drawing import ERRORS, tinted
from training.dense.evaluate import Extremes
from training.dense.geometry import IGNORE
from training.dense.page import curve_picture, page, score_tables
from training.dense.scene import Scene

pytestmark = pytest.mark.torch
GREY = np.full((2, 4, 3), 100, np.uint8)


@pytest.mark.parametrize("task", [BDD100K["drivable_area"], PASCAL_CONTEXT["human_parts"], BDD100K["lane_lines"]])
def test_all_classes_but_the_background_are_tinted_wherever_it_stands_in_the_list(task: object) -> None:
    background = task.labels.index("background")
    other = (background + 1) % task.classes
    out = tinted(GREY, task, np.array([[background, other, IGNORE, other]] * 2, np.uint8))
    assert (out[:, 0] == 100).all() and (out[:, 1] != 100).any() and (out[:, 2] == 0).all()
    assert (GREY == 100).all()


def test_errors_are_bright_where_the_answer_is_wrong_and_dark_where_nothing_is_known() -> None:
    classes = ERRORS["segmentation"](np.array([[1, 2, 3]]), np.array([[1, 1, IGNORE]]))
    assert classes.tolist() == [[False, True, False]]
    marks = ERRORS["saliency"](np.array([[0.25, 0.25, 0.5]], np.float32), np.array([[1, 0, IGNORE]], np.uint8))
    assert marks.tolist() == [[0.75, 0.25, 0.0]]
    depth = ERRORS["depth"](np.array([[2.0, 2.5, 9.0]], np.float32), np.array([[2.0, 2.0, 0.0]], np.float32))
    assert depth.tolist() == [[0.0, 0.5, 0.0]]
    truth = np.array([[[0, 0, 1], [0, 0, 1], [0, 0, 0]]], np.float32)
    answer = np.array([[[0, 0, 1], [0, np.sqrt(0.75), 0.5], [1, 0, 0]]], np.float32)
    assert ERRORS["normals"](answer, truth)[0] == pytest.approx([0, 1, 0], abs=1e-6)


def seen(marks: list[list[float]]) -> tuple[Extremes, TaskSet]:
    tasks = TaskSet("x", (PASCAL_CONTEXT["saliency"],))
    extremes, truth = Extremes(tasks), np.zeros((2, 4), np.uint8)
    for number, some in enumerate(marks):
        extremes.see(Scene(f"<{number}>", GREY, {"saliency": truth}), {"saliency": truth.astype(np.float32)}, some)
    return extremes, tasks


def test_the_worst_and_the_best_of_many_pictures_are_kept_by_the_mean_of_what_is_known() -> None:
    extremes, _ = seen([[k / 10, np.nan] for k in (5, 1, 9, 3, 7, 2, 8, 4, 6)])
    worst, best = extremes.sorted()
    assert [some.score for some in worst] == [0.1, 0.2, 0.3, 0.4] and [some.score for some in best] == [
        0.9,
        0.8,
        0.7,
        0.6,
    ]
    assert worst[0].name == "<1>"


def test_a_page_names_scores_with_their_units_and_lets_no_name_bring_markup() -> None:
    extremes, tasks = seen([[0.5]])
    scores = {"maxf": 0.25, "iou_dog": 0.5, "mean_deg": 3.0}
    task = {"scores": scores, "chosen_by": "maxf", "interval": [0.2, 0.3]}
    report = {
        **{name: "x" for name in ("run", "task_set", "split", "created", "git_commit")},
        **{"pictures": 1, "tools": {}, "tasks": {"saliency": task}, "without_looking": {"saliency": task}},
        "linear_probe": {"saliency": task | {"scores": scores | {"maxf": 0.125}}},
        "ahead": {"without_looking": {"saliency": [0.1, 0.2]}, "linear_probe": {"saliency": [-0.3, 0.4]}},
        "curves": {},
    }
    made = page(report, tasks, *extremes.sorted())
    assert "&lt;0&gt;" in made and "<0>" not in made
    assert "25.0" in made and "3.00" in made and "degrees" in made and "a run is chosen by it" in made
    assert made.index("by class") < made.index("dog")
    assert "12.5" in made and "[-30.0, 40.0]" in made and "precision over recall" not in made


def test_a_kind_without_a_probe_has_gaps_and_one_with_a_curve_a_picture() -> None:
    task = {"scores": {"ap50_coco": 0.25}, "chosen_by": "ap50_coco", "interval": [0.2, 0.3]}
    report = {"tasks": {"vehicles": task}, "without_looking": {"vehicles": task}, "linear_probe": {}, "ahead": {}}
    named, _ = score_tables(report, "vehicles")
    assert named[0][1:] == ["25.0", "25.0", "-", "%"] and named[-1][1:] == ["-", "-", "-", "points"]
    assert curve_picture(None) == ""
    assert curve_picture({"recall": [0, 1], "precision": [1, 0.5]}).startswith("data:image/svg")
