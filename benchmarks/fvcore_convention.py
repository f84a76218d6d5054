"""The convention `fvcore` against fvcore itself, told what fused attention costs: model by model, operator by operator.

    python benchmarks/fvcore_convention.py [MODEL…]           timm's names; by default `SAMPLE`

fvcore traces the model with real weights on the CPU, ours runs it on meta tensors. Exit 1 where they are further apart
than `NEAR`; what they differ by stands beside, by operator.
"""

import logging
import math
import sys
import warnings
from collections import Counter
from typing import Any

from tabulate import tabulate

SAMPLE = (
    "vit_small_patch32_224",
    "deit3_small_patch16_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "xcit_nano_12_p16_224",
    "pvt_v2_b0",
    "maxvit_pico_rw_256",
    "hiera_tiny_224",
    "eva02_tiny_patch14_224",
    "convnextv2_atto",
    "efficientnet_b0",
    "halonet26t",
    "resnetv2_50x1_bit",
    "regnety_016",
)
NEAR = 0.0002  # 0.02 %


def fused_attention(inputs: Any, outputs: Any) -> int:
    """What fvcore has no rule for: Q·Kᵀ and the weights times V, each head of its own."""
    (*batch, queries, channels), (*_, keys, values) = inputs[0].type().sizes(), inputs[2].type().sizes()
    return int(math.prod(batch) * queries * keys * (channels + values))


def theirs(name: str, image: int) -> Counter[str]:
    """fvcore's count by operator."""
    import timm
    import torch
    from fvcore.nn import FlopCountAnalysis

    report = FlopCountAnalysis(timm.create_model(name, num_classes=1000).eval(), torch.zeros(1, 3, image, image))
    report.set_op_handle("aten::scaled_dot_product_attention", fused_attention)
    said: Counter[str] = report.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    return said


def ours(name: str, image: int) -> Counter[str]:
    """Ours by operator, under fvcore's names."""
    from bench import counting, models
    from bench.trial import Input

    counts = counting.of_model(models.resolve(f"timm:{name}", {}), Input(image=image), convention="fvcore")
    return Counter(counts.by_operator())


def main(names: list[str]) -> int:
    """Count, print, and say which are too far apart."""
    from bench import registry

    warnings.simplefilter("ignore")  # tracing warns of every value that becomes a constant
    logging.disable(logging.WARNING)
    rows, far = [], []
    for name in names or SAMPLE:
        image = registry.load("models", "timm").default_image(name)
        own, other = ours(name, image), theirs(name, image)
        other["attention"] += other.pop("scaled_dot_product_attention", 0)
        apart = {operator: own[operator] - other[operator] for operator in {*own, *other}}
        listed = ", ".join(f"{operator} {by:+,.0f}" for operator, by in sorted(apart.items()) if by)
        off = own.total() / other.total() - 1
        rows.append((name, image, f"{own.total():,}", f"{other.total():,.0f}", f"{100 * off:+.4f} %", listed))
        far += [name] if abs(off) > NEAR else []
    print(tabulate(rows, ("model", "image", "ours", "fvcore", "apart", "by"), "github", disable_numparse=True))
    for name in far:
        print(f"{name}: further apart than {100 * NEAR} %", file=sys.stderr)
    return int(bool(far))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
