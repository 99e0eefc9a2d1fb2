"""The dense model and its loss: what they keep to, on random weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.dense_tasks import BDD100K, DENSE_TASK_SETS  # noqa: E402
from codriver.errors import ConfigError  # noqa: E402
from training.dense.cost import all_of, cost_by_part  # noqa: E402
from training.dense.geometry import IGNORE  # noqa: E402
from training.dense.kinds import detection, segmentation  # noqa: E402
from training.dense.lessons import Lesson, VaryConfig, batch_of, constants, start_of, varied  # noqa: E402
from training.dense.loss import DenseLoss  # noqa: E402
from training.dense.model import DENSE_SIZES, DenseUVM3TL, sized  # noqa: E402
from training.dense.scene import Vehicles  # noqa: E402
from training.losses.afd import LossConfig  # noqa: E402

pytestmark = pytest.mark.torch
TOY = DENSE_SIZES["toy"]


def lesson(seed: int) -> Lesson:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (96, 160, 3), dtype=np.uint8)
    boxes = np.array([[20, 30, 60, 60], [100, 40, 112, 50]], dtype=np.float32)
    truth = {
        "vehicles": Vehicles(boxes, np.zeros(2, dtype=bool)),
        "drivable_area": rng.integers(0, 3, (96, 160), dtype=np.uint8),
        "lane_lines": (rng.random((96, 160)) < 0.05).astype(np.uint8),
    }
    return Lesson(image, truth)


@pytest.fixture(scope="module")
def model() -> DenseUVM3TL:
    torch.manual_seed(0)
    return DenseUVM3TL(TOY)


def test_the_answers_to_a_picture_do_not_depend_on_its_batch_mates(model: DenseUVM3TL) -> None:
    model.eval()
    images, _ = batch_of([lesson(k) for k in range(3)], BDD100K)
    with torch.inference_mode():
        alone, together = model(images[1:2]).outputs, model(images).outputs
    assert torch.allclose(alone["lane_lines"][0], together["lane_lines"][1], atol=1e-5)
    assert torch.allclose(alone["vehicles"][0][0], together["vehicles"][0][1], atol=1e-5)


def test_every_weight_learns_from_the_loss(model: DenseUVM3TL) -> None:
    lessons = [lesson(k) for k in range(2)]
    loss = DenseLoss(BDD100K, LossConfig(), constants(lessons, BDD100K))
    images, truth = batch_of(lessons, BDD100K)
    model.train()
    loss(model(images), truth).total.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert all(name.endswith("key.bias") or "gate.key.bias" in name for name in still)  # softmax does not see it
    model.zero_grad()


def test_the_loss_of_the_best_constant_answer_is_one_and_rare_classes_weigh_by_the_root() -> None:
    roots = torch.tensor([0.5, 0.25, 0.25]).sqrt()  # of the shares, as each class weighs 1 / root
    truth = torch.tensor([0, 1, 0, 2]).repeat_interleave(4).repeat(16, 1)[None]  # (1, 16, 16)
    logits = (roots / roots.sum()).log()[None, :, None, None].expand(1, 3, 4, 4)
    task = BDD100K["drivable_area"]
    constant = segmentation.constant_loss(task, [truth[0].numpy().astype(np.uint8)])
    assert float(segmentation.loss(task, logits, truth)) == pytest.approx(constant, rel=1e-5)


def test_a_thin_class_weighs_as_often_as_it_is() -> None:
    truth = torch.tensor([0, 1, 0, 0]).repeat_interleave(4).repeat(16, 1)[None]
    logits = torch.tensor([0.75, 0.25]).log()[None, :, None, None].expand(1, 2, 4, 4)
    found = float(segmentation.loss(BDD100K["lane_lines"], logits, truth))
    assert found == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25), rel=1e-5)


@pytest.mark.parametrize("name", ["bdd100k", "cityscapes", "nyudv2", "pascal-context"])
def test_a_model_starts_near_the_best_constant_answer(name: str) -> None:
    rng = np.random.default_rng(0)
    task_set = DENSE_TASK_SETS[name]
    made = {
        "detection": Vehicles(np.array([[20, 30, 60, 60]], dtype=np.float32), np.zeros(1, dtype=bool)),
        "normals": np.tile(np.float32([0, 1, 0]), (96, 160, 1)),
        **{kind: rng.uniform(4, 9, (96, 160)).astype(np.float32) for kind in ("depth", "disparity")},
    }
    rare = (rng.random((24, 40)) < 0.05).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)  # one for each cell
    some = Lesson(np.zeros((96, 160, 3), np.uint8), {task.name: made.get(task.kind, rare) for task in task_set.tasks})
    model = DenseUVM3TL(replace(TOY, task_set=name)).eval()
    model.start_from(start_of([some], task_set))
    for task in task_set.tasks:
        head = model.heads[task.name]
        if task.kind not in ("detection", "normals"):
            torch.nn.init.zeros_(head.out.weight)
    images, truth = batch_of([some], task_set)
    losses = DenseLoss(task_set, LossConfig(), constants([some], task_set)).task_losses(model(images), truth)
    for task, loss in zip(task_set.tasks, losses.tolist(), strict=True):
        assert task.kind in ("detection", "normals") or loss == pytest.approx(1.0, abs=0.03)


def test_unknown_pixels_cost_nothing() -> None:
    task = BDD100K["drivable_area"]
    truth = torch.full((1, 16, 16), IGNORE)
    truth[0, :8] = 1
    logits = torch.zeros(1, 3, 4, 4)
    changed = logits.clone()
    changed[..., 2:, :] = 9.0
    changed[:, 0, 2:, :] = -9.0
    assert segmentation.loss(task, changed, truth) == segmentation.loss(task, logits, truth)


def test_a_cell_that_a_bar_reaches_into_still_learns_from_its_known_pixels() -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    truth[:, :3] = IGNORE
    truth[:, 3, 5] = 1
    assert segmentation.at_cells(BDD100K["lane_lines"], truth).tolist() == [[[0, 1], [0, 0]]]
    truth[:, :4] = IGNORE
    assert segmentation.at_cells(BDD100K["lane_lines"], truth).tolist() == [[[IGNORE, IGNORE], [0, 0]]]


def test_a_cell_answers_for_the_smallest_box_near_whose_middle_it_lies() -> None:
    boxes = torch.tensor([[0.0, 0, 46, 46, 0], [14, 14, 34, 34, 0], [100, 0, 140, 40, 1]])
    middles, strides = detection.cells([(12, 20), (6, 10), (3, 5)])
    which, ignored = detection.assigned(boxes, middles, strides)
    fine = strides == 8
    cells = zip(middles[fine].tolist(), which[fine].tolist(), ignored[fine].tolist(), strict=True)
    at = {tuple(middle): (box, left_out) for middle, box, left_out in cells}
    assert at[(20.0, 20.0)] == (1, False)  # the middle of both: the smaller one
    assert at[(124.0, 20.0)] == (-1, True)
    assert at[(4.0, 4.0)] == (-1, False)


def test_boxes_that_the_maps_spell_out_are_answered(model: DenseUVM3TL) -> None:
    from training.dense.geometry import LabelLetterbox

    maps = [np.full((5, h, w), -9.0, dtype=np.float32) for h, w in ((12, 20), (6, 10), (3, 5))]
    maps[0][0, 5, 7] = 9.0
    maps[0][1:, 5, 7] = np.log(np.expm1(np.array([1.5, 0.5, 2.0, 1.0])))  # softplus gives these, times 8 px
    boxes, scores = detection.answer(maps, LabelLetterbox((96, 160), (96, 160)))
    assert boxes[0].tolist() == pytest.approx([60 - 12, 44 - 4, 60 + 16, 44 + 8], abs=1e-3)
    assert len(scores) == 1 and scores[0] > 0.99


def test_a_mirrored_lesson_has_its_labels_mirrored_with_its_pixels() -> None:
    before = lesson(1)
    after = varied(before, BDD100K, np.random.default_rng(0), VaryConfig(mirror=1.0, brightness=0.0, hue=0.0))
    assert np.array_equal(after.image, before.image[:, ::-1])
    assert np.array_equal(after.truth["lane_lines"], before.truth["lane_lines"][:, ::-1])
    assert after.truth["vehicles"].boxes[0].tolist() == [100, 30, 140, 60]


def test_sizes_that_the_strides_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match="100 is no multiple"):
        DenseUVM3TL(replace(TOY, height=100))


@pytest.mark.parametrize(
    ("task_set", "millions", "giga"),
    [("bdd100k", 2.20, 4.10), ("cityscapes", 2.11, 3.69), ("nyudv2", 2.20, 4.49), ("pascal-context", 2.24, 4.55)],
)
def test_edge_costs_what_the_page_says_and_its_parts_are_the_whole(task_set: str, millions: float, giga: float) -> None:
    config = sized("edge", task_set)
    parts = cost_by_part(config)
    assert all_of(parts).parameters == sum(p.numel() for p in DenseUVM3TL(config).parameters())
    assert all_of(parts).parameters == pytest.approx(millions * 1e6, rel=0.01)
    assert all_of(parts).macs == pytest.approx(giga * 1e9, rel=0.01)
    assert min(some.parameters for some in parts.values()) > 0 and min(some.macs for some in parts.values()) > 0


def test_a_task_without_a_truth_in_the_batch_moves_no_weight_and_leaves_no_trace(model: DenseUVM3TL) -> None:
    nothing = np.full((96, 160), IGNORE, dtype=np.uint8)
    blind = Lesson(lesson(0).image, lesson(0).truth | {"lane_lines": nothing})
    loss = DenseLoss(BDD100K, LossConfig(), constants([lesson(0)], BDD100K)).train()
    for some in (lesson(0), blind):
        images, truth = batch_of([some], BDD100K)
        with torch.no_grad():
            parts = loss(model.eval()(images), truth)
    assert parts.tasks.tolist()[2] == 0 and loss.labelled.tolist() == [2, 2, 1]
