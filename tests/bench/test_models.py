import inspect
import subprocess
import sys
import time

import pytest
import timm
import torch
import torchvision
from timm.layers import DropPath
from torch import nn

from bench import models, registry, skeleton
from bench.errors import Invalid, UserError
from bench.trial import Input, Model

TIMM, TORCHVISION = (registry.load("models", library) for library in ("timm", "torchvision"))


def _built(name, image, *, classes=1000, channels=3, dropout=0.0, drop_path=0.0, **knobs):
    with torch.device("meta"):
        input_ = Input(image=image, classes=classes, channels=channels)
        return models.build(models.resolve(name, knobs), input_, dropout=dropout, drop_path=drop_path)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("vit", "vit"),
        ("swin", "swin"),
        ("resnet18", "timm:resnet18"),  # torchvision has one of that name too
        ("vit_base_patch16_224.augreg_in21k_ft_in1k", "timm:vit_base_patch16_224.augreg_in21k_ft_in1k"),
        ("vit_b_16", "torchvision:vit_b_16"),
        ("timm:resnet18", "timm:resnet18"),
        ("torchvision:resnet18", "torchvision:resnet18"),
    ],
)
def test_a_name_says_whose_the_model_is(name, canonical):
    assert models.canonical_name(name) == canonical
    assert models.canonical_name(canonical) == canonical


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("vitt", "no model 'vitt'; nearest: 'vit'"),
        ("deit_tinny_patch16_224", "no model 'deit_tinny_patch16_224'; nearest: 'deit_tiny_patch16_224'"),
        ("timm:deit_tinny_patch16_224", "no timm model 'deit_tinny_patch16_224'; nearest: 'deit_tiny_patch16_224'"),
        ("torchvision:resnet_18", "no torchvision model 'resnet_18'; nearest: 'resnet18'"),
        ("torchvison:resnet18", "no model library 'torchvison'; nearest: 'torchvision'"),
        ("timm", "no model 'timm'; allowed: "),
        ("", "no model ''; allowed: "),
    ],
)
def test_a_name_that_is_none_is_a_line_with_the_nearest(name, line):
    with pytest.raises(UserError) as raised:
        models.canonical_name(name)
    said = str(raised.value)
    assert said == line or ("nearest" not in line and said.startswith(line))
    assert "\n" not in said


def test_names_read_from_the_libraries_files_are_the_names_they_register():
    assert list(TIMM.names()) == sorted(timm.list_models())
    theirs = torchvision.models.list_models(module=torchvision.models)
    assert list(TORCHVISION.names()) == sorted(theirs)


def test_image_sizes_read_from_timms_files_are_those_it_builds_with():
    stated, computed = {}, {}
    for name in TIMM.names():
        try:
            stated[name] = TIMM.default_image(name)
        except UserError:
            computed[name] = timm.get_pretrained_cfg(name)
    assert stated == {name: timm.get_pretrained_cfg(name).input_size[1] for name in stated}  # (C, H, W)
    assert len(stated) > 1_200
    assert all(name.startswith(("deepseek_vit", "qwen3_vit")) for name in computed)


def test_a_tag_has_its_own_image_size():
    sizes = [TIMM.default_image(f"beit_base_patch16_{size}") for size in (224, 384)]
    assert sizes == [224, 384]
    tagged = "vit_base_patch32_clip_448.laion2b_ft_in12k_in1k"
    assert TIMM.default_image(tagged) == timm.get_pretrained_cfg(tagged).input_size[-1] == 448


@pytest.mark.parametrize(
    ("name", "size"), [("vit_b_16", 224), ("vit_h_14", 224), ("inception_v3", 299), ("efficientnet_b7", 600)]
)
def test_image_sizes_of_torchvision_are_those_its_weights_are_evaluated_at(name, size):
    assert TORCHVISION.default_image(name) == size


