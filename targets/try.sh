#!/bin/sh
# On a board, in the folder of an unpacked kit (targets.kit): an environment of its own, then doctor, verify, validate.
#
#     sh try.sh NAME [options of targets.validate]
#
# NAME: what the page calls the board. Exit code 0: all passed; 1: something did not; either way all that was found is in
# found.tar. 2 and up: no evidence.
cd "$(dirname "$0")" || exit 2
board=$1
shift || exit 2
exec 3>&1 > said.txt 2>&1  # one place for what pip, Python and ours say; the last lines come out where it ends early

fail() {
    tail -n 5 said.txt >&3
    exit 2
}

problem() {
    echo "$1 ended with $?: $(tail -n 2 "$2" | tr -s ' \n' ' ')" >&3
    failed=1
}

rm -rf found found.tar
mkdir found
# A Jetson's TensorRT is for the system's Python. The wheel's version seldom changes while its files do: pip would keep
# the old ones.
python3 -m venv --system-site-packages env || fail
env/bin/python -m pip install -q --disable-pip-version-check --no-compile --force-reinstall --no-deps codriver-*.whl || fail
env/bin/python -m pip install -q --disable-pip-version-check --no-compile "$(echo codriver-*.whl)[targets]" || fail
env/bin/python -c 'import codriver; print("codriver runs from", codriver.__file__)' >&3
for folder in profiles/*; do
    [ -d "$folder" ] && set -- "$@" --profiles "$folder"
done
failed=0
for bundle in bundles/*; do
    name=$(basename "$bundle")
    env/bin/codriver doctor "$bundle" > "found/doctor-$name.txt" || problem "doctor $bundle" "found/doctor-$name.txt"
    env/bin/codriver verify "$bundle" > "found/verify-$name.txt" || problem "verify $bundle" "found/verify-$name.txt"
done
env/bin/python -m targets.validate bundles/* --data data --board "$board" --out found/evidence.json "$@"
code=$?
[ -f found/evidence.json ] || fail
[ $code = 0 ] || failed=1
cp said.txt found/
tar cf found.tar found || fail
grep '^targets.validate: ' said.txt >&3
exit $failed
