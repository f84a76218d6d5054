"""What is asked of images before anything is trained: what a whole training would find too late."""

from bench import tasks
from bench.batches import Feed
from bench.errors import Invalid
from bench.train import views
from bench.trial import Trial

DECODED = 2_000
"""Files, evenly spread, that are decoded before the first step: seconds where they are few, and where they are many."""


def check(images: Feed, trial: Trial) -> None:
    """Raise Invalid for images that this training cannot be given."""
    train, count = trial.train, len(images)
    assert train is not None
    if count < train.batch:
        raise Invalid(f"batch {train.batch} is larger than the {count} training images")
    if not views.steps_per_epoch(count, train):
        raise Invalid(f"batch {train.batch} is larger than what repeated augmentation shows of {count} images")
    if images.dense:
        return
    tasks.of(trial).check_labels(images.labels, trial.input.classes)
    views.check_pictures(images, train)


def decode(images: Feed) -> None:
    """Raise Invalid, with its name, for a file that is no image; of more than DECODED files some are looked at."""
    if images.pixels is not None:
        return
    for index in _some(images):
        images.images.image(index, **images.how)


def read_dense(images: Feed, trial: Trial) -> None:
    """Raise Invalid for boxes or maps that cannot be read, or are of no class; of as many images as are decoded."""
    task = tasks.of(trial)
    for index in _some(images):
        task.check_labels(images.shown(index), trial.input.classes)


def _some(images: Feed) -> range:
    """Indices of DECODED images or a few more, evenly spread; of all where they are fewer."""
    return range(0, len(images), max(1, len(images) // DECODED))
