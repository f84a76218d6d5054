"""Every mistake of a user's is one line on stderr that says what is wrong and what is allowed, and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = """\
study: small
base:
  model: {name: vit, image: 8, patch: 2, dim: 16, depth: 1, heads: 2}
  data: digits
  train: {recipe: tiny, epochs: 1, warmup_epochs: 0}
design:
  one_factor: {model.patch: [4]}
columns: [params, top1]
"""

EDITS = {  # one edit of a spec that is right → what is said of it
    "a key": ("colums: [params, top1]", "columns: [params, top1]", "bad.yaml:8:1: no key 'colums'; nearest: 'columns'"),
    "a key of the design": ("one_facto:", "one_factor:", "bad.yaml:7:3: no key 'one_facto'; nearest: 'one_factor'"),
    "a field": ("model.pach", "model.patch", "bad.yaml:7:16: no field 'model.pach'; nearest: 'model.patch'"),
    "a knob": ("pach: 2", "patch: 2", "bad.yaml:3:32: no field 'model.pach'; nearest: 'model.patch'"),
    "a level": (
        "{model.pos_embed: [learnt]}",
        "{model.patch: [4]}",
        "bad.yaml:7:34: no model.pos_embed 'learnt'; nearest: 'learned'",
    ),
    "a level's type": (
        "[four]",
        "[4]",
        "bad.yaml:7:30: model.patch must be a whole number from 1 to 16384, not 'four'",
    ),
    "a measure": ("[params, topp1]", "[params, top1]", "bad.yaml:8:19: no measure 'topp1'; nearest: 'top1'"),
    "a model": ("name: vitt", "name: vit", "bad.yaml:3:11: no model 'vitt'; nearest: 'vit'"),
    "data": ("digit\n", "digits\n", "bad.yaml:4:3: no data set 'digit'; nearest: 'digits'"),
    "a recipe": ("recipe: tinny", "recipe: tiny", "bad.yaml:5:11: no recipe 'tinny'; nearest: 'tiny'"),
    "a number": (
        "epochs: many",
        "epochs: 1",
        "bad.yaml:5:25: train.epochs must be a whole number of at least 1, not 'many'",
    ),
    "a study's name": (
        "study: Small one",
        "study: small",
        "bad.yaml:1:1: study must be lower-case letters, digits and _ ",
    ),
    "a key that is missing": ("", "study: small\n", "bad.yaml:1:1: a spec lacks the key 'study'"),
    "YAML": ("{recipe: tiny, epochs: 1", "{recipe: tiny, epochs: 1, warmup_epochs: 0}", "bad.yaml:6:7: YAML: "),
    "a tab": ("\tdata: digits", "  data: digits", "bad.yaml:4:1: "),
    "a key that stands twice": ("base:\n  data: digits\nbase:", "base:", "bad.yaml:4:1: key 'base' stands twice"),
    "a tag": ("!!python/object/apply:os.system [ls]", "digits", "bad.yaml:4:9: a tag 'tag:"),
    "an alias": ("*base", "digits", "bad.yaml:4:9: an alias *base is not allowed in a spec"),
    "a patch that does not divide": ("[3]", "[4]", "bad.yaml:7:30: row '3': vit at 8: patch 3 does not divide"),
    "heads that do not divide": (
        "heads: 3",
        "heads: 2",
        "bad.yaml:7:3: row '2': vit at 8: heads 3 do not divide dim 16",
    ),
    "two rows that are one trial": (
        "rows: [{id: a, model.patch: 4}, {id: b, model.patch: 4}]",
        "one_factor: {model.patch: [4]}",
        "bad.yaml:7:35: row 'b' is the same trial as row 'a'",
    ),
    "a cycle": (
        "rows: [{id: a, train.from: {row: b}}, {id: b, train.from: {row: a}}]",
        "one_factor: {model.patch: [4]}",
        "bad.yaml:7:49: rows need each other's weights: a → b → a",
    ),
    "a row that is not there": (
        "rows: [{id: a, train.from: {row: small}}]",
        "one_factor: {model.patch: [4]}",
        "bad.yaml:7:18: no row 'small'; allowed: a, base",
    ),
}


def _one_line(answer):
    assert (answer.code, answer.out) == (2, ""), answer
    (line,) = answer.err.splitlines()
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize("what", EDITS)
def test_a_mistake_in_a_spec_is_one_line_that_says_where(call, here, what):
    wrong, right, said = EDITS[what]
    assert SPEC.count(right) == 1
    (here / "bad.yaml").write_text(SPEC.replace(right, wrong))
    line = _one_line(call("plan", "bad.yaml"))
    assert line.startswith(said), line
    assert _one_line(call("run", "bad.yaml")) == line
    assert not (here / "runs").exists()


FILES = {
    "binary": (bytes(range(256)), "bad.yaml"),
    "empty": (b"", "bad.yaml: empty"),
    "a list": (b"- a\n- b\n", "bad.yaml:1:1: "),
    "one word": (b"small", "bad.yaml:1:1: "),
    "not utf-8": ("study: größe\n".encode("latin-1"), "bad.yaml"),
    "null bytes": (b"study: a\0b\n", "bad.yaml"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_spec_is_one_line(call, here, kind):
    content, said = FILES[kind]
    (here / "bad.yaml").write_bytes(content)
    assert _one_line(call("plan", "bad.yaml")).startswith(said)


def test_a_spec_that_may_not_be_read_is_one_line(call, here):
    (here / "bad.yaml").symlink_to("/proc/1/mem")
    assert _one_line(call("plan", "bad.yaml")).startswith("bad.yaml: ")


WORDS = {  # a command line → what is said of it
    "": "vitab: no command ''; allowed: ",
    "plann good.yaml": "vitab: no command 'plann'; nearest: 'plan'",
    "plan": "which study? name one, or say --all; `vitab list studies` and `vitab list tables` have them",
    "plan nothing_like_it": "no study 'nothing_like_it'; allowed: ",
    "plan patch_siz": "no study 'patch_siz'; nearest: 'patch_size'",
    "plan ./god.yaml": "no file 'god.yaml'; nearest: 'good.yaml'",
    "plan good": "no study 'good'; the file is called good.yaml",
    "plan .": "vitab plan: STUDY: '.' is no study; a shipped name, or the path of a YAML file",
    "plan /proc": "/proc is a folder; a study is a YAML file",
    "run good.yaml --colums params": "vitab run: no option '--colums'; nearest: '--columns'",
    "run good.yaml --dry": "vitab run: no option '--dry'; nearest: '--dry-run'",
    "run good.yaml --columns": "vitab run: --columns: expected one argument",
    "run good.yaml --columns ,": "vitab run: --columns: ',' names nothing",
    "run good.yaml --columns parms": "no column 'parms'; nearest: 'params'",
    "run good.yaml --only fuor": "no row 'fuor'; allowed: 2, 4",
    "run good.yaml --on slrum": "vitab run: no --on 'slrum'; nearest: 'slurm'",
    "run good.yaml --on cloud": "vitab run: no --on 'cloud'; allowed: debug, local, slurm",
    "run good.yaml --detach": "--detach is for --on slurm",
    "run good.yaml --on slurm --workers 2": "--workers is for --on local; a job has a worker for each of its GPUs",
    "run good.yaml --on slurm --budget 0": "vitab run: --budget: '0' is no number of hours above 0",
    "retry good.yaml": "vitab retry: the following arguments are required: --failed",
    "retry good.yaml --failed out-of-memry": "--failed: no kind of failure 'out-of-memry'; nearest: 'out-of-memory'",
    "retry good.yaml --failed --set model.patch=2": "--set model.patch=2: another number would come out; only",
    "retry good.yaml --failed": "'good.yaml' was not run with the store 'runs'; run: nothing yet",
    "cancel good.yaml": "'good.yaml' was not run with the store 'runs'; run: nothing yet",
    "logs good.yaml": "'good.yaml' was not run with the store 'runs'; run: nothing yet",
    "run good.yaml --workers 0": "vitab run: --workers: '0' is no positive number",
    "run good.yaml --seeds many": "vitab run: --seeds: 'many' is no positive number",
    "run good.yaml --setting large": "study 'small' has no settings, and so no 'large'",
    "run good.yaml --set model.pach=4": "--set model.pach=4: no field 'model.pach'; nearest: 'model.patch'",
    "run good.yaml --set train.epochs": "--set train.epochs: must be FIELD=VALUE, such as --set train.epochs=5",
    "run good.yaml --set train.epochs=many": "--set train.epochs=many: train.epochs must be a whole number",
    "run good.yaml --set model.patch=1": "--set model.patch=1: the design varies model.patch",
    "run good.yaml --set model.heads=3": "good.yaml:7:3: row '2': vit at 8: heads 3 do not divide dim 16",
    "table good.yaml bad.yaml": "vitab table: 'bad.yaml' is one word too many",
    "table good.yaml --as word": "vitab table: no --as 'word'; allowed: csv, html, json, latex, markdown",
    "table good.yaml --out /proc/nowhere/table.md": "/proc/nowhere/table.md: no such file or directory",
    "table good.yaml --out .": ".: is a directory",
    "check": "which study? name one, or say --all; `vitab list studies` and `vitab list tables` have them",
    "check good.yaml --gate deviate": "no verdict 'deviate'; nearest: 'deviates'",
    "check good.yaml --gate top1:fast": "gate 'top1:fast': a change is QUANTITY:-5% or QUANTITY:+5%",
    "check good.yaml --against nowhere": "--against nowhere: no store is there",
    "check good.yaml --junit /proc/nowhere.xml": "/proc/nowhere.xml: no such file or directory",
    "check --all --columns parms": "no column 'parms'; nearest: 'params'",
    "check --all --seeds 2": "--setting, --set and --seeds vary the studies that are named, and none is",
    "why good.yaml 4": "vitab why: the following arguments are required: COLUMN",
    "why good.yaml 5 top1": "no row '5'; allowed: 2, 4",
    "why good.yaml 4 top2": "no column 'top2'; nearest: 'top1'",
    "count vit_base_patch16_244": "no model 'vit_base_patch16_244'; nearest: 'vit_base_patch16_224'",
    "count vit_tiny_patch16_224 --image 0": "vitab count: --image: '0' is no positive number",
    "list modles": "vitab list: no kind 'modles'; nearest: 'models'",
    "status nothing_like_it": "no study 'nothing_like_it'; allowed: ",
    "schema good.yaml": "vitab schema: 'good.yaml' is one word too many",
    "worker": "vitab worker: the following arguments are required: --store",
}


@pytest.mark.parametrize("words", WORDS)
def test_a_wrong_word_is_one_line_with_the_nearest_right_one(call, here, words):
    (here / "good.yaml").write_text(SPEC)
    line = _one_line(call(*(words.split() or [""])))
    assert line.startswith(WORDS[words]), line
    assert not (here / "runs").exists()


@pytest.mark.parametrize("command", ["plan", "run", "table", "check"])
def test_a_store_that_is_a_file_is_one_line(call, here, command):
    (here / "good.yaml").write_text(SPEC)
    said = "written" if command == "run" else "read"
    line = _one_line(call(command, "good.yaml", "--store", "good.yaml"))
    assert line == f"store '{here}/good.yaml' cannot be {said}: not a directory"


def test_a_store_that_cannot_be_written_is_known_before_anything_is_computed(call, here):
    (here / "good.yaml").write_text(SPEC)
    line = _one_line(call("run", "good.yaml", "--store", "/proc/runs"))
    assert line == "store '/proc/runs' cannot be written: no such file or directory"


def test_nothing_is_lost_when_a_finished_study_is_called_wrongly(finished, call):
    before = sorted(finished.path.rglob("*"))
    for words in (["--workers", "0"], ["--set", "model.pach=4"], ["--columns", "nothing"], ["--setting", "large"]):
        assert call("run", "small.yaml", *words).code == 2
    assert sorted(finished.path.rglob("*")) == before


def test_damaged_records_are_said_and_skipped(finished, call):
    path = max((finished.path / "records").iterdir(), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes() + b"garbage\n" + b'{"event":"end","key":"tor')
    said = call("table", "small.yaml")
    assert said.code == 0
    assert [line.partition("records/")[2].partition(":")[0] for line in said.err.splitlines()] == [path.name] * 2
    assert "pending" not in said.out


@pytest.fixture
def shadowed(here):
    """A folder in which a file of the user's has the name of one of our packages."""
    (here / "good.yaml").write_text(SPEC)
    (here / "bench.py").write_text("raise SystemExit('imported')")
    return here


