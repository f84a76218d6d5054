"""Programs of the user's own, real ones: what they give, how they fail, and that nothing of them is left."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from bench import plan
from bench.attempt import Watch, attempt
from bench.identity import record_key
from bench.measures import command
from bench.store import Snapshot, Store
from bench.trial import Command, Input, Model, Trial
from bench.work import Work

WORDS = '"{quantities}", "{checkpoints}", "{resume}", "{trial}", "{seed}"'


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that registers a program by its text, whose arguments are those of WORDS."""
    listed = tmp_path / "commands.yaml"
    monkeypatch.setenv("VITAB_COMMANDS", str(listed))
    program = tmp_path / "program.py"

    def write(text):
        program.write_text(f"import json, os, sys\nquantities, checkpoints, resume, trial, seed = sys.argv[1:]\n{text}")
        listed.write_text(f"mine: [{sys.executable}, {program}, {WORDS}]\n")
        listed.chmod(0o600)
        return program

    return write


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def _gives(text):
    return f"open(quantities, 'w').write({text})"


def _work(**arguments):
    trial = Trial(
        task="command",
        command=Command(name="mine", arguments=arguments, gives=("accuracy",)),
        model=Model(name="command:mine"),
        input=Input(image=None),
        seed=7,
    )
    key = record_key("command", command.VERSION, command.DEPENDS_ON, trial)
    return Work(key=key, measure="command", version=command.VERSION, trial=trial, label="own/row:seed7")


def _tried(store, **arguments):
    watch = Watch(stop=lambda: False, still_mine=lambda: True, progress=print)
    return attempt(_work(**arguments), store, "attempt", watch)


def _log(store, record):
    return (store.path / record.artifacts["log"]).read_text()


def test_it_is_told_the_trial_and_its_quantities_become_a_record(written, store):
    written(
        "told = json.load(open(trial))\n"
        "print('hello')\n"
        "with open(quantities, 'w') as file:\n"
        "    print(json.dumps({'accuracy': [told['arguments']['hidden'], told['seed']]}), file=file)\n"
        "    print(json.dumps({'loss': 0.5}), file=file)\n"
    )
    record = _tried(store, hidden=64)
    assert record.failure is None
    assert {name: said.samples for name, said in record.quantities.items()} == {"accuracy": (64.0, 7.0), "loss": (0.5,)}
    assert _log(store, record) == "hello\n"
    (file,) = store.weights_folder(record.key).glob("trial-*.json")
    told = json.loads(file.read_text())
    assert (told["format"], told["resume"], told["seed"], told["arguments"]) == (1, False, 7, {"hidden": 64})
    assert msgspec.convert(told["trial"], Trial) == record.trial


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("sys.exit('no data')", "crashed", "mine ended with exit code 1: no data"),
        ("raise ValueError('bad rate')", "crashed", "mine ended with exit code 1: ValueError: bad rate"),
        ("raise MemoryError('all of it')", "out_of_memory", "mine ended with exit code 1: MemoryError: all of it"),
        ("os.kill(os.getpid(), 9)", "killed", "mine was ended by SIGKILL, and it said nothing"),
        ("sys.exit('\\x1b[31mred\\x07')", "crashed", "mine ended with exit code 1:  [31mred"),
        ("pass", "malformed", "mine gave no 'accuracy'; it gave nothing (log: "),
        (_gives("'acuracy 1'"), "malformed", "line 1 of what it gave, 'acuracy 1', is no {QUANTITY: NUMBER}: "),
        (_gives("'{\"acuracy\": 1}'"), "malformed", "mine gave no 'accuracy'; it gave acuracy (log: "),
        (_gives("'{\"accuracy\": NaN}'"), "malformed", "line 1 of what it gave, "),
        (_gives("'{\"accuracy\": true}'"), "malformed", "line 1 of what it gave, "),
        (_gives("'{\"accuracy\": []}'"), "malformed", "'accuracy': line 1 of what it gave gives no number of it"),
        (_gives("'{\"accuracy\": 1}\\n' * 2"), "malformed", "'accuracy': line 2 of what it gave gives it again"),
    ],
)
def test_what_fails_is_a_typed_failure_of_one_line_with_its_log(written, store, text, kind, reason):
    written(text)
    record = _tried(store)
    assert record.failure.kind == kind
    assert record.failure.reason.startswith(reason)
    assert "\n" not in record.failure.reason
    assert (store.path / record.artifacts["log"]).is_file()
    assert record.quantities == {}


