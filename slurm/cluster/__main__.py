"""`python -m slurm.cluster`: a real Slurm on this machine, up and down."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UserError
from slurm.cluster import cluster, installing, settings
from slurm.cluster.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 done, 1 something is down, 2 wrong usage or a thing that is missing."""
    options = _parser().parse_args(arguments)
    folder = options.folder.absolute()
    try:
        return _do(options.command, folder, options)
    except UserError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2


def _do(command: str, folder: Path, options: argparse.Namespace) -> int:
    if command == "install":
        sys.stderr.write("installed\n" if installing.install() else "nothing is missing\n")
    elif command == "up":
        one = cluster.up(folder, _wanted(folder, options))
        sys.stderr.write(f"the cluster is up; in this shell: export SLURM_CONF={one.places.slurm_conf}\n")
    elif command == "down":
        cluster.down(folder)
    elif command == "purge":
        cluster.purge(folder) if options.after is None else cluster.purge_after(folder, options.after)
    elif command == "env":
        print(f"export SLURM_CONF={shlex.quote(str(cluster.at(folder).places.slurm_conf))}")
    elif command == "status":
        lines = cluster.status(cluster.at(folder))
        print("\n".join(f"{name:<12} {said}" for name, said in lines))
        return int(any(said == "down" for _, said in lines))
    elif command == "restart-controller":
        one = cluster.at(folder)
        one.controller.down()
        one.controller.up(one.environment)
    else:
        one = cluster.at(folder)
        node = one.node(options.node)
        node.kill() if command == "kill-node" else node.up(one.environment)
    return 0


def _wanted(folder: Path, options: argparse.Namespace) -> Settings:
    """The settings that the folder has, or the defaults, with what the call changes. Raises UserError."""
    known = settings.load(folder) or Settings()
    changed = {
        name: value for name in Settings.__struct_fields__ if (value := getattr(options, name, None)) is not None
    }
    try:
        return msgspec.convert(msgspec.to_builtins(known) | changed, Settings)
    except msgspec.ValidationError as problem:
        raise UserError(f"python -m slurm.cluster up: {str(problem)[:1].lower()}{str(problem)[1:]}") from problem


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slurm.cluster", description=cluster.__doc__)
    parser.add_argument("--folder", type=Path, default=settings.default_folder(), help="where it lies (%(default)s)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    said: dict[str, str] = {
        "install": "Debian's packages, as root",
        "up": "make it or take it up again; a change of a setting restarts it",
        "down": "end every job and daemon; accounts and history stay",
        "purge": "down, and remove the folder",
        "status": "every daemon and node; exit code 1 when one is down",
        "env": 'what to evaluate in a shell: eval "$(python -m slurm.cluster env)"',
        "restart-controller": "stop and start slurmctld; jobs survive",
    }
    for name, text in said.items():
        one = commands.add_parser(name, help=text)
        if name == "up":
            for field in msgspec.structs.fields(Settings):
                _add(one, field)
        elif name == "purge":
            one.add_argument("--after", type=int, metavar="PID", help="when this process has ended, however it does")
    for name, text in (("kill-node", "end a node's slurmd as a crash would"), ("start-node", "start it again")):
        commands.add_parser(name, help=text).add_argument("node", metavar="NODE")
    return parser


def _add(parser: argparse.ArgumentParser, field: Any) -> None:
    flag, default = f"--{field.name.replace('_', '-')}", field.default
    if isinstance(default, bool):
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=f"default: {default}")
    else:
        kind = str if isinstance(default, str) else int
        parser.add_argument(flag, type=kind, default=None, metavar=kind.__name__.upper(), help=f"default: {default}")


if __name__ == "__main__":
    sys.exit(main())
