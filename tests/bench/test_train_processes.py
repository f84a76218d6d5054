import msgspec
import pytest
import torch
from safetensors.torch import load as tensors

from bench import machine, models
from bench import train as recipes
from bench.attempt import Watch
from bench.errors import Interrupted, Invalid, Needs
from bench.identity import weights_key
from bench.subject import Subject
from bench.train import loop, processes
from bench.train.ranks import Ranks
from bench.trial import Execution

DRAWING = {"dropout": 0.1, "drop_path": 0.2, "augment": "shift1"}

# Two shares of a batch are summed apart and then together: float32 rounds elsewhere, relative 6e-8 a sum. AdamW divides
# by the root of a gradient's own size, so a rounding of a gradient near 0 can move a weight by a share of lr = 3e-3.
LOSSES = {"rel": 1e-5}
WEIGHTS = {"rtol": 0, "atol": 1e-4}


def _spread(trial, **execution):
    return msgspec.structs.replace(trial, execution=Execution(**execution))


@pytest.fixture
def stopped(monkeypatch):
    """A function that trains a trial in a store until so many steps are done, and is asked to go then."""

    def run(trial, store, *, after):
        folder = store / "weights" / weights_key(trial)
        folder.mkdir(parents=True, exist_ok=True)
        done, taken = [], loop._step

        def step(*batch):
            done.append(taken(*batch))
            return done[-1]

        watch = Watch(stop=lambda: len(done) >= after, still_mine=lambda: True, progress=lambda said: None)
        with monkeypatch.context() as patched:
            patched.setattr(loop, "_step", step)
            with pytest.raises(Interrupted):
                recipes.run(trial, Subject(store=store, weights_folder=folder), watch)
        assert torch.load(folder / "checkpoint.pt", weights_only=True)["progress"]["step"] == after

    return run


def _losses(left):
    return [row["train_loss"] for row in left.curve]


def _same(one, other):
    """Whether two trainings came to the same weights, within WEIGHTS."""
    one, other = tensors(one.weights), tensors(other.weights)
    assert one.keys() == other.keys()
    return all(torch.allclose(one[name], other[name], **WEIGHTS) for name in one)


def test_two_processes_train_what_one_does(digits_trial, trained, tmp_path):
    trial = digits_trial(train={"augment": "shift1"})
    one = trained(trial, store=tmp_path / "one")
    two = trained(_spread(trial, processes=2, micro_batch=5), store=tmp_path / "two")
    assert _losses(two) == pytest.approx(_losses(one), **LOSSES)
    assert _same(two, one)
    assert [row["selection_top1"] for row in two.curve] == [row["selection_top1"] for row in one.curve]
    assert two.subject.bound["data"] == one.subject.bound["data"]
    assert [row["epoch"] for row in two.progress] == [1, 2, 3]


def test_a_batch_that_is_not_divisible_is_trained_as_by_one_process(digits_trial, trained, forked_peers, tmp_path):
    forked_peers()
    trial = digits_trial(train={"augment": "shift1", "batch": 31})  # shares of 11, 10 and 10, in parts of 4
    one = trained(trial, store=tmp_path / "one")
    three = trained(_spread(trial, processes=3, micro_batch=4), store=tmp_path / "three")
    assert _losses(three) == pytest.approx(_losses(one), **LOSSES)
    assert _same(three, one)


def test_two_processes_mix_repeat_and_average_what_one_does(digits_trial, trained, forked_peers, tmp_path):
    forked_peers()
    drawn = {"mixup": 0.8, "cutmix": 1.0, "repeats": 2, "flip": 0.5, "erase": 0.5, "ema": 0.9}
    trial = digits_trial(train=drawn)
    one = trained(trial, store=tmp_path / "one")
    two = trained(_spread(trial, processes=2), store=tmp_path / "two")
    assert _losses(two) == pytest.approx(_losses(one), **LOSSES)
    assert _same(two, one)


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_a_training_goes_on_from_what_another_number_of_processes_left(
    digits_trial, trained, stopped, forked_peers, tmp_path, first, then
):
    forked_peers()
    trial = digits_trial(train={"augment": "shift1"})
    one = trained(trial, store=tmp_path / "one")
    stopped(_spread(trial, processes=first), tmp_path / "store", after=4)
    went_on = trained(_spread(trial, processes=then))
    assert _losses(went_on) == pytest.approx(_losses(one), **LOSSES)
    assert _same(went_on, one)


def test_stopped_and_resumed_two_processes_end_with_the_same_bits_also_where_they_draw(
    digits_trial, trained, stopped, forked_peers, tmp_path
):
    forked_peers()
    trial = _spread(digits_trial(train=DRAWING), processes=2)
    undisturbed = trained(trial, store=tmp_path / "undisturbed")
    stopped(trial, tmp_path / "store", after=5)
    assert trained(trial).weights == undisturbed.weights


def test_norms_over_the_batch_and_batches_too_small_are_refused(digits_trial, trained):
    resnet = models.resolve("timm:resnet10t", {})
    normed = _spread(digits_trial(model=resnet), processes=2)
    with pytest.raises(Invalid) as raised:
        trained(normed)
    assert str(raised.value) == (
        "timm:resnet10t normalises over the batch (in conv1.1): processes 2 would train another model than batch 32 "
        "does; leave execution.processes out"
    )
    with pytest.raises(Invalid, match=r"^batch 32 is too small for 33 processes, an image each$"):
        trained(_spread(digits_trial(), processes=33))


def test_every_image_of_a_batch_is_in_one_share():
    batch = torch.arange(9)
    shares = [Ranks(rank=rank, count=4).share(batch) for rank in range(4)]
    assert [len(share) for share in shares] == [3, 2, 2, 2]
    assert torch.equal(torch.cat(shares), batch)
    assert Ranks().share(batch) is batch


def test_each_process_has_a_gpu_of_its_slot(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: ("H100",) * 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert processes._gpus(2) == ["4", "5"]
    with pytest.raises(Needs, match=r"^4 GPUs, one a process; 3 here$"):
        processes._gpus(4)


def test_the_number_of_processes_is_in_no_key(digits_trial):
    trial = digits_trial()
    assert weights_key(_spread(trial, processes=4)) == weights_key(trial)


def test_processes_of_several_nodes_are_as_many_on_each(digits_trial, trained, monkeypatch):
    monkeypatch.setenv("VITAB_MEETING", "127.0.0.1:1")
    monkeypatch.setenv("VITAB_NODES", "2")
    assert processes.meeting() == processes.Meeting(host="127.0.0.1", port=1, nodes=2)
    with pytest.raises(Invalid, match=r"^3 processes do not spread evenly over 2 nodes$"):
        trained(_spread(digits_trial(), processes=3))
