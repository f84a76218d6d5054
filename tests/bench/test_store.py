import os
import shutil
import subprocess
import sys
import time

import msgspec
import pytest

from bench import machine
from bench.errors import UserError
from bench.record import Failure, Quantity, Record, Start
from bench.store import Snapshot, Store, best, now
from bench.trial import Input, Model, Trial

TRIAL = Trial(model=Model(name="vit", knobs={"patch": 2, "dim": 48}), input=Input(image=8, channels=1, classes=10))


def _record(key="k", value=None, *, attempt="a", at="2026-01-01T00:00:00.000+00:00", failure=None):
    quantities = {} if value is None else {"top1": Quantity(samples=(value,), unit="%", better="higher")}
    return Record(
        key=key,
        measure="top1",
        version=1,
        attempt=attempt,
        time=at,
        seconds=1.0,
        trial=TRIAL,
        quantities=quantities,
        failure=failure,
    )


def _start(key="k", attempt="a"):
    return Start(key=key, measure="top1", attempt=attempt, time=now(), host="h", pid=1)


def _own_file(store):
    (path,) = (store.path / "records").iterdir()
    return path


def test_what_was_appended_is_read_back(tmp_path):
    store = Store(tmp_path / "runs")
    lines = [_start(), _record(value=93.5), _start("j", "b"), _record("j", 12.0, attempt="b")]
    for line in lines:
        store.append(line)
    snapshot = store.read()
    assert snapshot.records == {"k": lines[1], "j": lines[3]}
    assert snapshot.starts == (lines[0], lines[2])
    assert snapshot.problems == ()
    pid = os.getpid()
    assert _own_file(store).name == f"{machine.host()}-{pid}-{machine.start_time(pid)}.jsonl"


def test_a_store_that_does_not_exist_is_empty_and_reading_does_not_make_it(tmp_path):
    store = Store(tmp_path / "runs")
    assert store.read() == Snapshot()
    assert not store.weights_ready("k")
    assert list(tmp_path.iterdir()) == []


def test_reading_writes_nothing(tmp_path):
    store = Store(tmp_path)
    store.append(_record(value=1.0))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    store.read(store.read())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_torn_last_line_is_reported_and_skipped_and_nothing_else_is_lost(tmp_path, cut):
    store = Store(tmp_path)
    store.append(_record("kept", 1.0))
    store.append(_record("torn", 2.0))
    whole = _own_file(store).read_bytes()
    _own_file(store).write_bytes(whole[:-cut])
    snapshot = store.read()
    assert list(snapshot.records) == ["kept"]
    torn = len(whole) // 2 - cut
    assert snapshot.problems == (f"records/{_own_file(store).name}: its last line is torn after {torn} bytes; skipped",)


def test_after_a_line_that_a_full_disk_cut_the_next_one_stands_alone(tmp_path):
    store = Store(tmp_path)
    store.append(_record("cut", 1.0))
    _own_file(store).write_bytes(_own_file(store).read_bytes()[:-20])
    store.append(_record("whole", 2.0))
    snapshot = store.read()
    assert list(snapshot.records) == ["whole"]
    assert snapshot.problems == (f"records/{_own_file(store).name}:1: broken line; skipped",)


