"""Counting FLOPs: ours, fvcore, calflops, ptflops and torch's own counter on the same 30 models, in one run.

Prints Markdown tables, and writes the short one into the README. The truth is torch's counter on meta tensors, which
knows every product in these models; for those of `CLOSED` a closed form stands beside it, and they have to agree. All
counts are multiply-adds. Each counter is used as its documentation says and is a process of its own that stays; models
are counted in turns, so that a busy moment of the machine falls on all of them. CPU time is user and system of the
process, one thread, building the model included; memory is the largest resident set, less what importing took.

calflops and ptflops are in the extra `bench` (`pip install -e '.[bench]'`); without them the others are compared.
"""

import contextlib
import importlib.util
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import readme
from counters import COUNTERS, OWN_PACKAGE
from tabulate import tabulate

from bench import machine

MODELS: dict[str, int] = {
    "vit_base_patch16_224": 224,
    "torchvision:vit_b_16": 224,
    "deit_tiny_patch16_224": 224,
    "vit_base_patch16_384": 384,
    "swin_tiny_patch4_window7_224": 224,
    "swinv2_tiny_window8_256": 256,
    "beit_base_patch16_224": 224,
    "cait_xxs24_224": 224,
    "crossvit_9_240": 240,
    "xcit_nano_12_p16_224": 224,
    "pvt_v2_b0": 224,
    "pit_s_224": 224,
    "coat_tiny": 224,
    "twins_svt_small": 224,
    "maxvit_tiny_tf_224": 224,
    "mvitv2_tiny": 224,
    "hiera_tiny_224": 224,
    "eva02_tiny_patch14_224": 224,
    "volo_d1_224": 224,
    "mixer_s32_224": 224,
    "halonet26t": 256,
    "lambda_resnet26t": 256,
    "convnext_tiny": 224,
    "convnextv2_atto": 224,
    "efficientnet_b0": 224,
    "mobilenetv3_large_100": 224,
    "regnety_016": 224,
    "resnet50": 224,
    "resnetv2_50x1_bit": 224,
    "repvit_m1": 224,
}
"""timm's, or torchvision's where the name says so, and the image size."""

NEAR = 0.01  # within 1 % of the truth: what printed FLOPs of a paper can be expected to be


