//! `oomdoc watch` as it is used: logs that grow, are rotated, cut and replaced, and end.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(unix)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use oomdoc::source::Reader;
use oomdoc::watch::{Notice, Watcher};
use oomdoc::{Options, analysis::Analyzer};
use serde_json::Value;

/// Longer than any machine takes.
const LIMIT: Duration = Duration::from_secs(60);

const START: &str = "INFO 03-14 00:00:00 [api_server.py:1042] vLLM API server version 0.8.5\n\
INFO 03-14 00:00:20 [gpu_model_runner.py:1347] Model loading took 13.5000 GiB and 12.100000 seconds\n\
INFO:     Application startup complete.\n\
INFO:     10.0.0.1:40000 - \"POST /v1/chat/completions HTTP/1.1\" 200 OK\n";
const DEATH: &str = "ERROR 03-14 00:10:00 [core.py:398] EngineCore encountered a fatal error.\n\
ERROR 03-14 00:10:00 [core.py:398] Traceback (most recent call last):\n\
ERROR 03-14 00:10:00 [core.py:398]   File \"/usr/lib/python3.12/site-packages/vllm/v1/worker/gpu_model_runner.py\", line 1100, in execute_model\n\
ERROR 03-14 00:10:00 [core.py:398]     hidden_states = self.model(input_ids)\n\
ERROR 03-14 00:10:00 [core.py:398] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 23.55 GiB of which 101.00 MiB is free.\n";

struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn new(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oomdoc"))
            .args(["watch", "--settle", "0.5"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Watch { child, lines }
    }

    /// Its next report as JSON.
    fn report(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(LIMIT).unwrap()).unwrap()
    }

    /// Says nothing for a while.
    fn is_silent(&self) {
        let said = self.lines.recv_timeout(Duration::from_millis(1500));
        assert!(said.is_err(), "{said:?}");
    }

    fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Ends it by a signal, or by the end of its input; gives its exit code and what it said on standard error.
    fn end(mut self, signal: Option<&str>) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        if let Some(signal) = signal {
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        }
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn an_incident_on_standard_input_is_reported_once_and_when_it_happens() {
    let mut watch = Watch::new(&["--format", "ndjson"]);
    watch.write(START);
    watch.is_silent();
    watch.write(DEATH);
    let report = watch.report();
    assert_eq!(report["cause"], "inference-oom");
    assert_eq!(report["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(report["incidents"][0]["figures"]["tried_bytes"], 512 << 20);
    watch.write("INFO:     Shutting down\n");
    watch.is_silent();
    let (code, err) = watch.end(None);
    assert_eq!(code, Some(1));
    assert!(err.contains("standard input: 10 lines, inference-oom, 0 warnings"), "{err}");
}

#[test]
fn a_crash_loop_is_one_incident_and_another_cause_is_another() {
    let mut watch = Watch::new(&["--format", "ndjson"]);
    watch.write(&format!("{START}{DEATH}"));
    assert_eq!(watch.report()["cause"], "inference-oom");
    watch.write(&format!("{START}{DEATH}"));
    watch.is_silent();
    watch.write(&format!("{START}OSError: [Errno 28] No space left on device\n"));
    assert_eq!(watch.report()["cause"], "disk-full");
    let (code, err) = watch.end(Some("-TERM"));
    assert_eq!(code, Some(1));
    assert!(err.contains("disk-full, inference-oom (2 times)"), "{err}");
}

#[test]
fn a_file_is_followed_when_it_comes_is_cut_rotated_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("server.log");
    let watch = Watch::new(&["--format", "ndjson", log.to_str().unwrap()]);
    thread::sleep(Duration::from_millis(500));
    append(&log, &format!("{START}{DEATH}"));
    assert_eq!(watch.report()["cause"], "inference-oom");

    // Cut, as `copytruncate` does, in the middle of a line.
    append(&log, "INFO half a li");
    thread::sleep(Duration::from_millis(700));
    fs::write(&log, "").unwrap();
    thread::sleep(Duration::from_millis(700));
    append(&log, &format!("{START}OSError: [Errno 28] No space left on device\n"));
    assert_eq!(watch.report()["cause"], "disk-full");

    // Moved away; what is still written into the old one counts.
    let old = folder.path().join("server.log.1");
    fs::rename(&log, &old).unwrap();
    append(&old, START);
    append(&old, "OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use\n");
    assert_eq!(watch.report()["cause"], "port-in-use");
    append(&log, START);
    append(&log, "ModuleNotFoundError: No module named 'flash_attn'\n");
    assert_eq!(watch.report()["cause"], "missing-dependency");

    // Removed for a while.
    fs::remove_file(&log).unwrap();
    thread::sleep(Duration::from_millis(700));
    append(
        &log,
        &format!(
            "{START}RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit.\n"
        ),
    );
    assert_eq!(watch.report()["cause"], "shm-exhausted");

    // Replaced by another file under its name.
    let other = folder.path().join("new");
    fs::write(&other, format!("{START}torch.OutOfMemoryError: HIP out of memory. Tried to allocate 1.00 GiB.\n")).unwrap();
    fs::rename(&other, &log).unwrap();
    watch.is_silent();

    let (code, err) = watch.end(Some("-INT"));
    assert_eq!(code, Some(1));
    assert!(err.contains("is not there yet") && err.contains("inference-oom (2 times)"), "{err}");
}

/// Lines of one kind, a second apart.
fn series(count: u32, line: impl Fn(u32) -> String) -> String {
    (0..count).map(|n| line(n) + "\n").collect()
}

fn metrics(second: u32, usage: f64) -> String {
    format!(
        "INFO 03-14 00:{:02}:{:02} [loggers.py:111] Engine 000: Avg prompt throughput: 9.0 tokens/s, Avg generation throughput: 8.0 tokens/s, Running: 64 reqs, Waiting: 12 reqs, GPU KV cache usage: {usage:.1}%, Prefix cache hit rate: 0.0%",
        second / 60 % 60,
        second % 60
    )
}

#[test]
fn what_comes_before_a_failure_is_warned_of() {
    let cases = [
        ("cache-full", "99.9%", series(6, |n| metrics(n, 99.9))),
        (
            "preemptions",
            "is preempted by",
            series(6, |n| {
                format!(
                    "WARNING 03-14 00:01:{n:02} scheduler.py:1242] Sequence group cmpl-{n} is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space. This can affect the end-to-end performance. Increase gpu_memory_utilization or tensor_parallel_size to provide more KV cache memory. total_num_cumulative_preemption={}",
                    n + 1
                )
            }),
        ),
        (
            "preemptions",
            "Retract requests",
            series(6, |n| {
                format!(
                    "[2026-01-05 10:05:{n:02} TP0] KV cache pool is full. Retract requests. #retracted_reqs: 4, #new_tokens_gained: 900, #new_token_ratio: 0.4120 -> 0.9900"
                )
            }),
        ),
        (
            "memory-climbs",
            "MA ",
            series(6, |n| {
                format!(
                    "[2024-11-02 09:13:{n:02},118] [INFO] [utils.py:782:see_memory_usage] MA {}.12 GB         Max_MA {}.64 GB         CA 20.01 GB         Max_CA 20 GB",
                    5 + n,
                    5 + n
                )
            }),
        ),
        ("retries", "Retrying in", series(6, |n| format!("Retrying in {}s [Retry {}/9].", 1 << n, n + 1))),
    ];
    for (kind, shown, lines) in cases {
        let mut watch = Watch::new(&["--format", "ndjson"]);
        if !lines.contains("Retry") {
            watch.write(START);
        }
        watch.write(&lines);
        let warning = watch.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no warning of {kind} by {shown}"));
        let warning: Value = serde_json::from_str(&warning).unwrap();
        assert_eq!((&warning["schema"], &warning["warning"]), (&"oomdoc.warning/1".into(), &kind.into()), "{warning}");
        assert!(warning["evidence"][0]["text"].as_str().unwrap().contains(shown), "{warning}");
        // The same again is not said again.
        watch.write(&lines);
        watch.is_silent();
        let (code, err) = watch.end(None);
        assert_eq!(code, Some(0), "{kind}");
        assert!(err.contains("nothing failed, 1 warnings"), "{err}");
    }
}

#[test]
fn a_healthy_run_is_not_warned_of() {
    let mut watch = Watch::new(&["--format", "ndjson"]);
    watch.write("Retrying in 1s [Retry 1/5].\n");
    watch.write(START);
    // The cache is full for a moment, memory rises and falls, one request is preempted.
    watch.write(&series(3000, |n| metrics(n, if n % 100 == 50 { 99.9 } else { f64::from(n * 37 % 98) })));
    watch.write(&series(3000, |n| format!("INFO:     10.0.0.{}:40000 - \"POST /v1/chat/completions HTTP/1.1\" 200 OK", n % 250)));
    watch.write(&series(60, |n| {
        let held = 5 + n * 7 % 9;
        format!("[2024-11-02 09:13:{n:02},118] [INFO] [utils.py:782:see_memory_usage] MA {held}.12 GB         Max_MA 14.64 GB         CA 20.01 GB         Max_CA 20 GB")
    }));
    watch.write("[2026-01-05 10:05:00 TP0] KV cache pool is full. Retract requests. #retracted_reqs: 1, #new_tokens_gained: 900, #new_token_ratio: 0.4120 -> 0.9900\n");
    watch.is_silent();
    let (code, err) = watch.end(Some("-INT"));
    assert_eq!(code, Some(0));
    assert!(err.contains("nothing failed, 0 warnings"), "{err}");
}

#[test]
fn a_command_gets_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let mut watch = Watch::new(&["--exec", &format!("cat > {}", copy.display())]);
    watch.write(&format!("{START}{DEATH}"));
    let (code, _) = watch.end(None);
    assert_eq!(code, Some(1));
    assert!(fs::read_to_string(copy).unwrap().contains("inference-oom"));
}

#[test]
fn what_a_command_prints_does_not_stand_among_the_reports() {
    let mut watch = Watch::new(&["--format", "ndjson", "--exec", "echo it is done"]);
    watch.write(&format!("{START}{DEATH}"));
    assert_eq!(watch.report()["cause"], "inference-oom");
    watch.is_silent();
    assert!(watch.end(None).1.contains("it is done"));
}

#[test]
fn a_reader_that_went_away_ends_the_watch_and_a_full_disk_is_said() {
    let watch = |out: Stdio| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oomdoc"))
            .args(["watch", "--settle", "0.1"])
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut input = child.stdin.take().unwrap();
        input.write_all(format!("{START}{DEATH}").as_bytes()).unwrap();
        // It does not wait for the end of its input.
        let output = child.wait_with_output().unwrap();
        drop(input);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(watch(Stdio::piped()), (Some(0), String::new()));
    if let Ok(full) = OpenOptions::new().write(true).open("/dev/full") {
        let (code, err) = watch(full.into());
        assert!(code == Some(2) && err.contains("cannot write the output"), "{err}");
    }
}

#[test]
fn every_signal_that_asks_for_an_end_gets_a_summary() {
    // Tests that run under nohup ignore the end of a terminal, and so does what they start.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok()).unwrap_or(0);
    for signal in ["-INT", "-TERM", "-HUP"].into_iter().filter(|signal| *signal != "-HUP" || ignored & 1 == 0) {
        let mut watch = Watch::new(&["--format", "ndjson"]);
        watch.write(&format!("{START}{DEATH}"));
        assert_eq!(watch.report()["cause"], "inference-oom");
        // Its input is still open.
        let input = watch.child.stdin.take();
        let (code, err) = watch.end(Some(signal));
        drop(input);
        assert!(code == Some(1) && err.contains("standard input: 9 lines, inference-oom, 0 warnings"), "{signal} {err}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_was_started_by_nohup_outlives_its_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("server.log");
    append(&log, START);
    let mut child = Command::new("nohup")
        .args([env!("CARGO_BIN_EXE_oomdoc"), "watch", "--settle", "0.5", "--format", "ndjson"])
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(700));
    let pid = child.id().to_string();
    let send = |signal: &str| Command::new("kill").args([signal, &pid]).status().unwrap();
    send("-HUP");
    append(&log, DEATH);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("inference-oom"), "{line}");
    send("-TERM");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.code() == Some(1) && String::from_utf8(output.stderr).unwrap().contains("watched for"));
}

