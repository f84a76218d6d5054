"""imagenet: ImageNet-1K (ILSVRC 2012), 1,281,167 training and 50,000 validation images, as an image folder."""

from typing import Annotated

from msgspec import Meta

from bench.data import imagefolder

VERSION = imagefolder.VERSION

_FOLDER = imagefolder.Named("imagenet", classes=1000, image=224)
facts, missing, normalized, load = _FOLDER.facts, _FOLDER.missing, _FOLDER.normalized, _FOLDER.load


class Options(imagefolder.Reading):
    """How it is read, and where it lies."""

    selection: Annotated[float, Meta(ge=0, lt=1)] = 0.01
