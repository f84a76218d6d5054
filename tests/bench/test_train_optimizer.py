import pytest
import timm
import torch
from timm.optim import create_optimizer_v2

from bench import models
from bench.errors import Invalid
from bench.train.optimizer import groups, optimizer
from bench.trial import Input


def _decayed(model, trial):
    groups = optimizer(model, trial.train).param_groups
    assert [group["weight_decay"] for group in groups] == [trial.train.weight_decay, 0.0]
    names = {id(value): name for name, value in model.named_parameters()}
    return tuple({names[id(value)] for value in group["params"]} for group in groups)


def test_matrices_and_kernels_decay_and_biases_norms_and_positions_do_not(digits_trial):
    trial = digits_trial()
    for pos_embed in ("learned", "relative"):
        model = models.build(
            models.resolve("vit", {"patch": 2, "dim": 48, "depth": 1, "heads": 4, "pos_embed": pos_embed}),
            Input(image=8, channels=1, classes=10),
        )
        decayed, spared = _decayed(model, trial)
        assert decayed == {
            "patch_embed.proj.weight",
            "blocks.0.attn.qkv.weight",
            "blocks.0.attn.proj.weight",
            "blocks.0.mlp.fc1.weight",
            "blocks.0.mlp.fc2.weight",
            "head.weight",
        }
        assert decayed | spared == {name for name, _ in model.named_parameters()}


def test_what_a_librarys_model_spares_is_spared_and_what_is_frozen_left_out(digits_trial):
    model = timm.create_model("test_vit")
    model.head.weight.requires_grad_(False)
    decayed, spared = _decayed(model, digits_trial())
    assert {"pos_embed", "cls_token"} <= spared
    assert "head.weight" not in decayed | spared
    assert decayed | spared == {name for name, value in model.named_parameters() if value.requires_grad}


def test_a_step_is_that_of_the_paper(digits_trial):
    """Algorithm 2 of Loshchilov and Hutter, the first step: θ ← θ − lr·(g / (|g| + ε) + λ·θ)."""
    train = digits_trial().train
    model = torch.nn.Linear(3, 2, bias=False)
    before = model.weight.detach().clone()
    gradient = torch.tensor([[1.0, -2.0, 0.5], [-0.1, 3.0, 4.0]])
    model.weight.grad = gradient
    optimizer(model, train).step()
    expected = before - train.lr * (gradient / (gradient.abs() + 1e-8) + train.weight_decay * before)
    assert torch.allclose(model.weight, expected, atol=1e-7)


def _by_name(model, groups):
    names = {id(value): name for name, value in model.named_parameters()}
    return {
        names[id(value)]: (group["weight_decay"], group.get("lr_scale", 1.0))
        for group in groups
        for value in group["params"]
    }


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "resnet10t"])
def test_layers_of_a_librarys_model_learn_at_the_rates_that_timm_gives_them(digits_trial, name):
    train = digits_trial(train={"layer_decay": 0.75}).train
    model = timm.create_model(name)
    theirs = create_optimizer_v2(model, "adamw", lr=train.lr, weight_decay=train.weight_decay, layer_decay=0.75)
    positions = ("pos_embed", "cls_token", "dist_token")
    ours, expected = _by_name(model, optimizer(model, train).param_groups), _by_name(model, theirs.param_groups)
    assert ours == expected | {name: (0.0, expected[name][1]) for name in positions if name in expected}


def test_layers_of_our_vit_learn_the_more_slowly_the_further_below_the_head(digits_trial):
    train = digits_trial(train={"layer_decay": 0.5}).train
    knobs = {"patch": 2, "dim": 48, "depth": 2, "heads": 4, "distilled": True, "pos_embed": "learned2d"}
    model = models.build(models.resolve("vit", knobs), Input(image=8, channels=1, classes=10))
    shares = {name: share for name, (_, share) in _by_name(model, groups(model, train)).items()}
    for name, share in shares.items():
        if name.startswith(("head", "head_dist")):
            assert share == 1.0, name
        elif name.startswith(("blocks.1", "norm")):
            assert share == 0.5, name
        elif name.startswith("blocks.0"):
            assert share == 0.25, name
        else:
            assert share == 0.125, name


def test_layers_of_our_swin_are_timms(digits_trial):
    train = digits_trial(train={"layer_decay": 0.5}).train
    knobs = {"patch": 2, "dim": 24, "depths": [2, 2], "heads": [3, 6], "window": 2, "position": "absolute_and_relative"}
    model = models.build(models.resolve("swin", knobs), Input(image=16, channels=1, classes=10))
    shares = {name: share for name, (_, share) in _by_name(model, groups(model, train)).items()}
    assert shares["head.fc.weight"] == 1.0
    assert shares["absolute_pos_embed"] == shares["patch_embed.proj.weight"] == min(shares.values())
    first, last = (shares[f"layers.{stage}.blocks.{stage}.attn.qkv.weight"] for stage in (0, 1))
    assert first < last < 1.0


def test_a_model_that_does_not_say_its_layers_is_refused_layer_decay(digits_trial):
    with pytest.raises(Invalid, match=r"^Linear does not say which layers it has: leave train.layer_decay out$"):
        optimizer(torch.nn.Linear(3, 2), digits_trial(train={"layer_decay": 0.5}).train)


def test_what_decays_may_be_everything_or_less(digits_trial):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    for changed, decayed in (
        ({}, {"0.weight"}),
        ({"decayed": "all"}, {"0.weight", "0.bias", "1.weight", "1.bias"}),
        ({"decayed": "all", "undecayed": ("1.*",)}, {"0.weight", "0.bias"}),
        ({"undecayed": ("0.*",)}, set()),
    ):
        made = _by_name(model, groups(model, digits_trial(train=changed).train))
        assert {name for name, (decay, _) in made.items() if decay} == decayed


@pytest.mark.parametrize("name", ["adamw", "sgd", "momentum", "lamb", "lion", "adamp", "rmsproptf"])
def test_a_few_steps_are_those_of_timms_optimizer_of_that_name(digits_trial, name):
    train = digits_trial(train={"optimizer": name, "momentum": 0.8}).train
    ours, theirs = (torch.nn.Linear(3, 2, bias=False) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    pairs = (
        (ours, optimizer(ours, train)),
        (theirs, create_optimizer_v2(theirs, name, lr=train.lr, weight_decay=train.weight_decay, momentum=0.8)),
    )
    for step in range(3):
        for model, stepping in pairs:
            model.weight.grad = torch.full((2, 3), 0.5) + step
            stepping.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-7)


def test_moments_are_the_recipes_where_it_says_them_and_an_optimizer_without_them_says_so(digits_trial):
    model = torch.nn.Linear(3, 2)
    made = optimizer(model, digits_trial(train={"betas": (0.8, 0.95), "eps": 1e-6}).train)
    assert all((group["betas"], group["eps"]) == ((0.8, 0.95), 1e-6) for group in made.param_groups)
    with pytest.raises(Invalid, match=r"^optimizer sgd has no betas: leave train.betas out$"):
        optimizer(model, digits_trial(train={"optimizer": "sgd", "betas": (0.8, 0.95)}).train)
