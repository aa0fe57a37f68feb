# Formatting, of the workspace and of the fuzz targets, which are a workspace of their own.
. "$(dirname "$0")/../step.sh"
need "cargo fmt --version" "rustup component add rustfmt"

say "cargo fmt --check"
cargo fmt --all --check
cargo fmt --all --check --manifest-path fuzz/Cargo.toml
