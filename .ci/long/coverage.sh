# Coverage of the index and the map: lines, and branches by the nightly compiler, of the unit tests, the integration tests and the
# failing allocations.
. "$(dirname "$0")/../step.sh"
need "cargo llvm-cov --version" "cargo install --locked cargo-llvm-cov"
need "ls $(rustc +nightly --print sysroot)/lib/rustlib/$host/bin/llvm-cov" "rustup component add --toolchain nightly llvm-tools"

apart coverage
say "tests"
cargo +nightly llvm-cov --branch --no-report -p vmaple --lib --test it --test memory_short -- --skip layering::
RUSTFLAGS="--cfg vmaple_small_nodes" cargo +nightly llvm-cov --branch --no-report -p vmaple --test it -- index::
say "src/tree and src/map"
# Only these two.
elsewhere='src/(addr|docs|error|fallible|key|lib|lock|mm|sync|value|vma)|tests/|cargo/registry'
cargo +nightly llvm-cov report --ignore-filename-regex "$elsewhere"
mkdir -p "$target/coverage"
cargo +nightly llvm-cov report --ignore-filename-regex "$elsewhere" --show-missing-lines >"$target/coverage/lines.txt"
cargo +nightly llvm-cov report --ignore-filename-regex "$elsewhere" --text --output-path "$target/coverage/annotated.txt"
echo "   which lines: $target/coverage/lines.txt; with their source and branches: $target/coverage/annotated.txt"
