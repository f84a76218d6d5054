import timm
import torch

from bench import models
from bench.train.optimizer import optimizer
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
