# Without the feature `parking`: what waits spins, and calls nothing of the system. Lints, and the tests of what waits.
. "$(dirname "$0")/../step.sh"
need "cargo clippy --version" "rustup component add clippy"

say "lints"
cargo clippy -p vmaple --all-targets --no-default-features --features std --locked -- -D warnings

say "the lock, the VMA, the fault path, what waits for them"
cargo test -p vmaple --no-default-features --features std --lib -- sync:: lock:: vma:: fault::
cargo test -p vmaple --no-default-features --features std --test it -- lock:: vma:: fault:: mm:: memory::pinned::
