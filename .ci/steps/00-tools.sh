# Installs what the other steps need, where it is missing.
. "$(dirname "$0")/../step.sh"

say "toolchains and their components"
rustup component add rustfmt clippy
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
rustup component add --toolchain nightly miri rust-src llvm-tools

say "cargo-fuzz"
cargo fuzz --version || cargo install --locked cargo-fuzz
need "c++ --version" "a C++ compiler (libFuzzer is C++), such as Debian's g++"
