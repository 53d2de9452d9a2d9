#!/bin/sh
# Brings .venv to the state a make target needs, and does nothing when it is there already.
#
#   scripts/venv.sh serve | train | all | lock
#
# PYTHON in the environment names the interpreter to build on; without it any .venv of a supported version will
# do, and a new one is built on python3. An environment whose making was cut off is made again from nothing.
set -eu

cd "$(dirname "$0")/.."

venv=.venv
state=$venv/.state # python: what .venv was built on; serve, train, all, lock: checksums of what was installed
log=$state/pip.log

fail() {
    echo "error: $*" >&2
    exit 1
}

# The code of these probes must also parse on the old versions it turns away.
PROBE='
import sys
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit("error: Python 3.10 to 3.13 is needed and this one is %d.%d: name another, as in make PYTHON=python3.12 ..."
             % sys.version_info[:2])
print("%d.%d.%d %s" % (sys.version_info[:3] + (sys.base_prefix,)))
'
CAN_MAKE_VENV='
import sys
try:
    import ensurepip, venv
except ImportError:
    sys.exit("error: this Python has no venv module; on Debian and Ubuntu: apt-get install python3-venv")
print(getattr(sys, "_base_executable", None) or sys.executable)
'
# The path is relative, so that the checkout can be moved.
PUT_SRC_ON_PATH='
import os, sysconfig
site = sysconfig.get_path("purelib")
with open(os.path.join(site, "fraud_scoring_src.pth"), "w") as pth:
    pth.write(os.path.relpath("src", site) + "\n")
'

files_of() {
    case $1 in
    serve) echo runtime embedded ;;
    train) echo runtime embedded training ;;
    all) echo runtime embedded training dev ;;
    lock) echo lock-tool ;;
    *) fail "usage: scripts/venv.sh serve | train | all | lock" ;;
    esac
}

checksum_of() {
    for name in $(files_of "$1"); do cat "requirements/$name.txt"; done | cksum
}

is_installed() {
    [ -f "$state/$1" ] && [ "$(cat "$state/$1")" = "$(checksum_of "$1")" ]
}

probe() {
    command -v "$1" >/dev/null 2>&1 || fail "there is no command $1: Python 3.10 to 3.13 is needed"
    "$1" -c "$PROBE"
}

is_usable() {
    [ -f "$state/python" ] && [ ! -e "$state/unfinished" ] && "$venv/bin/python" -c '' 2>/dev/null || return 1
    [ -z "$asked_for" ] || [ "$(cat "$state/python")" = "$asked_for" ]
}

create() {
    python=${PYTHON:-python3}
    built_on=${asked_for:-$(probe "$python")}
    # Not $python itself, which may be that of the .venv about to go.
    base=$("$python" -c "$CAN_MAKE_VENV")
    version=${built_on%% *}
    echo "creating .venv (Python ${version%.*})…"
    rm -rf "$venv"
    "$base" -m venv "$venv" || fail "python -m venv failed"
    "$venv/bin/python" -c "$PUT_SRC_ON_PATH"
    mkdir "$state"
    echo "$built_on" >"$state/python"
}

show_pip_errors() {
    grep '^WARNING: Retrying' "$log" | tail -n 1 >&2 # says why a package "was not found"
    if grep -q '^ERROR' "$log"; then
        sed -n '/^ERROR/,$p' "$log" >&2
    else
        tail -n 20 "$log" >&2
    fi
}

# Until pip begins to write packages, an install that fails or is cut off leaves .venv as it was.
forget_if_untouched() {
    grep -q '^Installing collected packages' "$log" || rm -f "$state/unfinished"
}

interrupted() {
    forget_if_untouched
    exit "$1"
}

install() {
    group=$1
    case $group in
    serve) echo "installing runtime packages…" ;;
    train) echo "installing runtime and training packages…" ;;
    all) echo "installing runtime, training and development packages…" ;;
    lock) echo "installing the lock tool…" ;;
    esac
    set --
    for name in $(files_of "$group"); do set -- "$@" --requirement "requirements/$name.txt"; done
    : >"$log"
    : >"$state/unfinished"
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM HUP
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --require-hashes "$@" >"$log" 2>&1; then
        forget_if_untouched
        show_pip_errors
        fail "pip could not install the packages; all it said is in $log"
    fi
    rm "$state/unfinished"
    checksum_of "$group" >"$state/$group"
    case $group in all | train) checksum_of serve >"$state/serve" ;; esac
    case $group in all) checksum_of train >"$state/train" ;; esac
}

[ $# -eq 1 ] || set -- ""
files_of "$1" >/dev/null
asked_for=
[ -z "${PYTHON:-}" ] || asked_for=$(probe "$PYTHON")
is_usable || create
is_installed "$1" || install "$1"
