"""Whatever a study, a request or a folder is called, a shell reads the words that were meant, and no others."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UserError
from slurm import sending, submission
from slurm.request import Request, request
from slurm.sending import Array, Send, Sent

HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "\n#SBATCH --wrap=x",
    "'",
    '"',
    "\\",
    " ",
    "&",
    "|",
    "\t",
]
TEXT = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=6).map("".join)
PATH = TEXT.map(lambda text: str(Path("/x" + text.replace("\0", ""))))
NAMES = ("partition", "account", "qos", "constraint", "exclude", "comment")

PRINTS = """
srun() { printf '%s\\0' "$@" "$PYTHONPATH" "$VITAB_DATA" "$VITAB_COMMIT"; }
"""


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory):
    """A folder in which nothing may be made."""
    return tmp_path_factory.mktemp("nowhere")


@pytest.fixture(autouse=True, scope="module")
def _no_site(tmp_path_factory):
    before = os.environ.get("VITAB_SITE")
    os.environ["VITAB_SITE"] = str(tmp_path_factory.mktemp("site") / "none.yaml")
    yield
    os.environ.pop("VITAB_SITE")
    if before is not None:
        os.environ["VITAB_SITE"] = before


def script(folder: str, asked: Request, *, commit: str = "") -> str:
    array = Array(name="vitab-x", own=((0,),))
    send = Send(store="/runs", study="x", time="", commit=commit, request=asked, arrays=(array,))
    return submission.script(Sent(folder=Path(folder), send=send), 0)


def options(text: str) -> list[str]:
    """Lines that sbatch reads: those before the first that is neither empty nor a comment."""
    found = []
    for line in text.split("\n"):
        if line.startswith("#SBATCH"):
            found.append(line)
        elif line and not line.startswith("#"):
            break
    return found


@given(folder=PATH, data=PATH, commit=st.sampled_from(HOSTILE))
@settings(deadline=None, max_examples=40)
def test_a_shell_reads_the_folders_as_they_are(nowhere, folder, data, commit):
    if any(letter in "%\\:" or not letter.isprintable() for letter in folder):
        return  # refused before: see test_sending
    os.environ["VITAB_DATA"] = data
    try:
        text = script(folder, Request(), commit=commit)
    finally:
        del os.environ["VITAB_DATA"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(nowhere), "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(["bash", "-c", PRINTS + text], cwd=nowhere, env=environment, capture_output=True, check=True)
    words = [os.fsdecode(word) for word in ran.stdout.split(b"\0")]
    assert words[-6:-1] == [folder, "0", f"{folder}/code", data, commit]
    assert list(nowhere.iterdir()) == []
    assert len(options(text)) == len(options(script("/plain", Request())))


@given(name=st.sampled_from(NAMES), text=TEXT)
@settings(deadline=None, max_examples=100)
def test_a_resource_is_one_word_of_one_line_or_it_is_refused(nowhere, name, text):
    with contextlib.suppress(UserError):  # in one line: see test_request
        asked = request({name: text})
        _reads_one_more(nowhere, name, text, asked)


def _reads_one_more(nowhere, name, text, asked):
    plain, said = options(script("/plain", Request())), options(script("/plain", asked))
    assert len(said) == len(plain) + 1
    (new,) = [line for line in said if line not in plain]
    shown = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {new.removeprefix('#SBATCH ')}"], cwd=nowhere, capture_output=True, check=True
    )
    assert os.fsdecode(shown.stdout).split("\0")[:-1] == [f"--{name}={text}"]
    assert list(nowhere.iterdir()) == []


@given(study=TEXT)
@settings(deadline=None, max_examples=50)
def test_a_study_has_no_say_in_the_name_of_a_folder_or_an_array(study):
    assert re.fullmatch(r"20261121090000000-[A-Za-z0-9_.-]*-\d+", sending._mark(study, "2026-11-21T09:00:00.000"))
