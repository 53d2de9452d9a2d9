#!/bin/sh
# Brings .tools/NAME to the state that requirements/tools/NAME.txt asks for, and does nothing when it is there already.
#
#   scripts/tool.sh NAME...
#
# PYTHON in the environment names the interpreter to build on (python3).
set -eu

cd "$(dirname "$0")/.."

fail() {
    echo "error: $*" >&2
    exit 1
}

PROBE='
import sys
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit("error: Python 3.10 to 3.13 is needed and this one is %d.%d: name another, as in make PYTHON=python3.12 ..."
             % sys.version_info[:2])
'

prepare() {
    lock=requirements/tools/$1.txt
    folder=.tools/$1
    [ -f "$lock" ] || fail "there is no tool $1: see requirements/tools"
    wanted=$(cksum <"$lock")
    if [ -f "$folder/installed" ] && [ "$(cat "$folder/installed")" = "$wanted" ] &&
        "$folder/bin/python" -c '' 2>/dev/null; then
        return
    fi
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null 2>&1 || fail "there is no command $python: Python 3.10 to 3.13 is needed"
    "$python" -c "$PROBE"
    echo "installing the tool $1…" >&2
    rm -rf "$folder"
    mkdir -p .tools
    "$python" -m venv "$folder" || fail "python -m venv failed"
    # --no-deps: the lock is complete, and an older pip would look for newer versions of what has extras.
    "$folder/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --no-deps \
        --require-hashes --requirement "$lock" >"$folder/pip.log" 2>&1 || {
        grep '^ERROR' "$folder/pip.log" >&2 || tail -n 20 "$folder/pip.log" >&2
        fail "pip could not install $1; all it said is in $folder/pip.log"
    }
    echo "$wanted" >"$folder/installed"
}

[ $# -gt 0 ] || fail "usage: scripts/tool.sh NAME..."
for name; do prepare "$name"; done
