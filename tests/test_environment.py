"""The installation stops with one line where it could not end."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _install(folder: Path, *, free_kb: int) -> subprocess.CompletedProcess[str]:
    """With a disk that has so much free, and a Python that is never asked to install anything."""
    programs = folder / "bin"
    programs.mkdir()
    said = f"Filesystem 1024-blocks Used Available Capacity Mounted\\n/dev/x 1 1 {free_kb} 1%% /\\n"
    for name, text in {"df": f"printf '{said}'", "python3": "case $* in *venv\\ *) touch made; exit 1;; esac"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    return subprocess.run(
        ["sh", ROOT / ".ci" / "environment", ".venv", "requirements.lock", ".venv/.installed-x"],
        cwd=folder,
        env={**environment, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_disk_that_is_too_full_is_one_line_before_anything_is_made(tmp_path):
    ran = _install(tmp_path, free_kb=7_900_000)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        "vitab: the environment takes 6 GB and its installation a little more:"
        " 8 GB free are needed here, 7 GB are there\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"]


def test_a_disk_with_room_goes_on_to_the_installation(tmp_path):
    ran = _install(tmp_path, free_kb=8_100_000)
    assert "installing torch and the rest" in ran.stderr
    assert (tmp_path / "made").exists()
