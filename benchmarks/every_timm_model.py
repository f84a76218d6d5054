"""Every model of timm at its default size: ours against torch's own counter, integer for integer, on meta tensors.

    python benchmarks/every_timm_model.py                     the first model of each of timm's files
    python benchmarks/every_timm_model.py '*' --out FILE      all of them; what FILE holds already is not counted again

Prints how many there are, how fast (CPU seconds a model, building included, imports not), how much memory, and how far
apart the two are per family, that is per file of timm's; with '*' the README gets the figures of all. torch's counter
has no formula for products that are summed element by element, nor for some that we count; a model in which those run
is listed in `DIFFERS`, and what it differs by has to be what these operators come to in our count, to the last digit.
Exit 1 where anything else differs.
"""

import argparse
import fnmatch
import importlib.metadata
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import readme
from tabulate import tabulate

UNKNOWN_TO_TORCH = ("multiply_sum", "grid_sampler", "deform_conv", "recurrent")
"""What we count and torch's counter has no formula for, by its name in our counts."""

SPLIT = "branches are weighed channel by channel and summed (split attention)"
EVOS = "a map is multiplied by its own sigmoid (EvoNorm), and averaged"
GATED = "a map is multiplied by an attention map, and averaged for squeeze and excitation"
DIFFERENTIAL = "two dot products of vectors, for the weight of the second softmax (differential attention)"
DIFFERS: dict[str, str] = {
    "csatv2*": "luminance is a weighed sum of colours, and a map weighed by another is averaged",
    "ese_vovnet39b_evos": EVOS,
    "ghostnetv2_*": GATED,
    "ghostnetv3_*": GATED,
    "mobilenetv5*": "norms that are written out, a factor for each place, are averaged",
    "mobilevitv2_*": "keys are weighed by the scores of a context and summed (separable attention)",
    "regnetz_*_evos": EVOS,
    "resnest??d": SPLIT,
    "resnest50d_4s2x40d": SPLIT,
    "resnest*e": SPLIT,
    "resnetv2_50d_evos": EVOS,
    "skres*": "branches are weighed channel by channel and summed (selective kernels)",
    "swiftformer*": "queries are weighed place by place and summed (additive attention)",
    "test_efficientnet_evos": EVOS,
    "vit_*_18x2_224": "parallel branches are scaled channel by channel, stacked and summed",
    "vit_dlittle_*": DIFFERENTIAL,
    "vit_dpwee_*": DIFFERENTIAL,
    "vit_dwee_*": DIFFERENTIAL,
}
"""Models (patterns) in which such operators run, and what they are."""

USUAL_IMAGE = 224  # for the few whose files state no size


def count(name: str) -> dict[str, Any]:
    """One model, by ours and by torch's counter."""
    from torch.utils.flop_counter import FlopCounterMode

    from bench import counting, models, registry, skeleton
    from bench.errors import UserError
    from bench.trial import Input

    try:
        image = registry.load("models", "timm").default_image(name)
    except UserError:
        image = USUAL_IMAGE
    said: dict[str, Any] = {"model": name, "image": image}
    model, input_ = models.resolve(f"timm:{name}", {}), Input(image=image)
    begin = time.process_time()
    try:
        counts = counting.of_model(model, input_)
        said |= {"params": counts.params, "flops": counts.total, "operators": counts.by_operator()}
    except Exception as problem:  # noqa: BLE001 it is a line of the table
        said["failed"] = f"{type(problem).__name__}: {problem}".splitlines()[0]
        return said
    said["cpu_s"] = time.process_time() - begin
    said["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    import torch

    module = skeleton.of(model, input_).requires_grad_(False)  # its hooks cannot pass an input that needs a gradient
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.empty(1, 3, image, image, device="meta"))
        said["torch"] = counter.get_total_flops() // 2
    except Exception as problem:  # noqa: BLE001 it is a line of the table
        said["torch_failed"] = f"{type(problem).__name__}: {problem}".splitlines()[0]
    return said


def serve() -> None:
    """A counter's process: a model's name a line in, what was counted a line out, the memory of the imports first."""
    warnings.simplefilter("ignore")
    import timm  # noqa: F401
    from fvcore.nn import FlopCountAnalysis  # noqa: F401

    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for line in sys.stdin:
        print(json.dumps({**count(line.strip()), "imports_bytes": peak_bytes}), flush=True)


def families() -> dict[str, str]:
    """Every model's family: the file of timm's that registers it."""
    import timm

    return {name: module for module in timm.list_modules() for name in timm.list_models(module=module)}


