#!/usr/bin/env bash
# Measures the most memory that `oomdoc analyze` holds for logs that are hostile by their size, each through a pipe, and
# fails when one takes 64 MiB or more or a verdict is lost.
#
#   scripts/bench-memory.sh [PART]        (1/PART of the full size; default 1; OOMDOC=path/to/binary)
#
# GNU time prints the peak; without it there is nothing to measure by.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:-1}
oomdoc=${OOMDOC:-target/release/oomdoc}
[ -x "$oomdoc" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
[ -x /usr/bin/time ] || { echo "needs GNU time" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# One line of 2 GB, and what matters behind it.
one_line() {
    # `head` ends the pipe, which `yes` and `tr` are told by a signal.
    (set +o pipefail; yes 'a line without end' | tr '\n' ' ' | head -c $((2000000000 / part)))
    printf '\nOSError: [Errno 28] No space left on device\n'
}

distinct_errors() {
    awk -v n=$((10000000 / part)) 'BEGIN {
        for (i = 0; i < n; i++) printf "ERROR 03-20 10:%02d:%02d [serve_%d.py:%d] Request chatcmpl-%d failed: Frob%dError: no %d\n", i / 60 % 60, i % 60, i, i, i, i, i
    }'
}

restarts() {
    awk -v n=$((1000000 / part)) 'BEGIN {
        for (i = 0; i < n; i++) {
            clock = sprintf("%02d:%02d:%02d", i / 3600 % 24, i / 60 % 60, i % 60)
            print "INFO 03-14 " clock " [api_server.py:1042] vLLM API server version 0.8.5"
            print "INFO 03-14 " clock " [gpu_model_runner.py:1347] Model loading took 13.5000 GiB and 12.100000 seconds"
            print "ERROR 03-14 " clock " [core.py:398] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate " i % 900 + 1 ".00 MiB. GPU 0 has a total capacity of 23.55 GiB of which 101.00 MiB is free."
            print "RuntimeError: Engine core initialization failed. See root cause above. (pid " i ")"
        }
    }'
}

failed=0
measure() { # NAME COMMAND CAUSE
    local cause peak seconds
    "$2" | /usr/bin/time -f '%M %U %S' -o "$folder/taken" "$oomdoc" "${watch:-analyze}" --format ndjson > "$folder/out" 2> /dev/null || true
    read -r peak seconds < <(tail -1 "$folder/taken" | awk '{ print $1, $2 + $3 }')
    cause=$(head -1 "$folder/out" | sed -n 's/^.*"cause":"\([^"]*\)","completeness.*/\1/p')
    printf '%-28s %5.1f MiB resident, %7.2f s of CPU time, %s\n' "${watch:-analyze}, $1" "$(awk -v k="$peak" 'BEGIN { print k / 1024 }')" "$seconds" "$cause"
    if [ "$peak" -ge 65536 ] || [ "$cause" != "$3" ]; then echo "  wrong: wanted $3 in less than 64 MiB"; failed=1; fi
}

measure "a line of 2 GB" one_line disk-full
measure "10,000,000 errors" distinct_errors unknown
measure "1,000,000 restarts" restarts prefill-oom
watch=watch measure "10,000,000 errors" distinct_errors unknown
watch=watch measure "1,000,000 restarts" restarts prefill-oom
exit "$failed"
