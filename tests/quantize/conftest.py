"""An untrained tiny run, and all its dialects: what quantization does to a graph does not depend on training."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def untrained_run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of size tiny whose weights and statistics are random, always the same."""
    torch = pytest.importorskip("torch")
    from tests.untrained import write_untrained_run

    def scramble(model: torch.nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)

    folder = tmp_path_factory.mktemp("untrained") / "run"
    write_untrained_run(folder, "tiny", dataset, change=scramble)
    return folder


@pytest.fixture(scope="session")
def quantized(untrained_run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained run in every dialect. Read only."""
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    from quantize.graphs.dialects import DIALECTS
    from quantize.run import QuantizeOptions, quantize

    out = tmp_path_factory.mktemp("dialects") / "quantized"
    quantize(untrained_run, dataset, out, list(DIALECTS), QuantizeOptions(clips=4, golden=0))
    return out
