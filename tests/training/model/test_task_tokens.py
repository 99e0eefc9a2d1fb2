"""The readout by task tokens: its formula in NumPy, absent unless asked for, and not quantized."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codriver.errors import ConfigError  # noqa: E402
from codriver.tasks import STREAMS  # noqa: E402
from quantize.run import quantize  # noqa: E402
from tests.untrained import write_untrained_run  # noqa: E402
from training.cost import macs_per_step  # noqa: E402
from training.model.dbscme import DBSCMEConfig  # noqa: E402
from training.model.task_tokens import TaskTokens  # noqa: E402
from training.model.uvm3tl import SIZES, UVM3TL, ModelConfig  # noqa: E402

pytestmark = pytest.mark.torch
CLIPS, IMAGES, WIDTH, INNER, TASKS = 2, 6, 8, 4, 3


def test_each_task_reads_the_streams_by_its_own_attention() -> None:
    torch.manual_seed(0)
    block = TaskTokens(tasks=TASKS, streams=len(STREAMS), width=WIDTH, inner=INNER)
    torch.nn.init.normal_(block.place)
    maps, vectors = torch.randn(CLIPS, IMAGES, WIDTH, 3, 3), torch.randn(CLIPS, len(STREAMS), WIDTH)
    w = {name: some.detach().double().numpy() for name, some in block.named_parameters()}
    found = block(maps, vectors).detach().numpy()
    for clip in range(CLIPS):
        tokens = [vectors[clip, s].double().numpy() for s in range(len(STREAMS))]
        for s in range(IMAGES):
            tokens[s] = tokens[s] + maps[clip, s].double().numpy().mean(axis=(1, 2))
        for task in range(TASKS):
            scores = [w["query"][task] @ (w["key.weight"] @ t + w["place"][s]) for s, t in enumerate(tokens)]
            powers = np.exp(np.array(scores) / np.sqrt(INNER))
            read = sum(p * (w["value.weight"] @ t) for p, t in zip(powers / powers.sum(), tokens, strict=True))
            np.testing.assert_allclose(found[clip, task], read, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("branches", ["both", "specific", "shared"])
def test_what_is_read_reaches_every_answer_and_every_parameter_learns(branches: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig.from_dict(
        SIZES["tiny"].to_dict() | {"slots": 3, "dbscme": {"branches": branches, "tokens": True}}
    )
    model = UVM3TL(config)
    slots = {s: torch.rand(4, 3, *config.slot_shape(s)) for s in STREAMS}
    logits = model.fuse(slots, torch.ones(4, len(STREAMS), 3)).logits
    (sum((some * torch.randn_like(some)).sum() for some in logits.values())).backward()
    assert model.dbscme.tokens is not None
    assert all(some.grad is not None and some.grad.any() for some in model.dbscme.tokens.parameters())


def test_a_model_of_before_reads_as_it_did_and_one_without_branches_has_nothing_to_add_to() -> None:
    before = SIZES["tiny"].to_dict()
    del before["dbscme"]["tokens"]
    torch.manual_seed(0)
    model = UVM3TL(ModelConfig.from_dict(before))
    torch.manual_seed(0)
    now = UVM3TL(SIZES["tiny"])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), now.parameters(), strict=True))
    with pytest.raises(ConfigError, match="tokens True; expected one of both, specific, shared"):
        DBSCMEConfig(tokens=True, branches="none")


def test_their_cost_is_counted() -> None:
    plain, tokens = (macs_per_step(UVM3TL(SIZES[size])) for size in ("edge", "edge-tokens"))
    width, inner, streams, tasks = 96, 12, len(STREAMS), 4
    own = (tasks + streams) * inner + width * inner + width**2
    assert tokens.parameters["fuser"] - plain.parameters["fuser"] == own
    assert tokens.fuser - plain.fuser == streams * width * (inner + width) + tasks * streams * (inner + width)


def test_a_run_with_them_is_refused_by_quantization(dataset: Path, tmp_path: Path) -> None:
    write_untrained_run(tmp_path / "run", "edge-tokens", dataset)
    with pytest.raises(ConfigError, match="task tokens"):
        quantize(tmp_path / "run", dataset, tmp_path / "out", ["ort-x86"])
