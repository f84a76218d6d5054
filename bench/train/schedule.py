"""The learning rate of every step: linear warm-up, then half a cosine (Loshchilov and Hutter, ICLR 2017), a line, …

In steps the curve begins after the warm-up and its last step has min_lr. In epochs the rate stays for an epoch and the
curve is that of all epochs, whose beginning the warm-up replaces, as in timm's schedulers: the epoch that would come
after the last one has min_lr. DeiT's published code has the same rates an epoch later, the first one twice.
"""

import math

from bench.trial import Train


def learning_rate(step: int, train: Train, steps_per_epoch: int) -> float:
    """Of step 0, 1, …; weights of a slower layer have their share of it."""
    if train.schedule_unit == "epoch":
        epoch = step // steps_per_epoch
        if epoch < train.warmup_epochs:
            return train.warmup_lr + epoch * (train.lr - train.warmup_lr) / train.warmup_epochs
        return _after_warmup(train, epoch / train.epochs, epoch)
    warmup = round(train.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return train.warmup_lr + (train.lr - train.warmup_lr) * (step + 1) / warmup
    last = train.epochs * steps_per_epoch - 1
    return _after_warmup(train, (step - warmup) / max(1, last - warmup), (step - warmup) / steps_per_epoch)


def _after_warmup(train: Train, progress: float, epochs: float) -> float:
    """At a share of the curve, from 0 to 1, which is so many epochs."""
    if train.schedule == "constant":
        return train.lr
    if train.schedule == "step":
        return max(train.min_lr, train.lr * math.pow(train.decay_rate, epochs // train.decay_epochs))
    left = 1 - progress if train.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return train.min_lr + (train.lr - train.min_lr) * left
