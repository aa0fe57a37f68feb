# ThreadSanitizer over the integration tests, std included. No suppressions. Without vectors: it sees no loads in assembler.
. "$(dirname "$0")/../step.sh"
need "ls $(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" "rustup component add --toolchain nightly rust-src"

# What runs a million times elsewhere is for memory, not for races.
export VMAPLE_REPLACES=30000
say "integration tests"
apart thread-sanitizer
RUSTFLAGS="-Zsanitizer=thread --cfg vmaple_portable" \
    cargo +nightly test -Zbuild-std --target "$host" --release -p vmaple --test it -- --skip layering::
