# shuttle: 10,000 random schedules of each model at the real fan-out (VMAPLE_SCHEDULES says otherwise).
. "$(dirname "$0")/../step.sh"

say "models, ${VMAPLE_SCHEDULES:-10000} schedules each"
apart shuttle
RUSTFLAGS="--cfg vmaple_shuttle" cargo test --release -p vmaple --test models
