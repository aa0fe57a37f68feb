# Miri: undefined behaviour, leaks and weak memory, with fan-out 4 and without the pool.
#
# Over crossbeam-epoch under Tree Borrows, with its casts between integers and pointers let through: crossbeam-epoch 0.9 is sound under
# no stricter rules. Over the model of a collector our own code passes the strict ones: Stacked Borrows and strict provenance.
. "$(dirname "$0")/../step.sh"
need "cargo +nightly miri --version" "rustup component add --toolchain nightly miri rust-src"

unit_and_integration_tests() { cargo +nightly miri test -p vmaple --lib --test it; }

over_crossbeam() {
    apart miri
    MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-permissive-provenance" unit_and_integration_tests
}
over_the_model() {
    apart miri-model
    RUSTFLAGS="--cfg vmaple_model" MIRIFLAGS="-Zmiri-strict-provenance" unit_and_integration_tests
}

# Miri has one thread of its own, and this is the longest step: both at once.
say "over crossbeam-epoch; beside it, told of afterwards, over the model of a collector, under strict rules"
log=$(mktemp)
(over_the_model) >"$log" 2>&1 &
beside=$!
failed=0
(over_crossbeam) || failed=1
wait "$beside" || failed=1
say "over the model of a collector, under strict rules"
cat "$log"
rm -f "$log"
exit "$failed"
