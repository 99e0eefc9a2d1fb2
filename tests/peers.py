"""Networks of the family's published sizes, with random weights: what a user would otherwise run on every new moment.

Written by us from facts in public descriptions, not from their code: layer sizes of MMTL-UniAD (CVPR 2025, arXiv
2504.02264) and TEM3-Learning (IROS 2025, arXiv 2506.18084). Made to cost what those cost, not to answer what they
answer: they take a whole clip of 16 frames folded into 48 channels, and have no memory of the moment before.

B batch · C channel · H, W side
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLIP = {  # inputs of both, in this order
    **dict.fromkeys(("incar", "front", "left", "right"), (48, 224, 224)),
    "face": (48, 64, 64),
    "posture": (3, 16, 26, 1),
    "gesture": (3, 16, 42, 1),
}
CLASSES = (5, 7, 3, 5)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class Axial(nn.Module):
    """Attention along one axis with learnt relative places; queries and keys have half the values' channels."""

    def __init__(self, channels: int, side: int, groups: int = 8, *, tall: bool) -> None:
        super().__init__()
        self.groups, self.tall, self.part = groups, tall, channels // groups
        self.joint = nn.Conv1d(channels, 2 * channels, 1, bias=False)
        self.norm, self.like_norm, self.out_norm = (
            nn.BatchNorm1d(2 * channels),
            nn.BatchNorm2d(3 * groups),
            nn.BatchNorm1d(2 * channels),
        )
        places = torch.arange(side)
        self.register_buffer("offset", (places[:, None] - places[None]).flatten() + side - 1)
        self.relative = nn.Parameter(torch.randn(2 * self.part, 2 * side - 1) * 0.1)
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if self.tall else x.permute(0, 2, 1, 3)  # (B, other, C, side)
        batch, other, channels, side = x.shape
        joint = self.norm(self.joint(x.reshape(-1, channels, side))).reshape(-1, self.groups, 2 * self.part, side)
        half = self.part // 2
        query, key, value = joint.split([half, half, self.part], dim=2)
        table = self.relative.index_select(1, self.offset).reshape(2 * self.part, self.side, self.side)
        to_query, to_key, to_value = table.split([half, half, self.part], dim=0)
        like = torch.cat(
            [
                query.transpose(2, 3) @ key,
                torch.einsum("bgci,cij->bgij", query, to_query),
                torch.einsum("bgci,cij->bgij", key, to_key).transpose(2, 3),
            ],
            dim=1,
        )
        shares = self.like_norm(like).reshape(-1, 3, self.groups, side, side).sum(dim=1).softmax(dim=3)
        seen = torch.cat([value @ shares.transpose(2, 3), torch.einsum("bgij,cij->bgci", shares, to_value)], dim=2)
        out = self.out_norm(seen.reshape(-1, 2 * channels, side)).reshape(batch, other, channels, 2, side).sum(dim=3)
        return out.permute(0, 2, 3, 1) if self.tall else out.permute(0, 2, 1, 3)


class AxialBlock(nn.Module):
    def __init__(self, inputs: int, width: int, side: int, stride: int) -> None:
        super().__init__()
        self.down = conv(inputs, width, 1)
        self.high, self.wide = Axial(width, side, tall=True), Axial(width, side, tall=False)
        self.up, self.stride = conv(width, 2 * width, 1), stride
        self.past = conv(inputs, 2 * width, 1, stride) if stride > 1 or inputs != 2 * width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(self.high(F.relu(self.down(x))))
        y = F.avg_pool2d(y, self.stride) if self.stride > 1 else y
        return F.relu(self.up(F.relu(y)) + self.past(x))


