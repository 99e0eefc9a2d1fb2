# User Mode Linux, a kernel that runs as a process: what can.sh and systemd.sh have in common. $kept: their folder.
fetch_uml() {
    [ -d "$kept/uml" ] ||
        (cd "$kept" && apt-get download -q user-mode-linux && dpkg -x user-mode-linux_*.deb uml && rm user-mode-linux_*.deb)
}

# boot_uml INIT: until it powers off. The guest's root is this machine's, read only; INIT is the first thing that it runs.
boot_uml() {
    chmod +x "$1"
    TMPDIR="$kept" timeout 900 "$kept/uml/usr/bin/linux.uml" mem=1500M rootfstype=hostfs rootflags=/ ro init="$1" \
        con=null con0=fd:0,fd:1 quiet < /dev/null &
    # A vehicle's computer has its processor to itself. What this machine does besides would be a gap of the guest's, so
    # it comes first here, where that is allowed: each of its sessions is a group of its own to the scheduler.
    for _ in 1 2 3; do
        sleep 1
        for process in $(pgrep -f "init=$1"); do echo -19 2> /dev/null > "/proc/$process/autogroup" || true; done
    done 2> /dev/null
    wait $!
}
