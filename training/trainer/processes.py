"""Which processes train, and on what: one alone, or those that torchrun started. Lightning Fabric joins them."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from codriver.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


MMAP_MAX, TRIM_THRESHOLD = -4, -1  # parameters of glibc's mallopt
KEEP, AS_BEFORE = {MMAP_MAX: 0, TRIM_THRESHOLD: -1}, {MMAP_MAX: 1 << 16, TRIM_THRESHOLD: 1 << 17}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within the block this process uses freed memory again instead of giving it back to the system.

    glibc maps each tensor of more than 32 MB anew, and the kernel clears its pages: a third of the processor time of
    lessons of size edge. What it costs is memory: half as much again at the most. An allocator without mallopt is left
    as it is. Blocks do not nest.
    """
    libc = ctypes.CDLL(None)
    mallopt = getattr(libc, "mallopt", None) or (lambda parameter, value: None)
    for parameter, value in KEEP.items():
        mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in AS_BEFORE.items():
            mallopt(parameter, value)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


def make_fabric(precision: str = "32-true", device: str = "auto") -> Fabric:
    """Joins the processes that torchrun started, or is one process alone. device: auto, cpu or cuda."""
    from lightning_fabric import Fabric  # takes seconds, which a --help should not
    from lightning_fabric.strategies import DDPStrategy

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch sees no CUDA GPU; say --device cpu or mend the driver")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "16-mixed" and device == "cpu":
        raise ConfigError("precision 16-mixed is for CUDA GPUs; on a CPU say --precision bf16-mixed or 32-true")
    processes, here = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if device == "cuda" and here > torch.cuda.device_count():
        raise ConfigError(f"{here} processes for {torch.cuda.device_count()} GPUs; lower torchrun's --nproc-per-node")
    # A batch without a stream leaves parts of the model unused. Buffers are each process's own: the loss sums in them.
    several = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    fabric = Fabric(
        accelerator=device,
        devices=here,
        num_nodes=processes // here,
        strategy=several if processes > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric


def agreed(fabric: Fabric, number: int | None) -> int | None:
    """The signal that any process has got: all must stop after the same step, or the others wait for ever."""
    if fabric.world_size == 1:
        return number
    return int(fabric.all_reduce(torch.tensor(number or 0, device=fabric.device), reduce_op="max")) or None


def average(fabric: Fabric, buffers: Iterable[Tensor]) -> None:
    """Each process has seen its own share: what normalisation remembers becomes the mean of all, in place."""
    if fabric.world_size > 1:
        for buffer in buffers:
            if buffer.is_floating_point():
                buffer.copy_(fabric.all_reduce(buffer, reduce_op="sum") / fabric.world_size)


def of_all(fabric: Fabric, own: Any) -> list[Any]:
    """What each process gives, in the order of their ranks; every process must call this."""
    everyone: list[Any] = [own] * fabric.world_size
    if fabric.world_size > 1:
        torch.distributed.all_gather_object(everyone, own)
    return everyone


def leave() -> None:
    """Leave the other processes, once nothing refers to a trainer any more.

    The order matters: DDP's reducer, if it is the last to hold the process group, waits for gloo's threads with the
    interpreter locked, and they may be waiting for the interpreter (torch 2.13).
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.destroy_process_group()
