"""CSI cameras of a Jetson: the number of each view's sensor, or another GStreamer source to try it without them.

python samples/jetson_csi.py demo.bundle incar=0 front=1
python samples/jetson_csi.py demo.bundle "incar=videotestsrc is-live=true"

sudo apt install python3-gst-1.0 gir1.2-gst-plugins-base-1.0; the virtual environment made with --system-site-packages.
Not run on a Jetson so far: docs/device.md, Cameras.
"""

import sys
import time

from codriver import CodriverError, Perceiver, open_source

# The sensor's memory is the GPU's; nvvidconv brings it to the processor. BGRx is taken as it is.
SENSOR = "nvarguscamerasrc sensor-id={} ! video/x-raw(memory:NVMM), width=1280, height=720, framerate=30/1 ! nvvidconv"
REST = "! videoconvert ! video/x-raw, format=BGRx ! appsink"


def main(bundle: str, *views: str) -> int:
    named = dict(view.split("=", 1) for view in views)
    cameras = {view: SENSOR.format(of) if of.isdigit() else of for view, of in named.items()}
    text = ",".join(f"{view}=gst:{camera} {REST}" for view, camera in cameras.items())
    try:
        with Perceiver.open(bundle) as perceiver, open_source(text) as source:
            for at in source:
                percept = perceiver.step(at.frames, t=at.t)
                ages = [f"{view} {(time.monotonic() - f.t) * 1e3:.0f} ms ({f.clock})" for view, f in at.frames.items()]
                print(percept.sequence, percept.state, *ages, *percept.reasons, flush=True)
    except CodriverError as error:
        print(f"jetson_csi.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
