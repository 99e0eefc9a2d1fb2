#!/usr/bin/env bash
# Network cameras and pipelines of a real GStreamer on this machine's loopback. tests/vehicle/README.md
#   tests/vehicle/streams.sh FOLDER PYTHON        PYTHON has codriver's packages
# In a session of its own, which comes before what this machine does besides, where that is allowed.
cd "$(dirname "$0")/../.." || exit 1
export OMP_NUM_THREADS=1 PYTHONPATH=sdk:.
exec setsid -w sh -c 'echo -19 2> /dev/null > /proc/self/autogroup; exec timeout 300 "$@"' sh "$2" -m tests.vehicle.streams
