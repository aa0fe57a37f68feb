# The running kernel as judge: every scenario on both sides, and random operations in step (VMAPLE_KERNEL_OPS, 50000 unless said).
. "$(dirname "$0")/../step.sh"

say "scenarios, library and kernel"
cargo run --release -p vmaple-cli -- run --diff tests/scenarios/*.vmaple

ops=${VMAPLE_KERNEL_OPS:-50000}
say "$ops random operations, library and kernel in step"
"$target/release/vmaple" run --fuzz --ops "$ops" --out "$(mktemp -d)"
