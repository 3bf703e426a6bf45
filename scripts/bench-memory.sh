#!/usr/bin/env bash
# Measures the most memory that `oomdoc` holds for logs that are hostile by their size, and fails when one takes 64 MiB or
# more, or a verdict is lost. Each log is read from a file, through a pipe, and packed by gzip and zstd; watched through a
# pipe; then come 100,000 small files in a tree, some of them bad, a watch over a log that is rotated many times, and one of
# 35 logs at a time in which everything fails that the fixtures know.
#
#   scripts/bench-memory.sh [PART]        (1/PART of the full size; default 1; OOMDOC=path/to/binary, TMPDIR with 5 GB)
#
# GNU time prints the peak; without it there is nothing to measure by.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:-1}
oomdoc=$(realpath "${OOMDOC:-target/release/oomdoc}")
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

# What a server says all day, 3 GB of it, in blocks of 20 MB that are all alike.
ordinary() {
    awk 'BEGIN {
        for (i = 0; i < 130000; i++) {
            clock = sprintf("%02d:%02d:%02d", i / 3600 % 24, i / 60 % 60, i % 60)
            if (i % 4 == 0) print "INFO 03-14 " clock " [loggers.py:111] Engine 000: Avg prompt throughput: " i % 900 ".0 tokens/s, Avg generation throughput: " i % 300 ".0 tokens/s, Running: 3 reqs, Waiting: 0 reqs, GPU KV cache usage: " i % 80 ".0%, Prefix cache hit rate: 12.0%"
            else print "INFO:     10.0." i % 7 "." i % 250 ":" 40000 + i % 20000 " - \"POST /v1/chat/completions HTTP/1.1\" 200 OK"
        }
    }' > "$folder/block"
    local times=$((3000000000 / part / $(stat -c %s "$folder/block") + 1))
    for ((i = 0; i < times; i++)); do cat "$folder/block"; done
    printf 'OSError: [Errno 28] No space left on device\n'
}

failed=0
measure() { # NAME CAUSE COMMAND...: what it reads is on its standard input
    local name=$1 wanted=$2 cause peak seconds
    shift 2
    /usr/bin/time -f '%M %U %S' -o "$folder/taken" "$oomdoc" "$@" --format ndjson > "$folder/out" 2> /dev/null || true
    read -r peak seconds < <(tail -1 "$folder/taken" | awk '{ print $1, $2 + $3 }')
    cause=$(head -1 "$folder/out" | sed -n 's/^.*"cause":"\([^"]*\)","completeness.*/\1/p')
    printf '%-36s %5.1f MiB resident, %7.2f s of CPU time, %s\n' "$name" "$(awk -v k="$peak" 'BEGIN { print k / 1024 }')" "$seconds" "$cause"
    if [ "$peak" -ge 65536 ] || [ "$cause" != "$wanted" ]; then echo "  wrong: wanted $wanted in less than 64 MiB"; failed=1; fi
}

all_ways() { # NAME COMMAND CAUSE CAUSE-OF-A-WATCH
    "$2" > "$folder/log"
    printf '\n%s: %d MB\n' "$1" $(($(stat -c %s "$folder/log") / 1000000))
    measure "  a file" "$3" analyze "$folder/log" < /dev/null
    # shellcheck disable=SC2002
    cat "$folder/log" | measure "  a pipe" "$3" analyze
    cat "$folder/log" | measure "  watched through a pipe" "$4" watch
    gzip -1 -c "$folder/log" > "$folder/packed"
    measure "  gzip" "$3" analyze "$folder/packed" < /dev/null
    zstd -q -1 -f "$folder/log" -o "$folder/packed"
    rm "$folder/log"
    measure "  zstd" "$3" analyze "$folder/packed" < /dev/null
    rm "$folder/packed"
}

