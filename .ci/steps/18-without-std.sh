# Without the feature `std`: the crate needs `alloc` alone, and readers announce themselves in slots. Checks for machines without a
# system, lints, and tests on this one. With std: checks for other systems.
. "$(dirname "$0")/../step.sh"
need "cargo clippy --version" "rustup component add clippy"

for bare in x86_64-unknown-none riscv64gc-unknown-none-elf; do
    say "$bare"
    rustup target add "$bare"
    cargo check -p vmaple --no-default-features --target "$bare" --locked
done
for other in aarch64-unknown-linux-gnu x86_64-pc-windows-gnu aarch64-apple-darwin wasm32-unknown-unknown; do
    say "$other, with std"
    rustup target add "$other"
    cargo check -p vmaple --target "$other" --locked
done

say "lints"
cargo clippy -p vmaple --all-targets --no-default-features --locked -- -D warnings
say "tests"
cargo test -p vmaple --no-default-features --lib --test it --locked
