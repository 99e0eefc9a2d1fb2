"""From quantized graphs to a bundle for one device."""

from workshop.needs import need_numpy

need_numpy("targets")
