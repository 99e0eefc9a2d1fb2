#!/usr/bin/env bash
# Four cameras of a real kernel: Debian's in QEMU, with the driver vivid, which fails on demand. tests/vehicle/README.md
#   tests/vehicle/cameras.sh FOLDER PYTHON        FOLDER keeps what is fetched; PYTHON has codriver's packages
# The guest's root is this machine's, read only, so that PYTHON and this tree work within it.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"; kept=$(cd "$1" && pwd); python=$2
release=6.1.0-56-amd64

if [ ! -d "$kept/kernel/boot" ]; then
    (cd "$kept" && apt-get download -q "linux-image-$release" && dpkg -x linux-image-*.deb kernel && rm linux-image-*.deb)
    depmod -b "$kept/kernel" "$release"
fi
# A bundle that costs nothing: what is tried are the cameras, and a step of a real one takes ten seconds there.
PYTHONPATH=$here/sdk:$here "$python" - << END
import shutil; from pathlib import Path; from tests.tiny import make_tiny_bundle
shutil.rmtree("$kept/tiny.bundle", ignore_errors=True); make_tiny_bundle(Path("$kept/tiny.bundle"), golden=False)
END
cat > "$kept/cameras.toml" << END
bundle = {path = "$kept/tiny.bundle", allow_unsigned = true, engine = "fake"}
steps = {rate_hz = 5, deadline_ms = 1000}
percepts = {path = "/run/percepts.jsonl"}
[sources]
$(for view in incar=0 front=1 left=2 right=3; do
    echo "${view%=*} = {device = \"/dev/video${view#*=}\", size_px = [320, 180], rate_hz = 5, format = \"YUYV\"}"
done)
END
# The first root: a shell, and the modules in the order in which they are wanted.
root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,modules,proc,sys,host,dev}
cp "$(command -v busybox)" "$root/bin/busybox"
number=100
for module in virtio_pci 9pnet_virtio 9p vivid; do
    while read -r _ path _; do
        name=$(basename "$path")
        ls "$root"/modules/*-"$name" > /dev/null 2>&1 || cp "$path" "$root/modules/$((number++))-$name"
    done < <(modprobe -d "$kept/kernel" -S "$release" --show-depends "$module")
done
cat > "$root/init" << END
#!/bin/busybox sh
b=/bin/busybox
\$b mount -t proc proc /proc; \$b mount -t sysfs sys /sys
for module in /modules/*; do
    case \$module in *vivid*) options="n_devs=4 node_types=0x1,0x1,0x1,0x1 num_inputs=1,1,1,1 input_types=0,0,0,0";; *) options=;; esac
    \$b insmod \$module \$options
done
\$b mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=262144,ro host /host
\$b mount -t devtmpfs dev /host/dev; \$b mount -t proc proc /host/proc; \$b mount -t sysfs sys /host/sys
\$b mount -t tmpfs tmpfs /host/run; \$b mount -t tmpfs tmpfs /host/tmp
\$b chroot /host /bin/bash $here/tests/vehicle/cameras_guest.sh $here $python $kept/cameras.toml
\$b poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$kept/initrd.gz"
# In a session of its own, which comes before what this machine does besides, where that is allowed.
setsid sh -c 'echo -10 2> /dev/null > /proc/self/autogroup; exec timeout 1800 "$@"' sh \
    qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1536 -nographic -no-reboot -nic none \
    -kernel "$kept/kernel/boot/vmlinuz-$release" -initrd "$kept/initrd.gz" \
    -append "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap < /dev/null & guest=$!
trap 'rm -rf "$root"; kill $guest 2> /dev/null' EXIT
wait $guest
