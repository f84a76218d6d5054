"""Ends of jobs, as far as their logs know more of them than Slurm's states: that memory ran out."""

from pathlib import Path

OUT_OF_MEMORY = ("oom-kill", "oom_kill", "exceeded memory limit", "exceeded job memory limit")
"""What Slurm writes into the log of a job whose own state says no more than that it failed, or was cancelled."""

TAIL_BYTES = 4096  # of a log, in which the reason of an end stands


def logs(folder: Path, job: str) -> list[Path]:
    """What a job (12_3) of a send has written, as far as it has begun."""
    return sorted((folder / "jobs").glob(f"{job}_*_log.*"), reverse=True)  # .out before .err


def ran_out_of_memory(folder: Path, job: str) -> bool:
    """Whether Slurm says so at the end of its log."""
    said = "".join(_tail(path) for path in logs(folder, job)).lower()
    return any(sign in said for sign in OUT_OF_MEMORY)


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")
