"""The example does what its README says, command by command, and its script knows nothing of vitab."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_trainer"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")


def _lines(text):
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]


def test_the_readmes_commands_make_the_readmes_table(tmp_path):
    folder, home = tmp_path / "own trainer", tmp_path / "home"
    shutil.copytree(EXAMPLE, folder)
    home.mkdir()
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE))
    left = {name: value for name, value in os.environ.items() if not name.startswith(("VITAB_", "XDG_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{left['PATH']}"
    own = {"HOME": str(home), "PATH": path, "PYTHONPATH": str(EXAMPLE.parents[1]), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        ["bash", "-ec", commands], cwd=folder, env=left | own, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    made, shown = _lines(ran.stdout), _lines(README.partition("own_trainer · ")[2].partition("```")[0])
    assert made[0] == shown[0]
    assert [row[0] for row in made[2:]] == [row[0] for row in shown[2:]] == ["32", "4", "128"]
    means = [[float(row[1].partition(" ± ")[0]) for row in rows[2:]] for rows in (made, shown)]
    assert max(abs(one - other) for one, other in zip(*means, strict=True)) < 2  # another scikit-learn, other sums


def test_the_script_imports_nothing_of_ours():
    assert "vitab" not in (EXAMPLE / "train.py").read_text(encoding="utf-8")
