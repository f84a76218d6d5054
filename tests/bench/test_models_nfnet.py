import pytest
import timm
import torch

from bench import counting, models, skeleton
from bench.errors import UserError
from bench.trial import Input


def test_nfnet_f0_counts_as_timms_and_as_torch_says(torchs_own):
    ours, theirs = (models.resolve(name, {}) for name in ("nfnet", "timm:dm_nfnet_f0"))
    input_ = Input(image=192)
    counts, others = counting.of_model(ours, input_), counting.of_model(theirs, input_)
    assert (counts.params, counts.total) == (others.params, others.total)
    assert counts.total == torchs_own(skeleton.of(ours, input_), (1, 3, 192, 192))


@pytest.mark.parametrize(
    ("channels", "params"), [((256, 512, 1536, 1536), 316_069_172), ((384, 768, 2048, 2048), 524_884_724)]
)
def test_nfnet_f4_and_the_wider_f4_plus_have_the_papers_parameters(channels, params):  # 316 and 527 million
    model = models.resolve("nfnet", {"depths": [5, 10, 30, 15], "channels": channels})
    assert sum(parameter.numel() for parameter in skeleton.of(model, Input(image=512)).parameters()) == params


def test_the_defaults_are_timms_nfnet_f0_weight_for_weight():
    torch.manual_seed(0)
    theirs = timm.create_model("dm_nfnet_f0", num_classes=3).eval()
    ours = models.build(models.resolve("nfnet", {}), Input(image=32, classes=3)).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(ours(images), theirs(images))
    assert theirs.pretrained_cfg["classifier"] == ours.CLASSIFIER


def test_channels_that_make_no_whole_groups_are_refused():
    with pytest.raises(UserError, match=r"^model nfnet: Expected `int` that's a multiple of 128"):
        models.resolve("nfnet", {"channels": [300, 512, 1536, 1536]})
