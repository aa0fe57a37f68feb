# loom: every interleaving of a writer and a reader, fan-out 4, over the model of a collector.
. "$(dirname "$0")/../step.sh"

say "models"
apart loom
RUSTFLAGS="--cfg vmaple_loom" cargo test --release -p vmaple --test models -- --nocapture
say "models of tickets, which are unit tests"
RUSTFLAGS="--cfg vmaple_loom" cargo test --release -p vmaple --lib sync::ticket -- --nocapture