def _closed(image: int, patch: int, dim: int, depth: int) -> int:
    """A ViT with a class token and 1,000 classes: n tokens of d channels, heads of any size."""
    patches = (image // patch) ** 2
    n, d = patches + 1, dim
    return patches * 3 * patch**2 * d + depth * (12 * n * d**2 + 2 * n**2 * d) + 1000 * d


CLOSED = {
    "vit_base_patch16_224": _closed(224, 16, 768, 12),
    "torchvision:vit_b_16": _closed(224, 16, 768, 12),
    "deit_tiny_patch16_224": _closed(224, 16, 192, 12),
    "vit_base_patch16_384": _closed(384, 16, 768, 12),
    "beit_base_patch16_224": _closed(224, 16, 768, 12),
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a counter's process said: of its imports, or of one model."""

    cpu_s: float
    peak_bytes: int  # of the process, since it began
    multiply_adds: int | None = None  # None: it failed


def _say(cpu_s: float, multiply_adds: int | None = None) -> None:
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(json.dumps({"cpu_s": cpu_s, "peak_bytes": peak_bytes, "multiply_adds": multiply_adds}), flush=True)


def serve(counter: str) -> None:
    """One counter's process: a model's name and image size a line in, an answer a line out, the imports' first."""
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):  # what a peer prints is no answer
        count = COUNTERS[counter]()
    _say(time.process_time())
    for line in sys.stdin:
        name, image = line.split()
        begin = time.process_time()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                multiply_adds = count(name, int(image))
        except Exception as problem:  # noqa: BLE001 a peer that fails has its place in the table
            print(f"{counter}: {name}: {type(problem).__name__}: {problem}".splitlines()[0], file=sys.stderr)
            _say(time.process_time() - begin)
        else:
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


Answers = dict[str, dict[str, Answer]]
"""By counter, then by model."""


def main() -> int:
    """Let the counters take turns, print the tables, and write the short one into the README."""
    lacking = [name for name in OWN_PACKAGE if importlib.util.find_spec(name) is None]
    if lacking:
        print(f"not compared with {' and '.join(lacking)}: pip install -e '.[bench]'", file=sys.stderr)
    processes = {counter: _started(counter) for counter in COUNTERS if counter not in lacking}
    imports = {counter: _answer(process) for counter, process in processes.items()}
    answers: Answers = {counter: {} for counter in processes}
    for name, image in MODELS.items():
        for counter, process in processes.items():
            answers[counter][name] = _answer(process, f"{name} {image}\n")
    for process in processes.values():
        process.communicate()
    truth = {name: said.multiply_adds or 0 for name, said in answers["torch"].items()}
    _print(*_of_models(answers, truth))
    table = _table(*_of_counters(imports, answers, truth))
    print(f"\n{table}")
    if not lacking:
        readme.write("counting", f"{table}\n\n{_machine()}")
    return _verdict(answers["vitab"], truth)


def _verdict(own: dict[str, Answer], truth: dict[str, int]) -> int:
    """1 where the truths disagree, or ours is another number."""
    wrong = [name for name, count in CLOSED.items() if truth[name] != count]
    wrong += [name for name, said in own.items() if said.multiply_adds != truth[name]]
    for name in wrong:
        print(f"{name}: ours, torch's counter and the closed form do not agree", file=sys.stderr)
    return int(bool(wrong))


def _machine() -> str:
    """Where and with what it was measured."""
    facts = machine.environment()
    listed = ", ".join(f"{name} {machine.version(name)}" for name in ("torch", "timm", "fvcore", *OWN_PACKAGE))
    return f"One thread of {facts['cores']} ({facts.get('cpu', facts['machine'])}); {listed}."


def _off(said: Answer, truth: int) -> float | None:
    """How far a count is from the truth, as a share of it."""
    return None if said.multiply_adds is None else said.multiply_adds / truth - 1


def _of_models(answers: Answers, truth: dict[str, int]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """How far each counter is from the truth, model by model."""
    counters = [counter for counter in answers if counter != "torch"]
    rows = [
        (
            name,
            str(image),
            f"{truth[name]:,}",
            *(_share(_off(answers[counter][name], truth[name])) for counter in counters),
        )
        for name, image in MODELS.items()
    ]
    return rows, ("model", "image", "multiply-adds", *counters)


def _share(off: float | None) -> str:
    return "fails" if off is None else "exact" if off == 0 else f"{100 * off:+.2f} %".replace("-", "−")


def _of_counters(
    imports: dict[str, Answer], answers: Answers, truth: dict[str, int]
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """How many each counter has right, and what it takes."""
    rows: list[tuple[str, ...]] = []
    for counter, said in answers.items():
        offs = {name: off for name, one in said.items() if (off := _off(one, truth[name])) is not None}
        furthest = max(offs, key=lambda name: abs(offs[name]))
        exact = sum(off == 0 for off in offs.values())
        near = sum(abs(off) <= NEAR for off in offs.values())
        times = statistics.median(one.cpu_s / answers["vitab"][name].cpu_s for name, one in said.items())
        above = max(one.peak_bytes for one in said.values()) - imports[counter].peak_bytes
        rows.append(
            (
                counter,
                "the measure" if counter == "torch" else f"{exact} of {len(MODELS)}",
                f"{near} of {len(MODELS)}",
                f"{_share(offs[furthest])} ({furthest})" if offs[furthest] else "",
                f"{statistics.median(one.cpu_s for one in said.values()):.2f}",
                f"{times:.1f}",
                f"{above / 1e6:.0f}",
            )
        )
    return rows, ("counter", "exact", "within 1 %", "furthest off", "CPU s a model", "× vitab", "MB above imports")


def _table(rows: Sequence[tuple[object, ...]], headers: tuple[str, ...]) -> str:
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _print(rows: Sequence[tuple[object, ...]], headers: tuple[str, ...]) -> None:
    print(_table(rows, headers))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        sys.exit(main())
