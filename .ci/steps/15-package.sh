# Every crate that is published builds from its own tarball, with its tests and its documentation: nothing that they include is left out.
. "$(dirname "$0")/../step.sh"
apart package

unpacked=$CARGO_TARGET_DIR/unpacked
rm -rf "$unpacked" "$CARGO_TARGET_DIR/package"
mkdir -p "$unpacked"
for manifest in Cargo.toml */Cargo.toml; do
    grep -q '^publish = false' "$manifest" && continue
    name=$(sed -n '0,/^name = /s/^name = "\(.*\)"/\1/p' "$manifest")
    say "cargo package -p $name"
    # The working tree may have changes that are not committed. The tarball is built below.
    cargo package -p "$name" --allow-dirty --no-verify
    # With the time of now: the files of a tarball are as old as any build, so cargo would take that for fresh.
    tar -xmzf "$CARGO_TARGET_DIR/package/$name"-[0-9]*.crate -C "$unpacked"
done

# A workspace of its own, so that cargo does not look for one above.
for crate in "$unpacked"/*; do
    say "${crate##*/}, from its tarball"
    (
        cd "$crate"
        echo '[workspace]' >>Cargo.toml
        cargo build
        cargo test --no-run
        cargo test --doc
        RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
    )
done
