# In the guest: codriver looks at four cameras while they lose pictures, vanish, and stamp by a clock that wraps.
here=$1 python=$2
export HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1 OPENCV_LOG_LEVEL=ERROR OMP_NUM_THREADS=1 PYTHONPATH=$here/sdk:$here
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd "$here" || exit 1
echo "== $(uname -sr), up for $(cut -d' ' -f1 /proc/uptime) s; a clock that codriver shares with it: CLOCK_MONOTONIC"
for n in 0 1 2 3; do v4l2-ctl -d /dev/video$n -c test_pattern=$((n * 3)),horizontal_movement=5; done

echo "== the kernel's time of three pictures"
v4l2-ctl -d /dev/video0 --set-fmt-video=width=320,height=180,pixelformat=YUYV --set-parm=15 > /run/set
v4l2-ctl -d /dev/video0 --stream-mmap --stream-count=3 --verbose 2>&1 | grep -o 'seq.*'

echo "== four cameras while they fail: front loses half of its pictures, left is unplugged, right's time stamps wrap"
for view in incar=0 front=1 left=2 right=3; do
    printf '"%s": {"device": %s, "size_px": [320, 180], "rate_hz": 5, "format": "YUYV"}\n' ${view%=*} ${view#*=}
done | paste -sd, | sed 's/.*/{&}/' > /run/cameras.json
$python tests/vehicle/watch.py /run/cameras.json 70 & watch=$!
sleep 30
echo "front loses half of its pictures"; v4l2-ctl -d /dev/video1 -c percentage_of_dropped_buffers=50
sleep 10
echo "left is unplugged"; v4l2-ctl -d /dev/video2 -c disconnect=1
sleep 15
echo "right's time stamps wrap"; v4l2-ctl -d /dev/video3 -c wrap_timestamp=1
wait $watch

echo "== codriver doctor --cameras"
$python -m codriver doctor --cameras | cut -c 1-160
