import msgspec
import pytest
import torch
from timm.layers.patch_embed import resample_patch_embed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import RotaryEmbeddingCat
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from timm.optim import param_groups_layer_decay

from bench import counting, models
from bench.errors import Invalid, UserError
from bench.trial import Input

POSITIONS = ("none", "learned", "learned2d", "sincos1d", "sincos2d", "relative", "rope")
POOLS = ("token", "mean", "map")
SMALL = {"patch": 2, "dim": 48, "depth": 2, "heads": 4}
DIGITS = Input(image=8, channels=1, classes=10)


def _vit(input_=DIGITS, *, seed=0, **knobs):
    torch.manual_seed(seed)
    return models.build(models.resolve("vit", SMALL | knobs), input_).eval()


def _parameters(model):
    return sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("pos_embed", POSITIONS)
@pytest.mark.parametrize(
    ("input_", "knobs"), [(DIGITS, SMALL), (Input(image=32, channels=3, classes=7), {**SMALL, "patch": 8, "depth": 3})]
)
def test_parameters_are_what_the_closed_form_says(pos_embed, pool, input_, knobs):
    patch, dim, depth, heads = knobs["patch"], knobs["dim"], knobs["depth"], knobs["heads"]
    grid, token = input_.image // patch, int(pool == "token")
    embedding = (patch**2 * input_.channels + 1) * dim
    block = 2 * 2 * dim + (dim + 1) * 3 * dim + (dim + 1) * dim + (dim + 1) * 4 * dim + (4 * dim + 1) * dim
    positions = {
        "learned": (grid**2 + token) * dim,
        "learned2d": (grid + token) * dim,
        "relative": depth * heads * ((2 * grid - 1) ** 2 + 3 * token),
    }
    pooling = {"map": dim + 2 * dim + (dim + 1) * 4 * dim + (dim + 1) * 4 * dim + (4 * dim + 1) * dim}
    head = (dim + 1) * input_.classes
    expected = embedding + token * dim + depth * block + 2 * dim + pooling.get(pool, 0) + head
    expected += positions.get(pos_embed, 0)
    assert _parameters(_vit(input_, **knobs, pos_embed=pos_embed, pool=pool)) == expected


@pytest.mark.parametrize("knobs", [{"pool": "token"}, {"pool": "mean"}, {"pool": "map"}, {"distilled": True}])
@pytest.mark.parametrize("pos_embed", ["none", "learned", "learned2d", "sincos2d", "rope"])
def test_multiply_adds_are_what_the_closed_form_says(pos_embed, knobs):
    patches, dim, depth, heads = 16, 48, 2, 1 + knobs.get("distilled", False)
    tokens = patches + {"token": 1}.get(knobs.get("pool", "token"), 0) + knobs.get("distilled", False)
    block = 12 * tokens * dim**2 + 2 * tokens**2 * dim  # qkv, projection and MLP; scores and what they weigh
    pooling = 10 * dim**2 + 2 * patches * dim**2 + 2 * patches * dim if knobs.get("pool") == "map" else 0
    expected = patches * 2**2 * dim + depth * block + pooling + heads * dim * 10
    model = models.resolve("vit", SMALL | knobs | {"pos_embed": pos_embed})
    assert counting.of_model(model, DIGITS).total == expected


def test_vit_base_at_224_has_the_parameters_of_the_paper():
    with torch.device("meta"):
        model = models.build(models.resolve("vit", {"dim": 768, "heads": 12}), Input(image=224))
    assert _parameters(model) == 86_567_656


@pytest.mark.parametrize("pos_embed", ["learned", "none"])
@pytest.mark.parametrize("pool", POOLS)
def test_with_the_same_weights_it_says_what_timms_vit_says(pos_embed, pool):
    ours = _vit(pos_embed=pos_embed, pool=pool)
    with torch.no_grad():
        for name, value in ours.named_parameters():
            if "norm" not in name:
                value.normal_(std=0.1)  # far from the start, where a pooling of any kind is nearly a mean
    timms = VisionTransformer(
        img_size=8,
        patch_size=2,
        in_chans=1,
        num_classes=10,
        embed_dim=48,
        depth=2,
        num_heads=4,
        class_token=pool == "token",
        global_pool={"mean": "avg"}.get(pool, pool),
        fc_norm=False,
    ).eval()
    nowhere = {"pos_embed": torch.zeros_like(timms.pos_embed)}  # no positions are positions of zero
    timms.load_state_dict((nowhere if pos_embed == "none" else {}) | ours.state_dict())
    images = torch.randn(3, 1, 8, 8)
    assert (ours(images) - timms(images)).abs().max() < 1e-6