def test_a_python_traceback_says_where_it_crashed(written, store):
    program = written("def step():\n    raise ValueError('loss ' + seed)\nstep()")
    record = _tried(store)
    assert record.failure.traceback.splitlines() == [f"{program}:5 in <module>", f"{program}:4 in step", "ValueError"]
    assert "Traceback" in _log(store, record)


def test_a_program_that_is_not_there_is_a_need(store, tmp_path, monkeypatch):
    listed = tmp_path / "commands.yaml"
    listed.write_text("mine: [/nowhere/python]\n")
    listed.chmod(0o600)
    monkeypatch.setenv("VITAB_COMMANDS", str(listed))
    failure = _tried(store).failure
    assert (failure.kind, failure.reason) == ("needs", "the program '/nowhere/python': no such file or directory")


def test_what_it_leaves_in_its_folder_is_there_when_it_is_started_again(written, store):
    written(
        "left = checkpoints + '/epoch'\n"
        "print('resume', resume)\n"
        "if resume == 'true':\n"
        "    open(quantities, 'w').write(json.dumps({'accuracy': float(open(left).read())}))\n"
        "else:\n"
        "    open(left, 'w').write('3')\n"
        "    sys.exit(1)\n"
    )
    first, second = _tried(store), _tried(store)
    assert first.failure.kind == "crashed"
    assert second.quantities["accuracy"].samples == (3.0,)
    assert _log(store, second) == "resume false\nresume true\n"


def test_nothing_of_it_is_left_when_it_ends(written, store):
    written(
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(quantities, 'w').write(json.dumps({'accuracy': child.pid}))\n"
    )
    (child,) = _tried(store).quantities["accuracy"].samples
    assert _gone(int(child))


def test_our_packages_do_not_stand_in_its_way(written, store, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(command.Path(command.__file__).parents[2]), "/mine"]))
    written("open(quantities, 'w').write(json.dumps({'accuracy': sys.path.count('/mine')}))\nimport bench_of_mine")
    record = _tried(store)
    assert "No module named 'bench_of_mine'" in record.failure.reason
    environment = command._environment(os.environ)
    assert environment["PYTHONPATH"] == "/mine"


def test_a_record_of_another_program_answers_nothing_any_more(written, store):
    written("open(quantities, 'w').write(json.dumps({'accuracy': 1}))")
    record = _tried(store)
    store.append(record)
    assert plan.serving(_work(), store.read()) == record
    written("open(quantities, 'w').write(json.dumps({'accuracy': 2}))")
    assert plan.serving(_work(), store.read()) is None
    command.commands.file().unlink()  # a machine that does not know it contradicts nothing
    assert plan.serving(_work(), store.read()) == record
    assert isinstance(store.read(), Snapshot)


SAVING = (
    "import signal, time\n"
    "def save(*_):\n"
    "    open(checkpoints + '/saved', 'w').write('1')\n"
    "    sys.exit(1)\n"
    "signal.signal(signal.SIGTERM, save)\n"
    "open(checkpoints + '/pid', 'w').write(str(os.getpid()))\n"
    "while True:\n"
    "    time.sleep(0.05)\n"
)


@pytest.mark.parametrize(("number", "saves"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
def test_it_goes_with_its_worker_and_may_save_when_it_is_told_to(written, store, number, saves):
    written(SAVING)
    folder = store.folder("weights", _work().key)
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.worker", "--store", str(store.path)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        worker.stdin.write(msgspec.json.encode(_work()) + b"\n")
        worker.stdin.flush()
        left = folder / command.CHECKPOINTS / "pid"
        _until(lambda: left.exists() and left.read_text())
        worker.send_signal(number)
        worker.wait(timeout=60)
        assert _gone(int(left.read_text()))
        assert (folder / command.CHECKPOINTS / "saved").exists() is saves
        assert store.read().records == {}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdin.close()


def _until(condition, patience_s=60):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def _gone(process):
    """Whether a process has ended, once it had its time: what is dead and not reaped has no command line."""

    def ended():
        try:
            return not Path(f"/proc/{process}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return True

    _until(ended)
    return True
