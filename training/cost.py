"""What the model costs: parameters and multiply-accumulates by stream, counted by PyTorch's own counter.

python -m training.cost --size edge
python -m training.cost --size edge --task-set nyudv2      the model on maps, by part
python -m training.cost --size demo --finder                the finder, without and with the hands' points
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from codriver.dense_tasks import DENSE_TASK_SETS
from codriver.errors import ConfigError
from codriver.finder_graph import HEIGHT_PX, WIDTH_PX
from codriver.tasks import GROUP_OF, GROUPS, JOINTS, STREAMS, TASK_SETS
from training.dense.cost import all_of, cost_by_part
from training.dense.cost import page as dense_page
from training.dense.model import DENSE_SIZES, DenseConfig, sized
from training.finder.model import SIZES as FINDERS
from training.finder.model import Finder
from training.model.uvm3tl import SIZES, UVM3TL
from workshop.command import command


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates, and the parameters that a device holds."""

    frame: dict[str, int]  # of one new frame, by stream: encoder, motion and what is mixed along time
    fuser: int  # of one answer from all slots
    slots: int
    parameters: dict[str, int]  # by group of streams that share weights, and of the fuser
    training_only: int  # parameters of heads that only training uses

    @property
    def total(self) -> int:
        """Of a step on a device: one new frame of every stream, one answer."""
        return sum(self.frame.values()) + self.fuser

    @property
    def clip(self) -> int:
        """Of a whole clip at once: all slots encoded, one answer."""
        return self.slots * sum(self.frame.values()) + self.fuser


@torch.inference_mode()
def macs_per_step(model: UVM3TL) -> Cost:
    """Counts matrix products and convolutions, as is usual; sums, norms and activations are not counted."""
    config, model = model.config, model.eval()
    frame = {}
    for stream in STREAMS:
        group, dtype = GROUP_OF[stream], torch.float32 if stream in JOINTS else torch.uint8
        with FlopCounterMode(display=False) as counter:
            features = model.encode({group: torch.zeros((1, *config.input_shape(stream)), dtype=dtype)})
            motions = model.motion(features, features)
            model.along_time(motions, motions)
        frame[stream] = counter.get_total_flops() // 2
    slots = {s: torch.zeros((1, config.slots, *config.slot_shape(s))) for s in STREAMS}
    with FlopCounterMode(display=False) as counter:
        model.fuse(slots, torch.ones(1, len(STREAMS), config.slots))
    parts = (model.encoders, model.motions, model.along_times)
    held = {group: sum(count(part[group]) for part in parts) for group in GROUPS}
    held["fuser"] = count(model.gather) + count(model.dbscme)
    return Cost(frame, counter.get_total_flops() // 2, config.slots, held, count(model) - sum(held.values()))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def page(size: str, cost: Cost) -> str:
    """The cost for people."""
    million = 1e6
    lines = [f"size {size}", f"{'':20} {'parameters':>12} {'MACs per step':>14} {'MACs per clip':>14}"]
    for group, members in GROUPS.items():
        for stream in members:
            shared = cost.parameters[group] / million if stream == members[0] else None
            macs = cost.frame[stream] / million
            lines.append(row(stream, shared, macs, cost.slots * macs))
    lines.append(row("fuser", cost.parameters["fuser"] / million, cost.fuser / million, cost.fuser / million))
    held = sum(cost.parameters.values()) / million
    lines.append(row("all", held, cost.total / million, cost.clip / million))
    lines.append(
        f"The outside views share their weights. Training alone adds {cost.training_only / million:.2f} M more."
    )
    return "\n".join(lines)


def row(name: str, parameters: float | None, step: float, clip: float) -> str:
    held = "shared" if parameters is None else f"{parameters:.2f} M"
    return f"{name:20} {held:>12} {step:12.1f} M {clip:12.1f} M"


@torch.inference_mode()
def finder_cost(size: str, *, gesture: bool) -> dict[str, int]:
    """Of a finder that looks at one frame."""
    model = Finder(replace(FINDERS[size], gesture=gesture)).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros((1, HEIGHT_PX, WIDTH_PX, 3), dtype=torch.uint8))
    return {"points": model.points, "parameters": count(model), "macs": counter.get_total_flops() // 2}


def _finder(size: str, as_json: bool) -> int:
    costs = {"without gesture": finder_cost(size, gesture=False), "with gesture": finder_cost(size, gesture=True)}
    lines = [f"finder of size {size}", f"{'':20} {'points':>8} {'parameters':>12} {'MACs a look':>14}"]
    lines += [
        f"{name:20} {some['points']:8} {some['parameters']:12,} {some['macs'] / 1e6:12.2f} M"
        for name, some in costs.items()
    ]
    sys.stdout.write((json.dumps(costs) if as_json else "\n".join(lines)) + "\n")
    return 0


def _dense(config: DenseConfig, as_json: bool) -> int:
    parts = cost_by_part(config)
    numbers = {name: asdict(some) for name, some in {**parts, "all": all_of(parts)}.items()}
    sys.stdout.write((json.dumps(numbers) if as_json else dense_page(config, parts)) + "\n")
    return 0


@command("training.cost")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.cost",
        description="Parameters and multiply-accumulates of a step and of a clip, by stream.",
        epilog="example: python -m training.cost --size edge",
    )
    parser.add_argument("--size", choices=sorted({*SIZES, *DENSE_SIZES}), default="edge")
    parser.add_argument("--task-set", choices=(*TASK_SETS, *DENSE_TASK_SETS), default="aide")
    parser.add_argument("--finder", action="store_true", help="the finder of that size, with and without hands")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    of = "the finder" if args.finder else args.task_set
    sizes: Collection[str] = DENSE_SIZES if args.task_set in DENSE_TASK_SETS else SIZES
    sizes = FINDERS if args.finder else sizes
    if args.size not in sizes:
        raise ConfigError(f"--size {args.size}: expected one of {', '.join(sizes)} for {of}")
    if args.finder:
        return _finder(args.size, args.json)
    if args.task_set in DENSE_TASK_SETS:
        return _dense(sized(args.size, args.task_set), args.json)
    cost = macs_per_step(UVM3TL(SIZES[args.size]))
    if args.json:
        numbers = {
            "size": args.size,
            "parameters": cost.parameters | {"all": sum(cost.parameters.values())},
            "parameters_training_only": cost.training_only,
            "macs_per_frame": cost.frame,
            "macs_fuser": cost.fuser,
            "macs_per_step": cost.total,
            "macs_per_clip": cost.clip,
        }
        sys.stdout.write(json.dumps(numbers) + "\n")
    else:
        sys.stdout.write(page(args.size, cost) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
