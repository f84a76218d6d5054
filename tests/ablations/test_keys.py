"""Keys of shipped studies, frozen: a key that changes makes everybody with a store measure again, so it must be meant.

Where it is: add a line to CHANGELOG.md, and renew the file with `python tests/ablations/test_keys.py`.
"""

from pathlib import Path

import msgspec

from ablations.grid import build
from ablations.study import load
from bench.record import FORMAT

FROZEN = Path(__file__).parents[1] / "data" / "keys.json"

CELLS = [  # study, setting, row, column, number of the seed
    ("patch_size", None, "4", "params", 0),
    ("patch_size", None, "2", "top1", 4),
    ("positional_embedding", None, "learned", "top1", 4),
    ("positional_embedding", "coarse", "rope", "flops", 0),
    ("resolution_chain", None, "finetuned_at_8", "top1", 0),
    ("resolution_chain", None, "small_at_16", "top1", 1),
    ("swin_imagenet", None, "b_swinb384", "params", 0),
    ("swin_imagenet", None, "b_swinb384", "flops", 0),
]


def keys():
    """Record and weights keys by name: `study[setting] row column #seed`."""
    found = {}
    for study, setting, row, column, number in CELLS:
        grid = build(load(study, setting=setting))
        work = grid.row(row).cells[column].works[number]
        name = f"{study}{f'[{setting}]' if setting else ''} {row} {column} #{number}"
        found[name] = {"record": work.key} | ({"weights": work.weights_key} if work.weights_key else {})
    return found


def test_keys_of_shipped_studies_are_what_they_were():
    frozen = msgspec.json.decode(FROZEN.read_bytes())
    assert frozen["format"] == FORMAT
    assert keys() == frozen["keys"]


def test_two_studies_of_the_same_trial_share_its_training():
    """The base of both studies of position and of patch size is one trial: it is trained once."""
    frozen = msgspec.json.decode(FROZEN.read_bytes())["keys"]
    assert frozen["patch_size 2 top1 #4"] == frozen["positional_embedding learned top1 #4"]


if __name__ == "__main__":
    FROZEN.write_bytes(msgspec.json.format(msgspec.json.encode({"format": FORMAT, "keys": keys()}), indent=2) + b"\n")
