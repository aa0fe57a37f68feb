# Each fuzz target for 10^7 executions (VMAPLE_RUNS says otherwise), from the committed seeds.
#
#   bash .ci/long/fuzz.sh                                 all of them; hours
#   bash .ci/long/fuzz.sh tree_ops                        one
#   VMAPLE_FUZZ_SANITIZER=address bash .ci/long/fuzz.sh   under AddressSanitizer, which .ci/steps/60-fuzz.sh uses: several times slower
#   VMAPLE_RUNS=100000 bash .ci/long/fuzz.sh kernel_diff  when asked for: a process or more for each execution, and never under that sanitizer
. "$(dirname "$0")/../step.sh"
need "cargo fuzz --version" "cargo install --locked cargo-fuzz"

declare -A max_len=([tree_ops]=512 [tree_concurrent]=768 [fault_ops]=512 [mm_ops]=600 [trace_parse]=4096 [scenario_parse]=4096 [kernel_diff]=1536)
sanitizer=${VMAPLE_FUZZ_SANITIZER:-none}
runs=${VMAPLE_RUNS:-10000000}
[ $# -gt 0 ] || set -- tree_ops tree_concurrent fault_ops mm_ops trace_parse scenario_parse
# Where the fuzzer writes text it learns from what the text is compared with. Elsewhere its bytes are taken for numbers, by their remainders,
# and to note each comparison took half of the time and more.
declare -A compares=([trace_parse]=yes [scenario_parse]=yes)
cases fuzz/corpus/scenario_parse
for fuzz_target in "$@"; do
    flag=--no-trace-compares
    [ -z "${compares[$fuzz_target]:-}" ] || flag=
    apart "fuzz-$sanitizer$flag"
    say "$fuzz_target, $runs executions, sanitizer: $sanitizer"
    mkdir -p "fuzz/corpus/$fuzz_target"
    # The limit of time is a long one: a process that was stopped for a minute is no finding.
    cargo +nightly fuzz run -s "$sanitizer" $flag "$fuzz_target" "fuzz/corpus/$fuzz_target" "fuzz/seeds/$fuzz_target" -- \
        -max_len="${max_len[$fuzz_target]}" -runs="$runs" -detect_leaks=0 -timeout=300 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
done