def test_names_and_sizes_are_read_without_importing_the_libraries():
    code = (
        "import sys\n"
        "from bench import models, registry\n"
        "models.canonical_name('swin_tiny_patch4_window7_224')\n"
        "print(registry.load('models', 'timm').default_image('swin_tiny_patch4_window7_224'))\n"
        "print(registry.load('models', 'torchvision').default_image('vit_b_16'))\n"
        "assert not {'torch', 'timm', 'torchvision'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "224\n224\n"


def test_every_file_that_states_no_knobs_of_its_own_is_a_librarys():
    modules = {name: registry.load("models", name) for name in registry.names("models")}
    assert {name for name, module in modules.items() if not hasattr(module, "Knobs")} == set(models.LIBRARIES)


def test_without_the_libraries_a_name_with_its_prefix_is_taken_as_given_and_a_bare_one_is_not_guessed():
    code = (
        "import sys\n"
        "sys.modules.update(timm=None, torchvision=None, torch=None)\n"
        "from bench import models, registry\n"
        "from bench.errors import Needs\n"
        "print(models.canonical_name('timm:resnet18.a1_in1k'), models.canonical_name('vit'))\n"
        "for asked in (models.canonical_name, registry.load('models', 'timm').default_image):\n"
        "    try:\n"
        "        asked('resnet18')\n"
        "    except Needs as problem:\n"
        "        print(problem)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "timm:resnet18.a1_in1k vit",
        "the Python package 'timm' to know the model 'resnet18', or its library: timm:resnet18",
        "the Python package 'timm', not installed here, which knows its models and their image sizes",
    ]


def test_a_library_model_keeps_its_arguments_as_given_and_ours_has_every_default():
    given = {"window_size": 8, "global_pool": "max"}
    assert models.resolve("swin_tiny_patch4_window7_224", given) == Model(
        name="timm:swin_tiny_patch4_window7_224", version=TIMM.VERSION, knobs=given
    )
    assert set(models.resolve("swin", {}).knobs) == {
        "patch",
        "dim",
        "depths",
        "heads",
        "window",
        "mlp_ratio",
        "qkv_bias",
        "shift",
        "shift_by",
        "position",
    }


@pytest.mark.parametrize(
    ("name", "knobs", "line"),
    [
        ("vit", {"dimm": 48}, "no field 'model.dimm'; nearest: 'model.dim'"),
        ("vit", {"dim": "48"}, "model vit: Expected `int`, got `str` - at `$.dim`"),
        ("vit", {"dim": 0}, "model vit: Expected `int` >= 1 - at `$.dim`"),
        ("vit", {"dim": 1_000_000_007}, "model vit: Expected `int` <= 65536 - at `$.dim`"),
        ("vit", {"patch": 20_000}, "model vit: Expected `int` <= 16384 - at `$.patch`"),
        ("vit", {"depth": 100_000}, "model vit: Expected `int` <= 1024 - at `$.depth`"),
        ("vit", {"heads": 10**12}, "model vit: Expected `int` <= 65536 - at `$.heads`"),
        ("vit", {"mlp_ratio": 1e300}, "model vit: Expected `float` <= 1024.0 - at `$.mlp_ratio`"),
        ("swin", {"dim": 10**12}, "model swin: Expected `int` <= 65536 - at `$.dim`"),
        ("swin", {"window": 10**12}, "model swin: Expected `int` <= 16384 - at `$.window`"),
        ("swin", {"heads": [1] * 17}, "model swin: Expected `array` of length <= 16 - at `$.heads`"),
        ("swin", {"position": "relativ"}, "model swin: Invalid enum value 'relativ' - at `$.position`"),
        ("resnet18", {"act_layer": None}, "timm:resnet18: argument 'act_layer' is null; leave it out to take the"),
    ],
)
def test_a_knob_that_does_not_exist_or_fit_is_a_line(name, knobs, line):
    with pytest.raises(UserError) as raised:
        models.resolve(name, knobs)
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        ("vit_tiny_patch16_224", {"depht": 2}, "timm:vit_tiny_patch16_224: "),
        ("torchvision:vit_b_16", {"depht": 2}, "torchvision:vit_b_16: "),
        ("torchvision:swin_t", {"channels": 1}, "torchvision:swin_t takes images of 3 channels, not 1"),
        ("torchvision:swin_t", {"classes": 0}, "torchvision:swin_t has a head: classes must be at least 1"),
        ("torchvision:vit_b_16", {"image": 225}, "torchvision:vit_b_16 at 225: Input shape indivisible by patch size!"),
        ("torchvision:resnet18", {"dropout": 0.1}, "torchvision:resnet18 has no dropout"),
        ("torchvision:resnet18", {"drop_path": 0.1}, "torchvision:resnet18 has no stochastic depth"),
        ("resnet18.no_such_tag", {}, "timm:resnet18.no_such_tag at 224: Invalid pretrained tag (no_such_tag) for"),
    ],
)
def test_what_a_library_refuses_is_a_line_that_names_the_model(name, given, line):
    with pytest.raises(Invalid) as raised:
        _built(name, **({"image": 224} | given))
    said = str(raised.value)
    assert said.startswith(line)
    assert "\n" not in said
    if "depht" in given:
        assert "unexpected keyword argument 'depht'" in said


