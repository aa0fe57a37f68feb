# The integration tests with nodes of 4 entries instead of 16, so that their few entries make trees of several levels. Left out are the rules
# of the source, and the tests that count bytes, because how many are gathered before a look depends on the size of a node.
. "$(dirname "$0")/../step.sh"

say "integration tests"
apart small-nodes
RUSTFLAGS="--cfg vmaple_small_nodes" cargo test -p vmaple --test it --locked -- \
    --skip layering:: --skip memory::stats:: --skip memory::pinned:: --skip memory::reclamation::
