# The published crates build, and the library's tests pass, with the oldest Rust that their manifests name. With no feature, too.
. "$(dirname "$0")/../step.sh"
apart minimum-rust

oldest=$(sed -n '/^\[package\]/,$ s/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rustup toolchain install "$oldest" --profile minimal
say "Rust $oldest"
cargo "+$oldest" check -p vmaple --no-default-features --locked
cargo "+$oldest" check -p vmaple-trace --locked
cargo "+$oldest" test -p vmaple --lib --test it --locked -- --skip layering::
