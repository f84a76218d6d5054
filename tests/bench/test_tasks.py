"""Losses and mirrored labels of detection and segmentation, against closed forms."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from bench import models, tasks
from bench.errors import Invalid
from bench.tasks import dense, detect, segment
from bench.trial import Input


def _training(smoothing=0.0, classes=4):
    trial = SimpleNamespace(input=SimpleNamespace(classes=classes))
    return SimpleNamespace(train=SimpleNamespace(smoothing=smoothing), trial=trial)


def test_the_loss_of_maps_is_the_mean_over_counted_pixels_of_an_image_then_over_images():
    torch.manual_seed(0)
    said, labels = torch.randn(2, 4, 6, 6), torch.randint(0, 4, (2, 6, 6))
    labels[0, :, :5] = segment.NONE  # six pixels left; all 36 of the other image
    chances = said.log_softmax(1)
    expected = [
        -torch.stack([chances[n, labels[n, y, x], y, x] for y in range(6) for x in range(6) if labels[n, y, x] >= 0])
        for n in range(2)
    ]
    assert segment.loss(_training(), said, None, labels) == pytest.approx(sum(one.mean() for one in expected) / 2)
    whole = segment.loss(_training(smoothing=0.1), said[1:], None, labels[1:])
    assert whole == pytest.approx(F.cross_entropy(said[1:], labels[1:], label_smoothing=0.1))


def test_maps_that_count_nowhere_have_no_loss_and_silence_is_the_logarithm_of_the_classes():
    said = torch.zeros(3, 4, 2, 2, requires_grad=True)
    nothing = segment.loss(_training(), said, None, torch.full((3, 2, 2), segment.NONE))
    nothing.backward()
    assert nothing.item() == 0
    assert torch.equal(said.grad, torch.zeros_like(said))
    same = segment.loss(_training(), said.detach(), None, torch.ones(3, 2, 2).long())
    assert same == pytest.approx(math.log(4))
    assert segment.silence(_training()) == math.log(4)


def _always(axis):
    return SimpleNamespace(flip=float(axis == 0), vertical_flip=float(axis == 1))


@pytest.mark.parametrize("axis", [0, 1])
def test_boxes_and_maps_move_with_the_pixels(axis):
    """A thing of ones: where the mirrored picture is 1, the mirrored box and the mirrored map say so."""
    pixels, visits = torch.zeros(1, 3, 16, 16), torch.tensor([0])
    pixels[:, :, 2:5, 3:11] = 1  # rows, columns
    boxes = torch.tensor([[[3.0, 2.0, 11.0, 5.0, 7.0], [-1.0] * 5]])
    moved, mirrored = dense.flipped(pixels, boxes, _always(axis), visits, seed=0, epoch=0)
    x0, y0, x1, y1 = mirrored[0, 0, :4].int().tolist()
    expected = torch.zeros(16, 16)
    expected[y0:y1, x0:x1] = 1
    assert torch.equal(moved[0, 0], expected)
    assert not torch.equal(moved, pixels)
    assert mirrored[0, 0, 4] == 7
    assert mirrored[0, 1].tolist() == [-1.0] * 5
    _, maps = dense.flipped(pixels, pixels[:, 0].long(), _always(axis), visits, seed=0, epoch=0)
    assert torch.equal(maps, moved[:, 0].long())


def test_what_is_mirrored_depends_on_seed_epoch_and_image_alone():
    train = SimpleNamespace(flip=0.5, vertical_flip=0.25)
    visits, pixels = torch.arange(400), torch.zeros(400, 1, 2, 2)
    pixels[:, 0, 0, 0] = 1
    labels = torch.zeros(400, 2, 2, dtype=torch.int64)
    whole, _ = dense.flipped(pixels, labels, train, visits, seed=3, epoch=5)
    part, _ = dense.flipped(pixels[7:9], labels[7:9], train, visits[7:9], seed=3, epoch=5)
    assert torch.equal(part, whole[7:9])
    for seed, epoch in ((3, 6), (4, 5)):
        assert not torch.equal(dense.flipped(pixels, labels, train, visits, seed=seed, epoch=epoch)[0], whole)
    assert whole[:, 0, :, 1].sum() == pytest.approx(200, abs=40)
    assert whole[:, 0, 1].sum() == pytest.approx(100, abs=35)


def test_a_task_that_trains_no_model_is_one_line():
    with pytest.raises(Invalid, match=r"^task score is none that a model is trained for; those are classify, detect"):
        tasks.of(SimpleNamespace(task="score"))


def test_boxes_that_cannot_be_are_one_line():
    detect.check_labels(torch.full((3, 5), -1.0), 2)
    detect.check_labels(torch.tensor([[1.0, 1, 1, 4, 1]]), 2)
    with pytest.raises(Invalid, match=r"^a box ends before it begins: boxes are x0, y0, x1, y1 and the class$"):
        detect.check_labels(torch.tensor([[4.0, 1, 1, 4, 1]]), 2)


def test_every_model_is_for_one_of_the_tasks():
    made_for = {name: models.task(name) for name in models.our_names()}
    assert {name for name, task in made_for.items() if task != "classify"} == {"constant", "fcos", "lraspp"}
    assert set(made_for.values()) == set(tasks.TASKS)
    assert models.task("timm:resnet18") == "classify"


def test_the_loss_of_a_detector_that_finds_nothing_is_the_silence_that_it_states():
    """One of four places is in the one box, and says a box of no size there: a GIoU of 0, where nowhere is −1."""
    model = models.build(
        models.resolve(
            "fcos", {"backbone": "test_resnet", "strides": [8], "width": 32, "convolutions": 0, "coarser": False}
        ),
        Input(image=16, classes=3),
    )
    rare = math.log(0.01 / 0.99)
    said = torch.full((1, 2, 2, 8), rare)
    said[..., 3:] = 0
    boxes = torch.tensor([[[4.0, 4.0, 12.0, 12.0, 2.0]]])
    found = model.loss([said], boxes).item()
    others = (4 * 3 - 1) * 0.75 * 0.01**2 * -math.log(0.99)  # focal losses of what is rightly rare
    assert found == pytest.approx(model.silence() - 1 + others, abs=1e-5)
