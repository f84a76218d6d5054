"""What is asked of images before anything is trained: what a whole training would find too late."""

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
    lowest, highest = int(images.labels.min()), int(images.labels.max())
    if lowest < 0 or highest >= trial.input.classes:
        wrong = lowest if lowest < 0 else highest
        raise Invalid(f"label {wrong} of a training image is out of range for {trial.input.classes} classes")
    views.check_pictures(images, train)


def decode(images: Feed) -> None:
    """Raise Invalid, with its name, for a file that is no image; of more than DECODED files some are looked at."""
    if images.pixels is not None:
        return
    apart = max(1, len(images) // DECODED)
    for index in range(0, len(images), apart):
        images.images.image(index, **images.how)
