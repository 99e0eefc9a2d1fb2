#!/usr/bin/env bash
# Answers on a real kernel's CAN: User Mode Linux with vcan, candump and `cantools decode` as witnesses.
#   tests/vehicle/can.sh FOLDER PYTHON        FOLDER keeps what is fetched; PYTHON has codriver's packages
# The guest's root is this machine's, read only, with all that it writes in memory. Runs as a normal user.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/tests/vehicle/uml.sh"
mkdir -p "$1"; kept=$(cd "$1" && pwd); python=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")

fetch_uml
cat > "$kept/init_can" << END
#!/bin/sh
export PATH=$(dirname "$python"):/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
export PYTHONPATH=$here/sdk:$here
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /dev/shm
modules=$kept/uml/usr/lib/uml/modules/\$(uname -r)/kernel
for module in net/can/can net/can/can-raw drivers/net/can/dev/can-dev drivers/net/can/vcan; do insmod \$modules/\$module.ko; done
cd $here && bash tests/vehicle/can_guest.sh $python samples/try/demo.bundle samples/try/clips/0006.json
sync; echo o > /proc/sysrq-trigger; sleep 60
END
boot_uml "$kept/init_can"
