"""Tables that have a little of everything: an ablation, a paper's table beside ours, and one of difficult texts."""

import pytest

from reports.table import Cell, ClaimCell, Column, Difference, Row, Table

SOURCE = "ICCV 2021, Table 1"


def counted(value, unit):
    return Cell(state="measured", value=value, samples=(value,), unit=unit)


def percent(value, std, **fields):
    return Cell(state="measured", value=value, std=std, n=5, unit="%", **fields)


@pytest.fixture
def ablation():
    """Five rows of an ablation, two of them with a failure, one still on its way."""
    columns = (
        Column(name="params", label="params", unit="parameters", better="lower"),
        Column(name="flops", label="FLOPs", unit="multiply-adds", better="lower"),
        Column(name="top1", label="top-1", unit="%", better="higher", show_difference=True),
    )
    learned = {
        "params": counted(58234.0, "parameters"),
        "flops": counted(991_232.0, "multiply-adds"),
        "top1": percent(93.82, 1.03, bold=True, samples=(93.0, 94.0, 92.6, 94.9, 94.6), keys=("1f", "2f")),
    }
    none = learned | {
        "params": counted(57322.0, "parameters"),
        "top1": percent(67.52, 2.61, difference=Difference(value=-26.3, half_width=3.14)),
    }
    rope = none | {
        "flops": Cell(state="failed", unit="multiply-adds", reason="crashed: aten::cross is not counted, in blocks.0"),
        "top1": Cell(state="failed", unit="%", reason="diverged at step 310, last loss 7.31"),
    }
    relative = rope | {
        "flops": Cell(state="running", unit="multiply-adds"),
        "top1": Cell(
            state="measured", value=92.4, std=1.4, n=3, unit="%", reason="2 of 5 seeds pending", chosen="wd 0.1"
        ),
    }
    sines = relative | {"flops": Cell(state="pending"), "top1": Cell(state="invalid", reason="dim 50 has no 4 parts")}
    rows = {"learned": learned, "none": none, "rope": rope, "relative": relative, "2-D sincos": sines}
    return Table(
        study="positional_embedding",
        title="Does a ViT need to know where its patches are?",
        columns=columns,
        rows=tuple(Row(row=name, label=name, cells=cells) for name, cells in rows.items()),
        base="learned",
        stub="pos. embedding",
        caption="Does a ViT need to know where its patches are? Data: digits. ± is the sample standard deviation.",
        notes=("top-1: a difference of 2.9 points would be seen in 80 % of cases",),
    )


def claimed(printed, verdict, **fields):
    return (ClaimCell(printed=printed, source=SOURCE, verdict=verdict, **fields),)


