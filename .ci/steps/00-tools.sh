# Installs what the other steps need, where it is missing.
. "$(dirname "$0")/../step.sh"

say "toolchains and their components"
rustup component add rustfmt clippy
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
rustup component add --toolchain nightly miri rust-src llvm-tools

say "a 32-bit target, and a C compiler that links for it"
rustup target add i686-unknown-linux-gnu
gcc -m32 -xc -shared -o /dev/null /dev/null 2>/dev/null || { apt-get update -qq && apt-get install -y -qq gcc-multilib; }
need "gcc -m32 -xc -shared -o /dev/null /dev/null" "a C compiler for 32 bits, such as Debian's gcc-multilib"

say "cargo-fuzz"
cargo fuzz --version || cargo install --locked cargo-fuzz
need "c++ --version" "a C++ compiler (libFuzzer is C++), such as Debian's g++"