@pytest.mark.parametrize(
    ("name", "argument", "value", "said"),
    [
        ("timm:resnet18", "checkpoint_path", "weights.pth", "say `weights:` or `train.from:`"),
        ("timm:resnet18", "pretrained", True, "say `weights:` or `train.from:`"),
        ("timm:resnet18", "pretrained_cfg", {"file": "weights.pth"}, "say `weights:` or `train.from:`"),
        ("timm:resnet18", "pretrained_cfg_overlay", {"num_classes": 7}, "say `weights:` or `train.from:`"),
        ("timm:resnet18", "cache_dir", "elsewhere", "set HF_HOME"),
        ("timm:resnet18", "num_classes", 7, "say `model.classes`"),
        ("timm:resnet18", "in_chans", 1, "say `model.channels`"),
        ("timm:vit_tiny_patch16_224", "img_size", 32, "say `model.image`"),
        ("timm:resnet18", "drop_path_rate", 0.1, "say `train.drop_path`"),
        ("timm:resnet18", "features_only", True, "a classifier has logits"),
        ("torchvision:resnet18", "weights", "DEFAULT", "say `weights:` or `train.from:`"),
        ("torchvision:resnet18", "num_classes", 7, "say `model.classes`"),
        ("torchvision:vit_b_16", "image_size", 32, "say `model.image`"),
        ("torchvision:vit_b_16", "dropout", 0.1, "say `train.dropout`"),
    ],
)
def test_what_another_field_of_the_trial_says_is_no_librarys_argument(name, argument, value, said):
    line = f"model.{argument} is no knob of {name}; {said}"
    with pytest.raises(UserError) as raised:
        models.resolve(name, {argument: value})
    assert str(raised.value) == line
    with pytest.raises(Invalid) as raised:  # a trial that no spec resolved
        models.build(Model(name=name, knobs={argument: value}), Input(image=224))
    assert str(raised.value) == line


def test_every_argument_that_timm_itself_takes_for_weights_is_refused():
    taken = set(inspect.signature(timm.create_model).parameters) - {"model_name", "kwargs"}
    assert taken - TIMM.SAID_ELSEWHERE.keys() == {"scriptable", "exportable", "no_jit"}


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet18", "vit", "swin"])
def test_channels_classes_and_image_size_are_those_of_the_input(name):
    model = _built(name, 192, classes=7, channels=1).eval()
    assert model(torch.empty(2, 1, 192, 192, device="meta")).shape == (2, 7)
    headless = _built(name, 192, classes=0, channels=1).eval()
    assert headless(torch.empty(2, 1, 192, 192, device="meta")).shape[0] == 2
    assert sum(p.numel() for p in headless.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["vit_b_16", "maxvit_t", "swin_t"])
def test_torchvisions_models_take_the_image_size_too(name):
    model = _built(f"torchvision:{name}", 256 if name != "maxvit_t" else 448, classes=7).eval()
    side = 256 if name != "maxvit_t" else 448
    assert model(torch.empty(1, 3, side, side, device="meta")).shape == (1, 7)