HIDDEN = "bench.py hides a package of vitab's; rename it, or start from another folder"


def test_a_bench_file_where_python_starts_is_named_and_not_imported(shadowed):
    done = subprocess.run(
        [sys.executable, "-m", "vitab", "run", "./good.yaml"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{shadowed / HIDDEN}\n")


def test_a_bench_file_beside_the_spec_that_hides_nothing_does_not_matter(shadowed, command):
    said = command("run", "./good.yaml", "--columns", "params", "--workers", "1")
    assert (said.code, said.err.count("imported")) == (0, 0)


@pytest.mark.parametrize("name", ["run", "table", "count", "assert_counts"])
def test_a_bench_file_where_a_notebook_starts_is_named_and_not_imported(shadowed, name):
    code = f"import vitab\ntry:\n    vitab.{name}\nexcept ImportError as problem:\n    print(problem)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{shadowed / HIDDEN}\n", "")


@pytest.mark.parametrize(
    ("problem", "code"), [("KeyboardInterrupt", 130), ("UserError('wrong')", 2), ("BrokenPipeError", 0)]
)
def test_what_nobody_reads_changes_no_exit_code(here, problem, code):
    script = f"""
import sys, time
from bench.errors import UserError
from vitab import commands
from vitab.__main__ import main

def dispatch(arguments):
    print("something that is still to be written")
    raise {problem}

commands.dispatch = dispatch
sys.stdin.read()
sys.exit(main([]))
"""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen([sys.executable, "-c", script], env=buffered, **pipes)
    for pipe in (process.stdout, process.stderr, process.stdin):
        pipe.close()
    assert process.wait(timeout=60) == code


def test_a_terminal_that_knows_no_other_letters_than_ascii_gets_every_number(finished, here):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-P", "-m", "vitab", "table", "small.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xb1" in done.stdout
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert done.stdout == plain.encode("ascii", "backslashreplace").decode()


def test_a_disk_that_is_full_is_one_line(command):
    with Path("/dev/full").open("w") as full:
        said = command("list", "models", stdout=full)
    assert (said.code, said.err) == (2, "no space left on device\n")


def test_a_reader_that_has_seen_enough_is_no_mistake(here):
    script = f"{sys.executable} -P -m vitab list models | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=here, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_output_that_nobody_wants_is_no_mistake(here):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -P -m vitab list measures >&-"], capture_output=True, cwd=here, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_study_that_lies_in_a_folder_with_spaces_is_found_and_said(here, call):
    folder = here / "my studies"
    folder.mkdir()
    (folder / "good.yaml").write_text(SPEC.replace("patch: 2", "pach: 2"))
    assert _one_line(call("plan", folder / "good.yaml")).startswith("my studies/good.yaml:3:32: no field 'model.pach'")
