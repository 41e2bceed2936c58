#!/bin/sh
# Builds the example as a guest: build.sh OUT. It takes the first rustc that has the
# target wasm32-unknown-unknown: $RUSTC, rustup's (rustup target add
# wasm32-unknown-unknown), or Debian's (apt-get install rustc libstd-rust-dev-wasm32 lld).
# With a cargo of its own, cargo build --release --example retry_failed_flows does the same.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=wasm32-unknown-unknown
for rustc in ${RUSTC:-} rustc /usr/bin/rustc; do
	command -v "$rustc" >/dev/null || continue
	libs=$("$rustc" --print target-libdir --target $target 2>/dev/null) || continue
	ls "$libs"/libcore-* >/dev/null 2>&1 || continue
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
	flags="--edition 2021 --target $target -C opt-level=3 -C panic=abort -C strip=symbols"
	"$rustc" $flags --crate-name interlock --crate-type rlib -C linker-plugin-lto --out-dir "$out" "$here/src/lib.rs"
	"$rustc" $flags -C lto=fat -C link-arg=-zstack-size=8192 --crate-type cdylib --extern interlock="$out/libinterlock.rlib" -o "$1" "$here/examples/retry_failed_flows.rs"
	exit 0
done
echo "no rustc with the target $target: see $0" >&2
exit 1
