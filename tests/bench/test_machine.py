import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from bench import machine


def test_the_environment_says_where_and_with_what_and_leaves_out_what_it_does_not_know():
    known = machine.environment()
    assert known["host"] == os.uname().nodename
    assert known["cores"] == len(os.sched_getaffinity(0))
    assert known["python"] == sys.version.split()[0]
    assert known["libraries"]["numpy"] == __import__("numpy").__version__
    assert known["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert not [fact for fact, value in known.items() if value in (None, [], {}, "")]
    assert msgspec.json.decode(msgspec.json.encode(known)) == known


def test_the_environment_imports_no_library():
    code = "import sys; from bench import machine; machine.environment(); print({'torch', 'numpy'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_a_library_that_is_not_installed_has_no_version():
    assert machine.version("no-such-library") is None


def test_a_process_is_named_by_when_it_started_until_it_ends():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = machine.start_time(child.pid)
    assert started is not None
    assert machine.start_time(os.getpid()) <= started
    child.communicate(b"\n")
    assert machine.start_time(child.pid) is None


def test_a_zombie_counts_as_gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but not asked for yet
    state = Path(f"/proc/{child.pid}/stat").read_text().split()[2]
    assert state == "Z"
    assert machine.start_time(child.pid) is None
    child.wait()


def test_a_process_name_with_brackets_and_spaces_is_read_over(tmp_path):
    program = tmp_path / "a) b 1 2 (c"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "30"])
    try:
        deadline = time.monotonic() + 5
        while b"a) b" not in Path(f"/proc/{child.pid}/stat").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)
        boot_ticks = float(Path("/proc/uptime").read_text().split()[0]) * os.sysconf("SC_CLK_TCK")
        assert abs(machine.start_time(child.pid) - boot_ticks) < 10 * os.sysconf("SC_CLK_TCK")
    finally:
        child.kill()
        child.wait()


def test_gpus_are_the_lines_of_the_driver_and_none_without_it(monkeypatch, tmp_path):
    said = (
        "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\n"
        "  MIG 1g.10gb     Device  0: (UUID: MIG-1)\n"
        "GPU 1: NVIDIA A100 (UUID: GPU-2)\n"
    )
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n[ $1 = -L ] && printf '{said}' || echo 550.1\n")
    program.chmod(0o755)
    machine.gpus.cache_clear()
    try:
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        assert machine.gpus() == ("NVIDIA H100 80GB HBM3", "NVIDIA A100")
        program.write_text("#!/bin/sh\necho no driver\nexit 9\n")
        machine.gpus.cache_clear()
        assert machine.gpus() == ()
    finally:
        machine.gpus.cache_clear()
