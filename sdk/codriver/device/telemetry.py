"""Nothing is sent. ONNX Runtime from 1.29 on would: it keeps events in ~/.cache/Microsoft and uploads them.

It looks at this variable once, when it is first imported, so codriver sets it when it is imported itself. A host that
imports onnxruntime before codriver should set ORT_DISABLE_TELEMETRY=1 in its environment.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
