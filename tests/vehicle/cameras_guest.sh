# In the guest: a service with four cameras, which lose pictures, vanish, and stamp by clocks that nobody can believe.
here=$1 python=$2 service=$3
export HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1 OPENCV_LOG_LEVEL=ERROR OMP_NUM_THREADS=1 PYTHONPATH=$here/sdk:$here
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd "$here" || exit 1
now() { echo "$(cut -d' ' -f1 /proc/uptime) s"; }
steps() { wc -l < /run/percepts.jsonl; }
after() { local end=$(($(steps) + $1)); for _ in $(seq 900); do [ "$(steps)" -ge $end ] && return; sleep 0.3; done; }
# vivid waits for its next picture by asking for the time over and over: here four of them take what steps need.
gently() { renice -n 10 -p $(pgrep vivid-) > /run/reniced 2>&1; }
control() { v4l2-ctl -d /dev/video$1 -c $2; }
echo "== $(uname -sr), $(now) after power on"
mount -t tracefs tracefs /sys/kernel/tracing && echo 1 > /sys/kernel/tracing/events/v4l2/v4l2_dqbuf/enable

echo "== codriver doctor --cameras"
$python -m codriver doctor --cameras | grep -v "^rtsp\|^GStreamer" | cut -c 1-120

echo "== the kernel's times of three pictures of 5 Hz, as vivid is, and as it says when the picture began"
v4l2-ctl -d /dev/video0 --set-fmt-video=width=320,height=180,pixelformat=YUYV --set-parm=5 > /run/set
for source in 0 1; do
    control 0 timestamp_source=$source
    v4l2-ctl -d /dev/video0 --stream-mmap --stream-count=3 --verbose 2>&1 | grep -o 'seq:.*'
done

echo "== codriver serve with four cameras"
for n in 0 1 2 3; do control $n timestamp_source=1,test_pattern=$((n * 3)),horizontal_movement=5; done
$python -m codriver serve "$service" & serving=$!
for _ in $(seq 600); do [ -s /run/percepts.jsonl ] && break; sleep 0.5; done
gently; after 40
echo "-- $(now): front loses half of its pictures"; control 1 percentage_of_dropped_buffers=50
after 80; control 1 percentage_of_dropped_buffers=0
echo "-- $(now): left is unplugged"; control 2 disconnect=1
after 25; gently
echo "-- $(now): right is unplugged, and comes back with times that wrap in 16 s"; control 3 wrap_timestamp=1; control 3 disconnect=1
after 40; gently
echo "-- $(now): right is unplugged once more, and comes back with the kernel's times"; control 3 wrap_timestamp=0; control 3 disconnect=1
after 25; gently
echo "-- $(now): incar stamps the end of a picture that it handed out when it began"; control 0 timestamp_source=0
after 15; control 0 timestamp_source=1
after 15
kill -TERM $serving; wait $serving; echo "-- $(now): the service ended with $?"
cat /sys/kernel/tracing/trace > /run/trace

echo "== what the percepts say of it, and what the kernel does"
$python -m tests.vehicle.judge_cameras /run/percepts.jsonl /run/trace && echo "== all of it held" || echo "== NOT all of it held"
