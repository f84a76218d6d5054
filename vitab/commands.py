"""The words of the command line: what each command takes. What it does is in the module that it names."""

import argparse
import importlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench.errors import UserError, unknown
from vitab import usage

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
    usage.as_json(one)

    one = command("plan", "planning", "the rows, what is in the store, what would run; nothing happens")
    usage.studies(one)
    usage.choice(one)
    usage.retry(one)
    usage.as_json(one)

    one = command("run", "running", "measure what is missing, with live progress, then print the table")
    usage.studies(one)
    usage.choice(one)
    usage.retry(one)
    one.add_argument(
        "--on",
        choices=("local", "slurm", "debug"),
        default="local",
        help="local: worker processes; slurm: jobs of a cluster; debug: this process (default: %(default)s)",
    )
    one.add_argument("--workers", type=usage.positive, help="worker processes, one thread each (default: cores)")
    one.add_argument("--dry-run", action="store_true", help="say what would run; with --on slurm the bill and a script")
    usage.stopping(one)
    usage.sending(one)
    one.add_argument("--as", dest="form", choices=FORMS, default="markdown", help="the table's form")

    one = command("status", "status", "what is done, running and waiting, from any shell")
    one.add_argument(
        "study",
        nargs="*",
        type=usage.study,
        metavar="STUDY",
        help="(default: every study that was run with this store)",
    )
    usage.store(one)
    usage.as_json(one)

    one = command("logs", "logs", "what the Slurm jobs of a study wrote")
    one.add_argument("study", type=usage.study, metavar="STUDY")
    one.add_argument("row", nargs="?", metavar="ROW", help="only what jobs say of this row, as ROW or ROW:seed0")
    one.add_argument("-f", "--follow", action="store_true", help="go on with what they write, until no job is left")
    usage.store(one)

    one = command("cancel", "cancel", "end the Slurm jobs of a study; what is done stays done")
    one.add_argument("study", type=usage.study, metavar="STUDY")
    usage.store(one)

    one = command(
        "retry", "retry", "try again what failed, as it was run before, with other execution fields if need be"
    )
    one.add_argument("study", type=usage.study, metavar="STUDY")
    one.add_argument(
        "--failed", nargs="?", const="", required=True, metavar="KIND", help="such as out-of-memory (default: any)"
    )
    one.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="FIELD=VALUE", help="such as execution.micro_batch=8"
    )
    one.add_argument("--on", choices=("local", "slurm"), help="(default: where it was run)")
    one.add_argument("--workers", type=usage.positive, help="worker processes, one thread each (default: cores)")
    one.add_argument("--dry-run", action="store_true", help="say what would be tried again")
    usage.stopping(one)
    one.add_argument("--as", dest="form", choices=FORMS, default="markdown", help="the table's form")
    usage.sending(one)
    usage.store(one)

    one = command("table", "tables", "the table from what the store holds now")
    one.add_argument("study", type=usage.study, metavar="STUDY")
    usage.variation(one)
    one.add_argument("--columns", type=usage.names, help="only these, comma-separated")
    one.add_argument("--as", dest="form", choices=FORMS, default="markdown", help="the table's form")
    one.add_argument("--out", type=Path, metavar="FILE", help="write it there, whole or not at all")
    one.add_argument("--reported", action="store_true", help="only what was reported, as the paper prints it")

    one = command("check", "checking", "reported against measured, or now against then; the exit code is the verdict")
    usage.studies(one)
    usage.variation(one)
    one.add_argument("--columns", type=usage.names, help="only these, comma-separated")
    one.add_argument("--gate", default="deviates,failed", help="verdicts that fail the check (default: %(default)s)")
    one.add_argument(
        "--require", type=usage.positive, default=1, metavar="N", help="fail when fewer claims are compared"
    )
    one.add_argument("--against", type=Path, metavar="STORE", help="compare with another store instead of the claims")
    one.add_argument("--junit", type=Path, metavar="FILE", help="write the verdicts as JUnit XML")
    usage.as_json(one)

    one = command("why", "why", "where a number comes from")
    one.add_argument("study", type=usage.study, metavar="STUDY")
    one.add_argument("row", metavar="ROW")
    one.add_argument("column", metavar="COLUMN")
    usage.variation(one)

    one = command("count", "counting", "parameters and FLOPs of models, explained")
    one.add_argument("model", nargs="+", metavar="MODEL", help="timm's names, torchvision:NAME, or ours")
    one.add_argument("--image", type=usage.positive, metavar="N", help="pixels a side (default: the model's own)")
    one.add_argument("--by", choices=("module", "operator"), help="where they are")
    one.add_argument("--convention", choices=("macs", "fvcore"), default="macs", help="macs: as papers count")
    one.add_argument("--diff", metavar="OTHER", help="module by module against another model")
    usage.as_json(one)

    one = command("import", "importing", "numbers that were measured elsewhere, shown as such")
    one.add_argument("file", type=Path, metavar="FILE", help="csv or json: row, column, value, and seed, unit")
    one.add_argument(
        "--as", dest="study", type=usage.study, required=True, metavar="STUDY", help="of which they are numbers"
    )
    usage.variation(one)

    one = command("compare", "comparing", "two rows beside each other: the difference, and image by image")
    one.add_argument("study", type=usage.study, metavar="STUDY")
    one.add_argument("row", metavar="ROW")
    one.add_argument("other", metavar="ROW")
    one.add_argument("column", metavar="COLUMN")
    usage.variation(one)

    one = command("generate", "generating", "draw scenes with labels, in the layout of a data set")
    one.add_argument("layout", choices=LAYOUTS, help="; ".join(LAYOUTS))
    one.add_argument("folder", type=Path, metavar="FOLDER", help="empty, or not there yet; appears whole")
    one.add_argument(
        "--images", type=usage.positive, default=400, metavar="N", help="one in four is val (default: 400)"
    )
    one.add_argument("--side", type=usage.positive, default=128, metavar="N", help="pixels (default: %(default)s)")
    one.add_argument("--seed", type=usage.count, default=0, metavar="N", help="(default: %(default)s)")

    one = command("score", "scoring", "anyone's predictions against ground truth")
    usage.scores(one.add_subparsers(dest="task", metavar="TASK", required=True, parser_class=_Parser))

    command("worker", "worker", "work as JSON lines in, records out: what local slots and Slurm jobs start")
    command("schema", "schema", "JSON Schema of specs, for editors")
    one = command("doctor", "doctor", "this machine: devices, libraries, and what is missing for what")
    usage.store(one)
    usage.as_json(one)
    return parser
