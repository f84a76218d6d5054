import msgspec
import pytest
import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock
from timm.optim import param_groups_layer_decay

from bench import counting, models
from bench.errors import Invalid
from bench.trial import Input

POSITIONS = ("none", "absolute", "absolute_and_relative", "relative", "relative_without_appearance")
SMALL = {"patch": 2, "dim": 12, "depths": [2, 2], "heads": [2, 4], "window": 4}
GREY = Input(image=32, channels=1, classes=10)  # maps of 16×16, then 8×8: windows of 4×4 in both


def _swin(input_=GREY, *, seed=0, dropout=0.0, drop_path=0.0, **knobs):
    torch.manual_seed(seed)
    resolved = models.resolve("swin", SMALL | knobs)
    return models.build(resolved, input_, dropout=dropout, drop_path=drop_path).eval()


def _timms(input_=GREY, *, seed=0):
    torch.manual_seed(seed)
    return SwinTransformer(
        img_size=input_.image,
        patch_size=2,
        in_chans=1,
        num_classes=10,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(2, 4),
        window_size=4,
        drop_path_rate=0.0,
    ).eval()


def _parameters(model):
    return sum(value.numel() for value in model.parameters())


def _images(side=32):
    return torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("size", "knobs", "parameters"),
    [
        ("tiny", {}, 28_288_354),
        ("small", {"depths": [2, 2, 18, 2]}, 49_606_258),
        ("base", {"dim": 128, "depths": [2, 2, 18, 2], "heads": [4, 8, 16, 32]}, 87_768_224),
        ("large", {"dim": 192, "depths": [2, 2, 18, 2], "heads": [6, 12, 24, 48]}, 196_532_476),
    ],
)
def test_the_papers_four_are_timms(size, knobs, parameters):
    at = Input(image=224)
    with torch.device("meta"):
        ours = models.build(models.resolve("swin", knobs), at)
        theirs = models.build(models.resolve(f"timm:swin_{size}_patch4_window7_224", {}), at)
    assert _parameters(ours) == _parameters(theirs) == parameters
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }


def test_the_default_is_swin_t_and_the_small_one_is_timms_bit_for_bit():
    with torch.device("meta"):
        model = models.build(models.resolve("swin", {}), Input(image=224))
    assert _parameters(model) == 28_288_354
    ours, theirs = _swin(), _timms()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert torch.equal(ours(_images()), theirs(_images()))


def test_parameters_of_each_variant_differ_by_what_the_paper_takes_away_or_adds():
    table = 2 * (2 * 4 - 1) ** 2 * (2 + 4)  # (2M − 1)² biases for each head of each block (section 3.2)
    absolute = 16 * 16 * 12
    queries_and_keys = 2 * (2 * 12 * (12 + 1)) + 2 * (2 * 24 * (24 + 1))
    whole = _parameters(_swin())
    assert {kind: _parameters(_swin(position=kind)) - whole for kind in POSITIONS} == {
        "none": -table,
        "absolute": absolute - table,
        "absolute_and_relative": absolute,
        "relative": 0,
        "relative_without_appearance": -queries_and_keys,
    }
    assert _parameters(_swin(shift=False)) == whole


def test_what_table_4_takes_from_swin_t_and_adds_to_it():
    with torch.device("meta"):
        counts = {
            kind: _parameters(models.build(models.resolve("swin", {"position": kind}), Input(image=224)))
            for kind in POSITIONS
        }
    whole = counts.pop("relative")
    assert {kind: count - whole for kind, count in counts.items()} == {
        "none": -23_322,  # (2·7 − 1)² biases for each of 2·3 + 2·6 + 6·12 + 2·24 heads
        "absolute": 56**2 * 96 - 23_322,
        "absolute_and_relative": 56**2 * 96,
        "relative_without_appearance": -sum(
            blocks * 2 * dim * (dim + 1) for blocks, dim in ((2, 96), (2, 192), (6, 384), (2, 768))
        ),
    }


def test_without_appearance_neither_scores_nor_their_projections_are_computed():
    whole, without = (
        counting.of_model(models.resolve("swin", SMALL | {"position": kind}), GREY)
        for kind in ("relative", "relative_without_appearance")
    )
    scores = 2 * 4**2 * (16**2 * 12 + 8**2 * 24)
    projections = 2 * 2 * (16**2 * 12**2 + 8**2 * 24**2)
    assert whole.total - without.total == scores + projections
    others = ("none", "absolute", "absolute_and_relative")
    counts = {counting.of_model(models.resolve("swin", SMALL | {"position": kind}), GREY).total for kind in others}
    assert counts == {whole.total}