def _shuffled(images, patch):
    """The same patches in another order."""
    side = images.shape[-1] // patch
    patches = images.unfold(2, patch, patch).unfold(3, patch, patch).flatten(2, 3)  # (B, C, N, p, p)
    mixed = patches[:, :, torch.randperm(side**2, generator=torch.Generator().manual_seed(5))]
    return mixed.unflatten(2, (side, side)).permute(0, 1, 2, 4, 3, 5).reshape(images.shape)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("pos_embed", POSITIONS)
def test_only_without_positions_the_order_of_the_patches_does_not_matter(pos_embed, pool):
    model = _vit(pos_embed=pos_embed, pool=pool).double()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    moved = (model(images) - model(_shuffled(images, 2))).abs().max()
    assert moved < 1e-13 if pos_embed == "none" else moved > 1e-7


def test_models_of_one_seed_start_alike_everywhere_but_in_their_positions():
    states = {pos_embed: _vit(pos_embed=pos_embed).state_dict() for pos_embed in POSITIONS}
    for name, value in states["none"].items():
        for state in states.values():
            assert torch.equal(state[name], value), name
    assert not torch.equal(states["none"]["head.weight"], _vit(seed=1, pos_embed="none").state_dict()["head.weight"])


def _sines(places, bands):
    """sin and cos of place / 10000^(band / bands), in double precision: (N, bands) each."""
    wavelengths = 10_000 ** (torch.arange(bands, dtype=torch.float64) / bands)
    angles = places.double().flatten()[:, None] / wavelengths
    return angles.sin(), angles.cos()


def test_the_sine_tables_are_those_of_the_papers_and_no_weights():
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")  # of the patches, in raster order
    (row_sines, row_cosines), (column_sines, column_cosines) = _sines(rows, 12), _sines(columns, 12)
    expected = {
        "sincos1d": _sines(torch.arange(16), 24),
        "sincos2d": (row_sines, column_sines, row_cosines, column_cosines),
    }
    for pos_embed, parts in expected.items():
        model = _vit(pos_embed=pos_embed)
        assert "pos_embed" not in model.state_dict()
        table = model.pos_embed[0]  # (17, 48)
        assert torch.equal(table[0], torch.zeros(48))  # the class token is nowhere
        assert torch.allclose(table[1:].double(), torch.cat(parts, dim=1), rtol=0, atol=2e-6)  # float32 at 15 radians


def test_a_relative_bias_depends_on_the_offset_alone_and_the_class_token_has_its_own():
    bias = _vit(pos_embed="relative").blocks[1].relative.get_bias()[0]  # (heads, 17, 17)
    patches = bias[:, 1:, 1:].reshape(4, 4, 4, 4, 4)  # heads, row and column of the query, of the key
    assert torch.equal(patches[:, 0, 0, 1, 2], patches[:, 2, 1, 3, 3])
    assert not torch.equal(patches[:, 0, 0, 1, 2], patches[:, 1, 2, 0, 0])
    assert bias[0, 0, 1:].unique().numel() == bias[0, 1:, 0].unique().numel() == 1
    assert bias[0, 0, 0].item() not in bias[0, 1:, 1:].unique().tolist()


def test_rope_turns_the_patches_and_leaves_the_class_token():
    model = _vit(pos_embed="rope")
    rotation = model.rope.get_embed()
    assert torch.equal(rotation, RotaryEmbeddingCat(12, in_pixels=False, feat_shape=[4, 4]).get_embed())
    attention = model.blocks[0].attn
    alone = torch.zeros(1, 17, 48)
    alone[:, 0] = torch.randn(48)  # only the class token says anything: its score with itself must not move
    with_rope, without = attention(alone, rope=rotation), attention(alone)
    assert torch.allclose(with_rope, without, atol=1e-6)
    patches = torch.randn(1, 17, 48) * 10
    assert not torch.allclose(attention(patches, rope=rotation), attention(patches), atol=1e-4)


