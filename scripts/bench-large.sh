#!/usr/bin/env bash
# Measures `oomdoc analyze` on large logs against rg, grep, wc and cat, and checks what it finds in them.
#
#   scripts/bench-large.sh [MEGABYTES]        (default 2000; OOMDOC=path/to/binary, RUNS=5)
#
# The logs are the same on every machine (scripts/logs.sh). All commands on a log take turns, and of each the fastest run
# counts, in processor time (user and system): what else the machine does meanwhile concerns all of them. Compare the
# ratios, not the seconds. Ends with 1 when a wrong cause is found or a ratio is lost that was reached.
set -euo pipefail
cd "$(dirname "$0")/.."
megabytes=${1:-2000}
runs=${RUNS:-5}
oomdoc=${OOMDOC:-target/release/oomdoc}
[ -x "$oomdoc" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
# shellcheck source=scripts/logs.sh
. scripts/logs.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# As many literals as there are signatures: their anchors, one for each.
signatures=$(cat src/signatures/*.toml | grep -c '^\[\[signature\]\]')
cat src/signatures/*.toml | awk '
    /^anchor = / { inside = 1 }
    inside { text = $0; while (match(text, /"[^"\\]+"|\047[^\047]+\047/)) { print substr(text, RSTART + 1, RLENGTH - 2); text = substr(text, RSTART + RLENGTH) } }
    inside && !/[[,]$/ { inside = 0 }' | awk -v most="$signatures" 'length > 3 && !seen[$0]++ && ++n <= most' > "$folder/literals"
[ "$(wc -l < "$folder/literals")" -eq "$signatures" ] || { echo "found no $signatures anchors" >&2; exit 2; }

analyze() { "$oomdoc" analyze --exit-zero --threads 1 "$@"; }
from_pipe() { cat "$1" | "$oomdoc" analyze --exit-zero; }
unpacked() { gzip -dc "$1" > /dev/null; }
count_lines() { wc -l "$1"; }
rg_counts() { rg -j1 -c -F -f "$folder/literals" "$1"; }
grep_counts() { LC_ALL=C grep -c -F -f "$folder/literals" "$1"; }
# Not into /dev/null, where grep would stop at the first line that it finds.
timed() { { time "$@" > "$folder/out" 2>&1 || true; } 2>&1; }

# Lets commands take turns. Each is a word for the table, the command, its log; `best[word]` is the processor time of the
# fastest run, `wall[word]` the shortest time by the clock.
declare -A best wall
take_turns() {
    local TIMEFORMAT='%U %S %R' word command log took
    for _ in $(seq "$runs"); do
        for entry in "$@"; do
            read -r word command log <<< "$entry"
            # shellcheck disable=SC2086
            took=$(timed "$command" $log)
            best[$word]=$(awk -v t="$took" -v b="${best[$word]:-9e9}" 'BEGIN { split(t, s, " "); s[1] += s[2]; print (s[1] < b ? s[1] : b) }')
            wall[$word]=$(awk -v t="$took" -v b="${wall[$word]:-9e9}" 'BEGIN { split(t, s, " "); print (s[3] < b ? s[3] : b) }')
        done
    done
}

show() { # WORD BYTES
    awk -v name="$1" -v s="${best[$1]}" -v b="$2" 'BEGIN { s = (s > 0 ? s : 0.001); printf "  %-28s %7.3f s %6.2f GB/s\n", name, s, b / 1e9 / s }'
}

# A ratio of two times, and the least or the most that it may be.
ratio() { # TEXT TIME TIME least|most BOUND
    awk -v text="$1" -v a="$2" -v b="$3" -v way="$4" -v bound="$5" 'BEGIN {
        r = a / (b > 0 ? b : 0.001)
        lost = (way == "least" ? r < bound : r > bound)
        printf "  %-56s %6.2f, at %s %s%s\n", text, r, way, bound, (lost ? ": LOST" : "")
        exit lost
    }' || failed=1
}

check() { # LOG CAUSE
    local found
    found=$(analyze --format json "$1" | sed -n 's/^  "cause": "\([^"]*\)".*/\1/p' | head -1)
    [ "$found" = "$2" ] || { echo "  wrong: $found instead of $2 in $(basename "$1")"; failed=1; }
}

report() { # NAME CAUSE TIMES-AS-FAST-AS-RG PART-OF-WC
    local log=$folder/$1 size
    make_log "$1" "$megabytes" > "$log"
    size=$(wc -c < "$log")
    echo "$1: $((size / 1000000)) MB, $(wc -l < "$log") lines"
    check "$log" "$2"
    local turns=("oomdoc analyze $log" "wc count_lines $log" "cat cat $log")
    command -v rg > /dev/null && turns+=("rg rg_counts $log")
    [ "$1" = serving ] && turns+=("grep grep_counts $log")
    best=()
    take_turns "${turns[@]}"
    for word in oomdoc rg grep wc cat; do if [ -n "${best[$word]:-}" ]; then show "$word" "$size"; fi; done
    if [ -n "${best[rg]:-}" ]; then ratio "as fast as rg with $signatures literals, times" "${best[rg]}" "${best[oomdoc]}" least "$3"; fi
    ratio "as fast as wc -l" "${best[wc]}" "${best[oomdoc]}" least "$4"
    eval "best_of_$1=${best[oomdoc]}"
    rm -f "$log"
}

report serving inference-oom 5 0.25
# A quarter of that log in other ways.
log=$folder/serving
make_log serving "$((megabytes / 4))" > "$log"
as_json_file < "$log" > "$log.json"
as_cri < "$log" > "$log.cri"
gzip -1 -c "$log" > "$log.gz"
cp "$log" "$log.again"
for other in json cri gz; do check "$log.$other" inference-oom; done
one_thread() { "$oomdoc" analyze --exit-zero --threads 1 "$@"; }
two_threads() { "$oomdoc" analyze --exit-zero --threads 2 "$@"; }
best=()
take_turns "plain analyze $log" "json-file analyze $log.json" "cri analyze $log.cri" "pipe from_pipe $log" "gzip analyze $log.gz" \
    "gunzip unpacked $log.gz" "one one_thread $log $log.again" "two two_threads $log $log.again"
echo "serving, in other ways"
for word in plain json-file cri pipe gzip gunzip; do show "$word" "$(wc -c < "$log")"; done
ratio "json-file, times the plain log" "${best[json-file]}" "${best[plain]}" most 2
ratio "CRI, times the plain log" "${best[cri]}" "${best[plain]}" most 2
ratio "from a pipe, cat included, times from the file" "${best[pipe]}" "${best[plain]}" most 2
ratio "gzip, times unpacking by gzip plus the plain log" "${best[gzip]}" "$(awk -v a="${best[gunzip]}" -v b="${best[plain]}" 'BEGIN { print a + b }')" most 1.2
echo "  two logs: ${wall[one]} s by the clock on one thread, ${wall[two]} s on two: $(awk -v a="${wall[one]}" -v b="${wall[two]}" 'BEGIN { printf "%.2f", a / b }') times as fast (where the machine is quiet)"
rm -f "$log" "$log".*

report router inference-oom 6 0.3
report quiet healthy 5 0.25
report errors inference-oom 1.8 0.13
ratio "nothing but errors, times a quiet log" "$best_of_errors" "$best_of_quiet" most 3
exit "$failed"
