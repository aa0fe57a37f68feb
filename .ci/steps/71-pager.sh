# The pager serves real page faults of this kernel. It says itself what is missing where it may not.
. "$(dirname "$0")/../step.sh"

say "pager"
cargo build --release -p vmaple-examples --bin pager
# A fault that nobody served would be waited for without end.
timeout 300 "$target/release/pager"
