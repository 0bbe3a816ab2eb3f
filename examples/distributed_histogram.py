"""A histogram over several processes
==================================

The loss and the exact gradient of a histogram over data that lies on several processes.

Histograms add: the sums over all ranks' data (``normalize=False``) are those of the whole. The loss of the whole and
its slope by the sums are then the same on every rank, and each rank pulls that slope back through its own data: what
it gets is its part of the exact gradient, with K numbers sent in all. (Under DistributedDataParallel, which averages
gradients over the ranks, multiply the loss by the number of ranks.)::

    torchrun --nproc-per-node 2 examples/distributed_histogram.py
    python examples/distributed_histogram.py    # the same numbers from one process
"""

import os

import torch
import torch.distributed as dist

from diffhist import soft_histogram, squared_emd

PIXELS = 100_000
OPTIONS = {"bins": 64, "boundary": "reflect", "normalize": False}
UNIFORM = torch.full((64,), 1 / 64, dtype=torch.float64)


def loss_and_gradient(pixels: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of all ranks' ``count`` pixels, and its gradient by those of this rank."""
    pixels = pixels.detach().requires_grad_()
    own = soft_histogram(pixels, **OPTIONS)
    whole = own.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(whole)
    whole.requires_grad_()
    loss = squared_emd(whole / count, UNIFORM)
    loss.backward()
    own.backward(whole.grad)
    return loss.detach(), pixels.grad


def main():
    if "RANK" in os.environ:  # started by torchrun
        dist.init_process_group("gloo")
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    data = torch.rand(PIXELS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).square()
    loss, gradient = loss_and_gradient(data.tensor_split(ranks)[rank], PIXELS)

    parts = [gradient]
    if dist.is_initialized():  # to show them in one place
        parts = [None] * ranks
        dist.all_gather_object(parts, gradient)
        dist.destroy_process_group()
    if rank == 0:
        gradient = torch.cat(parts)
        print(f"{ranks} processes" if ranks > 1 else "1 process")
        print(f"loss {loss.item():.12f}, gradient: norm {gradient.norm().item():.12e}, first {gradient[0].item():.12e}")


if __name__ == "__main__":
    main()
