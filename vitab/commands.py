"""The words of the command line: what each command takes. What it does is in the module that it names."""

import argparse
import importlib
import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.crashes import MOST
from bench.errors import UserError, unknown

FORMS = ("markdown", "latex", "csv", "json", "html")
LAYOUTS = ("coco", "ade20k", "cityscapes")
LISTS = ("studies", "tables", "systems", "measures", "models", "data", "recipes", "knobs")


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line, as every other mistake."""

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """What nobody knows is one line, with the nearest option of the command that was called."""
        options, strange = self.parse_known_args(arguments)
        if strange:
            called: argparse.ArgumentParser = getattr(options, "parser", self)
            if not strange[0].startswith("-"):
                raise UserError(f"{called.prog}: {strange[0]!r} is one word too many")
            word = strange[0].partition("=")[0]
            raise UserError(f"{called.prog}: {unknown('option', word, called._option_string_actions)}")
        return options

    def error(self, message: str) -> NoReturn:
        said = message.removeprefix("argument ")
        if "invalid choice: " in message:
            where = said.partition(":")[0].lower()
            wrong = message.partition("invalid choice: ")[2].partition(" (choose from")[0].strip("'")
            choices = [word.strip(" '()") for word in message.partition("choose from")[2].split(",")]
            said = unknown(where, wrong, choices)
        raise UserError(f"{self.prog}: {said}")


class _Version(argparse.Action):
    """Says the version, which is looked up only when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(f"vitab {importlib.metadata.version('vitab')}")
        parser.exit()


def dispatch(arguments: Sequence[str]) -> int:
    """Run one command. Raises UserError."""
    if arguments and arguments[0] == "worker":  # it has a parser of its own, and starts thousands of times
        return int(importlib.import_module("bench.worker").main(arguments[1:]))
    parser = _parser()
    options = parser.parse_all(arguments)
    if not hasattr(options, "module"):
        parser.print_help()
        return 0
    return int(importlib.import_module(options.module).main(options))


def _parser() -> _Parser:
    parser = _Parser(
        prog="vitab",
        allow_abbrev=False,  # an option of a later version must not change what a script means
        description="Every number in a vision-transformer paper, measured again.",
        epilog="STUDY is a shipped name (vitab list studies, vitab list tables) or the path of a YAML file.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="the version of vitab")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, module: str, said: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=said, description=f"{said[:1].upper()}{said[1:]}.", allow_abbrev=False)
        one.set_defaults(module=f"vitab.{module}", parser=one)
        return one

    one = command("list", "listing", "what there is, one line each")
    one.add_argument("kind", nargs="?", choices=LISTS, help="; ".join(LISTS))
    _json(one)

    one = command("plan", "planning", "the rows, what is in the store, what would run; nothing happens")
    _studies(one)
    _choice(one)
    _retry(one)
    _json(one)

    one = command("run", "running", "measure what is missing, with live progress, then print the table")
    _studies(one)
    _choice(one)
    _retry(one)
    one.add_argument(
        "--on",
        choices=("local", "slurm", "debug"),
        default="local",
        help="local: worker processes; slurm: jobs of a cluster; debug: this process (default: %(default)s)",
    )
    one.add_argument("--workers", type=_positive, help="worker processes, one thread each (default: cores)")
    one.add_argument("--dry-run", action="store_true", help="say what would run; with --on slurm the bill and a script")
    _stopping(one)
    _sending(one)
    one.add_argument("--as", dest="form", choices=FORMS, default="markdown", help="the table's form")

    one = command("status", "status", "what is done, running and waiting, from any shell")
    one.add_argument(
        "study", nargs="*", type=_study, metavar="STUDY", help="(default: every study that was run with this store)"
    )
    _store(one)
    _json(one)

    one = command("logs", "logs", "what the Slurm jobs of a study wrote")
    one.add_argument("study", type=_study, metavar="STUDY")
    one.add_argument("row", nargs="?", metavar="ROW", help="only what jobs say of this row, as ROW or ROW:seed0")
    one.add_argument("-f", "--follow", action="store_true", help="go on with what they write, until no job is left")
    _store(one)

    one = command("cancel", "cancel", "end the Slurm jobs of a study; what is done stays done")
    one.add_argument("study", type=_study, metavar="STUDY")
    _store(one)

    one = command(
        "retry", "retry", "try again what failed, as it was run before, with other execution fields if need be"
    )
    one.add_argument("study", type=_study, metavar="STUDY")
    one.add_argument(
        "--failed", nargs="?", const="", required=True, metavar="KIND", help="such as out-of-memory (default: any)"
    )
    one.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="FIELD=VALUE", help="such as execution.micro_batch=8"
    )
    one.add_argument("--on", choices=("local", "slurm"), help="(default: where it was run)")
    one.add_argument("--workers", type=_positive, help="worker processes, one thread each (default: cores)")
    one.add_argument("--dry-run", action="store_true", help="say what would be tried again")
    _stopping(one)
    one.add_argument("--as", dest="form", choices=FORMS, default="markdown", help="the table's form")
    _sending(one)
    _store(one)

    one = command("table", "tables", "the table from what the store holds now")
    one.add_argument("study", type=_study, metavar="STUDY")
    _variation(one)
    one.add_argument("--columns", type=_names, help="only these, comma-separated")
    one.add_argument("--as", dest="form", choices=FORMS, default="markdown", help="the table's form")
    one.add_argument("--out", type=Path, metavar="FILE", help="write it there, whole or not at all")
    one.add_argument("--reported", action="store_true", help="only what was reported, as the paper prints it")

    one = command("check", "checking", "reported against measured, or now against then; the exit code is the verdict")
    _studies(one)
    _variation(one)
    one.add_argument("--columns", type=_names, help="only these, comma-separated")
    one.add_argument("--gate", default="deviates,failed", help="verdicts that fail the check (default: %(default)s)")
    one.add_argument("--require", type=_positive, default=1, metavar="N", help="fail when fewer claims are compared")
    one.add_argument("--against", type=Path, metavar="STORE", help="compare with another store instead of the claims")
    one.add_argument("--junit", type=Path, metavar="FILE", help="write the verdicts as JUnit XML")
    _json(one)

    one = command("why", "why", "where a number comes from")
    one.add_argument("study", type=_study, metavar="STUDY")
    one.add_argument("row", metavar="ROW")
    one.add_argument("column", metavar="COLUMN")
    _variation(one)

    one = command("count", "counting", "parameters and FLOPs of models, explained")
    one.add_argument("model", nargs="+", metavar="MODEL", help="timm's names, torchvision:NAME, or ours")
    one.add_argument("--image", type=_positive, metavar="N", help="pixels a side (default: the model's own)")
    one.add_argument("--by", choices=("module", "operator"), help="where they are")
    one.add_argument("--convention", choices=("macs", "fvcore"), default="macs", help="macs: as papers count")
    one.add_argument("--diff", metavar="OTHER", help="module by module against another model")
    _json(one)

    one = command("import", "importing", "numbers that were measured elsewhere, shown as such")
    one.add_argument("file", type=Path, metavar="FILE", help="csv or json: row, column, value, and seed, unit")
    one.add_argument(
        "--as", dest="study", type=_study, required=True, metavar="STUDY", help="of which they are numbers"
    )
    _variation(one)

    one = command("compare", "comparing", "two rows beside each other: the difference, and image by image")
    one.add_argument("study", type=_study, metavar="STUDY")
    one.add_argument("row", metavar="ROW")
    one.add_argument("other", metavar="ROW")
    one.add_argument("column", metavar="COLUMN")
    _variation(one)

    one = command("generate", "generating", "draw scenes with labels, in the layout of a data set")
    one.add_argument("layout", choices=LAYOUTS, help="; ".join(LAYOUTS))
    one.add_argument("folder", type=Path, metavar="FOLDER", help="empty, or not there yet; appears whole")
    one.add_argument("--images", type=_positive, default=400, metavar="N", help="one in four is val (default: 400)")
    one.add_argument("--side", type=_positive, default=128, metavar="N", help="pixels (default: %(default)s)")
    one.add_argument("--seed", type=_count, default=0, metavar="N", help="(default: %(default)s)")

    command("worker", "worker", "work as JSON lines in, records out: what local slots and Slurm jobs start")
    command("schema", "schema", "JSON Schema of specs, for editors")
    one = command("doctor", "doctor", "this machine: devices, libraries, and what is missing for what")
    _store(one)
    _json(one)
    return parser


