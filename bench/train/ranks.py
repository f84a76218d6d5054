"""Several processes that carry out one training: who is who, and what they tell each other.

The process that was given the work is the first one. It alone reads wishes to stop, writes and evaluates; it starts
the others of its machine and waits for those of other machines. Each takes its share of every batch; gradients are
summed by torch's DistributedDataParallel, over NCCL between GPUs and over gloo between CPUs.

Compared with one process, the sums over a batch are added in another order, so that losses differ in their last
digits (float32), and with dropout or drop_path each process draws its own numbers: another draw of the same noise.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import Invalid
from bench.images import stable_hash

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.distributed.distributed_c10d import Store


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which of how many processes this one is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes, evaluates and decides."""
        return self.rank == 0

    def share(self, indices: "Tensor", *, pairs: bool = False) -> "Tensor":
        """This process's part of a batch (B,): consecutive images, one more in the earlier parts where it must be.

        `pairs`: with the first image it has the last one, with the second the last but one, and so on.
        """
        import torch

        if self.count == 1:
            return indices
        if not pairs:
            return indices.tensor_split(self.count)[self.rank]
        half = len(indices) // 2
        first, last = (part.tensor_split(self.count)[self.rank] for part in (indices[:half], indices[half:].flip(0)))
        return torch.cat([first, last.flip(0)])

    def summed(self, number: float, device: "torch.device") -> float:
        """The sum over all processes, the same in all of them."""
        import torch

        if self.count == 1:
            return number
        total = torch.tensor([number], dtype=torch.float64, device=device)
        torch.distributed.all_reduce(total)
        return float(total.item())

    def decided(self, wish: bool, device: "torch.device") -> bool:
        """What the first process wishes, in all of them."""
        return bool(self.summed(float(wish and self.first), device))

    def seed_step(self, seed: int, step: int) -> None:
        """Start the generators of a step in all processes but the first, whose state is the checkpoint's.

        So a checkpoint says all that there is to know, however many processes wrote it or go on from it.
        """
        from bench.train.checkpoint import seed_everything

        if not self.first:
            named = stable_hash(f"rank {self.rank} seed {seed} step {step}")
            seed_everything(int.from_bytes(named[:8], "big") >> 1)

    def without_sums(self, forward: "nn.Module", *, last: bool) -> AbstractContextManager[None]:
        """Around a backward pass: gradients are summed over processes with the last micro-batch of a step only."""
        if last or self.count == 1:
            return nullcontext()
        skipped: AbstractContextManager[None] = forward.no_sync()  # type: ignore[operator] # of DistributedDataParallel
        return skipped

    def check_same(self, facts: str, device: "torch.device") -> None:
        """Raise Invalid where another process begins with other images or at another step than the first."""
        import torch

        if self.count == 1:
            return
        digest = hashlib.sha256(facts.encode()).digest()
        mine = torch.tensor(list(digest[:8]), dtype=torch.int64, device=device)
        first = mine.clone()
        torch.distributed.broadcast(first, src=0)
        differing = self.summed(0.0 if torch.equal(mine, first) else 1.0, device)
        if differing:
            raise Invalid(
                f"{differing:.0f} of {self.count} processes see other images or another checkpoint than the first; "
                "all nodes must see the same data and the same store"
            )


ALONE = Ranks()


def parallel(model: "nn.Module", ranks: Ranks) -> "nn.Module":
    """What computes a training's forward pass: the model, or one that sums its gradients over all processes."""
    if ranks.count == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(model)


@contextmanager
def joined(ranks: Ranks, store: "Store", device: str, timeout_s: float) -> Iterator[Ranks]:
    """The processes as one group of torch's, whose members meet at a store; left again at the end."""
    from datetime import timedelta

    import torch

    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=store,
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=timedelta(seconds=timeout_s),
    )
    try:
        with warnings.catch_warnings():  # a kernel of one channel lies in memory in two ways that are the same
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
            yield ranks
    finally:
        torch.distributed.destroy_process_group()
