"""linear_probe: images, in percent, that a linear classifier of frozen features gets right.

Multinomial logistic regression, fitted to its optimum by L-BFGS (as Radford et al., 2021, appendix A.3, with at most
1,000 iterations): the least of C · Σ cross entropy + ‖W‖² / 2, biases free, with C of `evaluate.inverse_penalty`. The
optimum is one, and so nothing is random. DINO's own protocol trains the layer by SGD on augmented views instead.
"""

from typing import TYPE_CHECKING

from bench import evaluation, features
from bench.identity import record_key
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
DEPENDS_ON = evaluation.DEPENDS_ON
PRODUCES: dict[str, tuple[str, str | None]] = {"linear_probe": ("%", "higher")}
LABELS = {"linear_probe": "linear"}
TASKS = ("classify",)

MOST_ITERATIONS = 1000
SMALLEST_GRADIENT = 1e-9  # of the mean loss: the optimum, as far as predictions can tell


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Fit to the training images, and say the class of every image of the evaluated split."""
    found = features.of(trial, subject)
    assert trial.evaluate is not None
    weight, bias = fitted(
        found.train, found.train_labels, classes=found.classes, inverse_penalty=trial.evaluate.inverse_penalty
    )
    said = (found.test.double() @ weight.T + bias).argmax(dim=1)
    key = record_key("linear_probe", VERSION, DEPENDS_ON, trial)
    return {"linear_probe": features.accuracy(trial, subject, key, {"labels": found.test_labels, "linear_probe": said})}


def fitted(train: "Tensor", labels: "Tensor", *, classes: int, inverse_penalty: float) -> "tuple[Tensor, Tensor]":
    """Weights (classes, D) and biases (classes,) of the classifier of features (N, D) with labels (N,); float64."""
    import torch
    from torch.nn import functional as F

    train = train.double()
    scale = train.std(dim=0, correction=0).clamp_min(1e-12)  # axes of like length: the same optimum, sooner
    centre = train.mean(dim=0)
    scaled = (train - centre) / scale
    weight = torch.zeros(classes, train.shape[1], dtype=torch.float64, requires_grad=True)  # of the scaled features
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MOST_ITERATIONS,
        tolerance_grad=SMALLEST_GRADIENT,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        penalty = (weight / scale).square().sum() / (2 * inverse_penalty * len(train))
        total = F.cross_entropy(scaled @ weight.T + bias, labels) + penalty
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    found = (weight / scale).detach()
    return found, bias.detach() - found @ centre
