#!/usr/bin/env bash
# Counts the instructions of short runs, and those that a byte of a large log costs, and fails where there are more than
# the figures below. Counts do not depend on what else the machine does. Needs valgrind.
#
#   scripts/count-instructions.sh        (OOMDOC=path/to/binary)
set -euo pipefail
cd "$(dirname "$0")/.."
oomdoc=${OOMDOC:-target/release/oomdoc}
command -v valgrind > /dev/null || { echo "valgrind is not installed" >&2; exit 2; }
[ -x "$oomdoc" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
# shellcheck source=scripts/logs.sh
. scripts/logs.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

count() { # ARGUMENT...
    valgrind --tool=none "$oomdoc" --version > /dev/null 2>&1 || { echo "valgrind cannot run $oomdoc" >&2; exit 2; }
    valgrind --tool=callgrind --callgrind-out-file="$folder/out" "$oomdoc" "$@" 2>&1 > /dev/null | sed -n 's/.*Collected : //p'
}

check() { # NAME COUNT MOST UNIT
    awk -v name="$1" -v count="$2" -v most="$3" -v unit="$4" 'BEGIN {
        printf "%-44s %8.2f %s, at most %s%s\n", name, count, unit, most, (count > most ? ": too many" : "")
        exit count > most
    }' || failed=1
}

millions() { awk -v n="$1" 'BEGIN { print n / 1e6 }'; }

short=fixtures/weight-oom/seed-002-vllm-0.11.0-unquantized-linear/input.log
check "analyze, $(wc -l < "$short") lines, text" "$(millions "$(count analyze --exit-zero "$short")")" 24.5 "million"
check "analyze, the same, JSON" "$(millions "$(count analyze --exit-zero --format json "$short")")" 20.5 "million"
check "--help" "$(millions "$(count --help)")" 1.8 "million"
check "explain" "$(millions "$(count explain weight-oom)")" 1.6 "million"

# What a line costs that is read and is an error that no signature knows, so that the broad ones are tried.
unknown_errors() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) print "ERROR 03-20 10:00:00 [serve.py:" i % 900 "] Request owl-" i " failed: FrobError: no finch " i }'; }
for lines in 500 2500; do unknown_errors "$lines" > "$folder/$lines.log"; done
more=$(($(count analyze --exit-zero "$folder/2500.log") - $(count analyze --exit-zero "$folder/500.log")))
check "a line of an unknown error" "$(awk -v n="$more" 'BEGIN { print n / 2000 / 1e3 }')" 680 "thousand"

# What a byte costs beyond the beginning that is read whole: the difference of a long and a short log.
for kind in serving router quiet errors; do
    make_log "$kind" 6 > "$folder/short.log"
    make_log "$kind" 18 > "$folder/long.log"
    bytes=$(($(wc -c < "$folder/long.log") - $(wc -c < "$folder/short.log")))
    more=$(($(count analyze --exit-zero "$folder/long.log") - $(count analyze --exit-zero "$folder/short.log")))
    case $kind in serving) most=7 ;; router) most=4.5 ;; quiet) most=4.7 ;; errors) most=14 ;; esac
    check "a byte of a large log: $kind" "$(awk -v n="$more" -v b="$bytes" 'BEGIN { print n / b }')" "$most" "instructions"
done
exit "$failed"
