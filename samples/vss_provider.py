"""Answers as VSS signals in a KUKSA databroker: what goes where is codriver's map `vss`; `codriver map vss` shows it.

python samples/vss_provider.py BUNDLE CLIP [ADDRESS]     the broker has VSS 6.0 with our overlay: docs/buses.md
"""

import sys
import time

from codriver import Buses, BusesConfig, Perceiver, VssConfig, open_source


def main(bundle: str, clip: str, address: str = "127.0.0.1:55555") -> None:
    config = BusesConfig(vss=VssConfig(address=address))  # root_ca= and token= for one on another machine
    with Perceiver.open(bundle) as perceiver, open_source(clip) as source, Buses(config) as buses:
        for at in source:
            alert = buses.add(perceiver.step(at.frames, t=at.t))  # speed_kmh=: what the vehicle says, for alerts
            print(f"{at.t:6.2f} s  alert {alert.level} {alert.cause}{'' if alert.available else ' (not available)'}")
            time.sleep(1 / source.rate_hz)  # a camera would pace this loop


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
