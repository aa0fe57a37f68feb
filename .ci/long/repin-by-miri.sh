# Seeks, with Miri and many seeds (VMAPLE_SEEDS, 64 unless said), the race that a repin without its fence has over crossbeam itself.
# Succeeds when it was found. A search, no gate: which seed shows it changes with the toolchain.
. "$(dirname "$0")/../step.sh"
need "cargo +nightly miri --version" "rustup component add --toolchain nightly miri rust-src"

apart bugs-miri
export RUSTFLAGS="--cfg vmaple_bugs"
export MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-disable-isolation -Zmiri-many-seeds=0..${VMAPLE_SEEDS:-64}"
test() { cargo +nightly miri test -p vmaple --test it a_reader_that_repins; }

say "with the fence"
VMAPLE_BUG=none test
say "without it"
if VMAPLE_BUG=repin_without_fence test; then
    echo "not found in these seeds" >&2
    exit 1
fi
