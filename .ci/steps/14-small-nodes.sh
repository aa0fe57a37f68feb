# The integration tests with nodes of 4 entries instead of 16, so that their few entries make trees of several levels.
. "$(dirname "$0")/../step.sh"

say "integration tests"
apart small-nodes
RUSTFLAGS="--cfg vmaple_small_nodes" cargo test -p vmaple --test it --locked -- --skip layering::
