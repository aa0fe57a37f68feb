# Lints, warnings as errors: everything as it is built plainly, then the library over its own collector, and under the cfgs of the
# checkers: those of the models alone, the others together.
. "$(dirname "$0")/../step.sh"
need "cargo clippy --version" "rustup component add clippy"

say "workspace"
cargo clippy --workspace --all-targets --locked -- -D warnings

for cfgs in "vmaple_slots vmaple_bugs" "vmaple_loom vmaple_bugs" "vmaple_shuttle vmaple_bugs" "vmaple_model vmaple_small_nodes vmaple_no_pool vmaple_portable vmaple_bugs"; do
    say "library, with $cfgs"
    apart "clippy-${cfgs%% *}"
    RUSTFLAGS=$(printf -- '--cfg %s ' $cfgs) cargo clippy -p vmaple --all-targets -- -D warnings
done
