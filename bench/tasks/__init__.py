"""What a trained model is for: one file a task. The interface; everything at module level is torch-free:

    UNIT: str                                       of the loss; "1": it has none
    def check(trial) -> None                        what of a training or a protocol does not go with the task: Invalid
    def check_labels(labels, classes) -> None       what labels of images cannot be: Invalid
    def loss(training, said, pixels, labels)        the mean over a batch of everything that a training minimises
    def silence(training) -> float                  the loss of a model that says nothing, whatever the labels

`labels` are (B,) int64, or shares (B, classes), where an image is classified; boxes (B, M, 5) where things in it are
detected, maps (B, S, S) where its pixels are: `bench.data.Dense`.
"""

from types import ModuleType

from bench import models
from bench.errors import Invalid
from bench.tasks import classify, detect, segment
from bench.trial import Trial

TASKS: dict[str, ModuleType] = {"classify": classify, "detect": detect, "segment": segment}


def of(trial: Trial) -> ModuleType:
    """The task of a trial. Raises Invalid where it is none that a model is trained for."""
    if trial.task not in TASKS:
        raise Invalid(f"task {trial.task} is none that a model is trained for; those are {', '.join(TASKS)}")
    return TASKS[trial.task]


def is_dense(trial: Trial) -> bool:
    """Whether what is right is asked of each image, at the size at which a model sees it."""
    return trial.task in ("detect", "segment")


def check(trial: Trial) -> None:
    """Raise Invalid for a model that is for another task, and for what does not go with the trial's."""
    made_for = models.task(trial.model.name)
    if made_for != trial.task:
        raise Invalid(f"{trial.model.name} is a model of the task {made_for}, and the trial's is {trial.task}")
    of(trial).check(trial)
