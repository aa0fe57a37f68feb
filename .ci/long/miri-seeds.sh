# Miri over the tests that have threads, with many seeds (VMAPLE_SEEDS, 64 unless said): each is another order of threads and another
# choice of what weak memory lets a load see.
#
#   bash .ci/long/miri-seeds.sh              the tests of memory and of linearizability
#   bash .ci/long/miri-seeds.sh index::history::    those with this in their names
. "$(dirname "$0")/../step.sh"
need "cargo +nightly miri --version" "rustup component add --toolchain nightly miri rust-src"

seeds=${VMAPLE_SEEDS:-64}
[ $# -gt 0 ] || set -- index::history:: memory::
apart miri
say "$seeds seeds: $*"
MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-disable-isolation -Zmiri-many-seeds=0..$seeds" \
    cargo +nightly miri test -p vmaple --test it -- "$@"
