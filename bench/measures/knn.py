"""knn: images, in percent, whose class has most votes of the training images with the most similar features.

The weighted vote of Wu et al. (CVPR 2018, section 3.4) as DINO takes it (Caron et al., ICCV 2021, section 3.2 and
appendix F.1): of the k neighbours with the largest cosine similarity s each votes exp(s / T) for its class; k = 20,
T = 0.07 unless `evaluate.neighbors` and `evaluate.temperature` say otherwise. Nothing is trained.
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
PRODUCES: dict[str, tuple[str, str | None]] = {"knn": ("%", "higher")}
LABELS = {"knn": "k-NN"}
TASKS = ("classify",)

AT_ONCE = 256  # images whose similarities to all training images are held: 1.3 GB beside ImageNet's


def measure(trial: Trial, subject: Subject) -> dict[str, Quantity]:
    """Let the training images vote on every image of the evaluated split."""
    found = features.of(trial, subject)
    assert trial.evaluate is not None
    said = voted(
        (found.train, found.train_labels),
        found.test,
        classes=found.classes,
        neighbors=trial.evaluate.neighbors,
        temperature=trial.evaluate.temperature,
    )
    key = record_key("knn", VERSION, DEPENDS_ON, trial)
    return {"knn": features.accuracy(trial, subject, key, {"labels": found.test_labels, "knn": said})}


def voted(
    known: "tuple[Tensor, Tensor]", test: "Tensor", *, classes: int, neighbors: int, temperature: float
) -> "Tensor":
    """Classes (M,) of features (M, D), by known ones: features (N, D) and their labels (N,)."""
    import torch
    from torch.nn import functional as F

    train, labels = F.normalize(known[0]), known[1]
    found = []
    for some in torch.split(F.normalize(test), AT_ONCE):
        nearest = (some @ train.T).topk(min(neighbors, len(train)), dim=1)
        similarity = nearest.values - nearest.values[:, :1]  # a common factor of all votes, and no overflow
        votes = torch.zeros(len(some), classes)
        votes.scatter_add_(1, labels[nearest.indices], (similarity / temperature).exp())
        found.append(votes.argmax(dim=1))
    return torch.cat(found)
