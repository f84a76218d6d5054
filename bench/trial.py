"""A trial: everything that decides one outcome, resolved, as plain frozen data.

Fields are of three kinds. *Identity* decides the outcome and enters the keys (`bench/identity.py`); *execution* says
how the work is carried out (recorded, never hashed: threads, loader workers, micro-batches); *labels* are for people.
Nothing here may say `auto`: what a spec leaves open is resolved before a trial exists (`ablations/resolve.py`), from
the recipe, the model's knobs or the data set, whoever states that default.
"""

from typing import Annotated, Any, Literal, dataclass_transform

import msgspec
from msgspec import Meta

from bench.errors import Invalid

MOST_PIXELS = 16_384
"""A side of an image: sixteen times what anybody trains at, and small enough to list its divisors at once."""

MOST_TOKENS = 65_536
"""Of a sequence: what a map of 256×256 places has."""

Pixels = Annotated[int, Meta(ge=1, le=MOST_PIXELS)]

EXECUTION: dict[str, Any] = {"kind": "execution"}
"""Marks a field that is recorded but never hashed: `Annotated[int, Meta(extra=EXECUTION)]`."""


@dataclass_transform(frozen_default=True)  # for type checkers; kw_only is not inherited: a struct that needs it says so
class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Plain data: frozen, and a name that does not exist is an error."""


class Model(Frozen):
    """An architecture. Library models keep their prefix (`timm:NAME`); ours are bare names (`vit`)."""

    name: str
    version: int = 1  # of our file in bench/models
    knobs: dict[str, Any] = {}  # ours: every knob, defaults resolved; a library's: the arguments given, as given


class Input(Frozen):
    """What the model eats: images (B, channels, image, image), or sequences (B, tokens) of entries of a vocabulary.

    Out come `classes` logits, for an image or for each token.
    """

    image: Pixels | None  # a side; None: sequences
    channels: Annotated[int, Meta(ge=1)] = 3
    classes: Annotated[int, Meta(ge=0)] = 1000  # 0: no head
    tokens: Annotated[int, Meta(ge=1, le=MOST_TOKENS)] | None = None  # of a sequence; None: images

    @property
    def size(self) -> str:
        """For people: pixels a side, or the length of a sequence; nothing where only a program of the user's knows."""
        if self.image is None:
            return "" if self.tokens is None else f"{self.tokens} tokens"
        return str(self.image)

    @property
    def side(self) -> int:
        """Pixels a side of the images. Raises Invalid where the input is sequences."""
        if self.image is None:
            raise Invalid("this model eats images, not sequences of tokens: say `model.image`")
        return self.image


class Data(Frozen):
    """Training and evaluation images by name; which files these were is bound to the record, not hashed."""

    name: str
    version: int = 1
    options: dict[str, Any] = {}  # the data set's own, resolved
    subset: Annotated[float, Meta(gt=0, le=1)] = 1.0  # share of the train split, the same images for every seed
    at: Annotated[dict[str, Any], Meta(extra=EXECUTION)] = {}  # its options that say where, not what: root


class Source(Frozen):
    """Weights that a trial starts from, is taught by, or measures."""

    kind: Literal["trial", "published", "file"]
    ref: str  # a weights key; a library's name for the checkpoint (timm:NAME.TAG); a file's path


Share = Annotated[float, Meta(ge=0, le=1)]
PartOfArea = Annotated[float, Meta(gt=0, le=1)]
Momentum = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]


