# AddressSanitizer over the integration tests, leaks included. Freed nodes go back to the system, so that each use after free is seen;
# without vectors, since it sees no loads in assembler.
. "$(dirname "$0")/../step.sh"
need "ls $(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" "rustup component add --toolchain nightly rust-src"

# What runs a million times elsewhere is for memory, not for races.
export VMAPLE_REPLACES=30000
say "integration tests"
apart address-sanitizer
RUSTFLAGS="-Zsanitizer=address --cfg vmaple_no_pool --cfg vmaple_portable" \
    cargo +nightly test -Zbuild-std --target "$host" --release -p vmaple --test it --test memory_short -- --skip layering::
