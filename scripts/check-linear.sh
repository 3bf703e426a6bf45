#!/usr/bin/env bash
# Counts the instructions that `oomdoc analyze` takes for logs that are hostile by their form, and fails where twice the log
# takes more than 2.2 times as many. Counts do not depend on what else the machine does.
#
#   scripts/check-linear.sh [BYTES]        (default 40000 and twice that; OOMDOC=path/to/binary)
set -euo pipefail
cd "$(dirname "$0")/.."
bytes=${1:-40000}
oomdoc=${OOMDOC:-target/release/oomdoc}
[ -x "$oomdoc" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
command -v valgrind > /dev/null || { echo "needs valgrind" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo build --quiet --example hostile_logs
hostile=${CARGO_TARGET_DIR:-target}/debug/examples/hostile_logs

count() { # FILE
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$oomdoc" analyze --exit-zero --format json "$1" 2>&1 > /dev/null | sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p'
}

echo "INFO nothing" > "$folder/least"
least=$(count "$folder/least")
failed=0
while read -r form; do
    "$hostile" "$form" "$bytes" > "$folder/once"
    "$hostile" "$form" $((bytes * 2)) > "$folder/twice"
    once=$(($(count "$folder/once") - least))
    twice=$(($(count "$folder/twice") - least))
    awk -v form="$form" -v once="$once" -v twice="$twice" -v bytes="$bytes" 'BEGIN {
        printf "%-18s %6.0f instructions a byte, twice the log %5.2f times as many\n", form, twice / bytes / 2, twice / once
        exit twice > once * 2.2
    }' || { echo "  wrong: wanted 2.2 at most"; failed=1; }
done < <("$hostile")
exit "$failed"