def wanted(patterns: list[str], family: dict[str, str]) -> list[str]:
    """Models that match; without a pattern the first of each family."""
    if patterns:
        return [name for name in family if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    first: dict[str, str] = {}
    for name in family:
        first.setdefault(family[name], name)
    return list(first.values())


def counted(names: Iterable[str], processes: int) -> Iterator[dict[str, Any]]:
    """What a few processes say of the models, as they come."""
    left: SimpleQueue[str] = SimpleQueue()
    said: SimpleQueue[dict[str, Any]] = SimpleQueue()
    for name in names:
        left.put(name)
    many = left.qsize()

    def ask() -> None:
        process = _started()
        assert process.stdin
        assert process.stdout
        while True:
            try:
                name = left.get_nowait()
            except Empty:
                break
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            if line := process.stdout.readline():
                said.put(json.loads(line))
            else:
                said.put({"model": name, "failed": f"its process ended with exit code {process.wait()}"})
                process = _started()
                assert process.stdin
                assert process.stdout
        process.communicate()

    with ThreadPoolExecutor(processes) as pool:
        for _ in range(processes):
            pool.submit(ask)
        for _ in range(many):
            yield said.get()


def _started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def known_to_torch(one: dict[str, Any]) -> int:
    """Our count without what torch's counter has no formula for."""
    return int(one["flops"] - sum(one["operators"].get(operator, 0) for operator in UNKNOWN_TO_TORCH))


def wrong(results: list[dict[str, Any]]) -> list[str]:
    """A line for every model that does not count, or not as torch's counter says, and is not listed with its reason."""
    lines = []
    for one in results:
        name, reason = one["model"], reason_of(one["model"])
        if "failed" in one:
            lines.append(f"{name}: {one['failed']}")
        elif "torch" not in one:
            lines.append(f"{name}: torch's counter fails: {one['torch_failed']}")
        elif known_to_torch(one) != one["torch"]:
            lines.append(f"{name}: {known_to_torch(one):,} is not torch's {one['torch']:,}")
        elif (one["flops"] != one["torch"]) != (reason is not None):
            lines.append(
                f"{name}: {'differs and is not listed' if reason is None else 'is listed and does not differ'}"
            )
    return lines


def reason_of(name: str) -> str | None:
    """Why a model is listed, if it is."""
    return next((reason for pattern, reason in DIFFERS.items() if fnmatch.fnmatch(name, pattern)), None)


def summary(results: list[dict[str, Any]]) -> str:
    """How many, how fast, how much memory."""
    whole = [one for one in results if "torch" in one]
    equal = sum(one["flops"] == one["torch"] for one in whole)
    seconds = sorted(one["cpu_s"] for one in whole)
    above = max(one["peak_bytes"] - one["imports_bytes"] for one in whole)
    median, late = statistics.median(seconds), seconds[int(0.95 * (len(seconds) - 1))]
    return (
        f"Of {len(results):,} models of timm {importlib.metadata.version('timm')}, each at its default size "
        f"({USUAL_IMAGE} where its file states none), "
        f"{len(whole):,} are counted, and {equal:,} of the counts are torch's to the last digit; in the other "
        f"{len(whole) - equal} products are summed element by element, of which torch's counter knows nothing, and "
        f"without them they are equal too. A model takes {median:.2f} CPU s (median; 95 % below {late:.2f}, the "
        f"slowest {seconds[-1]:.1f}), building it included, and all of them, one after the other, {above / 1e6:.0f} MB "
        "above what importing takes."
    )


def show(results: list[dict[str, Any]], family: dict[str, str]) -> None:
    """How far apart the two are, family by family."""
    rows = []
    for name in dict.fromkeys(family[one["model"]] for one in results):
        own = [one for one in results if family[one["model"]] == name]
        both = [one for one in own if "torch" in one]
        apart = [one["flops"] / one["torch"] - 1 for one in both if one["torch"]]
        same = sum(one["flops"] == one["torch"] for one in both)
        time_s = statistics.median(one["cpu_s"] for one in both) if both else float("nan")
        reasons = dict.fromkeys(reason for one in own if (reason := reason_of(one["model"])))
        furthest = f"{100 * max(apart, key=abs, default=0):+.3f} %" if same < len(both) else ""
        rows.append((name, len(own), same, furthest, f"{time_s:.2f}", "; ".join(reasons)))
    headers = ("family", "models", "equal", "furthest", "CPU s", "why it differs")
    print(tabulate(rows, headers, "github", disable_numparse=True))


def main() -> int:
    """Count, print, and say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pattern", nargs="*", help="such as 'swin_*' (default: the first model of each file)")
    parser.add_argument("--out", type=Path, help="JSON lines, one a model; those that it holds are not counted again")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    family = families()
    names = wanted(options.pattern, family)
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    results = {one["model"]: one for one in map(json.loads, lines)}
    for one in counted([name for name in names if name not in results], options.processes):
        results[one["model"]] = one
        if options.out:
            with options.out.open("a") as file:
                file.write(json.dumps(one) + "\n")
    chosen = [results[name] for name in names]
    show(chosen, family)
    lines = wrong(chosen)
    for line in lines:
        print(line, file=sys.stderr)
    if not lines:
        print(f"\n{summary(chosen)}")
        if options.pattern == ["*"]:
            readme.write("models", summary(chosen))
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
