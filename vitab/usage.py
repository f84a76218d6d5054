"""What several commands take alike, and what a word of the command line may be."""

import argparse
import os
from pathlib import Path

from bench.crashes import MOST


def studies(parser: argparse.ArgumentParser) -> None:
    """Any number of them, or all that are shipped."""
    parser.add_argument("study", nargs="*", type=study, metavar="STUDY")
    parser.add_argument("--all", action="store_true", help="every shipped study that reports something")


def choice(parser: argparse.ArgumentParser) -> None:
    """What of a study."""
    variation(parser)
    parser.add_argument("--columns", type=names, help="only these, comma-separated")
    parser.add_argument("--only", type=names, metavar="ROW", help="only these rows, comma-separated")


def variation(parser: argparse.ArgumentParser) -> None:
    """Which variation of a study: every command takes the same options."""
    parser.add_argument("--setting", metavar="NAME", help="a variation that the spec names")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="FIELD=VALUE", help="change a field")
    parser.add_argument("--seeds", type=positive, metavar="N", help="seeds 0 … N−1 instead of the spec's")
    store(parser)


def retry(parser: argparse.ArgumentParser) -> None:
    """Whether failures are final."""
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed before")


def stopping(parser: argparse.ArgumentParser) -> None:
    """When to give up."""
    parser.add_argument(
        "--stop-after",
        type=count,
        default=MOST,
        metavar="N",
        help="stop once N pieces of work crashed with one traceback; 0: never (default: %(default)s)",
    )


def sending(parser: argparse.ArgumentParser) -> None:
    """How it is sent to Slurm."""
    group = parser.add_argument_group("with --on slurm")
    group.add_argument("--detach", action="store_true", help="return once it is sent; the jobs need nobody")
    group.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of a job: partition, account, qos, cpus, gpus, memory_gb, timeout_min, jobs, parallel, …",
    )
    group.add_argument(
        "--budget", type=hours, metavar="HOURS", help="GPU- or core-hours; what does not fit is not sent"
    )
    group.add_argument("--yes", action="store_true", help="send more than 1,000 trainings")
    group.add_argument("--hold", action="store_true", help="jobs wait until `scontrol release`")


def store(parser: argparse.ArgumentParser) -> None:
    """Where records are."""
    default = Path(os.environ.get("VITAB_STORE") or "runs")
    parser.add_argument("--store", type=Path, default=default, help="folder of records and weights (default: runs)")


def as_json(parser: argparse.ArgumentParser) -> None:
    """For programs."""
    parser.add_argument("--json", dest="as_json", action="store_true", help="machine-readable")


def scores(tasks: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Predictions of each task, and the truth that they are held against."""
    one = tasks.add_parser("coco", help="average precision of boxes and masks, as COCO has it", allow_abbrev=False)
    one.add_argument("--gt", type=Path, required=True, metavar="FILE", help="ground truth: instances_*.json")
    one.add_argument("--dt", type=Path, required=True, metavar="FILE", help="detections: COCO's results format")
    one.add_argument("--iou", choices=("bbox", "segm"), help="boxes or masks (default: all that the detections have)")
    one.add_argument(
        "--most-detections", type=numbers, default=[1, 10, 100], metavar="N,…", help="an image (default: 1,10,100)"
    )
    one.add_argument("--engine", choices=("fast", "reference"), default="fast", help="reference: pycocotools")
    _scored(one)
    one = tasks.add_parser("segmentation", help="mean IoU and accuracies of label maps", allow_abbrev=False)
    one.add_argument("--gt", type=Path, required=True, metavar="FOLDER", help="label maps of the truth, as PNG")
    one.add_argument("--pred", type=Path, required=True, metavar="FOLDER", help="label maps of the same names")
    one.add_argument("--layout", choices=("ade20k", "cityscapes"), help="whose labels the truth has")
    one.add_argument("--classes", type=positive, metavar="N", help="of any other data, numbered from 0")
    one.add_argument("--ignore", type=count, metavar="N", help="the label that is no class (default: 255)")
    one.add_argument("--reduced", action="store_true", help="the truth counts classes from 1; 0 is none")
    one.add_argument(
        "--predictions",
        choices=("labels", "classes"),
        default="labels",
        help="stored like the truth, or as classes from 0 (default: %(default)s)",
    )
    _scored(one)


def _scored(parser: argparse.ArgumentParser) -> None:
    """What is told of a score."""
    parser.add_argument("--against", type=Path, metavar="OTHER", help="another model's predictions of the same images")
    parser.add_argument("--per-class", action="store_true", help="every class, too")
    parser.add_argument(
        "--draws", type=count, default=200, metavar="N", help="of images, for intervals; 0: none (default: %(default)s)"
    )
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="of the draws (default: 0)")
    as_json(parser)


def study(text: str) -> str:
    """A study's name or path. Raises ArgumentTypeError."""
    if not text.strip(" ./"):
        raise argparse.ArgumentTypeError(f"{text!r} is no study; a shipped name, or the path of a YAML file")
    return text


def names(text: str) -> list[str]:
    """Names between commas. Raises ArgumentTypeError."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return found


def positive(text: str) -> int:
    """A whole number from 1 on. Raises ArgumentTypeError."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return number


def numbers(text: str) -> list[int]:
    """Whole numbers from 1 on, between commas. Raises ArgumentTypeError."""
    return [positive(part) for part in text.split(",")]


def count(text: str) -> int:
    """A whole number from 0 on. Raises ArgumentTypeError."""
    return 0 if text == "0" else positive(text)


def hours(text: str) -> float:
    """A time. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours above 0")
    return number