def _studies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="*", type=_study, metavar="STUDY")
    parser.add_argument("--all", action="store_true", help="every shipped study that reports something")


def _choice(parser: argparse.ArgumentParser) -> None:
    """What of a study."""
    _variation(parser)
    parser.add_argument("--columns", type=_names, help="only these, comma-separated")
    parser.add_argument("--only", type=_names, metavar="ROW", help="only these rows, comma-separated")


def _variation(parser: argparse.ArgumentParser) -> None:
    """Which variation of a study: every command takes the same options."""
    parser.add_argument("--setting", metavar="NAME", help="a variation that the spec names")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="FIELD=VALUE", help="change a field")
    parser.add_argument("--seeds", type=_positive, metavar="N", help="seeds 0 … N−1 instead of the spec's")
    _store(parser)


def _retry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed before")


def _stopping(parser: argparse.ArgumentParser) -> None:
    """When to give up."""
    parser.add_argument(
        "--stop-after",
        type=_count,
        default=MOST,
        metavar="N",
        help="stop once N pieces of work crashed with one traceback; 0: never (default: %(default)s)",
    )


def _sending(parser: argparse.ArgumentParser) -> None:
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
        "--budget", type=_hours, metavar="HOURS", help="GPU- or core-hours; what does not fit is not sent"
    )
    group.add_argument("--yes", action="store_true", help="send more than 1,000 trainings")
    group.add_argument("--hold", action="store_true", help="jobs wait until `scontrol release`")


def _store(parser: argparse.ArgumentParser) -> None:
    default = Path(os.environ.get("VITAB_STORE") or "runs")
    parser.add_argument("--store", type=Path, default=default, help="folder of records and weights (default: runs)")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", dest="as_json", action="store_true", help="machine-readable")


def _study(text: str) -> str:
    if not text.strip(" ./"):
        raise argparse.ArgumentTypeError(f"{text!r} is no study; a shipped name, or the path of a YAML file")
    return text


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing")
    return names


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return number


def _count(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _hours(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours above 0")
    return number
