"""cifar100: CIFAR-100, 50,000 training and 10,000 test images of 32×32 pixels, as an image folder."""

from bench.data import imagefolder
from bench.data.imagefolder import Normalize

VERSION = imagefolder.VERSION

_FOLDER = imagefolder.Named("cifar100", classes=100, image=32)
facts, missing, normalized, load = _FOLDER.facts, _FOLDER.missing, _FOLDER.normalized, _FOLDER.load


class Options(imagefolder.Reading):
    """How it is read, and where it lies."""

    normalize: Normalize = "half"
