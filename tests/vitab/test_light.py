"""What answers at once imports nothing heavy: a login node has neither torch nor the time."""

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "fvcore",
    "sklearn",
    "pandas",
    "numpy",
    "scipy",
    "matplotlib",
    "submitit",
    "PIL",
)

COMMANDS = {  # a command line → what it may import of HEAVY: statistics of several seeds are scipy's
    "": (),
    "--help": (),
    "--version": (),
    "run --help": (),
    "list": (),
    "list models": (),
    "list systems": (),
    "list systems --json": (),
    "plan lecture_statements": (),
    "plan small.yaml": (),
    "plan swin_imagenet": (),
    "plan model_size --setting imagenet --set train.recipe=deit": (),
    "list recipes": (),
    "list knobs": (),
    "plan positional_embedding --json": (),
    "run small.yaml --dry-run": (),
    "status": (),
    "status --json": (),
    "schema": (),
    "doctor": (),
    "table small.yaml": ("numpy", "scipy"),
    "table swin_imagenet": (),
    "check small.yaml": ("numpy", "scipy"),
    "check --all --columns params": ("numpy", "scipy"),
    "why small.yaml 4 top1": ("numpy", "scipy"),
    "run small.yaml": ("numpy", "scipy"),
    "run small.yam": (),
}

SCRIPT = """
import sys
from vitab.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
sys.stdout = sys.stderr
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("words", COMMANDS)
def test_what_answers_at_once_imports_nothing_heavy(finished, here, words):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words.split()], capture_output=True, text=True, cwd=here, check=True
    )
    imported = set(done.stderr.rpartition("imported: ")[2].split())
    assert imported & set(HEAVY) <= set(COMMANDS[words])


def test_the_python_face_costs_nothing_until_it_is_used(here):
    script = "import sys, vitab; print(vitab.run, vitab.table); assert not {'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=here, check=True)


def test_a_name_that_the_python_face_does_not_have_is_said():
    import vitab

    with pytest.raises(AttributeError, match="module 'vitab' has no attribute 'tabel'"):
        vitab.tabel  # noqa: B018
