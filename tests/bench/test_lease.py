import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from bench import lease, machine
from bench.errors import UserError
from bench.lease import DEAD_AFTER_S, Holder, acquire, holder, release, running, still_mine
from bench.store import Store, now

CONTEND = """
import sys, time
from bench.lease import acquire, release
from bench.store import Store
store, name, count = Store(sys.argv[1]), sys.argv[2], int(sys.argv[3])
while not (store.path / "go").exists():
    time.sleep(0.001)
left = [f"key{number}" for number in range(count)]
while left:
    for key in list(left):
        held = acquire(store, key)
        if held is None:
            continue
        left.remove(key)
        if not (store.path / "done" / key).exists():
            (store.path / "worked" / f"{key}-{name}").touch()
            time.sleep(0.002)
            (store.path / "done" / key).touch()
        release(held)
"""

HOLD = """
import sys, time
from bench.lease import acquire
from bench.store import Store
held = acquire(Store(sys.argv[1]), sys.argv[2])
print("mine" if held else "not mine", flush=True)
sys.stdin.read()
"""

SUCCEED = """
import sys, time
from bench.lease import acquire
from bench.store import Store
store = Store(sys.argv[1])
while not (store.path / "go").exists():
    time.sleep(0.001)
print("mine" if acquire(store, sys.argv[2]) else "not mine", flush=True)
sys.stdin.read()  # a holder that ends is dead: stay
"""


def _python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _leases(store):
    return sorted(path.name for path in (store.path / "leases").iterdir())


def _elsewhere(store, key, *, age_s=0.0, name=None):
    """The lease of a process on another machine, last touched some seconds ago."""
    path = store.folder("leases") / (name or key)
    found = Holder(host="far", boot="another", pid=1, start_time=1, attempt=f"far-{path.name}", time=now())
    path.write_bytes(msgspec.json.encode(found))
    os.utime(path, (time.time() - age_s,) * 2)
    return found


def test_a_key_is_held_once_and_free_again_after_its_release(tmp_path):
    store = Store(tmp_path)
    mine = acquire(store, "k")
    assert mine is not None
    assert still_mine(mine)
    assert acquire(store, "k") is None
    assert acquire(store, "j") is not None
    release(mine)
    assert not still_mine(mine)
    assert _leases(store) == ["j"]
    assert acquire(store, "k") is not None


def test_running_keys_and_their_holders_can_be_listed(tmp_path):
    store = Store(tmp_path)
    assert running(store) == {}
    mine = acquire(store, "k")
    far = _elsewhere(store, "j")
    _elsewhere(store, "old", age_s=DEAD_AFTER_S + 1)
    assert list(running(store)) == ["j", "k"]
    assert running(store)["j"] == far
    assert running(store)["k"].attempt == mine.attempt
    assert running(store)["k"].pid == os.getpid()
    assert holder(store, "nobody") is None


def test_sixteen_processes_work_on_each_of_fifty_keys_once(tmp_path):
    store = Store(tmp_path)
    store.folder("worked")
    store.folder("done")
    contenders = [_python(CONTEND, tmp_path, number, 50) for number in range(16)]
    (tmp_path / "go").touch()
    for contender in contenders:
        assert contender.communicate() == ("", "")
        assert contender.returncode == 0
    worked = sorted(path.name.split("-")[0] for path in (tmp_path / "worked").iterdir())
    assert worked == sorted(f"key{number}" for number in range(50))
    assert _leases(store) == []


def test_a_killed_holder_has_exactly_one_successor(tmp_path):
    store = Store(tmp_path)
    for round_ in range(3):  # the second and third kill hit a successor: chains grow
        dead = _python(HOLD, tmp_path, f"k{round_}")
        assert dead.stdout.readline() == "mine\n"
        for _ in range(round_):
            dead.kill()
            dead.communicate()
            dead = _python(HOLD, tmp_path, f"k{round_}")
            assert dead.stdout.readline() == "mine\n"
        others = [_python(SUCCEED, tmp_path, f"k{round_}") for _ in range(6)]
        dead.kill()
        dead.communicate()
        (tmp_path / "go").touch()
        said = sorted(other.stdout.readline() for other in others)
        assert said == ["mine\n"] + ["not mine\n"] * 5
        assert len(_leases(store)) == round_ + 2
        for other in others:
            other.communicate()
        mine = acquire(store, f"k{round_}")
        release(mine)
        assert _leases(store) == []
        (tmp_path / "go").unlink()


def test_a_holder_on_another_machine_is_dead_when_its_heartbeat_stopped(tmp_path):
    store = Store(tmp_path)
    _elsewhere(store, "k", age_s=DEAD_AFTER_S - 10)
    assert acquire(store, "k") is None
    _elsewhere(store, "k", age_s=DEAD_AFTER_S + 10)
    assert acquire(store, "k") is not None


def test_age_is_read_from_the_file_server_whatever_the_local_clock_says(tmp_path, monkeypatch):
    store = Store(tmp_path)
    _elsewhere(store, "k")
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert acquire(store, "k") is None


def test_a_reused_process_id_is_not_the_holder(tmp_path):
    store = Store(tmp_path)
    found = Holder(host=machine.host(), boot=machine.boot(), pid=os.getpid(), start_time=1, attempt="a", time=now())
    (store.folder("leases") / "k").write_bytes(msgspec.json.encode(found))
    assert acquire(store, "k") is not None