def test_models_of_one_seed_start_alike_in_whatever_they_share():
    whole = _swin().state_dict()
    for kind in POSITIONS:
        for shift in (True, False):
            state = _swin(position=kind, shift=shift).state_dict()
            shared = whole.keys() & state.keys()
            assert len(shared) > 30
            assert all(torch.equal(whole[name], state[name]) for name in shared), kind
    values = _swin(position="relative_without_appearance").state_dict()["layers.0.blocks.0.attn.v.weight"]
    assert torch.equal(values, whole["layers.0.blocks.0.attn.qkv.weight"][-12:])
    assert not torch.equal(whole["head.fc.weight"], _swin(seed=1).state_dict()["head.fc.weight"])


@pytest.mark.parametrize("shift", [True, False])
def test_our_attention_computes_what_timms_does_where_both_can(shift):
    ours = _swin(position="absolute_and_relative", shift=shift)
    theirs = _swin(shift=shift)
    for block in theirs.modules():
        if isinstance(block, SwinTransformerBlock):
            block.attn.relative_position_bias_table.data.normal_()
    without = _swin(position="none", shift=shift)
    state = {name: value for name, value in theirs.state_dict().items() if "relative_position" not in name}
    without.load_state_dict(state)
    for block in theirs.modules():
        if isinstance(block, SwinTransformerBlock):
            block.attn.relative_position_bias_table.data.zero_()  # no bias is a bias of zero
    assert (without(_images()) - theirs(_images())).abs().max() < 1e-6
    ours.absolute_pos_embed.data.zero_()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    assert (ours(_images()) - theirs(_images())).abs().max() < 1e-6


def test_without_appearance_a_window_is_weighted_by_its_biases_alone():
    attention = _swin(position="relative_without_appearance").layers[0].blocks[0].attn
    attention.relative_position_bias_table.data.zero_()
    x = torch.randn(3, 16, 12)
    mean = attention.v(x).mean(dim=1, keepdim=True).expand(3, 16, 12)
    assert torch.allclose(attention(x), attention.proj(mean), atol=1e-6)


def test_without_appearance_the_softmax_is_of_the_biases():
    attention = _swin(position="relative_without_appearance").layers[0].blocks[0].attn
    attention.relative_position_bias_table.data.normal_()
    x = torch.randn(3, 16, 12)
    biases = torch.empty(2, 16, 16)  # (heads, N, N), written out place by place
    for one in range(16):
        for other in range(16):
            rows, columns = one // 4 - other // 4, one % 4 - other % 4
            biases[:, one, other] = attention.relative_position_bias_table[(rows + 3) * 7 + columns + 3]
    values = attention.v(x).view(3, 16, 2, 6).transpose(1, 2)
    expected = attention.proj((biases.softmax(dim=-1) @ values).transpose(1, 2).reshape(3, 16, 12))
    assert (attention(x) - expected).abs().max() < 1e-6


def test_absolute_positions_are_added_to_the_patches_once():
    absolute, without = _swin(position="absolute"), _swin(position="none")
    without.patch_embed.register_forward_hook(lambda _, __, x: x + absolute.absolute_pos_embed)
    assert absolute.absolute_pos_embed.abs().max() > 0.01
    assert torch.equal(absolute(_images()), without(_images()))


def test_without_a_shift_it_is_timms_with_its_shifts_zeroed_by_hand():
    ours, theirs = _swin(shift=False), _timms()
    shifted = theirs(_images())
    for block in theirs.modules():
        if isinstance(block, SwinTransformerBlock):
            block.shift_size = (0, 0)
            block.attn_mask = None
    assert torch.equal(ours(_images()), theirs(_images()))
    assert not torch.allclose(ours(_images()), shifted, atol=1e-4)


