# Linearizability: 10^7 answers of readers beside a writer (VMAPLE_ANSWERS says otherwise), each checked against the versions between
# which it was given, at least half of them given while a write was under way.
. "$(dirname "$0")/../step.sh"

export VMAPLE_ANSWERS=${VMAPLE_ANSWERS:-10000000}
say "$VMAPLE_ANSWERS answers"
cargo test --release -p vmaple --test it history -- --nocapture
