"""The learning rate of every step: linear warm-up, then half a cosine (Loshchilov and Hutter, ICLR 2017)."""

import math

from bench.trial import Train


def learning_rate(step: int, train: Train, steps_per_epoch: int) -> float:
    """Of step 0, 1, …: from lr / warm-up steps up to lr, and down to min_lr, which the last step has."""
    warmup = round(train.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return train.lr * (step + 1) / warmup
    last = train.epochs * steps_per_epoch - 1
    progress = (step - warmup) / max(1, last - warmup)
    return train.min_lr + (train.lr - train.min_lr) * (1 + math.cos(math.pi * progress)) / 2