@pytest.mark.parametrize("pos_embed", POSITIONS)
def test_it_is_built_without_memory_on_the_meta_device(pos_embed):
    with torch.device("meta"):
        model = _vit(pos_embed=pos_embed)
        assert model(torch.empty(2, 1, 8, 8)).shape == (2, 10)
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}


def test_no_classes_means_no_head():
    assert _vit(Input(image=8, channels=1, classes=0))(torch.randn(2, 1, 8, 8)).shape == (2, 48)


def test_drop_path_grows_with_depth_and_dropout_is_where_the_paper_has_it():
    model = models.build(models.resolve("vit", {**SMALL, "depth": 3}), DIGITS, dropout=0.2, drop_path=0.3)
    assert [block.drop_path.drop_prob for block in model.blocks] == pytest.approx([0, 0.15, 0.3])
    dropping = {name: part.p for name, part in model.named_modules() if isinstance(part, torch.nn.Dropout)}
    assert dropping["dropout"] == dropping["blocks.0.attn.proj_drop"] == dropping["blocks.2.mlp.drop2"] == 0.2
    assert dropping["blocks.0.attn.attn_drop"] == 0


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"patch": 3}, "vit at 8: patch 3 does not divide the image; allowed: 1, 2, 4, 8"),
        ({"heads": 5}, "vit at 8: heads 5 do not divide dim 48; allowed: 1, 2, 3, 4, 6, 8, 12, 16, 24, 48"),
        (
            {"dim": 5, "heads": 1, "pos_embed": "learned2d"},
            "vit at 8: pos_embed learned2d needs dim to be a multiple of 2, not 5",
        ),
        (
            {"distilled": True, "pool": "map"},
            "vit at 8: distilled reads two tokens; pool must be token, not map",
        ),
        (
            {"distilled": True, "pos_embed": "relative"},
            "vit at 8: pos_embed relative has entries for one token beside the patches; distilled has two",
        ),
        ({"stem_channels": [48]}, "vit at 8: stem_channels goes with stem conv, not patchify"),
        ({"stem_blocks": [2], "stem": "conv"}, "vit at 8: stem_blocks goes with stem resnet, not conv"),
        (
            {"stem": "conv", "patch": 1},
            "vit at 8: 3×3 convolutions that double up to dim 48 make no patches of 1; say stem_channels",
        ),
        (
            {"stem": "conv", "patch": 8, "dim": 6, "heads": 1},
            "vit at 8: 3×3 convolutions that double up to dim 6 make no patches of 8; say stem_channels",
        ),
        (
            {"stem": "conv", "patch": 4, "stem_channels": [16, 24]},
            "vit at 8: stem_channels [16, 24]: each is the one before, or twice that",
        ),
        (
            {"stem": "conv", "patch": 4, "stem_channels": [16, 16]},
            "vit at 8: stem_channels [16, 16] leave a place every 2 pixels; patch is 4",
        ),
        (
            {"stem": "resnet", "patch": 4, "stem_blocks": [1, 1]},
            "vit at 8: the resnet's map has a place every 8 pixels, which do not divide patch 4",
        ),
        (
            {"dim": 6, "heads": 1, "pos_embed": "sincos2d"},
            "vit at 8: pos_embed sincos2d needs dim to be a multiple of 4, not 6",
        ),
        (
            {"dim": 5, "heads": 1, "pos_embed": "sincos1d"},
            "vit at 8: pos_embed sincos1d needs dim to be a multiple of 2, not 5",
        ),
        ({"heads": 8, "pos_embed": "rope"}, "vit at 8: pos_embed rope needs dim / heads to be a multiple of 4, not 6"),
        ({"mlp_ratio": 0.01}, "vit at 8: mlp_ratio 0.01 leaves no hidden unit of dim 48"),
    ],
)
def test_what_cannot_be_built_is_one_line(knobs, reason):
    with pytest.raises(Invalid) as raised:
        models.check(models.resolve("vit", SMALL | knobs), DIGITS)
    assert str(raised.value) == reason


