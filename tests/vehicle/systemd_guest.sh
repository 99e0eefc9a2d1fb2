# In the guest: start, look, reload, hang on purpose, stop; and what is on the disk afterwards.
here=$1 packages=$2
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=$here/sdk:$packages PYTHONDONTWRITEBYTECODE=1
now() { cut -d' ' -f1 /proc/uptime; }
show() { systemctl show codriver -p "$1" --value; }
told() { echo "$(now) s  $(show ActiveState)  restarts $(show NRestarts)  $(show StatusText)"; }
until_true() { for _ in $(seq 600); do eval "$1" && return; sleep 0.2; done; echo "NOT WITHIN TWO MINUTES: $1"; }
ip link set lo up
echo "== $(uname -sr), $(systemctl --version | head -1); $(now) s after power on"
systemd-analyze verify codriver.service && echo "systemd-analyze verify: the unit is right"
echo "== start"
systemctl start codriver; told
until_true '[ "$(wc -l < /var/lib/codriver/percepts.jsonl)" -gt 30 ]'; told
echo "== it sees a root that is read only, and may write where its state is"
nsenter -t "$(show MainPID)" -m -r touch /etc/codriver/x /opt/x 2>&1 | sed "s/^/  /"; nsenter -t "$(show MainPID)" -m -r touch /var/lib/codriver/x && echo "/var/lib/codriver can be written"
echo "== reload"
systemctl reload codriver; until_true 'show StatusText | grep -q reloaded'; told
before=$(wc -l < /var/lib/codriver/percepts.jsonl)
until_true '[ "$(wc -l < /var/lib/codriver/percepts.jsonl)" -gt $((before + 15)) ]'
python3 - << 'P'
import json
from statistics import median
t = [json.loads(line)["t"] for line in open("/var/lib/codriver/percepts.jsonl")]
gaps = [b - a for a, b in zip(t[20:], t[21:])]
print(f"between two steps, the reload among them: median {median(gaps):.2f} s, most {max(gaps):.2f} s, {len(t)} steps")
P
echo "== a hang, made on purpose: the process is stopped, $(now) s"
kill -STOP "$(show MainPID)"; until_true '[ "$(show NRestarts)" = 1 ]'; told
until_true '[ "$(show ActiveState)" = active ]'; told
lines=$(wc -l < /var/lib/codriver/percepts.jsonl)
until_true '[ "$(wc -l < /var/lib/codriver/percepts.jsonl)" -gt $((lines + 20)) ]'; told
echo "== stop, $(now) s"
systemctl stop codriver; told; echo "result $(show Result), exit code $(show ExecMainStatus)"
python3 - << 'P'
import json
from pathlib import Path
from codriver.recording.reader import Recording
lines = Path("/var/lib/codriver/percepts.jsonl").read_text().splitlines()
whole = 0
for line in lines:
    try: json.loads(line); whole += 1
    except ValueError: pass
print(f"percepts: {whole} of {len(lines)} lines are whole")
for drive in sorted(Path("/var/lib/codriver/drives").iterdir()):
    recording = Recording(drive)
    print(f"drive {drive.name}: {len(list(recording.steps()))} steps, cut short: {recording.cut or 'none'}")
P
echo "== journal"
journalctl -u codriver --no-pager -o short-monotonic | grep -v "systemd\[1\]: .*Consumed" | tail -25
systemd-analyze security codriver.service --no-pager 2> /dev/null | tail -1
echo "== end"; sync; systemctl poweroff -ff
