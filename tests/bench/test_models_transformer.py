import math

import msgspec
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench import counting, models, skeleton
from bench.errors import Invalid
from bench.identity import digest
from bench.trial import Input

SENTENCES = Input(image=None, tokens=64, classes=37_000)
SMALL = {"dim": 12, "depth": 2, "hidden": 20, "heads": 3, "key": 4, "value": 5}
FEW = Input(image=None, tokens=6, classes=11)


def _params(*, vocabulary, dim=512, depth=6, hidden=2048, heads=8, key=64, value=64, learned=0):
    """Parameters: three attentions, two MLPs with biases and five norms for each layer of both sides."""
    attention = 2 * dim * heads * key + 2 * dim * heads * value
    mlp = 2 * dim * hidden + hidden + dim
    return vocabulary * dim + learned * dim + depth * (3 * attention + 2 * mlp + 5 * 2 * dim)


def _flops(*, tokens, vocabulary, dim=512, depth=6, hidden=2048, heads=8, key=64, value=64):
    projections = tokens * (2 * dim * heads * key + 2 * dim * heads * value)
    attention = projections + tokens**2 * heads * (key + value)
    return depth * (3 * attention + 2 * tokens * 2 * dim * hidden) + tokens * dim * vocabulary


@pytest.mark.parametrize(
    "knobs",
    [{}, {"key": 16}, {"heads": 1, "key": 512, "value": 512}, {"dim": 1024, "hidden": 4096, "heads": 16}, {"depth": 2}],
)
def test_a_transformer_counts_as_its_closed_form_says(knobs):
    model = models.resolve("transformer", knobs)
    counts = counting.of_model(model, SENTENCES)
    assert counts.params == _params(vocabulary=37_000, **knobs)
    assert counts.total == _flops(tokens=64, vocabulary=37_000, **knobs)
    module = skeleton.of(model, SENTENCES).requires_grad_(False)
    with FlopCounterMode(display=False) as theirs, torch.device("meta"):
        module(*models.example(model, SENTENCES))
    assert 2 * counts.total == theirs.get_total_flops()


PRINTED = [  # Table 3: what a row changes, and its parameters in millions
    ({}, 65),
    ({"key": 16}, 58),
    ({"key": 32}, 60),
    ({"depth": 2}, 36),
    ({"depth": 4}, 50),
    ({"depth": 8}, 80),
    ({"dim": 256, "key": 32, "value": 32}, 28),
    ({"dim": 1024, "key": 128, "value": 128}, 168),
    ({"hidden": 1024}, 53),
    ({"hidden": 4096}, 90),
]


def _printed_with(vocabulary):
    """Rows of Table 3, the big model apart, that print what a vocabulary gives."""
    return [knobs for knobs, millions in PRINTED if round(_params(vocabulary=vocabulary, **knobs) / 1e6) == millions]


def test_one_vocabulary_gives_every_printed_count_but_the_big_models():
    everywhere = [size for size in range(36_000, 44_000) if len(_printed_with(size)) == len(PRINTED)]
    assert (everywhere[0], everywhere[-1], len(everywhere)) == (41_004, 41_208, 205)
    assert _printed_with(37_000) == []


def test_learned_positions_are_one_table_for_both_sides():
    model = skeleton.of(models.resolve("transformer", {"positions": "learned"}), SENTENCES)
    assert sum(parameter.numel() for parameter in model.parameters()) == _params(vocabulary=37_000, learned=64)


def test_its_layers_are_torchs_own_post_norm_layers():
    torch.manual_seed(0)
    ours = models.build(models.resolve("transformer", SMALL | {"heads": 2, "key": 6, "value": 6}), FEW).eval()
    theirs = torch.nn.Transformer(12, 2, 2, 2, 20, 0.0, batch_first=True).eval()
    theirs.encoder.norm = theirs.decoder.norm = None  # the paper has none after the last layer
    for mine, other in zip(
        (*ours.encoder, *ours.decoder), (*theirs.encoder.layers, *theirs.decoder.layers), strict=True
    ):
        attentions = [other.self_attn, *([other.multihead_attn] if hasattr(other, "multihead_attn") else [])]
        for attention, copied in zip(mine.attentions, attentions, strict=True):
            weights = [attention.q.weight, attention.k.weight, attention.v.weight]
            copied.in_proj_weight.data = torch.cat(weights).detach()
            copied.out_proj.weight.data = attention.out.weight.detach()
        other.linear1.load_state_dict(mine.mlp[0].state_dict())
        other.linear2.load_state_dict(mine.mlp[2].state_dict())
    source, target = torch.randint(11, (2, 5)), torch.randint(11, (2, 4))
    table = torch.tensor(
        [[(math.sin if i < 6 else math.cos)(p / 10_000 ** (i % 6 / 6)) for i in range(12)] for p in range(6)]
    )
    embedded = [ours.embedding[each] * math.sqrt(12) + table[: each.shape[1]] for each in (source, target)]
    later = torch.nn.Transformer.generate_square_subsequent_mask(4)
    expected = theirs(*embedded, tgt_mask=later, tgt_is_causal=True) @ ours.embedding.T
    assert torch.allclose(ours(source, target), expected, atol=1e-5)


def test_it_learns_to_say_a_sequence_backwards():
    torch.manual_seed(0)
    model = models.build(models.resolve("transformer", SMALL), FEW, dropout=0.0)
    source = torch.randint(1, 11, (8, 5))
    backwards = source.flip(1)
    written = torch.cat([torch.zeros(8, 1, dtype=torch.int64), backwards[:, :-1]], dim=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(model(source, written).flatten(0, 1), backwards.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2
    assert losses[-1] < 0.7


def test_what_comes_later_is_not_looked_at():
    torch.manual_seed(0)
    model = models.build(models.resolve("transformer", SMALL), FEW).eval()
    source, target = torch.randint(11, (1, 6)), torch.randint(11, (1, 6))
    other = target.clone()
    other[0, 4:] = (target[0, 4:] + 1) % 11
    one, two = model(source, target), model(source, other)
    assert torch.equal(one[:, :4], two[:, :4])
    assert not torch.allclose(one[:, 4:], two[:, 4:])


@pytest.mark.parametrize(
    ("name", "input_", "line"),
    [
        ("transformer", Input(image=224), "transformer eats sequences of tokens: leave `model.image` out"),
        ("transformer", Input(image=None), "transformer eats sequences of tokens: say `model.tokens`"),
        ("vit", SENTENCES, "vit eats images: say `model.image`"),
        ("vit", Input(image=224, tokens=4), "vit eats images: leave `model.tokens` out"),
        ("timm:resnet18", SENTENCES, "timm:resnet18 eats images: say `model.image`"),
        (
            "transformer",
            msgspec.structs.replace(SENTENCES, classes=0),
            "transformer reads and writes one vocabulary: classes must be at least 1",
        ),
    ],
)
def test_images_and_sequences_are_not_mixed_up(name, input_, line):
    for asked in (models.check, models.build):
        with pytest.raises(Invalid) as raised:
            asked(models.resolve(name, {}), input_)
        assert str(raised.value) == line


def test_an_input_of_images_has_the_key_that_it_had_before_there_were_sequences():
    before = {"image": 224, "channels": 3, "classes": 1000}
    assert digest(Input(image=224)) == digest(before)
    assert digest(SENTENCES) == digest({"image": None, "channels": 3, "classes": 37_000, "tokens": 64})
    assert msgspec.convert(before, Input) == Input(image=224)