#[test]
fn a_command_that_fails_or_takes_long_does_not_end_the_watch() {
    let mut watch = Watch::new(&["--format", "ndjson", "--exec", "exit 3"]);
    watch.write(&format!("{START}{DEATH}"));
    assert_eq!(watch.report()["cause"], "inference-oom");
    watch.write(&format!("{START}OSError: [Errno 28] No space left on device\n"));
    assert_eq!(watch.report()["cause"], "disk-full");
    let (code, err) = watch.end(Some("-TERM"));
    assert_eq!(code, Some(1));
    assert_eq!(err.matches("the command of --exec failed").count(), 2, "{err}");

    let mut watch = Watch::new(&["--format", "ndjson", "--exec", "sleep 3"]);
    watch.write(&format!("{START}{DEATH}"));
    assert_eq!(watch.report()["cause"], "inference-oom");
    watch.write(&format!("{START}OSError: [Errno 28] No space left on device\n"));
    let begun = Instant::now();
    assert_eq!(watch.report()["cause"], "disk-full");
    assert!(begun.elapsed() < Duration::from_secs(3), "it waits for the command");
    watch.end(Some("-INT"));
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Watch::new(&[folder.path().to_str().unwrap()]).end(None).0, Some(2));
    assert_eq!(Watch::new(&["--settle", "never"]).end(None).0, Some(2));
    let picture = folder.path().join("picture");
    fs::write(&picture, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    assert_eq!(Watch::new(&[picture.to_str().unwrap()]).end(None).0, Some(2));
}

