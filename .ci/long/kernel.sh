# Random operations on library and kernel in step, 10^6 of them (VMAPLE_KERNEL_OPS says otherwise); the seed is the first argument.
#
#   bash .ci/long/kernel.sh 9001
. "$(dirname "$0")/../step.sh"

seed=${1:-9001}
ops=${VMAPLE_KERNEL_OPS:-1000000}
say "$ops random operations, seed $seed"
cargo run --release -p vmaple-cli -- run --fuzz --ops "$ops" --seed "$seed" --out "${VMAPLE_OUT:-.}"
