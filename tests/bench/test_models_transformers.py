"""Counts as papers print them: PVT (ICCV 2021), CLIP, TimeSformer (ICML 2021), Perceiver IO (ICLR 2022)."""

import subprocess
import sys

import pytest

from bench import counting, models, skeleton
from bench.errors import Invalid, Needs, UserError
from bench.trial import Input

PERCEIVER_IO = {
    "num_latents": 512,
    "d_latents": 1024,
    "num_blocks": 8,
    "num_self_attends_per_block": 6,
    "num_cross_attention_heads": 1,
}


@pytest.fixture
def library():
    """The optional package."""
    return pytest.importorskip("transformers")


@pytest.mark.parametrize(
    ("name", "arguments", "input_", "params", "flops"),
    [
        ("PvtForImageClassification", {}, {}, 13_229_288, 1_932_911_616),  # PVT-Tiny: 13.2M, 1.9G
        ("PvtForImageClassification", {"depths": [3, 4, 18, 3]}, {}, 44_208_104, 6_659_175_424),  # -Medium: 44.2M, 6.7G
        ("CLIPModel", {}, {}, 151_277_313, 7_388_582_400),  # ViT-B/32 and its text
        ("CLIPModel", {"vision_config": {"patch_size": 16}}, {}, 149_620_737, 20_543_224_320),
        ("TimesformerForVideoClassification", {}, {"classes": 400}, 121_566_352, 195_830_280_192),  # 121.4M, 590/3
        ("PerceiverForImageClassificationFourier", PERCEIVER_IO, {}, 48_440_627, None),  # 48.4M
    ],
)
def test_what_only_transformers_has_counts_as_its_paper_prints(library, name, arguments, input_, params, flops):
    model, eaten = models.resolve(f"transformers:{name}", arguments), Input(**({"image": 224} | input_))
    models.check(model, eaten)
    assert sum(parameter.numel() for parameter in skeleton.of(model, eaten).parameters()) == params
    if flops is not None:
        assert counting.of_model(model, eaten).total == flops


def test_an_image_gpt_reads_every_place_of_an_image(library):
    small = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 9}
    model, input_ = models.resolve("transformers:ImageGPTForImageClassification", small), Input(image=4, classes=5)
    block = 12 * 16 * 32**2 + 2 * 16**2 * 32  # projections, an MLP and the attention of 16 places
    assert counting.of_model(model, input_).total == 2 * block + 32 * 5


@pytest.mark.parametrize(
    ("arguments", "input_", "line"),
    [
        ({"dpeths": [1]}, {}, "transformers:PvtForImageClassification: no argument 'dpeths'; nearest: 'depths'"),
        ({}, {"classes": 0}, "transformers:PvtForImageClassification has a head: classes must be at least 1"),
    ],
)
def test_what_a_configuration_does_not_take_is_refused(library, arguments, input_, line):
    model = models.resolve("transformers:PvtForImageClassification", arguments)
    with pytest.raises(Invalid) as raised:
        models.build(model, Input(**({"image": 224} | input_)))
    assert str(raised.value) == line


def test_a_field_of_the_trial_is_no_argument_and_an_unknown_class_is_a_line_with_the_nearest():
    with pytest.raises(Invalid, match=r"^model\.image_size is no knob of transformers:CLIPModel; say `model\.image`$"):
        models.resolve("transformers:CLIPModel", {"image_size": 32})
    with pytest.raises(UserError, match=r"^no transformers model 'ClipModel'; nearest: 'CLIPModel'$"):
        models.resolve("transformers:ClipModel", {})
    assert models.canonical_name("CLIPModel") == "transformers:CLIPModel"


def test_without_the_package_a_model_needs_it_and_says_so_in_one_line(monkeypatch):
    from bench.models import transformers

    monkeypatch.setattr(transformers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Needs) as raised:
        models.build(models.resolve("transformers:CLIPModel", {}), Input(image=224))
    assert (
        str(raised.value) == "the Python package 'transformers', not installed here: pip install 'vitab[transformers]'"
    )


def test_its_names_are_known_without_importing_it():
    code = (
        "import sys\n"
        "from bench import models, registry\n"
        "print(models.canonical_name('transformers:CLIPModel'))\n"
        "print(registry.load('models', 'transformers').default_image('OwlViTForObjectDetection'))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "transformers:CLIPModel\n768\n"
