# Each fuzz target for a short while (VMAPLE_FUZZ_SECONDS, 15 unless said), from the committed seeds.
. "$(dirname "$0")/../step.sh"
need "cargo fuzz --version" "cargo install --locked cargo-fuzz"

# Leaks are looked for by the step of AddressSanitizer, and by the targets' own count of values.
declare -A max_len=([tree_ops]=512 [tree_concurrent]=768 [fault_ops]=512 [mm_ops]=600 [trace_parse]=4096 [scenario_parse]=4096 [kernel_diff]=1536)
seconds=${VMAPLE_FUZZ_SECONDS:-15}
cases fuzz/corpus/scenario_parse
# The kernel would lock AddressSanitizer's shadow in memory where `kernel_diff` says mlockall.
declare -A sanitizer=([kernel_diff]=none)
# Into the place of a sanitizer's builds.
built_with() { export CARGO_TARGET_DIR=$target/ci/fuzz-$1; }

say "build"
(built_with address && cargo +nightly fuzz build -s address)
for fuzz_target in "${!sanitizer[@]}"; do
    (built_with "${sanitizer[$fuzz_target]}" && cargo +nightly fuzz build -s "${sanitizer[$fuzz_target]}" "$fuzz_target")
done
for fuzz_target in $(cargo +nightly fuzz list); do
    built_with "${sanitizer[$fuzz_target]:-address}"
    say "$fuzz_target, $seconds s"
    mkdir -p "fuzz/corpus/$fuzz_target"
    cargo +nightly fuzz run -s "${sanitizer[$fuzz_target]:-address}" "$fuzz_target" "fuzz/corpus/$fuzz_target" "fuzz/seeds/$fuzz_target" -- \
        -max_len="${max_len[$fuzz_target]}" -max_total_time="$seconds" -detect_leaks=0 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
done
