# Mutation testing of the index: each of cargo-mutants' small changes to src/tree must be noticed by a test.
#
#   bash .ci/long/mutants.sh                                 all of src/tree: hours, because each change is built separately
#   bash .ci/long/mutants.sh write/gap.rs memory/limbo.rs     these files of it
#   bash .ci/long/mutants.sh read/walk.rs -F 'in .*::last_below' and of those what the expression names; see `cargo mutants --help`
#
# First the unit tests, and the tests of the index with nodes of 4 entries, which notice nearly all and take a second; then, for what they
# missed, the integration tests and the failing allocations; then, for what is left, the models: some changes show only between two threads.
# What is missed by all is listed at the end: docs/mutants.md says of each known one why no test can tell it from the original.
. "$(dirname "$0")/../step.sh"
need "cargo mutants --version" "cargo install --locked cargo-mutants"

files=()
options=()
for argument in "$@"; do
    if [[ $argument == *.rs ]]; then files+=(-f "src/tree/$argument"); else options+=("$argument"); fi
done
[ ${#files[@]} -gt 0 ] || files=(-f 'src/tree/**/*.rs')

out=$target/mutants
mkdir -p "$out"
apart mutants
# The builds are what takes the time; a little optimization makes the sequences fast enough.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=none CARGO_PROFILE_TEST_DEBUG=none

# pass NAME OPTION...: exit code 2 of cargo-mutants means that mutants were missed, 3 that some timed out; both are reported below.
pass() {
    say "$1"
    shift
    local code=0
    cargo mutants -p vmaple "${files[@]}" "${options[@]}" -o "$out" --iterate --no-shuffle --colors never "$@" || code=$?
    [[ $code == [023] ]]
}

apart mutants-small-nodes
RUSTFLAGS="--cfg vmaple_small_nodes" pass "unit tests, tests of the index" --timeout 30 --cargo-arg=--lib --cargo-arg=--test=it \
    -- -- tree:: sync:: index::sequences:: index::node_counts::
apart mutants
pass "what those missed, by the integration tests" --timeout 120 --cargo-arg=--test=it --cargo-arg=--test=memory_short \
    -- -- --skip layering:: --skip history:: --skip lock::
apart mutants-loom
RUSTFLAGS="--cfg vmaple_loom" pass "what those missed, by the models" --timeout 300 --cargo-arg=--release --cargo-arg=--test=models \
    -- scenarios::
say "missed: $(wc -l <"$out/mutants.out/missed.txt"), caught in all: see $out/mutants.out"
cat "$out/mutants.out/missed.txt"
