"""few_shot: images, in percent, that a linear classifier of frozen features, fitted to a few a class, gets right.

As ViT's few-shot accuracies (Dosovitskiy et al., ICLR 2021, section 4.1): least squares to targets of −1 and 1 with an
L2 penalty, in closed form. `evaluate.shots` images a class, 5 there, are drawn by the trial's seed; the paper prints no
strength of its penalty: `evaluate.ridge`, of features as they are, intercepts free. (The evaluator that its authors
published later, big_vision's, standardises features and has 1024.)
"""

import random
from typing import TYPE_CHECKING

from bench import evaluation, features
from bench.errors import Invalid
from bench.identity import record_key
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
DEPENDS_ON = (*evaluation.DEPENDS_ON, "seed")
PRODUCES: dict[str, tuple[str, str | None]] = {"few_shot": ("%", "higher")}
LABELS = {"few_shot": "few-shot"}
TASKS = ("classify",)


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Draw the shots, fit, and say the class of every image of the evaluated split."""
    if trial.seed is None:
        raise Invalid("few_shot draws its images by a seed, and the trial has none")
    found = features.of(trial, subject)
    assert trial.evaluate is not None
    shots = drawn(found.train_labels.tolist(), trial.evaluate.shots, trial.seed)
    weight, bias = fitted(
        found.train[shots], found.train_labels[shots], classes=found.classes, ridge=trial.evaluate.ridge
    )
    said = (found.test.double() @ weight.T + bias).argmax(dim=1)
    key = record_key("few_shot", VERSION, DEPENDS_ON, trial)
    return {"few_shot": features.accuracy(trial, subject, key, {"labels": found.test_labels, "few_shot": said})}


def drawn(labels: list[int], shots: int, seed: int) -> list[int]:
    """Indices of so many images of each class, in their order. Raises Invalid for a class that has fewer."""
    generator = random.Random(seed)  # noqa: S311 no secret
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, []).append(index)
    few = min(groups, key=lambda label: len(groups[label]))
    if len(groups[few]) < shots:
        raise Invalid(f"evaluate.shots {shots}: class {few} has {len(groups[few])} training images")
    return sorted(index for label in sorted(groups) for index in generator.sample(groups[label], shots))


def fitted(train: "Tensor", labels: "Tensor", *, classes: int, ridge: float) -> "tuple[Tensor, Tensor]":
    """Weights (classes, D) and biases (classes,) of the classifier of features (N, D) with labels (N,); float64.

    The least of ‖Y − X Wᵀ − b‖² + ridge ‖W‖², with Y of −1 and 1.
    """
    import torch
    from torch.nn import functional as F

    x, y = train.double(), 2 * F.one_hot(labels, classes).double() - 1
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x, y = x - x_mean, y - y_mean
    penalty = ridge * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(x.T @ x + penalty, x.T @ y).T
    return weight, y_mean - weight @ x_mean
