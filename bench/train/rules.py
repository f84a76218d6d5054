"""What a recipe cannot say, known without data, torch or timm's code: one line each."""

import re

from bench.errors import Invalid, unknown
from bench.train import optimizer
from bench.trial import Train

AUGMENTATIONS = ("none", "shift1")
"""What `train.augment` may name; `bench/train/augment.py` says what each one does."""

POLICIES = {
    "rand": ("m", "n", "p", "mstd", "mmax", "inc"),
    "augmix": ("m", "w", "d", "a", "b", "mstd"),
    **dict.fromkeys(("original", "originalr", "v0", "v0r", "3a"), ("mstd",)),
}
"""timm's policies for `train.auto_augment` and the parts that each may have, `-` between them: rand-m9-mstd0.5-inc1."""


def check(train: Train, processes: int) -> None:
    """Raise Invalid for the first thing that is wrong."""
    _check_names(train)
    _check_rates(train)
    _check_images(train)
    if train.mixup or train.cutmix:
        _check_mixing(train, processes)
    elif train.mix_epochs is not None:
        raise Invalid("mix_epochs without mixup or cutmix mixes nothing")
    if train.bce_threshold is not None and train.loss != "bce":
        raise Invalid("bce_threshold is for loss bce")
    if train.bce_sum and train.loss != "bce":
        raise Invalid("bce_sum is for loss bce")
    if train.ema_warmup and train.ema is None:
        raise Invalid("ema_warmup without ema averages nothing; say the decay: `ema: 0.9999`")


def _check_names(train: Train) -> None:
    if train.augment not in AUGMENTATIONS:
        raise Invalid(unknown("augmentation", train.augment, AUGMENTATIONS))
    known = optimizer.names()
    if known is not None and train.optimizer not in known:
        raise Invalid(unknown("optimizer", train.optimizer, known))
    if train.auto_augment is None:
        return
    policy, *parts = train.auto_augment.split("-")
    if policy not in POLICIES:
        raise Invalid(unknown("auto_augment policy", policy, POLICIES))
    for part in parts:
        said = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?)", part)
        if said is None or said[1] not in POLICIES[policy]:
            allowed = ", ".join(POLICIES[policy])
            raise Invalid(
                f"auto_augment {train.auto_augment!r}: {part!r} is no part of {policy}; {allowed}, each a number"
            )


def _check_rates(train: Train) -> None:
    if train.warmup_epochs >= train.epochs:
        left = f"leaves nothing of {train.epochs} epochs: say train.warmup_epochs, too"
        raise Invalid(f"warmup_epochs {train.warmup_epochs:g} {left}")
    for name, value in (("min_lr", train.min_lr), ("warmup_lr", train.warmup_lr)):
        if value > train.lr:
            raise Invalid(f"{name} {value:g} is larger than lr {train.lr:g}")
    if train.clip_grad is None and train.clip_mode != "norm":
        raise Invalid(f"clip_mode {train.clip_mode} without clip_grad bounds nothing")


def _check_images(train: Train) -> None:
    for name, between in (("random_crop", train.random_crop), ("crop_ratio", train.crop_ratio)):
        if between is not None and between[0] > between[1]:
            raise Invalid(f"{name} goes from {between[0]:g} down to {between[1]:g}; the smaller one stands first")
    if train.interpolation == "random" and train.random_crop is None:
        raise Invalid("interpolation random is of random crops; say random_crop, or bilinear or bicubic")


def _check_mixing(train: Train, processes: int) -> None:
    if train.batch % 2:
        raise Invalid(f"batch {train.batch} is odd, and images are mixed in pairs")
    if processes == 1:
        return
    if train.mix_mode != "batch":
        raise Invalid(f"mix_mode {train.mix_mode} draws for every image of a batch: not over {processes} processes")
    if processes > train.batch // 2:
        raise Invalid(f"batch {train.batch} is too small for {processes} processes, a pair of images each")
