"""A test whose machine lacks something is skipped with the reason, unless VITAB_REQUIRE asks for it."""

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parent / "conftest.py"
NEEDS = "import pytest\n\n@pytest.mark.{marker}\ndef test_needs_it():\n    pass\n"


def _run(folder: Path, *, require: str, programs: list[str], marker: str = "latex") -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_needs_it.py").write_text(NEEDS.format(marker=marker))
    (folder / "pytest.ini").write_text(f"[pytest]\nmarkers =\n    {marker}: needs it\n")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name in programs:
        (bin_folder / name).write_text("#!/bin/sh\n")
        (bin_folder / name).chmod(0o755)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=folder,
        env={**os.environ, "PATH": str(bin_folder), "VITAB_REQUIRE": require},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_pdflatex_a_test_that_typesets_is_skipped_with_the_reason(tmp_path):
    ran = _run(tmp_path, require="", programs=[])
    assert ran.returncode == 0
    assert "1 skipped" in ran.stdout
    assert "no pdflatex on this machine" in ran.stdout


def test_where_latex_is_required_its_absence_is_a_failure(tmp_path):
    ran = _run(tmp_path, require="slurm,latex", programs=[])
    assert ran.returncode == 1
    assert "no pdflatex on this machine, and VITAB_REQUIRE asks for latex" in ran.stdout


def test_with_pdflatex_the_test_runs(tmp_path):
    ran = _run(tmp_path, require="latex", programs=["pdflatex"])
    assert ran.returncode == 0
    assert "1 passed" in ran.stdout


def test_without_slurm_a_test_that_sends_jobs_is_skipped_and_says_what_installs_it(tmp_path):
    ran = _run(tmp_path, require="latex", programs=["pdflatex"], marker="slurm")
    assert ran.returncode == 0
    assert "1 skipped" in ran.stdout
    assert "`python -m slurm.cluster install` as root installs what Slurm needs" in ran.stdout


def test_where_slurm_is_required_its_absence_is_a_failure(tmp_path):
    ran = _run(tmp_path, require="slurm", programs=[], marker="slurm")
    assert ran.returncode == 1
    assert "`python -m slurm.cluster install` as root installs what Slurm needs, and VITAB_REQUIRE" in ran.stdout
