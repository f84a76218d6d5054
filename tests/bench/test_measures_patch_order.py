import pytest

from bench import models
from bench.errors import Invalid
from bench.measures import patch_order
from bench.subject import Subject
from bench.trial import Input, Trial


def _change(name, **knobs):
    image = knobs.pop("image", 16)
    trial = Trial(model=models.resolve(name, knobs), input=Input(image=image, classes=10))
    return patch_order.measure(trial, Subject(store="nowhere"))["patch_order"].samples[0]


SMALL = {"patch": 4, "dim": 32, "depth": 2, "heads": 2}


@pytest.mark.parametrize("pool", ["mean", "token"])
def test_attention_without_positions_does_not_know_the_order_of_its_patches(pool):
    assert _change("vit", **SMALL, pool=pool, pos_embed="none") < 1e-5


@pytest.mark.parametrize("pos_embed", ["learned", "sincos2d", "relative", "rope"])
def test_with_positions_it_does(pos_embed):
    assert _change("vit", **SMALL, pool="mean", pos_embed=pos_embed) > 1e-3


def test_a_model_without_patches_has_no_order_of_them():
    with pytest.raises(Invalid, match="timm:resnet18 does not cut its image into patches"):
        _change("timm:resnet18", image=32)
