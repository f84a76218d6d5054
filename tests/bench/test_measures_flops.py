from pathlib import Path

import pytest
import yaml

from bench import models
from bench.errors import Invalid
from bench.measures import flops
from bench.record import Quantity
from bench.subject import Subject
from bench.trial import Input, Trial

SWIN = yaml.safe_load((Path(__file__).parents[2] / "reports/papers/swin_imagenet.yaml").read_text())


def _flops(name, image, **input_):
    trial = Trial(model=models.resolve(name, {}), input=Input(image=image, **input_))
    return flops.measure(trial, Subject(store="nowhere"))["flops"].samples[0]


def test_the_quantity_is_in_multiply_adds_and_the_library_is_bound():
    subject = Subject(store="nowhere")
    trial = Trial(model=models.resolve("torchvision:vit_b_16", {}), input=Input(image=224))
    assert flops.measure(trial, subject) == {
        "flops": Quantity(samples=(17_563_828_224.0,), unit="multiply-adds", better="lower")
    }
    assert set(subject.bound) == {"torchvision"}


def test_a_head_for_a_thousand_classes_costs_more_than_one_for_ten():
    ten, thousand = (_flops("vit", 224, classes=classes) for classes in (10, 1000))
    assert thousand - ten == 990 * 192


def test_every_row_of_swins_table_is_within_its_tolerance():
    """Table 1 of Swin (ICCV 2021). Its EfficientNet rows repeat the figures of another paper, up to 5 % off."""
    rows = SWIN["design"]["rows"]
    counted = {model: _flops(*model) for model in {(row["model"]["name"], row["model"]["image"]) for row in rows}}
    deviations = {}
    for row in rows:
        claims = row["reported"]["flops"]
        printed = claims[0] if isinstance(claims, list) else claims  # the paper's own comes first
        assert printed.endswith("G")
        reported = float(printed.removesuffix("G")) * 1e9
        deviations[row["id"]] = abs(counted[row["model"]["name"], row["model"]["image"]] / reported - 1)
    assert len(deviations) == len(rows) == 24
    efficientnets = {row: off for row, off in deviations.items() if row.startswith("a_eff")}
    assert len(efficientnets) == 5
    assert max(efficientnets.values()) < 0.05
    assert max(off for row, off in deviations.items() if row not in efficientnets) < 0.007


def test_what_no_rule_knows_is_invalid_and_no_number(monkeypatch):
    import torch
    from torch import nn

    from bench import skeleton

    class Spectral(nn.Module):
        def forward(self, x):
            return torch.fft.rfft2(x).real

    monkeypatch.setattr(skeleton, "of", lambda model, input_: nn.Sequential(Spectral()))
    with pytest.raises(Invalid, match=r"^cannot count aten::_fft_r2c in 0: no rule says what that costs$"):
        _flops("vit", 8)
