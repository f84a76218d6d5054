import pytest

from bench import models
from bench.errors import Invalid
from bench.measures import architecture
from bench.subject import Subject
from bench.trial import Input, Trial


def _sizes(name, image=224, **knobs):
    trial = Trial(model=models.resolve(name, knobs), input=Input(image=image))
    return {name: said.samples[0] for name, said in architecture.measure(trial, Subject(store="nowhere")).items()}


@pytest.mark.parametrize(
    ("name", "layers", "hidden", "mlp", "heads"),
    [  # Table 1 of ViT (Dosovitskiy et al., ICLR 2021)
        ("timm:vit_base_patch16_224", 12, 768, 3072, 12),
        ("torchvision:vit_b_16", 12, 768, 3072, 12),
        ("timm:vit_large_patch16_224", 24, 1024, 4096, 16),
        ("timm:vit_huge_patch14_224", 32, 1280, 5120, 16),
        ("timm:eva02_tiny_patch14_224", 12, 192, 512, 3),  # a gated MLP: two thirds of four times the channels
    ],
)
def test_a_vit_is_of_the_sizes_that_its_paper_lists(name, layers, hidden, mlp, heads):
    assert _sizes(name) == {"layers": layers, "hidden": hidden, "mlp": mlp, "heads": heads}


def test_ours_is_of_the_sizes_that_were_asked_for():
    sizes = {"layers": 2, "hidden": 48, "mlp": 96, "heads": 4}
    assert _sizes("vit", 8, patch=2, dim=48, depth=2, heads=4, mlp_ratio=2.0) == sizes


def test_what_differs_from_block_to_block_has_no_one_number():
    assert _sizes("swin_tiny_patch4_window7_224") == {"layers": 12}


def test_a_model_without_such_blocks_is_invalid():
    with pytest.raises(Invalid, match="timm:resnet18 has no blocks of attention and an MLP"):
        _sizes("resnet18")
