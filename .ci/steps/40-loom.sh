# loom: every interleaving of a writer and a reader, fan-out 4, over the model of a collector.
. "$(dirname "$0")/../step.sh"

say "models"
apart loom
RUSTFLAGS="--cfg vmaple_loom" cargo test --release -p vmaple --test models -- --nocapture
say "models of tickets and slots, which are unit tests"
RUSTFLAGS="--cfg vmaple_loom" cargo test --release -p vmaple --lib -- sync::ticket sync::slots --nocapture
say "models of the index, over slots"
apart loom-slots
RUSTFLAGS="--cfg vmaple_loom --cfg vmaple_slots" cargo test --release -p vmaple --test models -- scenarios:: --nocapture
