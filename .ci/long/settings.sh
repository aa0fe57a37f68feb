# The README's test command under each setting that machines differ in, one after the other, and a table of what came of it. Each setting
# is restored after its tests, also where they fail or this is interrupted. As root; nothing else should run on the machine.
#
#   bash .ci/long/settings.sh                                    all of them: hours
#   bash .ci/long/settings.sh overcommit user                    those that have one of these words in their names
#   VMAPLE_TESTS="-p vmaple-cli" bash .ci/long/settings.sh       these tests instead of the whole workspace's
. "$(dirname "$0")/../step.sh"
[ "$(id -u)" -eq 0 ] || { echo "$step: settings are root's to change" >&2; exit 1; }

read -ra tests <<<"${VMAPLE_TESTS:---workspace}"
vm=/proc/sys/vm
thp=/sys/kernel/mm/transparent_hugepage

# What is set otherwise now, by file.
declare -A before=()

# The value of a setting: all of the file, or the word in brackets.
value() {
    local text
    text=$(<"$1") || return
    [[ $text =~ \[([^]]*)\] ]] && text=${BASH_REMATCH[1]}
    echo "$text"
}

# Sets what was set before, and fails where the kernel does not take it.
restore() {
    local file code=0
    for file in "${!before[@]}"; do
        if ! echo "${before[$file]}" >"$file" || [ "$(value "$file")" != "${before[$file]}" ]; then
            echo "$step: $file is not ${before[$file]} again" >&2
            code=1
        fi
    done
    before=()
    return "$code"
}
ended() {
    local code=$1
    restore || code=1
    if [ "$code" -eq 0 ]; then echo "== $step: ok, $SECONDS s"; else echo "== $step: FAILED ($code), $SECONDS s" >&2; fi
    exit "$code"
}
trap 'ended $?' EXIT

# put FILE VALUE: sets it, and fails where the kernel does not take it, or takes another value: fewer huge pages, for example.
put() {
    local old
    old=$(value "$1" 2>/dev/null) || return
    [ -n "${before[$1]:-}" ] || before[$1]=$old
    echo "$2" >"$1" 2>/dev/null && [ "$(value "$1")" = "$2" ]
}

table=()
failed=0
chosen=("$@")

# row NAME [FILE VALUE]... -- COMMAND...: sets the files, runs the command, restores them, and notes what came of it.
row() {
    local name=$1 result begun=$SECONDS
    shift
    is_chosen "$name" "${chosen[@]}" || return 0
    say "$name"
    result=
    while [ "$1" != -- ]; do
        put "$1" "$2" || result="not on this machine"
        shift 2
    done
    shift
    if [ -z "$result" ]; then
        if "$@"; then result=ok; else
            result=FAILED
            failed=1
        fi
    fi
    restore || failed=1
    table+=("$(printf '%-40s %-20s %5d s' "$name" "$result" $((SECONDS - begun)))")
}

all() { cargo test --no-fail-fast "${tests[@]}" </dev/null; }

# The executables alone: the examples in the documentation ask nothing of the system.
as_user() {
    local code=0 directory executable executables
    executables=$(test_executables "${tests[@]}") || return
    while read -r directory executable; do
        echo "   $executable"
        (cd "$directory" && as_ordinary_user "$executable" --quiet </dev/null) || code=1
    done <<<"$executables"
    return "$code"
}

small_limits() { (ulimit -l 64 && all); }
deep_stack() { (ulimit -s unlimited && all); }

say "build"
cargo test --no-run "${tests[@]}"

row "as it is" -- all
row "ordinary user" -- as_user
row "without keys" -- env VMAPLE_WITHOUT=keys cargo test --no-fail-fast "${tests[@]}" </dev/null
for count in 65530 1048576; do row "max_map_count $count" $vm/max_map_count $count -- all; done
for mode in 0 1 2; do row "overcommit_memory $mode" $vm/overcommit_memory $mode -- all; done
for count in 0 20; do row "nr_hugepages $count" $vm/nr_hugepages $count -- all; done
for word in always madvise never; do row "transparent huge pages $word" $thp/enabled $word -- all; done
for word in always within_size advise never deny force; do row "shmem_enabled $word" $thp/shmem_enabled $word -- all; done
for address in 0 4096 65536; do row "mmap_min_addr $address" $vm/mmap_min_addr $address -- all; done
row "mmap_min_addr 65536, ordinary user" $vm/mmap_min_addr 65536 -- as_user
row "legacy_va_layout 1" $vm/legacy_va_layout 1 -- all
row "randomize_va_space 0" /proc/sys/kernel/randomize_va_space 0 -- all
row "perf_event_paranoid -1, ordinary user" /proc/sys/kernel/perf_event_paranoid -1 -- as_user
row "RLIMIT_MEMLOCK of 64 KiB" -- small_limits
row "RLIMIT_STACK unlimited" -- deep_stack

echo
printf '%s\n' "${table[@]}"
exit "$failed"
