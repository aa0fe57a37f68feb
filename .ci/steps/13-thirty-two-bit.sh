# The library where a word has 32 bits: its unit and integration tests on i686, which an x86-64 machine executes.
. "$(dirname "$0")/../step.sh"
target_32=i686-unknown-linux-gnu
rustup target list --installed | grep -qx "$target_32" || { echo "$step: rustup target add $target_32" >&2; exit 1; }
need "gcc -m32 -xc -shared -o /dev/null /dev/null" "a C compiler for 32 bits, such as Debian's gcc-multilib"

say "unit and integration tests"
# Left out is what is the same for every target: the rules of the source, and the exhaustive model of the lock's pure transitions.
cargo test -p vmaple --target "$target_32" --lib --test it --locked -- --skip layering:: --skip lock::model::
say "the index, with nodes of 4 entries"
apart small-nodes
RUSTFLAGS="--cfg vmaple_small_nodes" cargo test -p vmaple --target "$target_32" --test it --locked -- index::
