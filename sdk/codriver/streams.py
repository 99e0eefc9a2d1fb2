"""From a checked step to the encoder's inputs, in buffers that are made once."""

from __future__ import annotations

from codriver.door import Request
from codriver.engines import Arrays
from codriver.manifest import Manifest
from codriver.preprocess import MIN_BODY_PX, MIN_FACE_PX, Image, crop, joints_from_keypoints, resize
from codriver.tasks import JOINTS

MIN_CROP_PX = {"face": MIN_FACE_PX, "body": MIN_BODY_PX}


class EncoderInputs:
    """One buffer per stream: uint8 (1, H, W, 3) in the bundle's colour order, or float32 (1, P, 3)."""

    def __init__(self, manifest: Manifest, color: str) -> None:
        self.arrays: Arrays = manifest.encoder_signature.zeros()
        self._streams = manifest.streams
        self._swap = color != manifest.color

    def fill(self, request: Request) -> tuple[str, ...]:
        """Write the newest frames, and zeros where a stream is absent; return the names of those present."""
        images = self._images(request)
        joints = self._joints(request)
        present = []
        for stream in self._streams:
            buffer = self.arrays[stream.name]
            if stream.name in images:
                image = resize(images[stream.name], stream.size)             # (H, W, 3)
                buffer[0] = image[..., ::-1] if self._swap else image
            elif stream.name in joints:
                buffer[0] = joints[stream.name]
            else:
                buffer.fill(0)
                continue
            present.append(stream.name)
        return tuple(present)

    def _images(self, request: Request) -> dict[str, Image]:
        images = dict(request.frames)
        incar = request.frames.get("incar")
        if incar is not None:
            for name, box_px in request.boxes_px.items():
                cut = crop(incar, box_px, MIN_CROP_PX[name])
                if cut is not None:
                    images[name] = cut
        return images

    def _joints(self, request: Request) -> Arrays:
        """Empty without an in-car frame, by whose size points are scaled, or when not one point is finite."""
        incar = request.frames.get("incar")
        if incar is None or request.keypoints is None:
            return {}
        height, width = incar.shape[:2]
        points = dict(zip(JOINTS, joints_from_keypoints(request.keypoints, width, height), strict=True))
        return {name: values for name, values in points.items() if values.any()}
