"""Answers on CAN: what goes where is codriver's map `can`; `codriver map can --copy DIR` writes it to be changed.

python samples/can_dms.py BUNDLE CLIP [INTERFACE CHANNEL]     can_receiver.py is the other end
"""

import sys
import time

from codriver import Buses, BusesConfig, CanConfig, Perceiver, open_source


def main(bundle: str, clip: str, interface: str = "socketcan", channel: str = "can0") -> None:
    config = BusesConfig(can=CanConfig(interface=interface, channel=channel))
    with Perceiver.open(bundle) as perceiver, open_source(clip) as source, Buses(config) as buses:
        for at in source:
            buses.add(perceiver.step(at.frames, t=at.t))  # speed_kmh=: what the vehicle says, for alerts
            time.sleep(1 / source.rate_hz)  # a camera would pace this loop


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
