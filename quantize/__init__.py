"""From a run to INT8 graphs: calibration, quantization, export. Leaves a quantized folder behind."""

import os
import sys
from pathlib import Path

from workshop.needs import need_numpy

# NNCF and OpenVINO's converter report each call to a statistics server if this package, which OpenVINO brings along,
# can be imported. Nothing here speaks to a network.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

# NNCF compiles its quantizers at the first call and gives up after a minute, which a slow machine exceeds.
os.environ.setdefault("NNCF_EXTENSION_LOAD_TIMEOUT", "900")

# Two versions of ninja take each other's build for outdated and compile it over and over, so all take the one that NNCF
# brought along, whatever PATH says.
_BESIDE = Path(sys.executable).parent
if (_BESIDE / "ninja").is_file():
    os.environ["PATH"] = os.pathsep.join([str(_BESIDE), os.environ.get("PATH", "")])

need_numpy("quantize")
