"""FLOP counters, each as its documentation says: a model's name and image size in, multiply-adds out.

Those of `OWN_PACKAGE` are in the extra `bench`: `pip install -e '.[bench]'`.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

CLASSES = 1000  # a few models of timm's have no classifier of themselves; torchvision's have this many

Counter = Callable[[str, int], int]
"""(name, image size) → multiply-adds."""


def built(name: str) -> "nn.Module":
    """A model of 1,000 classes in evaluation mode, with whatever weights its library begins with."""
    import timm
    import torchvision

    library, colon, rest = name.partition(":")
    module: nn.Module = torchvision.models.get_model(rest) if colon else timm.create_model(library, num_classes=CLASSES)
    return module.eval()


def ours() -> Counter:
    """vitab's, everything that it needs imported."""
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    from fvcore.nn import FlopCountAnalysis  # noqa: F401

    from bench import counting, models
    from bench.trial import Input

    return lambda name, image: counting.of_model(models.resolve(name, {}), Input(image=image)).total


def fvcores() -> Counter:
    """As fvcore's README says; it counts normalisation and pooling too."""
    import torch
    from fvcore.nn import FlopCountAnalysis

    def count(name: str, image: int) -> int:
        report = FlopCountAnalysis(built(name), torch.zeros(1, 3, image, image))
        return int(report.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())

    return count


def torchs() -> Counter:
    """torch.utils.flop_counter, on meta tensors; it counts a multiply-add twice."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def count(name: str, image: int) -> int:
        with torch.device("meta"):
            model = built(name).requires_grad_(False)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, 3, image, image, device="meta"))
        return int(counter.get_total_flops()) // 2

    return count


def calflopss() -> Counter:
    """As calflops's README says: its MACs."""
    from calflops import calculate_flops

    def count(name: str, image: int) -> int:
        said = {"print_results": False, "print_detailed": False, "output_as_string": False}
        return int(calculate_flops(built(name), input_shape=(1, 3, image, image), **said)[1])

    return count


def ptflopss() -> Counter:
    """As ptflops's README says, by its default backend, which looks at modules; it counts normalisation too."""
    from ptflops import get_model_complexity_info

    def count(name: str, image: int) -> int:
        said: dict[str, Any] = {"as_strings": False, "print_per_layer_stat": False, "ost": io.StringIO()}
        return int(get_model_complexity_info(built(name), (3, image, image), **said)[0] or 0)

    return count


COUNTERS = {"vitab": ours, "fvcore": fvcores, "calflops": calflopss, "ptflops": ptflopss, "torch": torchs}
OWN_PACKAGE = ("calflops", "ptflops")  # not installed with us