@pytest.mark.parametrize("kind", POSITIONS)
def test_padding_says_what_cyclic_shift_says(kind):
    rolled, padded = _swin(position=kind, shift_by="roll"), _swin(position=kind, shift_by="padding")
    for ours, theirs in zip(rolled.parameters(), padded.parameters(), strict=True):
        ours.data.normal_(std=0.2)  # far from its start, where attention is even
        theirs.data.copy_(ours)
    assert list(padded.state_dict()) == list(rolled.state_dict())
    said = rolled(_images())
    assert said.abs().max() > 0.1
    assert (padded(_images()) - said).abs().max() < 1e-5
    assert (_swin(position=kind, shift=False)(_images()) - said).abs().max() > 0.01


def test_padding_computes_more_windows_and_nothing_else():
    rolled, padded = (
        counting.of_model(models.resolve("swin", SMALL | {"shift_by": by}), GREY).total for by in ("roll", "padding")
    )
    # of each stage one block is shifted: (16/4)² windows become 5², then (8/4)² become 3²
    window = {dim: 4**2 * 4 * dim**2 + 2 * 4**4 * dim for dim in (12, 24)}  # projections, scores and what they weigh
    assert padded - rolled == (5**2 - 4**2) * window[12] + (3**2 - 2**2) * window[24]


def _reached(model, row, column):
    """Pixels (32, 32) that the map after the first stage at a place depends on."""
    images = _images()[:1].requires_grad_()
    features = model.layers[0](model.patch_embed(images))  # (1, 16, 16, D)
    features[0, row, column].sum().backward()
    return images.grad[0, 0] != 0


def test_without_a_shift_nothing_leaves_its_window():
    alone, shifted = (_reached(_swin(shift=shift), 5, 5) for shift in (False, True))
    window = torch.zeros(32, 32, dtype=torch.bool)
    window[8:16, 8:16] = True  # rows and columns 4 to 7 of the map, at 2 pixels each
    assert torch.equal(alone, window)
    assert (shifted & ~window).any()
    assert not shifted[24:].any()  # a shift by half a window reaches the windows around it, and no further


def test_the_mask_keeps_the_shifted_border_apart():
    reached = _reached(_swin(), 0, 0)
    assert not reached[16:].any()  # cyclically the first row stands beside the last one
    assert not reached[:, 16:].any()


@pytest.mark.parametrize("by", ["roll", "padding"])
@pytest.mark.parametrize("side", [16, 17, 18, 19])
def test_where_a_shift_joins_opposite_borders_of_the_map_is_noted(side, by):
    at, knobs = msgspec.structs.replace(GREY, image=2 * side), {"shift_by": by, "depths": [2], "heads": [2]}
    model, images = _swin(at, **knobs), _images(2 * side)[:1].requires_grad_()
    model.layers[0](model.patch_embed(images))[0, -1, -1].sum().backward()
    joined = bool((images.grad[0, 0, :4] != 0).any())  # the first two rows of the map, by a window of 4×4
    assert joined == (by == "roll" and side in (17, 19))
    notes = models.check(models.resolve("swin", SMALL | knobs), at)
    assert any("opposite borders" in note for note in notes) == joined


@pytest.mark.parametrize("kind", POSITIONS)
def test_every_variant_is_built_without_memory_and_takes_an_image(kind):
    with torch.device("meta"):
        model = _swin(position=kind)
        assert model(torch.empty(2, 1, 32, 32)).shape == (2, 10)
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}
    assert _swin(msgspec.structs.replace(GREY, classes=0), position=kind)(_images()).shape == (2, 24)


def test_dropout_and_stochastic_depth_are_the_trainings():
    model = _swin(dropout=0.2, drop_path=0.3, position="absolute")
    blocks = [block for block in model.modules() if isinstance(block, SwinTransformerBlock)]
    rates = [getattr(block.drop_path2, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])
    assert model.pos_drop.p == blocks[0].mlp.drop1.p == blocks[0].attn.proj_drop.p == 0.2


def test_at_another_patch_size_a_linear_function_of_the_pixels_stays_what_it_is():
    coarse, fine = _swin(patch=4, depths=[2], heads=[2]), _swin(patch=2, depths=[2], heads=[2])
    adapted = coarse.adapt(fine.state_dict())
    flat = torch.ones(1, 1, 32, 32)
    coarse.load_state_dict(adapted)
    assert torch.allclose(coarse.patch_embed(flat)[0, 0, 0], fine.patch_embed(flat)[0, 0, 0], atol=1e-5)


def test_tables_of_positions_do_not_decay():
    spared = {name.rpartition(".")[2] for name in _swin(position="absolute_and_relative").no_weight_decay()}
    assert spared == {"absolute_pos_embed", "relative_position_bias_table"}
    assert _swin(position="none").no_weight_decay() == set()


