import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench import counting, models, registry, skeleton
from bench.errors import Invalid, UserError
from bench.trial import Input

with warnings.catch_warnings():  # fvcore scripts a loss while it is imported
    warnings.filterwarnings("ignore", "`torch.jit.script` is")
    from fvcore.nn import flop_count_table


class Function(nn.Module):
    """A module that is one expression."""

    def __init__(self, expression):
        super().__init__()
        self.expression = expression

    def forward(self, *inputs):
        return self.expression(*inputs)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        return 2 * (x @ weight)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@pytest.mark.filterwarnings("ignore:`torch.jit")  # torch 2.11's compiler, of itself
def test_no_wrapping_hides_a_product():
    linear = nn.Linear(5, 7)
    x = torch.zeros(2, 3, 5)
    wrappings = {
        "autograd function": Function(lambda x: Doubled.apply(x, linear.weight.mT)),
        "checkpoint": Function(lambda x: torch.utils.checkpoint.checkpoint(linear, x, use_reentrant=False)),
        "compiled": torch.compile(linear),
        "compiled inside": nn.Sequential(torch.compile(linear)),
        "subclass": type("Mine", (nn.Linear,), {})(5, 7),
        "operator @": Function(lambda x: x @ linear.weight.mT),
        "under its own no_grad": Function(torch.no_grad()(lambda x: linear(x))),
        "under inference mode": Function(torch.inference_mode()(lambda x: linear(x))),
    }
    counted = {name: counting.count(module, (x,)).total for name, module in wrappings.items()}
    assert counted == dict.fromkeys(wrappings, 2 * 3 * 5 * 7)


@torch.library.custom_op("counted::mystery", mutates_args=())
def mystery(x: torch.Tensor) -> torch.Tensor:
    return x @ x.mT


@mystery.register_fake
def _mystery_shape(x):
    return x.new_empty(*x.shape[:-1], x.shape[-2])


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(5, 5)
        self.secret = Function(mystery)

    def forward(self, x):
        return self.secret(self.proj(x))


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_an_operator_without_a_rule_is_no_count_and_is_named_with_its_module(device):
    model = nn.Sequential(nn.Linear(5, 5), Block()).to(device)
    with pytest.raises(Invalid) as raised:
        counting.count(model, (torch.zeros(2, 3, 5, device=device),))
    assert str(raised.value) == "cannot count counted::mystery in 1.secret: no rule says what that costs"


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_callers_rule_counts_an_operator_of_their_own_under_its_name_and_module(device):
    model = nn.Sequential(nn.Linear(5, 5), Block()).to(device)
    x = torch.zeros(2, 3, 5, device=device)
    rules = {"counted::mystery": lambda args, result: result.numel() * args[0].shape[-1]}
    counts = counting.count(model, (x,), rules=rules)
    assert counts.by_operator() == {"linear": 2 * 2 * 3 * 25, "counted::mystery": 2 * 3 * 3 * 5}
    assert counts.by_module()["1.secret"] == 2 * 3 * 3 * 5


def test_a_rule_sees_all_arguments_and_is_for_an_operator_that_exists():
    seen = []

    def rule(args, result):
        seen.append(args[2:])
        return 7

    shrunk = Function(lambda x: F.layer_norm(x, (5,), eps=0.1))
    assert counting.count(shrunk, (torch.zeros(2, 5),), rules={"aten::native_layer_norm": rule}).total == 7
    assert seen == [[None, None, 0.1]]
    with pytest.raises(UserError, match=r"^a rule is for the operator 'counted::mistery', which does not exist"):
        counting.count(shrunk, (torch.zeros(2, 5),), rules={"counted::mistery": rule})
    with pytest.raises(UserError, match="a rule is for the operator 'mistery', which does not exist"):
        counting.count(shrunk, (torch.zeros(2, 5),), rules={"mistery": rule})
    with pytest.raises(UserError, match="the rule for 'aten::add' is no function of"):
        counting.count(shrunk, (torch.zeros(2, 5),), rules={"aten::add": 3})


def test_a_model_file_of_another_package_states_rules_for_operators_of_its_own(monkeypatch):
    library = registry.load("models", "vit")
    monkeypatch.setattr(library, "RULES", {"counted::mystery": lambda args, result: 11}, raising=False)
    monkeypatch.setattr(skeleton, "of", lambda model, input_: nn.Sequential(nn.Flatten(), Function(mystery)))
    assert counting.of_model(models.resolve("vit", {}), Input(image=8)).total == 11


def test_what_is_left_out_is_named_by_its_kind_with_how_much_it_computes():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.rms, self.linear = nn.LayerNorm(6), nn.RMSNorm(6), nn.Linear(6, 12)
            self.gamma = nn.Parameter(torch.ones(6))

        def forward(self, x):
            value, gate = self.linear(self.rms(self.norm(x))).chunk(2, dim=-1)
            x = x + self.gamma * value * F.gelu(gate)
            heads = x.unflatten(-1, (2, 3)).transpose(1, 2)
            x = F.scaled_dot_product_attention(heads, heads, heads).softmax(-1)
            return F.adaptive_avg_pool2d(x, 1).exp(), x.mean((1, 2))

    counts = counting.count(Layer(), (torch.zeros(2, 5, 6),))
    assert counts.left_out == {
        "softmax": 2 * 2 * 5 * 5 + 60,  # of the attention, inside its operator, and after it
        "normalisation": 2 * 60,
        "multiplication": 2 * 60,
        "activation": 60,
        "addition": 60,
        "reduction": 2 * 3,
        "pooling or resizing": 2 * 2,
        "other": 2 * 2,
    }


