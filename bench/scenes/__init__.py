"""Scenes: pictures that are drawn, with everything known about every pixel of them.

A scene is decided by its seed, its index and its side, bit for bit on every machine: all that is drawn comes from raw
draws of one generator and from arithmetic that IEEE 754 rounds in one way. It is no toy: textured backgrounds, shapes
of several sizes whose colour and texture say nothing of their class, occlusion, thin parts, shapes cut by the border,
crowds, things that belong to no class, uneven light, blur and noise.

`scene.py` draws; `coco.py`, `ade20k.py` and `cityscapes.py` write what was drawn as those data sets lie on disk.
"""

VERSION = 3
"""Of what is drawn and how it is written: it goes up when one pixel or one annotation of any scene changes."""

SHAPES = ("disc", "ring", "square", "triangle", "cross", "star", "bar", "crescent")
"""Classes of things, which are counted one by one."""

STUFF = ("stripes", "checks", "spots", "clouds")
"""Classes of backgrounds, which are not."""

VALIDATION = 4
"""Every so manieth scene is for validation, whatever the number of scenes: adding one moves no other."""


def for_validation(index: int) -> bool:
    """Whether a scene is in the validation half."""
    return index % VALIDATION == VALIDATION - 1