def test_a_damaged_lease_dies_of_age(tmp_path):
    store = Store(tmp_path)
    path = store.folder("leases") / "k"
    path.write_bytes(b"")
    assert acquire(store, "k") is None
    os.utime(path, (time.time() - DEAD_AFTER_S - 1,) * 2)
    mine = acquire(store, "k")
    assert still_mine(mine)
    release(mine)
    assert _leases(store) == []


def test_a_holder_that_was_thought_dead_sees_it_and_leaves_its_successor_alone(tmp_path):
    store = Store(tmp_path)
    stalled = acquire(store, "k")
    lease._let_die(stalled.chain[-1])
    os.utime(stalled.chain[-1], (time.time() - DEAD_AFTER_S - 1,) * 2)
    successor = acquire(store, "k")
    assert not still_mine(stalled)
    release(stalled)
    assert still_mine(successor)
    assert acquire(store, "k") is None
    release(successor)
    assert _leases(store) == []


def _slept(store, key):
    """The lease of a process that was stopped long enough to be thought dead, as it will find it when it goes on."""
    stalled = acquire(store, key)
    lease._let_die(stalled.chain[-1])
    os.utime(stalled.chain[-1], (time.time() - DEAD_AFTER_S - 1,) * 2)
    return stalled


def test_who_wakes_when_its_successor_is_done_leaves_the_next_holder_alone(tmp_path):
    store = Store(tmp_path)
    stalled = _slept(store, "k")
    release(acquire(store, "k"))
    third = acquire(store, "k")
    assert third.chain == stalled.chain  # one name, two attempts
    assert not still_mine(stalled)
    release(stalled)
    assert still_mine(third)
    assert _leases(store) == ["k"]
    assert acquire(store, "k") is None
    release(third)
    assert _leases(store) == []


def test_who_wakes_when_all_is_done_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path)
    stalled = _slept(store, "k")
    release(acquire(store, "k"))
    release(stalled)
    assert _leases(store) == []


def test_who_wakes_keeps_nobody_else_alive(tmp_path):
    code = """
import os, sys, time
from bench import lease
from bench.store import Store
lease.HEARTBEAT_S = 0.02
held = lease.acquire(Store(sys.argv[1]), "k")
os.replace(sys.argv[2], held.chain[-1])
os.utime(held.chain[-1], (0, 0))
time.sleep(0.3)
print(held.chain[-1].stat().st_mtime)
"""
    _elsewhere(Store(tmp_path), "k", name="other")
    said, _ = _python(code, tmp_path, tmp_path / "leases" / "other").communicate()
    assert said == "0.0\n"


@pytest.mark.parametrize("ahead_s", [DEAD_AFTER_S + 10, 10 * 365 * 86_400])
def test_a_lease_from_the_future_is_dead_too(tmp_path, ahead_s):
    store = Store(tmp_path)
    _elsewhere(store, "k", age_s=-ahead_s)
    assert running(store) == {}
    assert acquire(store, "k") is not None


def test_who_dies_while_letting_go_is_succeeded(tmp_path):
    store = Store(tmp_path)
    first = _elsewhere(store, "k", age_s=DEAD_AFTER_S + 1)
    _elsewhere(store, "k", age_s=DEAD_AFTER_S + 1, name=f"k~{first.attempt}")
    mine = acquire(store, "k")
    assert mine is not None
    assert acquire(store, "k") is None
    assert list(running(store)) == ["k"]


def test_a_successor_of_a_chain_that_was_let_go_meanwhile_starts_again_from_the_root(tmp_path, monkeypatch):
    store = Store(tmp_path)
    _elsewhere(store, "k", age_s=DEAD_AFTER_S + 1)
    link = lease._link

    def let_go_before_the_second_link(temporary, path):
        if "~" in path.name:
            (store.path / "leases" / "k").unlink(missing_ok=True)
        return link(temporary, path)

    monkeypatch.setattr(lease, "_link", let_go_before_the_second_link)
    mine = acquire(store, "k")
    assert [path.name for path in mine.chain] == ["k"]
    assert _leases(store) == ["k"]


def test_a_held_lease_is_touched_and_one_let_go_is_not(tmp_path):
    code = """
import os, sys, time
from bench import lease
from bench.store import Store
lease.HEARTBEAT_S = 0.02
held = lease.acquire(Store(sys.argv[1]), "k")
os.utime(held.chain[-1], (0, 0))
time.sleep(0.5)
print(held.chain[-1].stat().st_mtime > 0)
lease._let_die(held.chain[-1])
time.sleep(0.1)
os.utime(held.chain[-1], (0, 0))
time.sleep(0.2)
print(held.chain[-1].stat().st_mtime > 0)
"""
    said, _ = _python(code, tmp_path).communicate()
    assert said == "True\nFalse\n"


def test_a_stopped_holder_is_dead_once_its_heartbeat_is_too_old(tmp_path):
    store = Store(tmp_path)
    stopped = _python(HOLD, tmp_path, "k")
    assert stopped.stdout.readline() == "mine\n"
    stopped.send_signal(signal.SIGSTOP)
    try:
        assert acquire(store, "k") is None
        os.utime(store.path / "leases" / "k", (time.time() - DEAD_AFTER_S - 1,) * 2)
        assert acquire(store, "k") is not None
    finally:
        stopped.kill()
        stopped.communicate()


def test_a_store_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        acquire(Store(tmp_path / "runs"), "k")
