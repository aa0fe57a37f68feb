# The library's tests over its own collector, of slots, instead of crossbeam-epoch.
. "$(dirname "$0")/../step.sh"

say "tests, with vmaple_slots"
apart slots
RUSTFLAGS="--cfg vmaple_slots" cargo test -p vmaple --locked