def test_a_rate_of_ours_replaces_the_librarys_own():
    for rate in (0.0, 0.3):
        model = _built("swin_tiny_patch4_window7_224", 224, drop_path=rate)  # timm's own: 0.1
        rates = [part.drop_prob for part in model.modules() if isinstance(part, DropPath)]
        assert max(rates, default=0.0) == pytest.approx(rate)
    theirs = _built("torchvision:swin_t", 224, dropout=0.25, drop_path=0.4)
    depths = [part.p for part in theirs.modules() if isinstance(part, torchvision.ops.StochasticDepth)]
    assert (min(depths), max(depths)) == (0.0, pytest.approx(0.4))
    assert {part.p for part in theirs.modules() if isinstance(part, nn.Dropout)} == {0.25}


def test_a_model_of_timm_that_knows_no_stochastic_depth_is_built_without_and_refused_with_it():
    assert _built("vgg11", 224)
    with pytest.raises(Invalid, match=r"^timm:vgg11: .*drop_path_rate"):
        _built("vgg11", 224, drop_path=0.1)


def test_a_patch_that_does_not_divide_is_an_error_in_ours_and_a_note_on_timms():
    with pytest.raises(Invalid, match=r"^vit at 30: patch 16 does not divide the image; allowed: 1, 2, 3, 5, 6, 10, "):
        models.check(models.resolve("vit", {}), Input(image=30))
    note = "patch 16 does not divide the image of 230: timm cuts its border off, or pads it"
    assert models.check(models.resolve("vit_tiny_patch16_224", {}), Input(image=230)) == [note]
    assert models.check(models.resolve("vit_tiny_patch16_224", {"patch_size": 23}), Input(image=230)) == []
    assert models.check(models.resolve("vit_tiny_patch16_224", {}), Input(image=224)) == []
    assert models.check(models.resolve("resnet18", {}), Input(image=225)) == []
    assert models.check(models.resolve("torchvision:vit_b_16", {}), Input(image=224)) == []


def test_divisors_are_listed_at_once_however_large_the_number():
    began = time.process_time()
    assert models.divisors(10**12 + 39) == "1, 1000000000039"  # a prime
    assert models.divisors(36) == "1, 2, 3, 4, 6, 9, 12, 18, 36"
    assert models.divisors(1) == "1"
    assert time.process_time() - began < 2


def test_a_skeleton_is_on_meta_in_evaluation_mode_and_shared():
    model, input_ = models.resolve("vit", {}), Input(image=32)
    one = skeleton.of(model, input_)
    assert {parameter.device.type for parameter in one.parameters()} == {"meta"}
    assert not any(part.training for part in one.modules())
    assert skeleton.of(models.resolve("vit", {}), Input(image=32)) is one
    assert skeleton.of(model, Input(image=32, classes=7)) is not one


def test_a_model_that_reads_values_while_it_is_built_becomes_a_skeleton_too():
    built = skeleton.of(models.resolve("torchvision:regnet_y_400mf", {}), Input(image=224))
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}


def test_a_model_that_fails_for_want_of_values_is_not_invalid_and_becomes_a_skeleton_all_the_same(monkeypatch):
    def create_model(name, **given):
        if torch.get_default_device().type == "meta":
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return timms(name, **given)

    timms = timm.create_model
    monkeypatch.setattr(timm, "create_model", create_model)
    skeleton._built.cache_clear()
    built = skeleton.of(models.resolve("resnet18", {}), Input(image=64))
    assert {parameter.device.type for parameter in built.parameters()} == {"meta"}


def test_the_version_of_the_library_is_known_by_its_name():
    versions = {name: skeleton.library(models.resolve(name, {})) for name in ("vit", "resnet18", "torchvision:swin_t")}
    assert versions["vit"] == versions["resnet18"] == {"timm": timm.__version__}
    (installed,) = versions["torchvision:swin_t"].values()
    assert torchvision.__version__.startswith(installed)
