# The README's first command, for a few seconds: the default trace, rebuilt and checked, then replayed at full speed.
. "$(dirname "$0")/../step.sh"

say "vmaple replay"
cargo run --release -p vmaple-cli -- replay --seconds 3

for trace in traces/*.gz; do
    say "$trace"
    "$target/release/vmaple" replay "$trace" --seconds 1
done

need "python3 --version" "Debian's python3"
say "a threaded program, recorded and replayed on the spot"
fresh=$(mktemp -d)
"$target/release/vmaple" record --snapshots 1 -o "$fresh" -- python3 traces/programs/report.py
for trace in "$fresh"/python3*.trace; do
    "$target/release/vmaple" replay "$trace" --seconds 1
done
rm -rf "$fresh"