@pytest.fixture
def paper():
    """Four rows of a published table: two quantities counted, two that wait for hardware and data."""
    columns = (
        Column(name="image", label="image", kind="field"),
        Column(name="params", label="params", unit="parameters", better="lower"),
        Column(name="flops", label="FLOPs", unit="multiply-adds", better="lower"),
        Column(name="throughput", label="throughput", unit="images/s", better="higher"),
        Column(name="top1", label="top-1", unit="%", better="higher"),
    )

    def row(name, group, image, params, flops, rate, top1):
        waiting = {
            "throughput": Cell(state="pending", unit="images/s", claims=claimed(rate, "pending")),
            "top1": Cell(state="needs", unit="%", reason="imagenet is not here", claims=claimed(top1, "pending")),
        }
        cells = {"params": params, "flops": flops} | waiting
        return Row(row=name.lower(), label=name, group=group, fields={"image": f"{image}²"}, cells=cells)

    def cell(value, unit, *claims):
        return Cell(state="measured", value=value, samples=(value,), unit=unit, claims=claims)

    repository = ClaimCell(printed="28M", source="Swin repository, README", verdict="reproduced", deviation=0.0)
    plain, large = "(a) Regular ImageNet-1K trained models", "(b) ImageNet-22K pre-trained models"
    rows = (
        row(
            "Swin-T",
            plain,
            224,
            cell(28_288_354.0, "parameters", *claimed("29M", "close", deviation=-0.0074), repository),
            cell(4_490_566_656.0, "multiply-adds", *claimed("4.5G", "reproduced", deviation=0.0)),
            "755.2",
            "81.3",
        ),
        row(
            "EffNet-B4 [58]",
            plain,
            380,
            cell(19_341_616.0, "parameters", *claimed("19M", "reproduced", deviation=0.0)),
            cell(4_394_000_000.0, "multiply-adds", *claimed("4.2G", "deviates", deviation=0.0339)),
            "349.4",
            "82.9",
        ),
        row(
            "ViT-L/16 [19]",
            large,
            384,
            cell(304_715_752.0, "parameters", *claimed("307M", "explained", note="ViT-L/32: 306.63M")),
            Cell(state="failed", reason="killed: twice", claims=claimed("190.7G", "failed")),
            "27.3",
            "85.2",
        ),
        row(
            "R-152x4 [34]",
            large,
            480,
            cell(936_533_416.0, "parameters", *claimed("937M", "reproduced", deviation=0.0)),
            cell(839_250_000_000.0, "multiply-adds", *claimed("840.5G", "close", deviation=-0.0014)),
            "–",
            "85.4",
        ),
    )
    return Table(
        study="swin_imagenet",
        title="ImageNet-1K classification: Swin against ConvNets and ViT/DeiT",
        columns=columns,
        rows=rows,
        stub="method",
        caption="One multiply-add is one FLOP.",
        source="Swin Transformer, ICCV 2021, Table 1",
    )


@pytest.fixture
def unmeasured():
    """A paper's table over three data sets, before anything is measured."""
    heads = {"top1": "ImageNet", "top5": "ImageNet", "ap_box": "COCO", "ap_mask": "COCO", "miou": "ADE20K"}
    labels = {"top1": "top-1", "top5": "top-5", "ap_box": "AP box", "ap_mask": "AP mask", "miou": "mIoU"}
    columns = tuple(
        Column(name=name, label=labels[name], unit="%", better="higher", heads=(head,)) for name, head in heads.items()
    )
    printed = {
        "w/o shifting": ("80.2", "95.1", "47.7", "41.5", "43.3"),
        "shifted windows": ("81.3", "95.6", "50.5", "43.7", "46.1"),
        "no pos.": ("80.1", "94.9", "49.2", "42.6", "43.8"),
    }
    rows = tuple(
        Row(
            row=label,
            label=label,
            group="position embedding" if label == "no pos." else "shifted windows",
            cells={
                name: Cell(state="pending", unit="%", claims=claimed(text, "pending"))
                for name, text in zip(heads, texts, strict=True)
            },
        )
        for label, texts in printed.items()
    )
    return Table(study="swin_ablation", title="Swin-T: what shifting brings", columns=columns, rows=rows, stub="Swin-T")


@pytest.fixture
def difficult():
    """Texts that break what does not escape them."""
    texts = ("[44] a|b", "*star*", "100 % & more_", "$5 {x} \\ ~ ^ #1", "<b>bold</b>", "``q'' -- `code`", "² ± → é ł")
    columns = (
        Column(name="note", label="note | & _x_", kind="field"),
        Column(name="top1", label="*top-1*", unit="%", heads=("a & b", "<i>")),
        Column(name="top5", label="top-5", unit="%", heads=("a & b", "<i>")),
        Column(name="ap", label="AP", unit="%", heads=("a & b", "c_d")),
    )
    cells = {"top1": percent(-3.2, 0.5, bold=True), "top5": Cell(state="failed", reason="no 5 % | <of> it")}
    rows = tuple(
        Row(row=f"r{at}", label=text, group=f"group {text}", fields={"note": texts[-1 - at]}, cells=cells)
        for at, text in enumerate(texts)
    )
    return Table(study="difficult_%", title="\\50 % of $x_i$ & <all> #1", columns=columns, rows=rows, stub="[row] *")
