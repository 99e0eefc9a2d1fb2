# In the guest: start, look, reload, hang on purpose, stop; and what is on the disk afterwards. `ok` or `FAILED` each.
here=$1 packages=$2
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=$here/sdk:$packages PYTHONDONTWRITEBYTECODE=1
state=/var/lib/codriver percepts=/var/lib/codriver/percepts.jsonl failed= swapped=0
now() { cut -d' ' -f1 /proc/uptime; }
show() { systemctl show codriver -p "$1" --value; }
told() { echo "        $(now) s  $(show ActiveState)  restarts $(show NRestarts)  $(show StatusText)"; }
until_true() { for _ in $(seq 600); do eval "$1" && return; sleep 0.2; done; echo "FAILED  not within two minutes: $1"; failed=yes; }
holds() { if eval "$2"; then echo "ok      $1"; else echo "FAILED  $1"; failed=yes; fi; }
steps() { wc -l < $percepts; }
after() { local end=$(($(steps) + $1)); until_true "[ \$(steps) -ge $end ]"; }
ip link set lo up
echo "== $(uname -sr), $(systemctl --version | head -1); $(now) s after power on"
holds "systemd-analyze verify finds nothing wrong with the unit" "systemd-analyze verify codriver.service"

echo "== start"
systemctl start codriver; told
holds "systemctl start came back once it was ready: the first step ended" '[ "$(show ActiveState)" = active ] && [ "$(steps)" -ge 1 ]'
after 30; told

echo "== a root that is read only"
inside="nsenter -t $(show MainPID) -m -r"
holds "it cannot write to /etc, /opt, /usr" '! $inside touch /etc/codriver/x && ! $inside touch /opt/x && ! $inside touch /usr/x'
holds "it can write to $state" '$inside touch $state/x'

echo "== reload"
for _ in 1 2 3 4 5; do
    systemctl reload codriver
    until_true '[ "$(grep -c swapped $percepts)" -gt $swapped ]'; swapped=$(grep -c swapped $percepts); told; after 25
done
echo "== a hang, made on purpose: the process is stopped"
at=$(now); kill -STOP "$(show MainPID)"; until_true '[ "$(show Result)" = watchdog ]'; until_true '[ "$(show NRestarts)" = 1 ]'; ended=$(now); told
holds "the watchdog (5 s) ended it, and systemd began it anew (2 s later): $at to $ended s, 10 s allowed" \
    'python3 -c "exit($ended - $at > 10)"'
until_true '[ "$(show ActiveState)" = active ]'; told
holds "it was started again, and is ready" '[ "$(show ActiveState)" = active ] && [ "$(show NRestarts)" = 1 ]'
after 20; told

echo "== stop"
at=$(now); systemctl stop codriver; took=$(python3 -c "print(round($(now) - $at, 2))"); told
holds "it ended in order within 2 s of SIGTERM: $took s, systemctl's own time among it, exit code $(show ExecMainStatus)" \
    '[ "$(show Result) $(show ExecMainStatus)" = "success 0" ] && python3 -c "exit($took > 2)"'

echo "== what is on the disk"
python3 "$here/tests/vehicle/judge_service.py" $state 0.2 || failed=yes

echo "== journal"
journalctl -u codriver --no-pager -o short-monotonic | grep -v "systemd\[1\]: .*Consumed" | tail -25
systemd-analyze security codriver.service --no-pager 2> /dev/null | tail -1
[ -z "$failed" ] && echo "== all of it held" || echo "== NOT all of it held"
sync; systemctl poweroff -ff
