# Real programs: installs them (Debian, as root), records each with its faults and with its layout after every call, replays the recordings,
# and prints a table. Exit status 1 if a layout, or anything else that a replay checks, differs without a cause by name, if a layout shows
# what no call explains, or if a program fails only where it is recorded.
#
#   bash .ci/long/programs.sh                  all of them: some 20 minutes on two cores
#   bash .ci/long/programs.sh python nginx     those that have one of these words in their names
#   VMAPLE_KEEP=DIR bash .ci/long/programs.sh  keeps the recordings and what replaying them printed, in a folder of DIR for each program
#
# A program that cannot be had, or that this machine refuses what it needs (exit status 77), is left out, named and counted. Each
# runs in namespaces of its own for processes and System V memory, with all its files in a temporary directory; what it leaves running
# ends with it. The packages stay installed.
. "$(dirname "$0")/../step.sh"
[ "$(id -u)" -eq 0 ] || { echo "$step: packages are root's to install" >&2; exit 1; }
need "apt-get --version" "Debian"
need "unshare --version" "Debian's util-linux"

vmaple=$target/release/vmaple
programs=$PWD/.ci/long/programs
seconds=120
huge_pages=/proc/sys/vm/nr_hugepages
pages_before=
work=$(mktemp -d)
keep=${VMAPLE_KEEP:-$work/kept}
policy=/usr/sbin/policy-rc.d
has_policy=no

ended() {
    local code=$1
    [ "$has_policy" = no ] || rm -f "$policy"
    restore_huge_pages || code=1
    rm -rf "$work"
    if [ "$code" -eq 0 ]; then echo "== $step: ok, $SECONDS s"; else echo "== $step: FAILED ($code), $SECONDS s" >&2; fi
    exit "$code"
}
trap 'ended $?' EXIT

# Sets aside some huge pages, if there are fewer, and fails where the kernel gives less.
take_huge_pages() {
    pages_before=$(<"$huge_pages")
    [ "$pages_before" -ge 16 ] || echo 16 >"$huge_pages"
    [ "$(<"$huge_pages")" -ge 16 ]
}

restore_huge_pages() {
    [ -n "$pages_before" ] || return 0
    echo "$pages_before" >"$huge_pages" && [ "$(<"$huge_pages")" = "$pages_before" ] && pages_before= && return
    echo "$step: $huge_pages is not $pages_before again" >&2
    return 1
}

chosen=("$@")

# Toolchains of Rust are where they were, though each program has a home of its own.
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}

# The first of these commands (COMMAND:PACKAGE) that is not there.
missing() {
    local pair
    for pair in "$@"; do
        # servers are in /usr/sbin
        PATH=$PATH:/usr/sbin command -v "${pair%:*}" >/dev/null || { echo "${pair#*:}"; return; }
    done
}

table=()
left_out=()
failed=0
pass=gather
packages=()

# row NAME "COMMAND:PACKAGE..." COMMAND...: what the row needs, and what is recorded. In the first pass the packages are gathered.
row() {
    local name=$1 pairs lacks
    read -ra pairs <<<"$2"
    shift 2
    is_chosen "$name" "${chosen[@]}" || return 0
    lacks=$(missing "${pairs[@]}")
    if [ "$pass" = gather ]; then
        for lacks in "${pairs[@]}"; do [ -z "$(missing "$lacks")" ] || packages+=("${lacks#*:}"); done
    elif [ -n "$lacks" ]; then
        leave_out "$name" "$lacks cannot be installed"
    else
        one "$name" "$@"
    fi
}

leave_out() {
    echo "   left out: $1: $2"
    left_out+=("$1: $2")
}

# contained DIRECTORY COMMAND...: runs it there, in namespaces of its own; all that it starts ends with it, and at the limit of time.
contained() {
    local directory=$1
    shift
    (cd "$directory" && HOME=$directory TMPDIR=$directory PATH=$PATH:/usr/sbin PYTHONDONTWRITEBYTECODE=1 \
        unshare --pid --ipc --mount-proc --fork --kill-child timeout --kill-after 5 "$seconds" "$@" </dev/null)
}

