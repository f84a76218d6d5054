"""Counting FLOPs: CPU time and memory of our counter, of fvcore and of torch's own, building the model included.

Prints Markdown tables. Each counter is a process of its own that stays; models are counted in turns, `ROUNDS` times
each, so that a busy moment of the machine falls on all of them, and ratios are medians over those turns. CPU time is
user and system of the process, one thread; memory is the largest resident set, less what importing took. Ours and
torch's run on meta tensors, which fvcore cannot; the counts themselves stand beside, for what each does not see.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tabulate import tabulate

ROUNDS = 3
MODELS = (
    ("vit_base_patch16_224", 224),
    ("swin_tiny_patch4_window7_224", 224),
    ("convnext_tiny", 224),
    ("vit_base_patch16_384", 384),
)


Counter = Callable[[str, int], int]
"""(name of timm's, image size) → multiply-adds."""


def ours() -> Counter:
    """vitab's, everything that it needs imported."""
    import timm  # noqa: F401
    from fvcore.nn import FlopCountAnalysis  # noqa: F401

    from bench import counting, models
    from bench.trial import Input

    return lambda name, image: counting.of_model(models.resolve(name, {}), Input(image=image)).total


def fvcores() -> Counter:
    """As fvcore's README says."""
    import timm
    import torch
    from fvcore.nn import FlopCountAnalysis

    def count(name: str, image: int) -> int:
        model = timm.create_model(name).eval()
        report = FlopCountAnalysis(model, torch.zeros(1, 3, image, image))
        return int(report.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())

    return count


def torchs() -> Counter:
    """torch.utils.flop_counter, on meta tensors; it counts a multiply-add twice."""
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def count(name: str, image: int) -> int:
        with torch.device("meta"):
            model = timm.create_model(name).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, 3, image, image, device="meta"))
        return int(counter.get_total_flops()) // 2

    return count


COUNTERS = {"vitab": ours, "fvcore": fvcores, "torch": torchs}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a counter's process said: of its imports, or of one model."""

    cpu_s: float
    peak_bytes: int  # of the process, since it began
    multiply_adds: int | None = None


def _say(cpu_s: float, multiply_adds: int | None = None) -> None:
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(json.dumps({"cpu_s": cpu_s, "peak_bytes": peak_bytes, "multiply_adds": multiply_adds}), flush=True)


def serve(counter: str) -> None:
    """One counter's process: a model's name and image size a line in, an answer a line out, the imports' first."""
    warnings.simplefilter("ignore")
    count = COUNTERS[counter]()
    _say(time.process_time())
    for line in sys.stdin:
        name, image = line.split()
        begin = time.process_time()
        multiply_adds = count(name, int(image))
        _say(time.process_time() - begin, multiply_adds)


def _started(counter: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, counter],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _answer(process: subprocess.Popen[str], question: str = "") -> Answer:
    """What a process says next, after a question where there is one."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(question)
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a counter ended with exit code {process.wait()}")
    return Answer(**json.loads(line))


def main() -> None:
    """Let the counters take turns and print the tables."""
    processes = {counter: _started(counter) for counter in COUNTERS}
    imports = {counter: _answer(process) for counter, process in processes.items()}
    answers: dict[tuple[str, str, int], list[Answer]] = {}
    for _ in range(ROUNDS):
        for name, image in MODELS:
            for counter, process in processes.items():
                answers.setdefault((counter, name, image), []).append(_answer(process, f"{name} {image}\n"))
    for process in processes.values():
        process.communicate()
    _print_models(answers)
    print()
    _print_counters(imports, answers)


def _print_models(answers: dict[tuple[str, str, int], list[Answer]]) -> None:
    """Counts and CPU time by model and counter."""
    rows = []
    for (counter, name, image), said in answers.items():
        own = answers["vitab", name, image]
        times = statistics.median(theirs.cpu_s / ours.cpu_s for theirs, ours in zip(said, own, strict=True))
        median = statistics.median(answer.cpu_s for answer in said)
        (counted,) = {answer.multiply_adds or 0 for answer in said}
        rows.append((name, image, counter, f"{counted / 1e9:.3f}G", f"{median:.2f}", f"{times:.1f}"))
    _print(rows, ("model", "image", "counter", "counted", "CPU s", "× vitab"))


def _print_counters(imports: dict[str, Answer], answers: dict[tuple[str, str, int], list[Answer]]) -> None:
    """What importing takes, and the memory that counting takes above that."""
    above = {
        counter: max(answer.peak_bytes for (who, *_), said in answers.items() for answer in said if who == counter)
        - imports[counter].peak_bytes
        for counter in COUNTERS
    }
    rows = [
        (
            counter,
            f"{imports[counter].cpu_s:.1f}",
            f"{imports[counter].peak_bytes / 1e6:.0f}",
            f"{above[counter] / 1e6:.0f}",
            f"{above[counter] / above['vitab']:.1f}",
        )
        for counter in COUNTERS
    ]
    _print(rows, ("counter", "CPU s imports", "MB imports", "MB above", "× vitab"))


def _print(rows: Sequence[tuple[object, ...]], headers: tuple[str, ...]) -> None:
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