def test_absolute_positions_are_of_the_first_layer():
    model = _swin(position="absolute")
    groups = param_groups_layer_decay(model, layer_decay=0.5)
    scale = {id(value): group["lr_scale"] for group in groups for value in group["params"]}
    scales = {name: scale[id(value)] for name, value in model.named_parameters()}
    assert scales["absolute_pos_embed"] == scales["patch_embed.proj.weight"] == min(scales.values())


@pytest.mark.parametrize("kind", ["absolute", "relative", "absolute_and_relative"])
def test_at_another_size_tables_of_positions_are_resampled(kind):
    small = _swin(position=kind)
    for name, value in small.named_parameters():
        if "position_bias" in name or "pos_embed" in name:
            value.data.fill_(0.5)  # a constant stays one however it is interpolated
    large = _swin(msgspec.structs.replace(GREY, image=64), position=kind, window=8)
    adapted = large.adapt(small.state_dict())
    shapes = {name: value.shape for name, value in large.state_dict().items()}
    assert {name: value.shape for name, value in adapted.items()} == shapes
    changed = {name for name in adapted if adapted[name].shape != small.state_dict()[name].shape}
    assert len(changed) == {"absolute": 1, "relative": 4, "absolute_and_relative": 5}[kind]
    for name in changed:
        assert torch.allclose(adapted[name], torch.tensor(0.5), atol=1e-5)


@pytest.mark.parametrize(
    ("image", "knobs", "notes"),
    [
        (224, {}, []),
        (112, {}, ["stage 4: the window is the whole map, 4×4, and is not shifted"]),
        (
            256,
            {},
            [
                "stage 1: the map of 64×64 is padded to whole windows; shifted windows join opposite borders",
                "stage 2: the map of 32×32 is padded to whole windows; shifted windows join opposite borders",
                "stage 3: the map of 16×16 is padded to whole windows; shifted windows join opposite borders",
                "stage 4: the map of 8×8 is padded to whole windows; shifted windows join opposite borders",
            ],
        ),
        (
            256,
            {"shift_by": "padding", "depths": [2, 2], "heads": [3, 6]},
            [
                "stage 1: the map of 64×64 is padded to whole windows",
                "stage 2: the map of 32×32 is padded to whole windows",
            ],
        ),
        (256, {"shift": False, "depths": [2], "heads": [3]}, ["stage 1: the map of 64×64 is padded to whole windows"]),
        (256, {"window": 8}, []),
    ],
)
def test_what_timm_pads_or_shrinks_is_noted(image, knobs, notes):
    assert models.check(models.resolve("swin", knobs), Input(image=image)) == notes


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"patch": 5}, "swin at 32: patch 5 does not divide the image; allowed: 1, 2, 4, 8, 16, 32"),
        ({"depths": [2, 2, 2]}, "swin at 32: 3 depths and 2 heads; each stage has one of both"),
        ({"depths": [], "heads": []}, "swin at 32: 0 depths and 0 heads; each stage has one of both"),
        ({"heads": [2, 5]}, "swin at 32: heads 5 do not divide the 24 channels of stage 2"),
        (
            {"shift": False, "shift_by": "padding"},
            "swin at 32: shift_by padding says how to shift, and shift is false",
        ),
        ({"mlp_ratio": 0.01}, "swin at 32: mlp_ratio 0.01 leaves no hidden unit of 12 channels"),
    ],
)
def test_what_cannot_be_built_is_one_line(knobs, line):
    with pytest.raises(Invalid) as raised:
        models.check(models.resolve("swin", SMALL | knobs), GREY)
    assert str(raised.value) == line


@pytest.mark.parametrize(
    ("name", "image"), [("swin_tiny_patch4_window7_224", 224), ("swin_base_patch4_window12_384", 384)]
)
def test_timm_s_own_swin_is_noted_alike(name, image):
    assert models.check(models.resolve(name, {}), Input(image=image)) == []
    assert models.check(models.resolve("swin_tiny_patch4_window7_224", {}), Input(image=256)) == [
        f"stage {stage}: the map of {side}×{side} is padded to whole windows; shifted windows join opposite borders"
        for stage, side in ((1, 64), (2, 32), (3, 16), (4, 8))
    ]
