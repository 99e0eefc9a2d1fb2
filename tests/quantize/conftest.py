"""An untrained tiny run, and all its dialects: what quantization does to a graph does not depend on training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shared import made_once


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

    return made_once(tmp_path_factory, "run", lambda run: write_untrained_run(run, "tiny", dataset, change=scramble))


@pytest.fixture(scope="session")
def quantized(untrained_run: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained run in every dialect, linted and audited, and held against no runtime yet. Read only."""
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    from quantize.graphs.dialects import DIALECTS
    from quantize.run import QuantizeOptions, quantize

    options = QuantizeOptions(clips=4, golden=0, check=0)
    return made_once(
        tmp_path_factory, "quantized", lambda out: quantize(untrained_run, dataset, out, list(DIALECTS), options)
    )
