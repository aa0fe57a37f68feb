# The tests of the program that ask something of the system, once more: as an ordinary user, and as on a machine without protection keys.
# What they need and do not have they leave out by name; nothing may fail.
. "$(dirname "$0")/../step.sh"
[ "$(id -u)" -ne 0 ] || need "setpriv --version" "Debian's util-linux"

executables=$(test_executables -p vmaple-cli -p vmaple-scenario -p vmaple-host -p vmaple-examples | grep -v '/\(replay\|scenarios\)-[0-9a-f]*$')
# Those that ask whether there are keys.
asking=$(grep '/\(kernel\|keys\|needs\|vmaple_cli\|vmaple_host\)-[0-9a-f]*$' <<<"$executables")
failed=0
say "as an ordinary user"
while read -r directory executable; do
    echo "   $executable"
    (cd "$directory" && as_ordinary_user "$executable" --quiet --skip committed_traces_hold </dev/null) || failed=1
done <<<"$executables"

say "without protection keys"
while read -r directory executable; do
    echo "   $executable"
    (cd "$directory" && VMAPLE_WITHOUT=keys "$executable" --quiet </dev/null) || failed=1
done <<<"$asking"
exit "$failed"
