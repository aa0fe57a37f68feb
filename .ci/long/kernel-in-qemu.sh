# All scenarios, and 10^6 random operations (VMAPLE_KERNEL_OPS says otherwise), library and kernel in step, on an emulated machine. It has
# protection keys, huge pages and the kernel that the rules describe, whatever the host has. The seed is the first argument.
#
#   bash .ci/long/kernel-in-qemu.sh 9001
#   VMAPLE_CPU=max,la57=off bash .ci/long/kernel-in-qemu.sh           addresses of 47 bits; without it there are 56
#   VMAPLE_KERNEL=linux-image-... bash .ci/long/kernel-in-qemu.sh     another kernel: a package of Debian's that has a `vmlinuz`
#
# Everything is downloaded into the target directory; nothing is installed.
. "$(dirname "$0")/../step.sh"
need "qemu-system-x86_64 --version" "Debian's qemu-system-x86"
need "apt-get --version" "Debian"

seed=${1:-9001}
ops=${VMAPLE_KERNEL_OPS:-1000000}
package=${VMAPLE_KERNEL:-linux-image-6.18.15+deb13-cloud-amd64}
work=$target/ci/kernel-in-qemu
made=$work/$seed
rm -rf "$made"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$made/image"

say "$package"
for suite in trixie trixie-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
done >"$work/sources.list"
apt=(-q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
for name in "$package" busybox-static; do
    [ ! -e "$work/$name" ] || continue
    (cd "$made" && apt-get "${apt[@]}" update >/dev/null && apt-get "${apt[@]}" download "$name")
    dpkg-deb -x "$made/$name"_*.deb "$made/$name"
    mv "$made/$name" "$work/"
done
kernel=$(find "$work/$package" -name 'vmlinuz*' | grep .)
busybox=$(find "$work/busybox-static" -path '*/bin/busybox' | grep .)

say "build"
# Static, for there are no libraries on that machine.
RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$target/ci/static cargo build --release --locked -p vmaple-cli --target "$host"

mkdir -p "$made"/image/{bin,dev,proc,sys,run}
cp "$busybox" "$made/image/bin"
strip -o "$made/image/bin/vmaple" "$target/ci/static/$host/release/vmaple"
cp -r tests/scenarios "$made/image"
cat >"$made/image/init" <<'END'
#!/bin/busybox sh
export PATH=/bin TMPDIR=/run
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /run
exec >/dev/ttyS0 2>&1

scenarios() {
    cd /scenarios
    vmaple run --diff *.vmaple >/run/told || { cat /run/told; return 1; }
    tail -1 /run/told
}

# Many short runs, so that one sees how far it is.
fuzz() {
    # A process that may have few VMAs has all the others elsewhere: the fewer the faster.
    echo 4096 >/proc/sys/vm/max_map_count
    while [ "$OPS" -gt 0 ]; do
        ops=$((OPS < 20000 ? OPS : 20000))
        vmaple run --fuzz --ops "$ops" --seed "$SEED" --out /run >/run/told || { cat /run/told /run/*.vmaple; return 1; }
        grep -e '^seed' -e '^left out' /run/told
        OPS=$((OPS - ops))
        SEED=$((SEED + 1))
    done
}

echo 26 >/proc/sys/vm/nr_hugepages
uname -srv
vmaple host | grep -e keys -e 'address bits' -e 'huge pages of 2097152'
grep -qw ospke /proc/cpuinfo && vmaple host | grep -q '^protection keys *16' && scenarios && fuzz
echo "ended with status $?"
poweroff -f
END
chmod +x "$made/image/init"
(cd "$made/image" && find . | "$busybox" cpio -o -H newc >../initrd 2>/dev/null)

say "$ops random operations, seed $seed"
# What is switched off takes time under emulation, and shows in no layout.
quick="mitigations=off init_on_alloc=0 hardened_usercopy=off cgroup_disable=memory clearcpuid=rep_good,erms,fsrm"
qemu-system-x86_64 -accel tcg -cpu "${VMAPLE_CPU:-max},smap=off,smep=off,erms=off" -m 2G -display none -nodefaults -no-reboot \
    -serial stdio -kernel "$kernel" -initrd "$made/initrd" \
    -append "console=ttyS0 quiet panic=-1 no_timer_check $quick OPS=$ops SEED=$seed" </dev/null | stdbuf -oL tr -d '\r' | tee "$made/console"
awk '/^seed/ { ops += $3; took += $8; found += $(NF - 1) }
    END { if (took) printf "%d operations, %d a minute: %d differ\n", ops, ops * 60 / took, found }' "$made/console"
grep -q '^ended with status 0$' "$made/console"
