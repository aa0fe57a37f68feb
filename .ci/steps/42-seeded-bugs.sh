# The checkers are checked: built with deliberate faults (--cfg vmaple_bugs), each must be found by the gate that is to find it.
#
#   bash .ci/steps/42-seeded-bugs.sh            all
#   bash .ci/steps/42-seeded-bugs.sh retire     those whose names start with this word
. "$(dirname "$0")/../step.sh"

wanted=${1:-}
missed=0

# finds BUG GATE COMMAND...: the command passes without the bug, and fails with it.
finds() {
    local bug=$1 gate=$2
    shift 2
    [[ $bug == "$wanted"* ]] || return 0
    say "$bug, by $gate"
    local log=$target/ci/seeded-$bug-$gate.log
    mkdir -p "$target/ci"
    if ! VMAPLE_BUG=none "$@" >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "   $gate fails without the bug: it proves nothing" >&2
        missed=1
    elif VMAPLE_BUG=$bug "$@" >"$log" 2>&1; then
        echo "   NOT found" >&2
        missed=1
    else
        # What found it, in its own words.
        grep -m1 -E 'panicked at|Undefined Behavior|Causality violation|signal:' "$log" -A1 | sed 's/^/   /' || true
    fi
}

plain() { RUSTFLAGS="--cfg vmaple_bugs" CARGO_TARGET_DIR=$target/ci/bugs cargo test -p vmaple "$@"; }
small_nodes() {
    RUSTFLAGS="--cfg vmaple_small_nodes --cfg vmaple_bugs" CARGO_TARGET_DIR=$target/ci/bugs-small-nodes cargo test -p vmaple --test it "$@"
}
loom() { RUSTFLAGS="--cfg vmaple_loom --cfg vmaple_bugs" CARGO_TARGET_DIR=$target/ci/bugs-loom cargo test --release -p vmaple --test models "$@"; }
loom_lib() { RUSTFLAGS="--cfg vmaple_loom --cfg vmaple_bugs" CARGO_TARGET_DIR=$target/ci/bugs-loom cargo test --release -p vmaple --lib "$@"; }
shuttle() {
    RUSTFLAGS="--cfg vmaple_shuttle --cfg vmaple_bugs" CARGO_TARGET_DIR=$target/ci/bugs-shuttle \
        cargo test --release -p vmaple --test models "$@"
}

finds shared_right_side loom loom find_beside_a_boundary_that_moves
finds shared_right_side shuttle shuttle find_beside_a_boundary_that_moves
finds retire_before_unlink loom loom leaf_swap
finds retire_before_unlink shuttle shuttle leaf_swap
finds relaxed_publish loom loom leaf_swap
finds relaxed_slot_load loom loom leaf_swap
finds relaxed_start loom loom what_came_before
finds prev_start_after_check loom loom prev_beside_an_entry_that_comes
finds start_raised_first loom loom growth_twice
finds start_raised_first shuttle shuttle growth_twice
finds two_stores loom loom leaf_swap_below
finds two_stores shuttle shuttle leaf_swap_below
finds stale_gap_summary sequences small_nodes index::sequences::filling_and_emptying
finds path_kept sequences small_nodes index::sequences::filling_and_emptying
finds budget_not_counted memory plain --test it at_the_budget
finds budget_not_counted budget plain --test it one_large_edit
finds repin_without_fence loom loom a_kept_reader_repins
finds ticket_dropped_relaxed tickets loom_lib sync::ticket::models::what_came_before
finds ticket_dropped_relaxed tickets loom_lib sync::ticket::models::a_line_and_its_ticket
finds ticket_line_dropped_in_two_steps tickets loom_lib sync::ticket::models::a_line_and_its_ticket
finds slots_without_light_fence slots loom_lib sync::slots::models::a_reader_pins_twice
finds slots_without_heavy_fence slots loom_lib sync::slots::models::a_reader_pins_twice
finds slots_without_heavy_fence litmus plain --release --lib at_least_one_side_sees_the_other
finds slots_stamp_before_unlink slots loom_lib sync::slots::models::a_reader_pins_twice
finds slots_stamp_is_newer slots loom_lib sync::slots::models::a_reader_pins_twice
finds slots_unpinned_relaxed slots loom_lib sync::slots::models::a_reader_pins_twice
finds slots_last_of_a_block_skipped slots loom_lib sync::slots::models::a_reader_in_the_last_slot
finds slots_last_of_a_block_skipped unit plain --lib sync::slots::tests::slots_run_out
finds slots_nesting_not_counted slots loom_lib sync::slots::models::an_inner_pin_ends
finds slots_nesting_not_counted unit plain --lib sync::slots::tests::nested_pins
finds slots_epoch_added_in_two_steps slots loom_lib sync::slots::models::a_reader_beside_two_writers
finds slots_nested_without_fence handlers loom_lib sync::slots::models::a_handler_between
finds newest_current_not_checked_again loom loom limits_replaced
finds newest_left_relaxed loom loom limits_replaced
finds upgrade_ignores_readers loom loom two_upgrades
finds upgrade_ignores_readers shuttle shuttle two_upgrades
finds upgrade_ignores_readers lock plain --test it an_upgrade_is_for
finds lost_wake_up loom loom writers_exclude
finds lost_wake_up shuttle shuttle writers_exclude
finds flag_raised_outside_the_mutex loom loom writers_exclude
finds flag_raised_outside_the_mutex shuttle shuttle writers_exclude
finds cancelled_writer_stays_counted loom loom a_cancelled_writer_admits
finds cancelled_writer_stays_counted shuttle shuttle a_cancelled_writer_admits
finds cancelled_writer_wakes_nobody loom loom a_cancelled_writer_admits
finds cancelled_writer_wakes_nobody shuttle shuttle a_cancelled_writer_admits
finds downgrade_opens_a_window loom loom a_downgrade_lets_no_writer
finds downgrade_opens_a_window shuttle shuttle a_downgrade_lets_no_writer
finds sequence_not_ended_on_downgrade loom loom a_speculation_sees_both
finds sequence_not_ended_on_downgrade shuttle shuttle a_speculation_sees_both
finds sequence_not_ended_on_downgrade lock plain --test it the_sequence_is_odd
finds sequence_not_begun_on_upgrade loom loom a_speculation_sees_an_upgrade
finds sequence_not_begun_on_upgrade lock plain --test it the_sequence_is_odd
finds sequence_without_fence loom loom a_speculation_that_validates
finds sequence_begun_relaxed loom loom a_locked_vma_beside_its_growth_and
finds relaxed_unlock loom loom a_writer_excludes
finds recheck_left_out loom loom a_fault_beside_a_mapping_in_the_way
finds recheck_left_out shuttle shuttle a_fault_beside_a_mapping_in_the_way
finds start_write_misses_a_reader loom loom a_locked_vma_beside
finds start_write_misses_a_reader shuttle shuttle a_locked_vma_beside
finds start_write_misses_a_reader vma plain --test it rule_3_3
finds notified_lowered_after_check loom loom a_writer_drains_the_last_reader
finds notified_lowered_after_check shuttle shuttle a_writer_drains_the_last_reader
finds vma_bounds_of_first_search loom loom a_locked_vma_beside_its_growth
finds vma_bounds_of_first_search loom loom a_walk_beside_a_growth
finds vma_bounds_of_first_search shuttle shuttle a_locked_vma_beside_its_growth
finds sequence_loaded_after_the_search loom loom a_locked_vma_beside_its_growth
finds sequence_loaded_after_the_search shuttle shuttle a_locked_vma_beside_its_growth

exit $missed