def test_a_level_that_does_not_exist_is_a_line_and_defaults_are_stated():
    with pytest.raises(UserError, match="model vit: Invalid enum value 'ropes'"):
        models.resolve("vit", {"pos_embed": "ropes"})
    with pytest.raises(UserError, match=r"no field 'model.pach'; nearest: 'model.patch'"):
        models.resolve("vit", {"pach": 2})
    assert models.resolve("vit", {}).knobs == {
        "patch": 16,
        "dim": 192,
        "depth": 12,
        "heads": 3,
        "mlp_ratio": 4.0,
        "qkv_bias": True,
        "pos_embed": "learned",
        "pool": "token",
        "distilled": False,
        "stem": "patchify",
        "stem_channels": (),
        "stem_blocks": (),
    }


@pytest.mark.parametrize("pos_embed", ["learned", "learned2d", "relative"])
@pytest.mark.parametrize("pool", POOLS)
def test_at_another_image_size_tables_are_resampled_and_the_class_tokens_part_is_kept(pos_embed, pool):
    small = _vit(pos_embed=pos_embed, pool=pool)
    with torch.no_grad():
        for name, value in small.named_parameters():
            if "pos_embed" in name or "axes" in name or "bias_table" in name:
                value.fill_(0.5)  # a constant stays one however it is interpolated
    large = _vit(msgspec.structs.replace(DIGITS, image=16), pos_embed=pos_embed, pool=pool)
    adapted = large.adapt(small.state_dict())
    shapes = {name: value.shape for name, value in large.state_dict().items()}
    assert {name: value.shape for name, value in adapted.items()} == shapes
    changed = {name for name in adapted if adapted[name].shape != small.state_dict()[name].shape}
    assert changed
    for name in changed:
        assert torch.allclose(adapted[name], torch.tensor(0.5), atol=1e-5)


def test_positions_keep_their_order_when_resampled():
    small = _vit(pos_embed="learned")
    with torch.no_grad():
        small.pos_embed[0, 1:] = torch.arange(4.0).repeat_interleave(4)[:, None]  # the row of every patch
    large = _vit(msgspec.structs.replace(DIGITS, image=16), pos_embed="learned")
    rows = large.adapt(small.state_dict())["pos_embed"][0, 1:, 0].view(8, 8)
    assert torch.allclose(rows[:, :1].expand(8, 8), rows, atol=1e-5)
    assert (rows[1:, 0] > rows[:-1, 0]).all()


def test_2d_learned_positions_are_resampled_as_the_table_that_they_make():
    small, large = (_vit(msgspec.structs.replace(DIGITS, image=side), pos_embed="learned2d") for side in (8, 16))
    large.load_state_dict(large.adapt(small.state_dict()))
    expected = resample_abs_pos_embed(small.axes(), [8, 8], num_prefix_tokens=1)
    assert expected.std() > 0.01
    assert (large.axes() - expected).abs().max() < 1e-6


def test_2d_learned_positions_share_a_half_along_each_row_and_each_column():
    table = _vit(pos_embed="learned2d").axes()[0, 1:].unflatten(0, (4, 4))  # (rows, columns, D)
    assert torch.equal(table[..., :24], table[:1, :, :24].expand(4, -1, -1))
    assert torch.equal(table[..., 24:], table[:, :1, 24:].expand(-1, 4, -1))
    assert table.flatten(0, 1).unique(dim=0).shape == (16, 48)


