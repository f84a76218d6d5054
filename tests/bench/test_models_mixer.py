import pytest
import timm
import torch

from bench import counting, models, skeleton
from bench.errors import Invalid
from bench.trial import Input


def _mixer(patches, patch, dim, depth, classes):
    """Parameters, and multiply-adds of a Mixer: a block is two norms and two MLPs."""
    tokens, hidden = dim // 2, 4 * dim
    block = 2 * 2 * dim + (2 * patches * tokens + tokens + patches) + (2 * dim * hidden + hidden + dim)
    params = 3 * patch**2 * dim + dim + depth * block + 2 * dim + (dim + 1) * classes
    mixed = depth * (2 * dim * patches * tokens + 2 * patches * dim * hidden)
    return params, patches * 3 * patch**2 * dim + mixed + dim * classes


@pytest.mark.parametrize(
    ("knobs", "sizes"),
    [({}, (14**2, 16, 512, 8)), ({"patch": 14, "dim": 1280, "depth": 32}, (16**2, 14, 1280, 32))],
)
def test_a_mixer_counts_as_its_closed_form_says(knobs, sizes, torchs_own):
    model, input_ = models.resolve("mixer", knobs), Input(image=224)
    counts = counting.of_model(model, input_)
    assert (counts.params, counts.total) == _mixer(*sizes, 1000)
    assert counts.total == torchs_own(skeleton.of(model, input_), (1, 3, 224, 224))


def test_mixer_h14_without_its_classifier_is_the_papers_431_million():
    model = skeleton.of(models.resolve("mixer", {"patch": 14, "dim": 1280, "depth": 32}), Input(image=224, classes=0))
    assert sum(parameter.numel() for parameter in model.parameters()) == 431_069_952


def test_the_defaults_are_timms_mixer_s16_weight_for_weight():
    torch.manual_seed(0)
    theirs = timm.create_model("mixer_s16_224", num_classes=3, img_size=32).eval()
    ours = models.build(models.resolve("mixer", {}), Input(image=32, classes=3)).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(ours(images), theirs(images))
    assert theirs.pretrained_cfg["classifier"] == ours.CLASSIFIER


def test_stochastic_depth_grows_from_nothing_to_the_last_block():
    mixer = models.resolve("mixer", {"depth": 5, "dim": 16})
    torch.manual_seed(0)
    shallower = models.build(mixer, Input(image=32, classes=3), drop_path=0.2)
    assert [block.drop_path.drop_prob for block in shallower.blocks] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    torch.manual_seed(0)
    whole = models.build(mixer, Input(image=32, classes=3)).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(shallower.eval()(images), whole(images))


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"patch": 5}, "mixer at 32: patch 5 does not divide the image; allowed: 1, 2, 4, 8, 16, 32"),
        ({"token_ratio": 0.001}, "mixer at 32: token_ratio 0.001 leaves no hidden unit of dim 512"),
    ],
)
def test_what_cannot_be_built_is_one_line(knobs, line):
    with pytest.raises(Invalid) as raised:
        models.check(models.resolve("mixer", knobs), Input(image=32))
    assert str(raised.value) == line
