# Each fuzz target for 10^7 executions (VMAPLE_RUNS says otherwise), from the committed seeds.
#
#   bash .ci/long/fuzz.sh                                 all of them; hours, most of them for tree_concurrent, which starts threads
#   bash .ci/long/fuzz.sh tree_ops                        one
#   VMAPLE_FUZZ_SANITIZER=address bash .ci/long/fuzz.sh   under AddressSanitizer, which .ci/steps/60-fuzz.sh uses: several times slower
#   VMAPLE_RUNS=100000 bash .ci/long/fuzz.sh kernel_diff  when asked for: a process or more for each execution, and never under that sanitizer
. "$(dirname "$0")/../step.sh"
need "cargo fuzz --version" "cargo install --locked cargo-fuzz"

declare -A max_len=([tree_ops]=512 [tree_concurrent]=768 [fault_ops]=512 [mm_ops]=600 [trace_parse]=4096 [scenario_parse]=4096 [kernel_diff]=1536)
sanitizer=${VMAPLE_FUZZ_SANITIZER:-none}
runs=${VMAPLE_RUNS:-10000000}
[ $# -gt 0 ] || set -- tree_ops tree_concurrent fault_ops mm_ops trace_parse scenario_parse
cases fuzz/corpus/scenario_parse
apart "fuzz-$sanitizer"
for fuzz_target in "$@"; do
    say "$fuzz_target, $runs executions, sanitizer: $sanitizer"
    mkdir -p "fuzz/corpus/$fuzz_target"
    cargo +nightly fuzz run -s "$sanitizer" "$fuzz_target" "fuzz/corpus/$fuzz_target" "fuzz/seeds/$fuzz_target" -- \
        -max_len="${max_len[$fuzz_target]}" -runs="$runs" -detect_leaks=0 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
done
