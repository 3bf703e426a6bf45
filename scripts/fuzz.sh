#!/usr/bin/env bash
# Fuzzes every target for so many minutes in all, on one core, and keeps what they find of new ways through the code.
#
#   scripts/fuzz.sh [MINUTES] [TARGET]...       (default: 120 minutes, all targets)
#
# Needs a nightly toolchain and `cargo install cargo-fuzz`. Ends with 1 when a target breaks; its input is then in
# fuzz/artifacts/TARGET/, and `cargo +nightly fuzz run -s none TARGET FILE` runs it again.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-120}
shift || true
cargo run --quiet --example fuzz_corpus -- unpack
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo run --quiet --example fuzz_corpus -- targets)
# The code has no unsafe blocks, so a sanitizer would find little and halve the speed; arithmetic is checked.
cargo +nightly fuzz build -s none
seconds=$((minutes * 60 / ${#targets[@]}))
broken=()
for target in "${targets[@]}"; do
    printf '\n== %s, %d s\n' "$target" "$seconds"
    cargo +nightly fuzz run -s none "$target" -- -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 2>&1 |
        grep -E '^(stat::|SUMMARY|Done|thread .* panicked|Failing input)|^#[0-9]+.*DONE' || broken+=("$target")
    [ -z "$(ls -A "fuzz/artifacts/$target" 2> /dev/null)" ] || broken+=("$target")
    cargo +nightly fuzz cmin -s none "$target" > /dev/null 2>&1
done
cargo run --quiet --example fuzz_corpus -- pack
du -sh fuzz/kept
[ ${#broken[@]} -eq 0 ] || { echo "broken: ${broken[*]}" >&2; exit 1; }
