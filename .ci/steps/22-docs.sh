# The documentation builds without warnings: no broken link, no bad example.
. "$(dirname "$0")/../step.sh"

say "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --document-private-items