# Records, replays, adds up.
one() {
    local name=$1 at=$keep/${1// /-} code=0 line
    shift
    say "$name"
    rm -rf "$at"
    mkdir -p "$at/run" "$at/traces" "$at/replays"
    # servers give up root and go on in their directory
    chmod 711 "$work" "$at" && chmod 755 "$at/run"
    contained "$at/run" "$vmaple" record --faults --snapshots 1 -z -o "$at/traces" -- "$@" >"$at/out" 2>"$at/told" || code=$?
    if [ "$code" -ne 0 ]; then
        why "$name" "$code" "$at" "$@"
        return
    fi
    if ! (cd "$at/traces" && ls | xargs -P 2 -I {} timeout "$seconds" bash -c \
        'code=0; "$0" replay "$1" --seconds 0 --json "$2/$1.json" >/dev/null 2>"$2/$1.told" || code=$?; [ $code -le 1 ]' \
        "$vmaple" {} "$at/replays"); then
        echo "   a recording could not be read, or not be replayed in $seconds s" >&2
        failed=1
    fi
    line=$(python3 "$programs/row.py" "$name" "$at/replays") || failed=1
    echo "   $line"
    table+=("$line")
    # a recording has these as calls, which a replay follows
    if grep "no call explains" "$at/told" >&2; then failed=1; fi
    grep -h "not certain\|were lost\|are not recorded" "$at/told" | sort | uniq -c | sed 's/^/   /' || true
    rm -rf "$at/run"
    [ -n "${VMAPLE_KEEP:-}" ] || rm -rf "$at"
}

# why NAME CODE DIRECTORY COMMAND...: a program failed under the recorder; where it fails alone, too, it is left out.
why() {
    local name=$1 recorded=$2 at=$3 code=0
    shift 3
    rm -rf "$at/run"
    mkdir "$at/run"
    [ "$recorded" -eq 77 ] || contained "$at/run" "$@" >"$at/out" 2>&1 || code=$?
    if [ "$recorded" -eq 77 ]; then
        leave_out "$name" "refused by this machine"
    elif [ "$code" -ne 0 ]; then
        leave_out "$name" "fails also where it is not recorded, with status $code: $(tail -1 "$at/out")"
    else
        tail -5 "$at/told" >&2
        table+=("| $name | | | | | FAILED with status $recorded under the recorder alone |")
        failed=1
    fi
}

script() { row "$1" "$2" bash -euo pipefail -c "$3"; }
server() { row "$1" "$2 curl:curl" bash "$programs/servers.sh" "$1"; }
memory() { row "$1" cc:gcc "$work/memory" "$2"; }

rows() {
    script "bash pipelines" bash:bash 'for i in 1 2 3; do seq 3000 | sort -n | tac | uniq -c | wc -l; done; x=$(echo $(date)); (cd /; ls) | cat'
    row "python3 threads" python3:python3 python3 "$programs/python.py" threads
    row "python3 processes" python3:python3 python3 "$programs/python.py" processes
    row "perl fork" perl:perl perl -e 'for my $n (1..4) { my $pid = fork; if (!$pid) { my @a = map { "x" x $_ } 1..2000; exit 0 } waitpid $pid, 0; die if $? }'
    row "ruby" ruby:ruby ruby -e '4.times.map { |n| Thread.new { (1..1500).map { |i| "x" * i }.sum(&:size) } }.each(&:join); GC.compact rescue 0; Process.wait(fork { GC.start })'
    row "lua" lua5.4:lua5.4 lua5.4 -e 'local t = {} for i = 1, 50000 do t[i] = ("x"):rep(i % 100) .. i end t = nil collectgarbage()'
    row "luajit" luajit:luajit luajit -e 'local s, t = 0, {} for i = 1, 300000 do t[i % 5000] = tostring(i) s = s + #t[i % 5000] end print(s)'
    row "php with a compiler" php:php-cli php -d opcache.enable_cli=1 -d opcache.jit_buffer_size=16M -d opcache.jit=tracing -r 'for ($i = 0; $i < 200000; $i++) { $a[$i % 5000] = str_repeat("x", $i % 100); } echo count($a);'
    script "tclsh" tclsh:tcl 'echo "for {set i 0} {\$i < 50000} {incr i} {dict set d \$i [string repeat x [expr {\$i % 90}]]}; exec ls /" | tclsh'
    script "guile" guile:guile-3.0 'guile --no-auto-compile -c "(use-modules (ice-9 threads)) (n-par-map 4 (lambda (n) (length (iota (* n 10000)))) (iota 8)) (gc)"'
    script "node" node:nodejs 'node -e "
        const { Worker, isMainThread } = require(\"worker_threads\");
        const many = Array.from({ length: 20000 }, (_, i) => ({ i, text: String(i).repeat(9) }));
        for (let n = 0; n < 2; n++) new Worker(\"let a = []; for (let i = 0; i < 1e5; i++) a.push({ i }); a.length\", { eval: true });
        require(\"zlib\").gzipSync(JSON.stringify(many));"'
    script "javac" javac:default-jdk-headless "javac -d . '$programs/Work.java'"
    script "java, G1" java:default-jre-headless "java -Xmx64m '$programs/Work.java'"
    script "java, serial" java:default-jre-headless "java -Xmx48m -XX:+UseSerialGC '$programs/Work.java'"
    script "java, Z" java:default-jre-headless "java -Xmx64m -XX:+UseZGC '$programs/Work.java'"
    script "sbcl" sbcl:sbcl 'sbcl --noinform --no-userinit --eval "(progn (loop repeat 20 collect (make-array 100000)) (gc :full t) (quit))"'
    script "erlang" erl:erlang-base 'erl +S 2 -noshell -eval "[spawn(fun() -> lists:seq(1, 20000) end) || _ <- lists:seq(1, 200)], erlang:garbage_collect(), halt()."'
    script "gawk" gawk:gawk 'gawk "BEGIN { for (i = 0; i < 200000; i++) a[i] = i; n = asort(a); print n }"'
    script "busybox" busybox:busybox 'busybox sh -c "busybox seq 5000 | busybox sort -n | busybox gzip | busybox gunzip | busybox tail -1"'
    script "sqlite3" sqlite3:sqlite3 'sqlite3 db "pragma mmap_size = 4194304; pragma journal_mode = wal; create table t as with recursive n(i) as (select 1 union all select i + 1 from n limit 30000) select i, hex(randomblob(20)) as x from n; create index a on t(x); select count(distinct x) from t; vacuum;"'
    server postgresql psql:postgresql
    server mariadb mariadbd:mariadb-server
    server redis redis-server:redis-server
    server memcached memcached:memcached
    server nginx nginx:nginx-light
    server apache2 apache2:apache2
    server lighttpd lighttpd:lighttpd
    script "gcc" gcc:gcc "gcc -O2 -pthread -o memory '$programs/memory.c'"
    script "g++" g++:g++ 'printf "#include <map>\n#include <regex>\n#include <string>\nint main() { std::map<std::string, std::regex> m; m.emplace(\"a\", \"a+\"); return m.size() - 1; }\n" >a.cc; g++ -O1 -g -o a a.cc; ./a'
    script "clang" clang:clang "clang -O2 -pthread -o memory '$programs/memory.c'"
    script "rustc" rustc:rustc 'echo "fn main() { println!(\"{:?}\", (0..9).map(|i| i.to_string()).collect::<Vec<_>>()); }" >a.rs; RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-} rustc -O a.rs; ./a'
    script "go build" go:golang-go "CGO_ENABLED=0 GO111MODULE=off GOCACHE=\$HOME/cache go build -p 2 -o threads '$programs/threads.go'"
    row "go, static" go:golang-go "$work/static-go"
    script "ocaml" ocamlopt:ocaml-nox 'echo "let () = print_int (List.length (List.init 100000 string_of_int))" >a.ml; ocamlfind ocamlopt a.ml -o a 2>/dev/null || ocamlopt a.ml -o a; ./a'
    script "nasm, ld" "nasm:nasm ld:binutils" 'printf "global _start\nsection .text\n_start: mov eax, 60\nxor edi, edi\nsyscall\n" >a.asm; nasm -f elf64 a.asm; ld -o a a.o; ./a'
    script "address sanitizer" gcc:gcc "gcc -fsanitize=address -pthread -o memory '$programs/memory.c'; ASAN_OPTIONS=detect_leaks=0 ./memory aio"
    script "thread sanitizer" gcc:gcc "gcc -fsanitize=thread -pthread -o memory '$programs/memory.c'; ./memory segments"
    script "ffmpeg" ffmpeg:ffmpeg 'ffmpeg -v error -threads 2 -f lavfi -i testsrc=size=160x120:rate=10:duration=0.4 -c:v mpeg4 -y a.avi; ffmpeg -v error -threads 2 -i a.avi -frames:v 1 -f null -'
    script "git" git:git 'git init -q a; cd a; for i in {1..40}; do seq $i 400 >f$i; done; git add .; git -c user.name=a -c user.email=a commit -qm a; git -c pack.threads=2 gc -q; git grep --threads 2 -c 39; cd ..; git clone -q --no-local a b'
    script "xz, zstd, pigz" "xz:xz-utils zstd:zstd pigz:pigz" 'seq 200000 >a; xz -1 -T2 -k a; zstd -q -T2 a; pigz -p2 a; xz -d a.xz'
    script "openssl" openssl:openssl 'openssl genrsa -out a 2048; openssl speed -seconds 1 -multi 2 sha256 2>/dev/null'
    script "qemu-system, io_uring" qemu-system-x86_64:qemu-system-x86 'truncate -s 4M disk; printf quit\\n | timeout 30 qemu-system-x86_64 -display none -nodefaults -no-reboot -m 32 -accel tcg -drive file=disk,format=raw,aio=io_uring,cache=none,if=virtio -monitor stdio -S 2>told || { cat told; grep -q "io_uring" told && exit 77; exit 1; }'
    script "qemu-system" qemu-system-x86_64:qemu-system-x86 'truncate -s 4M disk; (sleep 3; echo quit) | qemu-system-x86_64 -display none -nodefaults -m 32 -smp 2 -accel tcg,thread=multi -drive file=disk,format=raw,aio=threads,if=virtio -monitor stdio'
    script "qemu-user" qemu-x86_64:qemu-user 'qemu-x86_64 /bin/ls -l /'
    script "valgrind" valgrind:valgrind 'valgrind -q /bin/true; valgrind -q --tool=helgrind /bin/ls /'
    script "numactl" numactl:numactl 'numactl --membind=0 ls /; numactl --interleave=all seq 10; numactl --localalloc true'
    script "fio, libaio" fio:fio 'fio --name=a --size=1M --bs=4k --rw=randrw --ioengine=libaio --iodepth=8 --direct=0 --numjobs=2 --output=out'
    script "fio, mmap" fio:fio 'fio --name=a --size=1M --bs=4k --rw=randrw --ioengine=mmap --thread --numjobs=2 --output=out'
    script "stress-ng" stress-ng:stress-ng 'stress-ng -q --mmap 1 --mmap-bytes 4M --mmap-ops 3 --mremap 1 --mremap-bytes 2M --mremap-ops 20 --brk 1 --brk-ops 50 --timeout 20'
    script "legacy layout" setarch:util-linux 'setarch -L ls /; setarch -R ls /; (ulimit -s unlimited; ls /)'
    memory "userfaultfd" userfault
    memory "protection keys" keys
    if is_chosen "huge pages" "${chosen[@]}" && [ "$pass" = run ] && take_huge_pages; then
        memory "huge pages" huge
    elif is_chosen "huge pages" "${chosen[@]}" && [ "$pass" = run ]; then
        leave_out "huge pages" "there are not 16 of them"
    fi
    restore_huge_pages || failed=1
    memory "KSM and other advice" advices
    memory "io_setup" aio
    memory "perf_event" perf
    memory "memfd_secret" secret
    memory "System V memory" segments
}

# Installs what is missing: all at once, and where that fails each alone.
install() {
    local package
    [ ${#packages[@]} -gt 0 ] || return 0
    say "install ${packages[*]}"
    if [ ! -e "$policy" ]; then
        # no server is started by its installation
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        has_policy=yes
    fi
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install)
    apt-get -q update >/dev/null || true
    "${apt[@]}" "${packages[@]}" >/dev/null </dev/null && return
    for package in "${packages[@]}"; do "${apt[@]}" "$package" >/dev/null </dev/null || echo "   $package is not installed" >&2; done
}

rows
packages+=(python3 gcc libc6-dev)
mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u | while read -r one; do dpkg -s "$one" >/dev/null 2>&1 || echo "$one"; done)
install

say "build"
cargo build --release --locked -p vmaple-cli
cc -O1 -pthread -o "$work/memory" "$programs/memory.c"
if command -v go >/dev/null; then
    (cd "$work" && CGO_ENABLED=0 GO111MODULE=off GOCACHE=$work/cache go build -o static-go "$programs/threads.go")
fi

pass=run
rows

echo
echo "| program | processes | calls | layouts exact | placements agreed | causes by name |"
echo "|---|---|---|---|---|---|"
printf '%s\n' "${table[@]}"
echo
[ ${#left_out[@]} -eq 0 ] || printf 'left out: %s\n' "${left_out[@]}"
echo "${#table[@]} programs, ${#left_out[@]} left out, $SECONDS s, $(git rev-parse --short HEAD), Linux $(uname -r)"
exit "$failed"
