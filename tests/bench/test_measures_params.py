import pytest
import torch

from bench import machine, models
from bench.measures import params
from bench.subject import Subject
from bench.trial import Input, Trial


def _params(name, image=224, classes=1000, **knobs):
    subject = Subject(store="nowhere")
    trial = Trial(model=models.resolve(name, knobs), input=Input(image=image, classes=classes))
    (quantity,) = params.measure(trial, subject).values()
    assert quantity.unit == "parameters"
    return int(quantity.samples[0]), subject.bound


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("timm:swin_tiny_patch4_window7_224", 28_288_354),  # microsoft/Swin-Transformer, its log of Swin-T
        ("timm:vit_base_patch16_224", 86_567_656),
        ("torchvision:vit_b_16", 86_567_656),  # ViT_B_16_Weights.IMAGENET1K_V1.meta["num_params"]
        ("torchvision:resnet50", 25_557_032),  # ResNet50_Weights.IMAGENET1K_V1.meta["num_params"]
        ("torchvision:swin_t", 28_288_354),  # Swin_T_Weights.IMAGENET1K_V1.meta["num_params"]
        ("torchvision:regnet_y_400mf", 4_344_144),  # RegNet_Y_400MF_Weights.IMAGENET1K_V1.meta["num_params"]
    ],
)
def test_parameters_are_those_that_were_published(name, published):
    found, bound = _params(name)
    library = name.partition(":")[0]
    assert (found, bound) == (published, {library: machine.version(library)})


def test_a_classifier_has_a_row_and_a_bias_for_each_class():
    thousand, ten, none = (_params("resnet18", classes=classes)[0] for classes in (1000, 10, 0))
    assert (thousand - none, ten - none) == (1000 * 513, 10 * 513)


def test_learned_positions_are_parameters_and_sine_tables_are_not():
    learned, sines, none = (_params("vit", pos_embed=kind)[0] for kind in ("learned", "sincos2d", "none"))
    assert (learned - none, sines - none) == (197 * 192, 0)


def test_counting_takes_no_memory_for_weights(monkeypatch):
    def build(model, input_):
        assert torch.empty(1).device.type == "meta"
        return models_build(model, input_)

    models_build = models.build
    monkeypatch.setattr(models, "build", build)
    assert _params("vit_huge_patch14_224", classes=21843)[0] == 632_045_800 + 20843 * 1281