/// Kibibytes that a process holds, by the name of the figure, where the system tells.
fn held(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix(figure)?.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn a_watch_holds_no_more_after_long_than_at_first() {
    let mut watch = Watch::new(&["--format", "ndjson"]);
    let mut held_after = |count: u32| {
        for n in 0..count {
            // Each run has another error, request and process; one in three fails at its start.
            let serving = series(5, |line| metrics(n + line, f64::from(line * 3)));
            let start = if n % 3 == 0 { String::new() } else { format!("{START}{serving}INFO: request {n} of user-{n} done\n") };
            watch.write(&format!("{start}{DEATH}ValueError: no {n} in Frob{n}\n(worker-{n}) INFO: ends\n"));
        }
        // What waits in the pipe is little.
        held(watch.child.id(), "VmRSS:")
    };
    let (at_first, at_last) = (held_after(1_000), held_after(9_000));
    watch.report();
    let peak = held(watch.child.id(), "VmHWM:");
    let (code, err) = watch.end(None);
    assert_eq!(code, Some(1));
    assert!(err.contains("standard input: 136660 lines") && err.contains("inference-oom ("), "{err}");
    assert!(at_last <= at_first + 4 * 1024, "{at_first} KiB at first, {at_last} KiB at last");
    assert!(peak < 72 * 1024, "{peak} KiB");
}

#[test]
fn what_is_reported_is_what_is_counted() {
    let options = Options::default();
    let analyzer = Analyzer::new(&options);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let causes = std::fs::read_dir(folder).unwrap().map(|cause| cause.unwrap().path());
    for case in causes.flat_map(|cause| std::fs::read_dir(cause).unwrap()) {
        let path = case.unwrap().path().join("input.log");
        let Ok(log) = std::fs::read(&path) else { continue };
        let Ok(mut reader) = Reader::live("log", Box::new(std::io::Cursor::new(log))) else { continue };
        let mut watcher = Watcher::new(&analyzer, "log".into(), 1, Duration::ZERO, false, Instant::now());
        let mut notices = Vec::new();
        watcher.poll(&mut reader, Instant::now(), &mut notices).unwrap();
        for notice in notices {
            let Notice::Incident(report) = notice else { continue };
            for incident in report.incidents {
                assert!(watcher.totals().contains_key(incident.cause), "{}: {} {:?}", path.display(), incident.cause, watcher.totals());
            }
        }
    }
}

/// Each service says all that the fixtures know: far more writers and rules than there is room for.
#[test]
fn what_is_held_has_a_bound_whatever_is_said_and_by_whom() {
    const ROOM: usize = 128 * 1024;
    let options = Options::default();
    let analyzer = Analyzer::new(&options);
    let mut session = analyzer.session(ROOM);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let causes = std::fs::read_dir(folder).unwrap().map(|cause| cause.unwrap().path());
    let logs: Vec<String> = causes
        .flat_map(|cause| std::fs::read_dir(cause).unwrap())
        .filter_map(|case| std::fs::read_to_string(case.unwrap().path().join("input.log")).ok())
        .collect();
    let mut number = 0;
    let mut most = 0;
    for (service, log) in logs.iter().enumerate().chain(logs.iter().enumerate().skip(7)) {
        for line in log.lines() {
            number += 1;
            session.push(number, format!("svc-{service}  | {line}").as_bytes());
            most = most.max(session.bytes());
        }
    }
    session.push(number + 1, b"last-1  | OSError: [Errno 28] No space left on device");
    session.settle(number + 1);
    assert!(session.is_full() && most < 4 * ROOM, "{most}");
    // The end is known whatever came before it.
    let case = session.into_case(number + 1);
    assert!(case.facts.iter().any(|fact| fact.place.first_line == number + 1));
}

#[test]
fn many_logs_share_what_one_may_hold() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut all = Vec::new();
    for cause in std::fs::read_dir(fixtures).unwrap() {
        for case in std::fs::read_dir(cause.unwrap().path()).unwrap() {
            all.extend(std::fs::read(case.unwrap().path().join("input.log")).unwrap_or_default());
            all.push(b'\n');
        }
    }
    let paths: Vec<String> = (0..12).map(|n| folder.path().join(format!("{n}.log")).display().to_string()).collect();
    for path in &paths {
        fs::write(path, &all).unwrap();
    }
    let args: Vec<&str> = ["--format", "ndjson"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let watch = Watch::new(&args);
    let mut waiting: Vec<&String> = paths.iter().collect();
    while !waiting.is_empty() {
        let said = watch.report();
        waiting.retain(|path| said["source"]["name"] != path.as_str());
    }
    let peak = held(watch.child.id(), "VmHWM:");
    watch.end(Some("-INT"));
    assert!(peak < 72 * 1024, "{peak} KiB");
}
