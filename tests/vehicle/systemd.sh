#!/usr/bin/env bash
# codriver under a real systemd: User Mode Linux boots this machine's Debian, and the unit of docs/service.md runs in it.
#   tests/vehicle/systemd.sh FOLDER PYTHON        FOLDER keeps what is fetched; PYTHON has codriver's packages
# The guest's root is this machine's, read only, with all that it writes in memory. Runs as a normal user.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
. "$here/tests/vehicle/uml.sh"
mkdir -p "$1"; kept=$(cd "$1" && pwd)
packages=$("$2" -c "import sysconfig; print(sysconfig.get_path('purelib'))")

fetch_uml
mkdir -p "$kept/memory" "$kept/service"
cp "$here"/tests/vehicle/systemd_*.sh "$kept/service/"
# The unit as the page has it, but for where codriver lies: Debian's Python, and the packages of PYTHON.
sed -n '/^```ini/,/^```$/p' "$here/docs/service.md" | grep -v '^```' | sed \
    -e "s#/opt/codriver/venv/bin/codriver#/usr/bin/python3 -m codriver#" \
    -e "s#^Environment=#Environment=PYTHONPATH=$here/sdk:$packages PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 #" \
    -e "s#^SupplementaryGroups=.*#SupplementaryGroups=video#" > "$kept/service/codriver.service"
view='{pipeline = "videotestsrc is-live=true pattern=ball ! video/x-raw, format=BGR, width=160, height=120, framerate=5/1 ! appsink"}'
cat > "$kept/service/service.toml" << END
bundle = {path = "$here/samples/try/demo.bundle", allow_unsigned = true, threads = 1}
sources = {incar = $view, front = $view}
steps = {rate_hz = 5, deadline_ms = 1000}
percepts = {path = "/var/lib/codriver/percepts.jsonl"}
recording = {path = "/var/lib/codriver/drives", limit_mb = 20}
END
cat > "$kept/init" << END
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys
insmod $kept/uml/usr/lib/uml/modules/\$(uname -r)/kernel/fs/overlayfs/overlay.ko
mount -t tmpfs tmpfs $kept/memory; mkdir -p $kept/memory/upper $kept/memory/work $kept/memory/root
root=$kept/memory/root
mount -t overlay overlay -o lowerdir=/,upperdir=$kept/memory/upper,workdir=$kept/memory/work \$root
mount -t devtmpfs dev \$root/dev
mkdir -p \$root/etc/codriver
cp $kept/service/codriver.service \$root/etc/systemd/system/
cp $kept/service/service.toml \$root/etc/codriver/
echo codriver:x:990:990::/nonexistent:/usr/sbin/nologin >> \$root/etc/passwd
echo codriver:x:990: >> \$root/etc/group
printf '[Unit]\nDefaultDependencies=no\nRequires=systemd-journald.service drive.service\n' > \$root/etc/systemd/system/vehicle.target
printf '[Unit]\nDefaultDependencies=no\nAfter=systemd-journald.service\n[Service]\nType=oneshot\nTimeoutStartSec=infinity\nStandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console\nExecStart=/bin/bash $kept/service/systemd_guest.sh $here $packages\n' > \$root/etc/systemd/system/drive.service
cd \$root; exec chroot . /lib/systemd/systemd --unit=vehicle.target --show-status=0 --log-level=warning --log-target=console
END
boot_uml "$kept/init"
