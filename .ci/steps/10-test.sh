# The README's test command: unit tests, integration tests, the examples in the documentation.
. "$(dirname "$0")/../step.sh"

say "cargo test --workspace"
cargo test --workspace
