"""Our overlay and map held against VSS 6.0, by COVESA's own tools.

python -m tests.merge_vss SPEC [VSPEC]     SPEC: the folder spec of VSS 6.0; VSPEC: the command of vss-tools 6.0.0

6.1.0 refuses VSS 6.0. Not part of the test suite: the standard's files are not ours to copy, and vss-tools has 230 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from codriver.mapping.alerts import read_alerts
from codriver.mapping.signals import read_map
from codriver.mapping.toml_file import SHIPPED


def main(spec: str, vspec: str = "vspec") -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "merged.json"
        files = ["-s", f"{spec}/VehicleSignalSpecification.vspec", "-I", spec, "-u", f"{spec}/units.yaml"]
        files += ["-q", f"{spec}/quantities.yaml", "-l", str(SHIPPED / "codriver.vspec"), "-o", str(out)]
        if subprocess.run([vspec, "export", "json", *files, "--strict"], check=False).returncode:
            return 1
        root = {"children": json.loads(out.read_text(encoding="utf-8"))}
    problems = []
    for path, signal in read_map("vss", read_alerts()).config.signals.items():
        node = root
        for part in path.split("."):
            node = node.get("children", {}).get(part, {})
        values = sorted(signal.values.values()) if signal.values and signal.type == "string" else None
        ours = (signal.type, signal.unit, signal.low, signal.high, values)
        allowed = sorted(node["allowed"]) if "allowed" in node else None
        theirs = (node.get("datatype"), node.get("unit"), node.get("min"), node.get("max"), allowed)
        problems += [f"{path}: ours {ours}, merged {theirs}"] if ours != theirs else []
    sys.stdout.write("\n".join([*problems, f"{len(problems)} problems"]) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
