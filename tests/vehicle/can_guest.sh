# In the guest: a drive, a thousand messages with a hundred corrupted, and an interface that comes and goes.
python=$1 bundle=$2 clip=$3
said=/run/can; mkdir -p $said
listen() { candump -L -D $1 > $said/$2 2> /dev/null & candump=$!; }
receive() { $python samples/can_receiver.py /run/map/codriver.dbc socketcan vcan0 > $said/$1 & receiver=$!
    until grep -qs listening $said/$1; do sleep 0.1; done; }
echo "== $(uname -sr), $(cut -d' ' -f1 /proc/uptime) s after power on"
ip link set lo up
ip link add dev vcan0 type vcan && ip link set vcan0 up; ip -br link show vcan0
$python -m codriver map can --copy /run/map > /dev/null

echo "== a drive: samples/can_dms.py $clip"
listen vcan0 drive.log; receive received.txt
$python samples/can_dms.py $bundle $clip socketcan vcan0; wait $receiver; kill $candump
cantools decode --single-line /run/map/codriver.dbc < $said/drive.log > $said/decoded.txt 2> $said/decoding
tail -4 $said/drive.log; tail -4 $said/decoded.txt | cut -c 1-150

echo "== a thousand messages, a hundred of them corrupted"
receive corrupted.txt
$python -m tests.corrupt_can socketcan vcan0; wait $receiver; tail -4 $said/corrupted.txt | grep ': '

echo "== the link goes down and comes up, the interface is deleted and made anew"
listen any links.log
$python -m tests.vehicle.can_links | tee $said/links.jsonl; kill $candump

echo "== judged"
$python -m tests.vehicle.judge_can $said $bundle $clip && echo "== all of it held" || echo "== NOT all of it held"