def test_at_another_patch_size_kernels_are_resampled_by_timms_pseudo_inverse():
    fine, coarse = _vit(patch=2), _vit(patch=4)
    coarse.load_state_dict(coarse.adapt(fine.state_dict()))
    assert torch.equal(coarse.patch_embed.proj.weight, resample_patch_embed(fine.patch_embed.proj.weight, [4, 4]))
    images = torch.randn(2, 1, 8, 8)
    patches = images.unfold(2, 2, 2).unfold(3, 2, 2).flatten(0, 3)[:, None]  # (B·patches, 1, 2, 2)
    enlarged = torch.nn.functional.interpolate(patches, size=4, mode="bicubic", antialias=True)
    enlarged = enlarged.view(2, 1, 4, 4, 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(2, 1, 16, 16)
    large = _vit(msgspec.structs.replace(DIGITS, image=16), patch=4)
    large.load_state_dict(large.adapt(fine.state_dict()))  # the same grid of patches, each of twice the pixels
    assert torch.equal(large.pos_embed, fine.pos_embed)
    assert (large(enlarged) - fine(images)).abs().max() < 1e-5 < (fine(images) - fine(-images)).abs().max()


def test_weights_with_another_number_of_tokens_are_left_as_they_are():
    token, mean = (
        _vit(msgspec.structs.replace(DIGITS, image=side), pool=pool) for side, pool in ((8, "token"), (16, "mean"))
    )
    assert mean.adapt(token.state_dict())["pos_embed"].shape == token.pos_embed.shape


@pytest.mark.parametrize("pos_embed", ["none", "learned", "learned2d", "sincos2d", "rope"])
def test_a_distilled_model_is_read_by_two_heads_in_training_and_by_their_mean_otherwise(pos_embed):
    model, images = _vit(distilled=True, pos_embed=pos_embed), torch.randn(3, 1, 8, 8)
    by_class, by_distillation = model.by_token(images)
    assert torch.equal(model(images), (by_class + by_distillation) / 2)
    assert (by_class - by_distillation).abs().max() > 1e-3
    in_training = model.train()(images)
    assert isinstance(in_training, tuple)
    assert torch.equal(in_training[0], by_class)
    assert torch.equal(in_training[1], by_distillation)


@pytest.mark.parametrize("training", [True, False])
def test_a_distilled_model_says_what_timms_says(training):
    ours = _vit(distilled=True)
    theirs = VisionTransformerDistilled(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=48, depth=2, num_heads=4
    )
    theirs.load_state_dict(ours.state_dict())
    theirs.set_distilled_training()
    images = torch.randn(3, 1, 8, 8)
    said, expected = ours.train(training)(images), theirs.train(training)(images)
    for one, other in zip(said, expected, strict=True):
        assert (one - other).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("size", "dim", "heads", "parameters"),
    [("tiny", 192, 3, 5_910_800), ("small", 384, 6, 22_436_432), ("base", 768, 12, 87_338_192)],
)
def test_deit_s_distilled_models_have_timms_parameters(size, dim, heads, parameters):
    at = Input(image=224)
    with torch.device("meta"):
        ours = models.build(models.resolve("vit", {"dim": dim, "heads": heads, "distilled": True}), at)
        theirs = models.build(models.resolve(f"timm:deit_{size}_distilled_patch16_224", {}), at)
    assert _parameters(ours) == _parameters(theirs) == parameters
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_models_of_one_seed_start_alike_whatever_reads_them():
    plain = _vit(pos_embed="none").state_dict()
    for knobs in ({"pool": "map"}, {"pool": "mean"}, {"distilled": True}, {"stem": "conv", "patch": 2}):
        state = _vit(pos_embed="none", **knobs).state_dict()
        shared = {name for name in plain.keys() & state.keys() if "patch_embed" not in name}
        assert len(shared) >= 28
        assert all(torch.equal(plain[name], state[name]) for name in shared), knobs


def test_tokens_and_positions_do_not_decay_and_layers_are_counted_from_the_stem():
    model = _vit(pos_embed="learned2d", distilled=True)
    assert model.no_weight_decay() == {"cls_token", "dist_token", "axes.rows", "axes.columns", "axes.tokens"}
    groups = param_groups_layer_decay(model, layer_decay=0.5)
    scale = {id(value): group["lr_scale"] for group in groups for value in group["params"]}
    scales = {name: scale[id(value)] for name, value in model.named_parameters()}
    assert {scales[name] for name in scales if name.startswith(("axes", "cls", "dist", "patch"))} == {0.125}
    assert {scales[name] for name in scales if name.startswith("blocks.0.")} == {0.25}
    assert {scales[name] for name in scales if name.startswith("blocks.1.")} == {0.5}
    assert scales["head.weight"] == scales["head_dist.weight"] == 1.0
    pooled = _vit(pool="map")
    rates = {
        id(value): group["lr_scale"]
        for group in param_groups_layer_decay(pooled, layer_decay=0.5)
        for value in group["params"]
    }
    assert {rates[id(value)] for name, value in pooled.named_parameters() if name.startswith("attn_pool")} == {0.5}
