#!/bin/sh
# Makes the environments of the Salt tests in $1: Salt 3006 and 3008, each in its own, and beside them
# saltext-zookeeper. Only what is missing, or was made from another list of requirements, is made.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
to=$1
python=${2:-python3}
mkdir -p "$to"

make_environment() {
    list=$here/requirements-$1.txt
    cmp -s "$list" "$to/$1/installed" && return 0
    rm -rf "${to:?}/$1"
    "$python" -m venv "$to/$1"
    # 66 is the last major version of setuptools that is known to build both releases of Salt.
    "$to/$1/bin/python" -m pip install --quiet 'pip>=25.1' 'setuptools<67' wheel
    # Salt's own build asks for versions of its own; the list has everything, so nothing is looked up.
    "$to/$1/bin/python" -m pip install --quiet --no-deps --requirement "$list"
    cp "$list" "$to/$1/installed"
}

make_beside() {
    list=$here/requirements-beside.txt
    cmp -s "$list" "$to/beside/installed" && return 0
    rm -rf "${to:?}/beside"
    "$python" -m pip install --quiet --no-deps --target "$to/beside" --requirement "$list"
    cp "$list" "$to/beside/installed"
}

make_environment 3006 >"$to/3006.log" 2>&1 & first=$!
make_environment 3008 >"$to/3008.log" 2>&1 & second=$!
make_beside >"$to/beside.log" 2>&1 & third=$!
failed=
wait $first || failed="$failed 3006"
wait $second || failed="$failed 3008"
wait $third || failed="$failed beside"
[ -z "$failed" ] && exit 0
for one in $failed; do
    echo "the environment of the Salt tests could not be made: $one; the end of $to/$one.log:" >&2
    tail -5 "$to/$one.log" >&2
done
echo "they need Python 3.10 to 3.12 (this is $("$python" --version)) and a package index" >&2
exit 1