class Train(Frozen):
    """A training recipe with nothing left open. `image` is the training resolution in pixels.

    What has a default does nothing there, or what torch and timm do; a recipe states the rest.
    """

    image: Pixels
    epochs: Annotated[int, Meta(ge=1)]
    batch: Annotated[int, Meta(ge=1)]
    optimizer: str  # a name of timm's: adamw, sgd (with Nesterov's momentum), momentum (without), lamb, …
    lr: Annotated[float, Meta(gt=0)]
    min_lr: Annotated[float, Meta(ge=0)]
    weight_decay: Annotated[float, Meta(ge=0)]
    warmup_epochs: Annotated[float, Meta(ge=0)]
    smoothing: Annotated[float, Meta(ge=0, lt=1)]
    clip_grad: Annotated[float, Meta(gt=0)] | None  # largest norm of the gradient; None: not clipped
    dropout: Annotated[float, Meta(ge=0, lt=1)]
    drop_path: Annotated[float, Meta(ge=0, lt=1)]
    augment: str  # named in bench/train/augment.py: "none", "shift1", …
    start: Source | None = None
    version: int = 1  # of bench/train
    momentum: Momentum = 0.9  # of optimizers that have one
    betas: tuple[Momentum, Momentum] | None = None  # of moments; None: the optimizer's own
    eps: Positive | None = None  # None: the optimizer's own
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"  # after the warm-up
    schedule_unit: Literal["step", "epoch"] = "step"  # epoch: one rate an epoch, the curve begins with the warm-up
    warmup_lr: Annotated[float, Meta(ge=0)] = 0.0  # where the warm-up begins
    decay_epochs: Positive = 30.0  # of the step schedule, which multiplies the rate
    decay_rate: Annotated[float, Meta(gt=0, le=1)] = 0.1  # … by this, every so many epochs
    decayed: Literal["matrices", "all"] = "matrices"  # matrices: no biases, norms, positions and tokens
    undecayed: tuple[str, ...] = ()  # besides: names of weights, with * for anything
    layer_decay: Annotated[float, Meta(gt=0, le=1)] | None = None  # each layer's rate over that of the layer above it
    clip_mode: Literal["norm", "value", "agc"] = "norm"  # what clip_grad bounds; agc: adaptively, by each weight's norm
    loss: Literal["ce", "bce"] = "ce"  # cross-entropy over classes, or binary of each class
    bce_threshold: Annotated[float, Meta(ge=0, lt=1)] | None = None  # a mixed label above it counts as 1, below as 0
    bce_sum: bool = False  # over classes, not their mean
    random_crop: tuple[PartOfArea, PartOfArea] | None = None  # least and largest share of the image's area
    crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)  # of random crops: width over height
    interpolation: Literal["bilinear", "bicubic", "random"] = "bilinear"  # random: either, of random crops
    flip: Share = 0.0  # probability, left to right
    vertical_flip: Share = 0.0
    color_jitter: Annotated[float, Meta(ge=0)] = 0.0  # of brightness, contrast, saturation; none beside auto_augment
    auto_augment: str | None = None  # timm's: rand-m9-mstd0.5-inc1, augmix-m3, original, v0, 3a, …
    erase: Share = 0.0  # probability that a part of an image is erased
    erase_mode: Literal["const", "rand", "pixel"] = "const"  # to grey, to a random colour, to noise
    erase_count: Annotated[int, Meta(ge=1)] = 1  # parts at most
    mixup: Annotated[float, Meta(ge=0)] = 0.0  # alpha of the Beta distribution of shares; 0: none
    cutmix: Annotated[float, Meta(ge=0)] = 0.0  # as well
    mix_probability: Share = 1.0  # of either
    mix_switch: Share = 0.5  # of CutMix, where both are on
    mix_mode: Literal["batch", "pair", "elem"] = "batch"  # what shares one draw
    mix_epochs: Annotated[int, Meta(ge=1)] | None = None  # the first so many; None: all
    repeats: Annotated[int, Meta(ge=1)] = 1  # views of an image in a batch, of a share of the images each epoch
    ema: Annotated[float, Meta(gt=0, lt=1)] | None = None  # decay of the weights' average, which is what is evaluated
    ema_warmup: bool = False  # the decay grows with the steps, as 1 − (1 + step)^(−2/3), up to `ema`


