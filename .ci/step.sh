# What every step begins with: sourced by the files in steps/ and long/, which may then use what is defined here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where builds go that the steps share; those with flags of their own keep apart below it.
target=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')
step=$(basename "$0" .sh)
# A step that is killed has failed, whatever its last command returned.
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'code=$?; if [ $code -eq 0 ]; then echo "== $step: ok, $SECONDS s"; else echo "== $step: FAILED ($code), $SECONDS s" >&2; fi' EXIT

# Says what comes now.
say() { echo "== $step: $*"; }

# need COMMAND HOW: fails where the command does not run, and says how to come by it.
need() {
    if ! $1 >/dev/null 2>&1; then
        echo "$step: \`$1\` does not run; it comes with: $2" >&2
        exit 1
    fi
}

# apart NAME: builds in a directory of its own, so that steps with other compiler flags do not rebuild each other's work.
apart() { export CARGO_TARGET_DIR=$target/ci/$1; }

# cases DIR: the cases of the scenarios, a file each, as seeds of the fuzzer that executes them.
cases() {
    mkdir -p "$1"
    awk -v into="$1" '
        FNR == 1 || /^reset$/ { close(file); file = into "/" ++count; print "vmaple-trace 1" > file; next }
        { print > file }
    ' tests/scenarios/*.vmaple
}

# test_executables OPTION...: builds the tests that `cargo test OPTION...` would run, and prints a line for each executable: the directory
# that it runs in, and its path. Fails where there are none.
test_executables() {
    cargo test --no-run --message-format=json "$@" |
        sed -n 's/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"overflow_checks":[a-z]*,"test":true}.*"executable":"\([^"]*\)".*/\1 \2/p' |
        grep . || { echo "$step: no test executables: $*" >&2; return 1; }
}

# as_ordinary_user COMMAND...: runs it as a user without privileges. Where such a user cannot read this checkout, as root without
# capabilities, which is the same for all that the tests ask of the system.
as_ordinary_user() {
    local nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    local bare=(setpriv --bounding-set=-all --inh-caps=-all)
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif "${nobody[@]}" test -r Cargo.toml -a -x "$1"; then
        "${nobody[@]}" "$@"
    else
        "${bare[@]}" "$@"
    fi
}

# is_chosen NAME [WORD...]: whether one of the words is in the name; all names are chosen where there are no words.
is_chosen() {
    local name=$1 word
    shift
    [ $# -eq 0 ] && return 0
    for word in "$@"; do
        [[ $name == *"$word"* ]] && return 0
    done
    return 1
}