def test_lines_that_this_reader_cannot_know_are_named_and_skipped(tmp_path):
    store = Store(tmp_path)
    store.append(_record("known", 1.0))
    newer = msgspec.to_builtins(_record("newer")) | {"event": "end", "format": 2}
    other_shape = {"event": "span", "format": 3, "anything": 1}
    wrong = msgspec.to_builtins(_record("wrong")) | {"event": "end", "seconds": "long"}
    with _own_file(store).open("ab") as file:
        for line in (newer, other_shape, wrong):
            file.write(msgspec.json.encode(line) + b"\n")
        file.write(b"\xff\xfe\n[]\n\n")
    name = f"records/{_own_file(store).name}"
    snapshot = store.read()
    assert list(snapshot.records) == ["known"]
    assert snapshot.problems == (
        f"{name}:2: format 2 is unknown here (known: 1); skipped",
        f"{name}:3: format 3 is unknown here (known: 1); skipped",
        f"{name}:4: broken line (Expected `float | null`, got `str` - at `$.seconds`); skipped",
        f"{name}:5: broken line; skipped",
        f"{name}:6: broken line; skipped",
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({"quantities": {"n": {"samples": [], "unit": "%", "better": None}}}, "length >= 1 - at `$.quantities[...]"),
        ({"quantities": {"n": {"samples": [1e300], "unit": "%", "better": None}}}, "<= 1e+100 - at `$.quantities"),
        ({"quantities": {"n": {"samples": [0, -1e300], "unit": "%", "better": None}}}, ">= -1e+100 - at `$.quantities"),
        ({"seconds": 1e300}, "<= 1e+100 - at `$.seconds`"),
        ({"seconds": -1.0}, ">= 0.0 - at `$.seconds`"),
    ],
)
def test_numbers_that_nothing_can_be_computed_with_are_no_record(tmp_path, line, complaint):
    store = Store(tmp_path)
    store.append(_record("good", 1.0))
    said = msgspec.to_builtins(_record("bad")) | {"event": "end"} | line
    with _own_file(store).open("ab") as file:
        file.write(msgspec.json.encode(said) + b"\n")
    snapshot = store.read()
    assert list(snapshot.records) == ["good"]
    assert len(snapshot.problems) == 1
    assert complaint in snapshot.problems[0]


@pytest.mark.parametrize("depth", [65, 900, 100_000])
def test_a_record_that_is_nested_without_end_is_skipped(tmp_path, depth):
    store = Store(tmp_path)
    store.append(_record("good", 1.0))
    bracket = msgspec.structs.replace(_record("brackets in text"), bound={"text": "[" * 1000, "\\": '"['})
    line = msgspec.json.encode(msgspec.structs.replace(_record("deep"), bound={"deep": "here"}))
    with _own_file(store).open("ab") as file:
        file.write(line.replace(b'"here"', b"[" * depth + b"]" * depth) + b"\n")
        file.write(b"[" * depth + b"\n" + msgspec.json.encode(bracket) + b"\n")
    snapshot = store.read()
    assert list(snapshot.records) == ["good", "brackets in text"]
    name = f"records/{_own_file(store).name}"
    assert snapshot.problems == (f"{name}:2: broken line; skipped", f"{name}:3: broken line; skipped")


def test_a_text_that_never_ends_is_read_over_at_once(tmp_path):
    store = Store(tmp_path)
    store.append(_record("good", 1.0))
    with _own_file(store).open("ab") as file:
        file.write(b"{" * 65 + b'\\"' * 500_000 + b"\n")
    began = time.process_time()
    assert list(store.read().records) == ["good"]
    assert time.process_time() - began < 2


def test_measured_beats_failed_and_later_beats_earlier():
    early, late = _record(value=1.0, at="2026-01-01"), _record(value=2.0, at="2026-01-02")
    failed = _record(failure=Failure(kind="crashed", reason="ValueError: no"), at="2026-01-03")
    assert best([early, failed, late]) == late
    assert best([failed]) == failed


def test_every_attempt_of_a_key_stays_reachable_in_the_order_of_time(tmp_path):
    store = Store(tmp_path)
    late, early = _record(value=2.0, attempt="b", at="2026-01-02"), _record(value=1.0, at="2026-01-01")
    store.append(late)
    store.append(early)
    assert store.read().attempts == {"k": (early, late)}


def test_stores_can_be_copied_and_merged_and_a_record_counts_once(tmp_path):
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    one.append(_start("k", "a"))
    one.append(_record("k", 1.0))
    shutil.copytree(one.path, other.path)
    other.append(_record("j", 2.0, attempt="b"))
    merged = Store(tmp_path / "merged")
    (merged.path / "records").mkdir(parents=True)
    for number, store in enumerate((one, other)):
        shutil.copy(_own_file(store), merged.path / "records" / f"{number}.jsonl")
    snapshot = merged.read()
    assert {key: len(attempts) for key, attempts in snapshot.attempts.items()} == {"k": 1, "j": 1}
    assert len(snapshot.starts) == 1


