"""Tables that have a little of everything, and a store that tests fill by hand.

The tables: an ablation, a paper's table beside ours, one that nothing is measured of, and one of difficult texts.
"""

from dataclasses import dataclass, field

import pytest

from ablations.grid import build
from ablations.study import load
from bench import registry
from bench.record import TRAIN, Failure, Quantity, Record
from bench.store import Store
from reports.cells import fill
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


SMALL = """
study: small
title: A small study
base:
  task: classify
  model: {name: vit, image: 8, patch: 2, dim: 48, depth: 2, heads: 4, pos_embed: learned}
  data: digits
  train: {recipe: tiny}
"""
"""What the specs of these tests begin with: ours on digits, trained for real nowhere here."""


@dataclass
class Laboratory:
    """A grid and a store, in which every outcome is written by the test."""

    grid: object
    store: Store
    attempts: list[str] = field(default_factory=list)

    def works(self, row, column):
        return self.grid.row(row).cells[column].works

    def measured(self, row, column, *values, **facts):
        """One value a seed, the others stay as they are; None: this seed too."""
        cell = self.grid.row(row).cells[column]
        for work, value in zip(cell.works, values, strict=False):
            if value is not None:
                self.write(work, {cell.quantity: value}, **facts)

    def write(self, work, values, **facts):
        produces = registry.load("measures", work.measure).PRODUCES
        quantities = {
            name: Quantity(samples=(float(value),), unit=produces[name][0], better=produces[name][1])
            for name, value in values.items()
        }
        self._append(work, quantities=quantities, **facts)

    def trained(self, work, **facts):
        """The training behind a measurement has a record of its own."""
        self._append(self.grid.trainings[work.after[0]], **facts)

    def failed(self, work, kind="crashed", reason="it broke", **facts):
        self._append(work, failure=Failure(kind=kind, reason=reason, **facts))

    def training_failed(self, work, **failure):
        """The training that a measurement waits for fails, and the measurement is never tried."""
        training = self.grid.trainings[work.after[0]]
        assert training.measure == TRAIN
        self.failed(training, **failure)

    def table(self, running=(), **part):
        return fill(self.grid, self.store.read(), running=frozenset(running), **part)

    def cell(self, row, column, running=()):
        rows = {one.row: one for one in self.table(running).rows}
        return rows[row].cells[column]

    def _append(self, work, **outcome):
        attempt = f"{len(self.attempts):04}"
        self.attempts.append(attempt)
        time = f"2026-01-01T00:00:00.{attempt[-3:]}+00:00"
        self.store.append(
            Record(
                key=work.key,
                measure=work.measure,
                version=work.version,
                attempt=attempt,
                time=time,
                seconds=1.0,
                trial=work.trial,
                **outcome,
            )
        )


@pytest.fixture
def laboratory(tmp_path):
    """Called with the rest of a spec, it gives a laboratory."""

    def of(text, *, head=SMALL, **options):
        path = tmp_path / "small.yaml"
        path.write_text(head + text, encoding="utf-8")
        return Laboratory(grid=build(load(str(path), **options)), store=Store(tmp_path / "runs"))

    return of
