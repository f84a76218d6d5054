import pytest
import timm
import torch

from bench import models, readout
from bench.errors import Invalid
from bench.trial import Input

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _ours():
    knobs = {"patch": 8, "dim": 48, "depth": 1, "heads": 4, "distilled": True}
    return models.build(models.resolve("vit", knobs), Input(image=32, classes=5))


def _timms():
    return timm.create_model(
        "deit_tiny_distilled_patch16_224", img_size=32, embed_dim=48, depth=1, num_heads=3, num_classes=5
    )


@pytest.mark.parametrize("make", [_ours, _timms])
def test_each_head_is_read_and_both_is_their_mean(make):
    model = make().eval()
    torch.nn.init.normal_(model.head.weight)
    torch.nn.init.normal_(model.head_dist.weight)
    with torch.no_grad():
        both = readout.read(model, "both")(IMAGES)
        tokens = {}
        model.head.register_forward_hook(lambda module, given, said: tokens.__setitem__("class", said))
        model.head_dist.register_forward_hook(lambda module, given, said: tokens.__setitem__("distillation", said))
        model(IMAGES)
        assert torch.equal(both, (tokens["class"] + tokens["distillation"]) / 2)
        for name in ("class", "distillation"):
            other = make().eval()
            other.load_state_dict(model.state_dict())
            said = readout.read(other, name)
            assert torch.equal(said(IMAGES), tokens[name])
            assert torch.equal(said(IMAGES), tokens[name])
            assert not torch.equal(said(IMAGES), both)


def test_a_model_without_the_token_has_one_readout():
    plain = models.build(models.resolve("vit", {"patch": 8, "dim": 48, "depth": 1, "heads": 4}), Input(image=32))
    assert readout.read(plain, "both") is plain
    said = r"^readout distillation is of models with a distillation token; leave evaluate.readout out$"
    with pytest.raises(Invalid, match=said):
        readout.read(plain, "distillation")
    with pytest.raises(Invalid, match=said):
        readout.check(models.resolve("vit", {}), "distillation")
    readout.check(models.resolve("vit", {}), "both")
    readout.check(models.resolve("vit", {"distilled": True}), "distillation")
    readout.check(models.resolve("timm:deit_tiny_distilled_patch16_224", {}), "class")