def test_reading_on_from_a_snapshot_gives_what_reading_all_gives(tmp_path):
    store = Store(tmp_path)
    snapshot = store.read()
    other = store.folder("records") / "other.jsonl"
    torn = msgspec.json.encode(_record("late", 5.0, attempt="l"))
    for number in range(4):
        store.append(_start("k", f"a{number}"))
        store.append(_record("k", float(number), attempt=f"a{number}", at=f"2026-01-0{number + 1}"))
        other.write_bytes(b"{}\n" + torn[: 60 * number])
        snapshot = store.read(snapshot)
        assert snapshot == store.read()
    assert len(snapshot.problems) == 2
    with other.open("ab") as file:
        file.write(torn[60 * 3 :] + b"\n")
    snapshot = store.read(snapshot)
    assert snapshot == store.read()
    assert "late" in snapshot.records
    assert len(snapshot.problems) == 1


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    store = Store(tmp_path)
    store.append(_record("k", 1.0))
    store.append(_record("j", 1.0))
    snapshot = store.read()
    _own_file(store).write_bytes(msgspec.json.encode(_record("k", 9.0)) + b"\n")
    assert store.read(snapshot) == store.read()
    _own_file(store).unlink()
    assert store.read(snapshot).records == {}


@pytest.mark.parametrize("make", ["file", "below a file"])
def test_a_store_that_cannot_be_written_is_one_line(tmp_path, make):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if make == "file" else tmp_path / "file" / "runs"
    with pytest.raises(UserError) as caught:
        Store(path).append(_record(value=1.0))
    assert str(caught.value) == f"store {str(path)!r} cannot be written: not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_without_permission_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written: permission denied"):
        Store(tmp_path).append(_record(value=1.0))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    open_ = os.open
    full = "/dev/full"  # refuses every write for want of space
    monkeypatch.setattr(os, "open", lambda path, *more: open_(full if str(path).endswith("jsonl") else path, *more))
    with pytest.raises(UserError, match="cannot be written: no space left on device"):
        Store(tmp_path).append(_record(value=1.0))


def test_weights_are_ready_when_they_are_there_and_say_so(tmp_path, complete):
    store = Store(tmp_path)
    folder = store.folder("weights", "k")
    assert folder == store.weights_folder("k")
    assert not store.weights_ready("k")
    complete(folder)
    assert store.weights_ready("k")
    (folder / "weights.safetensors").rename(folder / "elsewhere")
    assert not store.weights_ready("k")
    (folder / "elsewhere").rename(folder / "weights.safetensors")
    whole = (folder / "done.json").read_bytes()
    for broken in (b"", b"{}", whole[:-20], b"[" * 100_000):
        (folder / "done.json").write_bytes(broken)
        assert not store.weights_ready("k")


def test_times_sort_as_text_in_the_order_they_were_taken():
    first = now()
    time.sleep(0.002)
    assert first < now()
    assert len(first) == len("2026-01-01T00:00:00.000+00:00")


def test_many_processes_append_at_once_and_every_line_is_whole(tmp_path):
    code = """
import sys
import msgspec
from bench.record import Record
from bench.store import Store
record = msgspec.json.decode(sys.argv[2], type=Record)
for number in range(20):
    Store(sys.argv[1]).append(msgspec.structs.replace(record, key=f"{sys.argv[3]}-{number}"))
"""
    text = msgspec.json.encode(_record(value=1.0)).decode()
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path, text, str(n)]) for n in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    snapshot = Store(tmp_path).read()
    assert snapshot.problems == ()
    assert len(snapshot.records) == 80
    assert len(list((tmp_path / "records").iterdir())) == 4


def test_ten_thousand_records_are_read_in_well_under_a_second(tmp_path):
    folder = Store(tmp_path).folder("records")
    environment = machine.environment()
    with (folder / "many.jsonl").open("wb") as file:
        for number in range(10_000):
            record = msgspec.structs.replace(_record(f"{number:020x}", 93.5), environment=environment)
            file.write(msgspec.json.encode(_start(f"{number:020x}")) + b"\n" + msgspec.json.encode(record) + b"\n")
    began = time.process_time()
    snapshot = Store(tmp_path).read()
    spent_s = time.process_time() - began
    assert len(snapshot.records) == len(snapshot.starts) == 10_000
    assert spent_s < 0.8  # several times what it takes, for a slow machine