class Distill(Frozen):
    """Knowledge distillation: (1 − weight)·(loss of the labels) + weight·(loss of the teacher's word).

    `bench/train/distill.py` has the formulae. A student with a distillation token hears the teacher by that one.
    """

    teacher: Source
    kind: Literal["soft", "hard"] = "soft"  # what the teacher says of every class, or its first choice as a label
    temperature: Annotated[float, Meta(gt=0)] = 3.0
    weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    teacher_model: Model | None = None  # of a teacher that is a file, which does not say it


class Command(Frozen):
    """A program of the user's own (bench/commands.py), by the name under which he registered it."""

    name: str
    arguments: dict[str, Any] = {}  # what the spec tells it
    gives: Annotated[tuple[str, ...], Meta(extra=EXECUTION)] = ()  # quantities without which it has not succeeded


class Predictions(Frozen):
    """What some model said, as it lies in a file or a folder: scored as it is."""

    digest: str  # of the content: which predictions these are
    path: Annotated[str, Meta(extra=EXECUTION)]


class Evaluate(Frozen):
    """The protocol of an accuracy: resize so that the crop is `crop` of the shorter side, centre crop at `image`."""

    image: Pixels
    crop: Annotated[float, Meta(gt=0, le=1)] = 1.0
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    split: Literal["report", "selection"] = "report"
    neighbors: Annotated[int, Meta(ge=1)] = 20  # knn
    temperature: Annotated[float, Meta(gt=0)] = 0.07  # knn: of the votes
    inverse_penalty: Annotated[float, Meta(gt=0)] = 1.0  # linear_probe
    layers: Annotated[int, Meta(ge=1)] = 1  # of frozen features: class tokens of so many last blocks
    shots: Annotated[int, Meta(ge=1)] = 5  # few_shot: images a class
    ridge: Annotated[float, Meta(gt=0)] = 1.0  # few_shot: penalty
    readout: Literal["both", "class", "distillation"] = "both"  # heads of a model with a distillation token


class Execution(Frozen):
    """How the work is carried out: recorded with the record, no part of any key."""

    device: Literal["cpu", "cuda"] | None = None  # None: the worker's GPU where it has one, else the CPU
    threads: Annotated[int, Meta(ge=1)] = 1  # torch threads: another number gives other bits on a CPU
    micro_batch: Annotated[int, Meta(ge=1)] | None = None  # images at once; the effective batch stays `train.batch`
    out_of_memory: Literal["fail", "split"] = "fail"  # split: a training goes on with half of its micro-batch
    processes: Annotated[int, Meta(ge=1)] = 1  # of a training, one a GPU: each has its share of `train.batch`
    evaluate_batch: Annotated[int, Meta(ge=1)] = 256
    loader_workers: Annotated[int, Meta(ge=0)] = 0
    loader_prefetch: Annotated[int, Meta(ge=1)] = 2  # batches that each loader's process has ready
    channels_last: bool = False  # of images and kernels in memory: another layout adds in another order
    compile: bool = False  # by torch.compile, which fuses and so rounds elsewhere
    checkpoint_every_s: Annotated[float, Meta(ge=0)] = 30.0  # seconds between checkpoints; 0: after every step


class Trial(Frozen):
    """Everything that decides one outcome."""

    model: Model
    input: Input
    task: Literal["classify", "detect", "segment", "score", "command"] = "classify"
    command: Command | None = None  # of the task of that name
    predictions: Predictions | None = None  # of the task score
    data: Data | None = None
    train: Train | None = None
    distill: Distill | None = None
    weights: Source | None = None  # measured as they are; a trial that trains measures its own
    evaluate: Evaluate | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"  # by torch's autocast; weights stay fp32
    attention: Literal["torch", "math", "flash", "efficient", "cudnn"] = "torch"  # torch: its own choice, recorded
    seed: int | None = None
    execution: Annotated[Execution, Meta(extra=EXECUTION)] = Execution()