def test_what_is_counted_is_not_left_out():
    scores = Function(lambda q: (q * q.flip(0)).sum(-1))
    counts = counting.count(scores, (torch.zeros(2, 5, 7),))
    assert (counts.total, counts.left_out) == (70, {"reduction": 10})
    norm = nn.Sequential(nn.LayerNorm(7))
    assert counting.count(norm, (torch.zeros(5, 7),)).left_out == {"normalisation": 35}
    assert counting.count(norm, (torch.zeros(5, 7),), convention="fvcore").left_out == {}


def test_many_unknown_operators_are_not_all_listed():
    def unknown(x):
        return torch.fft.rfft(x), torch.cdist(x, x), F.bilinear(x, x, x.new_zeros(7, 5, 5)), mystery(x)

    with pytest.raises(Invalid) as raised:
        counting.count(Function(unknown), (torch.zeros(3, 5),))
    assert str(raised.value) == (
        "cannot count aten::_cdist_forward in the model itself, aten::_fft_r2c in the model itself, "
        "aten::_trilinear in the model itself and 1 more: no rule says what that costs"
    )


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (
            Function(lambda x: torch.sparse.mm(torch.eye(16).to_sparse(), x[0, 0].mT)),
            "aten::_sparse_addmm in the model",
        ),
        (Function(lambda x: torch.cond(x.sum() > 0, torch.relu, torch.sin, (x,))), "cond in the model"),
    ],
)
def test_an_operator_made_of_functions_or_of_sparse_matrices_is_refused_by_name(module, named):
    with pytest.raises(Invalid, match=f"^cannot count .*{named}"):
        counting.count(module, (torch.zeros(1, 2, 8, 16),))


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_module_that_torchscript_runs_is_refused_by_name():
    traced = torch.jit.trace(nn.Linear(5, 5), torch.zeros(1, 5))
    with pytest.raises(Invalid, match=r"^cannot count 1 in TorchScript; count the module that it was made from$"):
        counting.count(nn.Sequential(nn.Identity(), traced), (torch.zeros(1, 5),))


def test_a_report_says_where_the_count_is():
    model = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(), nn.Linear(32, 5), nn.Linear(5, 5))
    counts = counting.count(model, (torch.zeros(2, 3, 8, 8),))
    assert counts.total == 3_072 + 320 + 50
    assert counts.params == 392 + 165 + 30
    assert counts.by_module() == {"": 3_442, "0": 3_072, "1": 0, "2": 320, "3": 50}
    assert list(counts.by_operator().items()) == [("conv", 3_072), ("linear", 370)]
    assert counts.by_operator("2") == {"linear": 320}
    assert str(counts) == counts.table() == flop_count_table(counts.report)
    assert "3.442K" in str(counts)


def test_a_module_that_is_used_twice_counts_twice_and_has_its_parameters_once():
    shared = nn.Linear(5, 5)
    counts = counting.count(nn.Sequential(shared, shared), (torch.zeros(2, 5),))
    assert (counts.total, counts.params) == (2 * 2 * 25, 30)


def test_a_module_that_never_runs_counts_nothing_and_keeps_its_parameters():
    model = Block()
    model.secret = nn.Identity()
    model.spare = nn.Linear(5, 9)
    counts = counting.count(model, (torch.zeros(2, 5),))
    assert counts.by_module() == {"": 50, "proj": 50, "secret": 0, "spare": 0}
    assert counts.params == 30 + 54
    assert counts.report.uncalled_modules() == {"spare"}


def test_a_count_leaves_nothing_behind_even_where_it_fails():
    def fails(x):
        raise ZeroDivisionError

    model = nn.Sequential(nn.Linear(5, 5), Function(fails))
    was_fast = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(ZeroDivisionError):
        counting.count(model, (torch.zeros(2, 5),))
    assert torch.backends.mha.get_fastpath_enabled() == was_fast
    assert torch.is_grad_enabled()
    hooks = [(part._forward_hooks, part._forward_pre_hooks) for part in model.modules()]
    assert not any(itertools.chain(*hooks))
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_module_is_counted_in_the_mode_it_is_in_and_its_statistics_stay():
    layer = nn.Sequential(nn.BatchNorm2d(3))
    assert counting.count(layer.eval(), (torch.ones(2, 3, 4, 4),), convention="fvcore").total == 2 * 96
    assert layer[0].running_mean.tolist() == [0, 0, 0]


def test_a_model_that_looks_at_values_is_counted_on_real_ones(monkeypatch):
    def looks(x):
        return x[:, : int(x.sum().item()) + 4]

    model = nn.Sequential(nn.Flatten(), Function(looks), nn.Linear(4, 3))
    monkeypatch.setattr(skeleton, "of", lambda model_, input_: model.to("meta"))
    monkeypatch.setattr(models, "build", lambda model_, input_: model.to_empty(device="cpu"))
    assert counting.of_model(models.resolve("vit", {}), Input(image=8)).total == 4 * 3


def test_an_unknown_convention_is_one_line():
    with pytest.raises(UserError, match=r"^no convention 'mac'; nearest: 'macs'$"):
        counting.count(nn.Linear(2, 2), (torch.zeros(1, 2),), convention="mac")