# 100,000 small files, of which one in a hundred is no log, empty, or cut in the middle of its packing.
tree() {
    local n=$((100000 / part)) k
    awk -v n="$n" -v folder="$folder/tree" 'BEGIN {
        for (i = 0; i < n; i++) {
            if (i % 1000 == 0) { sub_folder = sprintf("%s/%03d", folder, i / 1000); system("mkdir -p " sub_folder) }
            file = sprintf("%s/%05d.log", sub_folder, i)
            if (i % 300 == 7) printf "" > file
            else if (i % 300 == 107) print "%PDF-1.7 no log" > file
            else print "INFO server " i " started\nOSError: [Errno 28] No space left on device: " i > file
            close(file)
        }
    }'
    for k in "$folder"/tree/*/*0207.log; do head -c 30 < <(gzip -c "$k") > "$k.cut" && mv "$k.cut" "$k"; done
    printf '\n%d files in a tree\n' "$n"
    for format in ndjson json text markdown html; do
        local peak seconds lines
        /usr/bin/time -f '%M %U %S' -o "$folder/taken" "$oomdoc" analyze "$folder/tree" --format $format > "$folder/out" 2> /dev/null || true
        read -r peak seconds < <(tail -1 "$folder/taken" | awk '{ print $1, $2 + $3 }')
        # Each input has a number of its own in its message.
        lines=$(grep -o 'No space left on device: [0-9]*' "$folder/out" | sort -u | wc -l)
        printf '%-36s %5.1f MiB resident, %7.2f s of CPU time, %d MB with the evidence of %d files\n' \
            "  $format" "$(awk -v k="$peak" 'BEGIN { print k / 1024 }')" "$seconds" $(($(stat -c %s "$folder/out") / 1000000)) "$lines"
        if [ "$peak" -ge 65536 ]; then echo "  wrong: wanted less than 64 MiB"; failed=1; fi
        if [ "$lines" -lt $((n * 99 / 100 - 1)) ]; then echo "  wrong: files are missing"; failed=1; fi
        if [ "$format" = ndjson ] && ! grep -o '"name":"[^"]*[0-9]*.log"' "$folder/out" | sort -C; then echo "  wrong: out of order"; failed=1; fi
    done
    rm -rf "$folder/tree"
}

# Waits until a process has read all of a file.
has_read() { # PID FILE
    local fd
    while :; do
        for fd in "/proc/$1/fd"/*; do
            if [ "$(readlink "$fd")" = "$2" ] && grep -q "^pos:[[:space:]]*$(stat -c %s "$2")$" "/proc/$1/fdinfo/${fd##*/}"; then return; fi
        done
        sleep 0.05
    done
}

# A log that is moved away or cut 200 times while it is watched, 50 million lines in all.
rotations() {
    local log k peak early late
    held() { sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$watch/status"; }
    log=$(realpath "$folder")/server.log
    awk 'BEGIN { for (i = 0; i < 50000; i++) print "INFO:     10.0." i % 7 "." i % 250 ":" 40000 + i % 20000 " - \"POST /v1/chat/completions HTTP/1.1\" 200 OK" }' > "$folder/block"
    : > "$log"
    "$oomdoc" watch --format ndjson "$log" > "$folder/out" 2> "$folder/said" &
    local watch=$!
    for ((k = 0; k < 200; k++)); do
        for ((i = 0; i < 5; i++)); do cat "$folder/block" >> "$log"; done
        printf 'ERROR 03-14 00:10:%02d [core.py:398] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate %d.00 MiB. GPU 0 has a total capacity of 23.55 GiB of which 101.00 MiB is free.\n' $((k % 60)) $((k + 1)) >> "$log"
        has_read $watch "$log"
        if ((k % 2)); then mv "$log" "$log.1"; fi
        : > "$log"
        has_read $watch "$log"
        if ((k == 19)); then early=$(held VmRSS); fi
    done
    sleep 3
    late=$(held VmRSS)
    peak=$(held VmHWM)
    kill -INT "$watch"
    wait "$watch" || true
    printf '\n200 rotations of a watched file: %d KiB resident at most, %d after 20 and %d at the end\n' "$peak" "$early" "$late"
    tail -1 "$folder/said"
    [ "$peak" -lt 65536 ] || { echo "  wrong: wanted less than 64 MiB"; failed=1; }
    [ "$late" -lt $((early + 4096)) ] || { echo "  wrong: wanted no more at the end than after a tenth"; failed=1; }
    grep -q ' 50000[0-9]* lines, inference-oom (200 times)' "$folder/said" || { echo "  wrong: wanted 50,000,200 lines and 200 incidents"; failed=1; }
}

# Logs of every software, one behind another: every rule and cause.
many_logs() {
    local n peak logs=()
    for ((n = 0; n < 6; n++)); do cat fixtures/*/*/input.log; done > "$folder/block"
    for ((n = 0; n < 35; n++)); do
        ln "$folder/block" "$folder/$n.log"
        logs+=("$folder/$n.log")
    done
    "$oomdoc" watch --format ndjson "${logs[@]}" > "$folder/out" 2> "$folder/said" &
    local watch=$!
    for ((n = 0; n < 35; n++)); do has_read $watch "$(realpath "$folder")/$n.log"; done
    sleep 3
    peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$watch/status")
    kill -INT "$watch"
    wait "$watch" || true
    printf '\na watch of 35 logs of %d MB in which everything fails: %d KiB resident at most\n' $(($(stat -c %s "$folder/block") / 1000000)) "$peak"
    rm "${logs[@]}"
    [ "$peak" -lt 65536 ] || { echo "  wrong: wanted less than 64 MiB"; failed=1; }
    [ "$(grep -c 'weight-oom' "$folder/said")" = 35 ] || { echo "  wrong: wanted incidents of every log"; failed=1; }
}

all_ways "a line of 2 GB" one_line disk-full disk-full
all_ways "10,000,000 errors" distinct_errors unknown unknown
all_ways "1,000,000 restarts" restarts prefill-oom prefill-oom
all_ways "3 GB of ordinary lines" ordinary disk-full disk-full
tree
rotations
many_logs
exit "$failed"