class Routing(nn.Module):
    """Attention among windows: each reads the four that are most like it; on 14 x 14, seven windows a side."""

    def __init__(self, channels: int = 512, heads: int = 8, windows: int = 7, most: int = 4) -> None:
        super().__init__()
        self.heads, self.windows, self.most = heads, windows, most
        self.joint, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, high, wide = x.shape
        w, cell = self.windows, high // self.windows
        cut = x.reshape(batch, channels, w, cell, w, cell).permute(0, 2, 4, 3, 5, 1).reshape(batch, w * w, -1, channels)
        query, key, value = self.joint(cut).chunk(3, dim=3)  # (B, windows, cells, C)
        nearest = (query.mean(dim=2) @ key.mean(dim=2).transpose(1, 2)).topk(self.most, dim=2).indices.flatten(1)
        picked = nearest[:, :, None, None].expand(-1, -1, *key.shape[2:])
        key, value = (some.gather(1, picked).reshape(batch, w * w, -1, channels) for some in (key, value))
        query, key, value = (
            some.reshape(batch, w * w, -1, self.heads, channels // self.heads).transpose(2, 3)
            for some in (query, key, value)
        )
        seen = (query @ key.transpose(3, 4) * (channels // self.heads) ** -0.5).softmax(dim=4) @ value
        seen = self.out(seen.transpose(2, 3).reshape(batch, w, w, cell, cell, channels))
        return seen.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, high, wide) + self.local(x)


class AxialView(nn.Module):
    """One camera of 16 folded frames -> (B, 512, 14, 14)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(48, 32, 7, 2)
        blocks, inputs = [], 32
        for width, count, side, stride in ((64, 1, 56, 1), (128, 2, 56, 2), (256, 4, 28, 2)):
            for number in range(count):
                first = number == 0
                blocks.append(AxialBlock(inputs, width, side if first else side // stride, stride if first else 1))
                inputs = 2 * width
        self.blocks, self.across, self.routing = nn.Sequential(*blocks), nn.Linear(14, 14), Routing()

    def forward(self, x: Tensor) -> Tensor:
        return self.routing(self.across(self.blocks(F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1))))


class Crop(nn.Module):
    """Eight 3x3 convolutions with two channel gates each -> (B, 512, 14, 14)."""

    def __init__(self, channels: int, pools: tuple[int, ...]) -> None:
        super().__init__()
        self.pools = pools
        self.layers, self.gates, self.neighbours = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for number, width in enumerate((64, 64, 128, 128, 256, 256, 512, 512)):
            self.layers.append(conv(channels, width, 3, 2 if number == 0 else 1))
            self.gates.append(nn.Sequential(nn.Linear(width, width // 16), nn.ReLU(), nn.Linear(width // 16, width)))
            self.neighbours.append(nn.Conv1d(1, 1, 3, padding=1))
            channels = width

    def forward(self, x: Tensor) -> Tensor:
        for number, (layer, gate, near) in enumerate(zip(self.layers, self.gates, self.neighbours, strict=True), 1):
            x = layer(x)
            mean = x.mean(dim=(2, 3))
            shares = torch.sigmoid(gate(mean)) * torch.sigmoid(near(mean[:, None])[:, 0])
            x = F.relu(x * shares[:, :, None, None])
            x = F.max_pool2d(x, 2) if number in self.pools else x
        return F.interpolate(x, size=(14, 14), mode="bilinear", align_corners=True)


class Joints(nn.Module):
    """(B, 3, 16, P, 1) -> (B, 512): a 3-D convolution, and one linear layer that holds most of the weights."""

    def __init__(self, points: int, widths: tuple[int, ...], out: int, *, over_time: bool) -> None:
        super().__init__()
        channels, layers = 3, []
        for width in widths:
            layers += [nn.Conv3d(channels, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU()]
            channels = width
        self.layers, self.over_time = nn.Sequential(*layers), over_time
        self.out = nn.Linear(channels * points * (1 if over_time else 16), out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        return F.relu(self.out((x.mean(dim=2) if self.over_time else x).flatten(1)))


class Embedding(nn.Module):
    """Two modalities gated against one another (DBME)."""

    def __init__(self, channels: int = 512) -> None:
        super().__init__()
        self.wide, self.first, self.last = (
            conv(channels, channels, 3),
            conv(channels, channels // 4, 1),
            conv(channels // 4, channels, 1),
        )
        self.inner, self.outer = (
            nn.Sequential(nn.Linear(channels, channels // 4), nn.ReLU(), nn.Linear(channels // 4, channels))
            for _ in range(2)
        )
        self.mixed = nn.Sequential(*(conv(channels, channels, 3) for _ in range(1)))

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        both = x + other
        seen = self.mixed(self.wide(both)) + self.last(F.relu(self.first(both)))
        mean = seen.mean(dim=(2, 3))
        share = torch.sigmoid(self.outer(mean) + self.inner(mean))[:, :, None, None]
        return x * share + other * (1 - share)


class MMTLUniAD(nn.Module):
    """Published: 76.20 M parameters, 18.8 GMAC a clip."""

    inputs = CLIP | {"body": (192, 112, 112)}

    def __init__(self) -> None:
        super().__init__()
        self.views = nn.ModuleList(AxialView() for _ in range(4))
        self.face, self.body = Crop(48, (4, 6)), Crop(192, (6,))
        self.posture = Joints(26, (64,), 512, over_time=False)
        self.gesture = Joints(42, (64,), 512, over_time=False)
        self.own = nn.ModuleList(nn.MultiheadAttention(512, 8, batch_first=True) for _ in CLASSES)
        self.near = nn.ModuleList(nn.Conv1d(1, 1, 3, padding=1) for _ in CLASSES)
        self.people, self.points = Embedding(), Embedding()
        self.heads = nn.ModuleList(nn.Linear(512, 2 * classes) for classes in CLASSES)

    def forward(
        self,
        incar: Tensor,
        front: Tensor,
        left: Tensor,
        right: Tensor,
        face: Tensor,
        posture: Tensor,
        gesture: Tensor,
        body: Tensor,
    ) -> tuple[Tensor, ...]:
        inside, *outside = (net(x) for net, x in zip(self.views, (incar, front, left, right), strict=True))
        people, scenes = inside + self.face(face) + self.body(body), sum(outside)
        points = (self.posture(posture) + self.gesture(gesture))[:, :, None, None].expand_as(people)
        common = self.points(self.people(people, scenes), points).mean(dim=(2, 3))
        whole = people + scenes + points
        answers = []
        for attend, near, head in zip(self.own, self.near, self.heads, strict=True):
            mean = near(whole.mean(dim=(2, 3))[:, None])
            share = torch.sigmoid(attend(mean, mean, mean, need_weights=False)[0][:, 0])
            specific = (whole * share[:, :, None, None]).mean(dim=(2, 3))
            answers.append(head(common).chunk(2, dim=1)[0] + head(specific).chunk(2, dim=1)[1])
        return tuple(answers)


class Mixer(nn.Module):
    """A state-space block without recurrence: channels mixed at each of 4,096 places, and along them."""

    def __init__(self, channels: int = 128, state: int = 4) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(channels, 2 * channels), nn.Linear(channels, channels)
        self.along = nn.Conv1d(channels, channels, 3, padding=1, groups=channels)
        self.narrow, self.wide = nn.Linear(channels, state), nn.Linear(state, channels)

    def forward(self, x: Tensor) -> Tensor:
        places = x.flatten(2).transpose(1, 2)
        seen, gate = self.into(places).chunk(2, dim=2)
        seen = F.gelu(self.along(seen.transpose(1, 2)).transpose(1, 2))
        return (places + self.out(self.wide(self.narrow(seen)) * F.silu(gate))).transpose(1, 2).reshape(x.shape)


class TEM3(nn.Module):
    """Published: 6 M parameters, 145 GMAC a clip: three 3x3 convolutions at full resolution for each image stream."""

    inputs = CLIP | {"body": (48, 112, 112)}

    def __init__(self) -> None:
        super().__init__()
        names = ("incar", "front", "left", "right", "face", "body")
        self.streams = nn.ModuleDict(
            {
                name: nn.Sequential(conv(48, 128, 3), nn.ReLU(), conv(128, 256, 3), nn.ReLU(), conv(256, 128, 3))
                for name in names
            }
        )
        self.posture = Joints(26, (32, 64, 128), 128, over_time=True)
        self.gesture = Joints(42, (32, 64, 128), 128, over_time=True)
        self.inside, self.outside = Mixer(), Mixer()
        self.query, self.key = nn.Conv2d(384, 16, 1), nn.Conv2d(384, 16, 1)
        self.gates = nn.ModuleList(nn.Conv2d(384, 384, 1) for _ in CLASSES)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(128, 128), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, classes))
            for classes in CLASSES
        )

    def forward(
        self,
        incar: Tensor,
        front: Tensor,
        left: Tensor,
        right: Tensor,
        face: Tensor,
        posture: Tensor,
        gesture: Tensor,
        body: Tensor,
    ) -> tuple[Tensor, ...]:
        given = {"incar": incar, "front": front, "left": left, "right": right, "face": face, "body": body}
        seen = {
            name: F.interpolate(net(given[name]), size=(64, 64), mode="bilinear") for name, net in self.streams.items()
        }
        inside = self.inside(seen["incar"] + seen["face"] + seen["body"])
        outside = self.outside(seen["front"] + seen["left"] + seen["right"])
        points = (self.posture(posture) + self.gesture(gesture))[:, :, None, None].expand_as(inside)
        all_of = torch.cat([inside, outside, points], dim=1)
        query, key = self.query(all_of).flatten(2), self.key(all_of).flatten(2)
        shares = (query.transpose(1, 2) @ key * 0.25).softmax(dim=2)  # (B, 4096, 4096)
        mixed = (all_of.flatten(2) @ shares.transpose(1, 2)).reshape(all_of.shape)
        answers = []
        for gate, head in zip(self.gates, self.heads, strict=True):
            opened = torch.sigmoid(gate(mixed)) * all_of
            answers.append(head(sum(opened.chunk(3, dim=1)).mean(dim=(2, 3))))  # type: ignore[arg-type]
        return tuple(answers)


PEERS = {"MMTL-UniAD's size": MMTLUniAD, "TEM3-Learning's size": TEM3}


def example(peer: type[nn.Module]) -> tuple[Tensor, ...]:
    return tuple(torch.rand(1, *shape) for shape in peer.inputs.values())  # type: ignore[attr-defined]
