//! What wraps a log says nothing about what it tells: every fixture has the same verdict in every wrapping, in every
//! encoding and in pairs of them, with the same figures and the same line as proof. Two logs that are mixed line by line
//! give both verdicts, and a log that is cut behind its proof gives the same.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use oomdoc::analysis::Analyzer;
use oomdoc::causes::by_id;
use oomdoc::post_mortem::{Impact, Phase, Role};
use oomdoc::source::Reader;
use oomdoc::{Options, PostMortem};
use serde_json::{Value, json};

// ---------------------------------------------------------------------------------------------------------------- logs

/// A line on its way into wrappings, and the lines of the plain log (0-based) that it holds.
#[derive(Debug, Clone)]
struct Line {
    text: String,
    from: usize,
    to: usize,
}

type Lines = Vec<Line>;

struct Fixture {
    name: String,
    lines: Lines,
    plain: Verdict,
    engine: Option<String>,
    /// The plain verdict is the one that the fixture was written for.
    right: bool,
    /// Its primary incident ended the process.
    died: bool,
    /// It had been stopped in order before it failed: the failure is of another start.
    stopped: bool,
    /// It failed while it trained.
    trained: bool,
}

/// What must not depend on the wrapping.
#[derive(Debug, Clone, PartialEq)]
struct Verdict {
    cause: &'static str,
    /// Causes of all incidents, in their order.
    all: Vec<&'static str>,
    figures: Value,
    /// 0-based line and text of the decisive evidence.
    proof: Option<(usize, String)>,
    /// The last line, 0-based, of any evidence.
    last: usize,
}

impl Verdict {
    fn of(report: &PostMortem) -> Self {
        let primary = report.incidents.first();
        let proof = primary.and_then(|i| i.evidence.iter().find(|e| e.role == Role::Cause));
        let last = report.incidents.iter().flat_map(|i| &i.evidence).map(|e| e.last_line.unwrap_or(e.line)).max().unwrap_or(1);
        Verdict {
            cause: report.cause,
            all: report.incidents.iter().map(|i| i.cause).collect(),
            figures: serde_json::to_value(&report.figures).unwrap(),
            proof: proof.map(|e| (e.line as usize - 1, e.text.clone())),
            last: last as usize - 1,
        }
    }
}

static OPTIONS: LazyLock<Options> = LazyLock::new(Options::default);
static ANALYZER: LazyLock<Analyzer<'static>> = LazyLock::new(|| Analyzer::new(&OPTIONS));

fn analyze(bytes: Vec<u8>) -> Result<PostMortem, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| Reader::from_bytes(bytes).and_then(|reader| ANALYZER.run(reader, "-"))));
    match outcome {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it panicked".to_owned()),
    }
}

fn bytes_of(lines: &[Line]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line.text.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// Every fixture, or those whose name holds `$FIXTURE`.
fn fixtures() -> &'static [Fixture] {
    static FIXTURES: OnceLock<Vec<Fixture>> = OnceLock::new();
    FIXTURES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let wanted = std::env::var("FIXTURE").unwrap_or_default();
        let mut folders: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|cause| cause.unwrap().path())
            .filter(|path| path.is_dir())
            .flat_map(|cause| fs::read_dir(cause).unwrap().map(|case| case.unwrap().path()))
            .filter(|case| case.join("input.log").exists())
            .collect();
        folders.sort();
        let mut found = Vec::new();
        for folder in folders {
            let name = folder.strip_prefix(&root).unwrap().display().to_string();
            let text = fs::read_to_string(folder.join("input.log")).unwrap();
            let lines: Lines = text.lines().enumerate().map(|(at, text)| Line { text: text.to_owned(), from: at, to: at }).collect();
            let report = analyze(bytes_of(&lines)).unwrap();
            let plain = Verdict::of(&report);
            let right = fs::read_to_string(folder.join("case.toml")).unwrap().contains(&format!("\ncause = \"{}\"", plain.cause));
            let died = report.incidents.first().is_some_and(|i| i.impact == Impact::ProcessDied);
            if name.contains(&wanted) {
                let failed = report.incidents.first().map_or(0, |i| i.first_line);
                let stopped = report.timeline.iter().any(|event| event.kind == "stopped" && event.line < failed);
                let trained = report.incidents.first().is_some_and(|i| i.phase == Some(Phase::Train));
                found.push(Fixture { name, lines, plain, engine: report.deployment.engine, right, died, stopped, trained });
            }
        }
        assert!(!found.is_empty());
        found
    })
}

/// True to take every fixture where otherwise a few are taken: some hundred thousand logs, several minutes.
fn takes_every() -> bool {
    std::env::var_os("EVERY").is_some()
}

/// A number by which some are chosen. It depends on nothing else, so that a new fixture changes no choice among the others.
fn lot(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A few of these for each key, other ones for each key.
fn some_of(key: impl Hash, count: usize, mut all: Vec<&'static Fixture>) -> Vec<&'static Fixture> {
    if !takes_every() {
        all.sort_by_cached_key(|fixture| lot((&key, &fixture.name)));
        all.truncate(count);
    }
    all
}

// ------------------------------------------------------------------------------------------------------------ wrappings

/// What a wrapping cannot carry, so that no tool would produce it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Written by what runs the process: it can stand in everything and hold everything.
    Carrier,
    /// Written by the process itself before its own text. A text that has such a prefix already is not given another, and
    /// what a collector adds never stands inside it.
    Process,
    /// A logger of the process makes an object of each message: nothing but the process's own text is in it.
    Logger,
    /// Done by people who copy a log into an issue or an editor: no machine wraps that again.
    Paste,
}

struct Wrapping {
    name: &'static str,
    kind: Kind,
    wrap: fn(&[Line]) -> Lines,
}

fn each(lines: &[Line], wrap: impl Fn(usize, &str) -> String) -> Lines {
    lines.iter().enumerate().map(|(at, line)| Line { text: wrap(at, &line.text), ..line.clone() }).collect()
}

/// Two lines a second from a fixed moment on, with this many digits of the second.
fn stamp(at: usize, digits: usize) -> String {
    let seconds = at / 2;
    let fraction = format!("{:09}", 123_456_789 + (at % 2) * 500_000_000);
    format!("2025-03-20T{:02}:{:02}:{:02}.{}Z", 10 + seconds / 3600, seconds / 60 % 60, seconds % 60, &fraction[..digits])
}

fn microseconds(at: usize) -> u64 {
    1_742_464_800_000_000 + at as u64 * 500_000
}

/// Cuts a text into parts of about so many bytes.
fn parts(text: &str, size: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > size {
        let mut end = size;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// Docker's log file. It splits lines at 16 KiB; here much shorter ones are split, but not the first, by which a reader
/// learns that entries end with a line break.
fn json_file(lines: &[Line]) -> Lines {
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let parts = if at == 0 { vec![line.text.as_str()] } else { parts(&line.text, 97) };
        for (number, part) in parts.iter().enumerate() {
            let ended = if number + 1 == parts.len() { "\n" } else { "" };
            let entry = json!({"log": format!("{part}{ended}"), "stream": "stderr", "time": stamp(at, 9)});
            out.push(Line { text: entry.to_string(), ..line.clone() });
        }
    }
    out
}

/// The log file of containerd and CRI-O.
fn cri(lines: &[Line]) -> Lines {
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let parts = parts(&line.text, 83);
        for (number, part) in parts.iter().enumerate() {
            let tag = if number + 1 == parts.len() { 'F' } else { 'P' };
            out.push(Line { text: format!("{} stderr {tag} {part}", stamp(at, 9)), ..line.clone() });
        }
    }
    out
}

/// A journal exported as JSON: a message with control characters is a list of its bytes there.
fn journal_json(lines: &[Line]) -> Lines {
    each(lines, |at, text| {
        let plain = text.chars().all(|c| !c.is_control() || c == '\t');
        let message = if plain { json!(text) } else { json!(text.as_bytes()) };
        let entry = json!({
            "__REALTIME_TIMESTAMP": microseconds(at).to_string(), "_HOSTNAME": "gpu-7", "PRIORITY": "6",
            "SYSLOG_IDENTIFIER": "serve", "_PID": "4711", "MESSAGE": message
        });
        entry.to_string()
    })
}

/// An export that prints every line as an object of its own over several lines. It takes many lines for each of the log's.
fn pretty(lines: &[Line]) -> Lines {
    let mut out = Lines::new();
    for (at, line) in lines.iter().enumerate() {
        let opening = if at == 0 { "[\n  {" } else { "  {" };
        let object = format!("{opening}\n    \"timestamp\": \"{}\",\n    \"message\": {}\n  }},", stamp(at, 9), json!(line.text));
        out.extend(object.split('\n').map(|text| Line { text: text.to_owned(), ..line.clone() }));
    }
    out
}

/// What a logger would put into one object: a message with its level, and the lines that go with it.
fn structured(lines: &[Line]) -> Lines {
    let mut out: Lines = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        // What no logger wrote stays raw between the objects, as it does in such logs.
        let Some(level) = level_of(&line.text) else {
            out.push(line.clone());
            at += 1;
            continue;
        };
        let head = repeated_header(&line.text);
        let mut message = line.text.clone();
        let mut end = at + 1;
        while let Some(next) = lines.get(end) {
            // vLLM puts its header before every line of a message; a logger of objects has it once.
            let body = match next.text.strip_prefix(head).filter(|_| !head.is_empty()) {
                Some(body) => body,
                None if next.text.starts_with([' ', '\t']) && !next.text.trim().is_empty() && level_of(&next.text).is_none() => next.text.as_str(),
                None => break,
            };
            message.push('\n');
            message.push_str(body);
            end += 1;
        }
        let object = json!({"timestamp": stamp(at, 6), "level": level, "logger": "app", "message": message});
        out.push(Line { text: object.to_string(), from: line.from, to: lines[end - 1].to });
        at = end;
    }
    out
}

fn level_of(text: &str) -> Option<&'static str> {
    const LEVELS: &[(&str, &str)] =
        &[("DEBUG", "debug"), ("INFO", "info"), ("WARNING", "warning"), ("WARN", "warning"), ("ERROR", "error"), ("CRITICAL", "critical")];
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()).take(4).collect();
    LEVELS.iter().find(|(word, _)| words.contains(word)).map(|(_, level)| *level)
}

/// `(EngineCore_DP0 pid=7) ERROR 03-20 10:00:00 [core.py:1] `, or nothing.
fn repeated_header(text: &str) -> &str {
    let level = text.find("ERROR ").filter(|at| *at == 0 || text[..*at].ends_with(") "));
    let end = level.and_then(|at| text[at..].find("] ").map(|end| at + end + 2));
    &text[..end.filter(|end| *end < 120).unwrap_or(0)]
}

const WRAPPINGS: &[Wrapping] = &[
    Wrapping { name: "docker -t", kind: Kind::Carrier, wrap: |lines| each(lines, |at, text| format!("{} {text}", stamp(at, 9))) },
    Wrapping { name: "json-file", kind: Kind::Carrier, wrap: json_file },
    Wrapping { name: "compose", kind: Kind::Carrier, wrap: |lines| each(lines, |_, text| format!("llm-1       | {text}")) },
    Wrapping { name: "compose, short", kind: Kind::Carrier, wrap: |lines| each(lines, |_, text| format!("llm-1  | {text}")) },
    Wrapping { name: "cri", kind: Kind::Carrier, wrap: cri },
    Wrapping {
        name: "kubectl --timestamps",
        kind: Kind::Carrier,
        // It drops the zeros at the end, so that some stamps are shorter.
        wrap: |lines| each(lines, |at, text| format!("{} {text}", stamp(at, if at % 10 == 7 { 8 } else { 9 }))),
    },
    Wrapping { name: "kubectl --prefix", kind: Kind::Carrier, wrap: |lines| each(lines, |_, text| format!("[pod/llm-0/server] {text}")) },
    Wrapping {
        name: "journald",
        kind: Kind::Carrier,
        wrap: |lines| each(lines, |at, text| format!("Mar 20 10:{:02}:{:02} gpu-7 serve[4711]: {text}", at / 120, at / 2 % 60)),
    },
    Wrapping { name: "journald json", kind: Kind::Carrier, wrap: journal_json },
    Wrapping { name: "github actions", kind: Kind::Carrier, wrap: |lines| each(lines, |at, text| format!("{} {text}", stamp(at, 7))) },
    Wrapping {
        name: "gh run view",
        kind: Kind::Carrier,
        wrap: |lines| each(lines, |at, text| format!("smoke\tRun the server\t{} {text}", stamp(at, 7))),
    },
    Wrapping {
        name: "shipper",
        kind: Kind::Carrier,
        wrap: |lines| {
            each(lines, |at, text| json!({"timestamp": stamp(at, 9), "host": "gpu-7", "source_type": "docker_logs", "message": text}).to_string())
        },
    },
    Wrapping {
        name: "journald monotonic",
        kind: Kind::Carrier,
        wrap: |lines| each(lines, |at, text| format!("[{:>5}.123456] gpu-7 serve[4711]: {text}", 1000 + at)),
    },
    Wrapping { name: "gitlab", kind: Kind::Carrier, wrap: |lines| each(lines, |at, text| format!("{} 01O {text}", stamp(at, 6))) },
    Wrapping { name: "logcli", kind: Kind::Carrier, wrap: |lines| each(lines, |at, text| format!("{} {{app=\"llm\"}} {text}", stamp(at, 9))) },
    Wrapping {
        name: "endpoint",
        kind: Kind::Carrier,
        wrap: |lines| each(lines, |at, text| format!("2025/03/20 10:{:02}:{:02} ~ {text}", at / 120, at / 2 % 60)),
    },
    Wrapping {
        name: "elastic",
        kind: Kind::Carrier,
        wrap: |lines| each(lines, |at, text| json!({"_index": "logs", "_source": {"@timestamp": stamp(at, 3), "message": text}}).to_string()),
    },
    Wrapping {
        name: "datadog",
        kind: Kind::Carrier,
        wrap: |lines| each(lines, |at, text| json!({"id": "A", "attributes": {"timestamp": stamp(at, 3), "message": text}}).to_string()),
    },
    Wrapping {
        name: "ray actor",
        kind: Kind::Process,
        wrap: |lines| each(lines, |_, text| format!("(ServeReplica:llm pid=4711, ip=10.0.0.7) {text}")),
    },
    Wrapping { name: "vllm process", kind: Kind::Process, wrap: |lines| each(lines, |_, text| format!("(EngineCore_DP0 pid=4711) {text}")) },
    Wrapping { name: "torchrun", kind: Kind::Process, wrap: |lines| each(lines, |_, text| format!("[rank0]: {text}")) },
    Wrapping { name: "logger", kind: Kind::Logger, wrap: structured },
    Wrapping {
        name: "colours",
        kind: Kind::Carrier,
        wrap: |lines| {
            each(lines, |_, text| match text.split_once(' ') {
                Some((first, rest)) if !first.is_empty() => format!("\u{1b}[1;36m{first}\u{1b}[0m {rest}"),
                _ => format!("\u{1b}[0m{text}"),
            })
        },
    },
    Wrapping { name: "coloured lines", kind: Kind::Carrier, wrap: |lines| each(lines, |_, text| format!("\u{1b}[38;5;196m{text}\u{1b}[39m")) },
    Wrapping { name: "crlf", kind: Kind::Carrier, wrap: |lines| each(lines, |_, text| format!("{text}\r")) },
    Wrapping {
        name: "notebook",
        kind: Kind::Paste,
        wrap: |lines| each(lines, |at, text| format!("{}.{}s {} {text}", 12 + at / 20, at / 2 % 10, at + 1)),
    },
    Wrapping {
        name: "notebook, tabs",
        kind: Kind::Paste,
        wrap: |lines| each(lines, |at, text| format!("{}.{}s\t{}\t{text}", 12 + at / 20, at / 2 % 10, at + 1)),
    },
    Wrapping {
        name: "notebook's file",
        kind: Kind::Paste,
        wrap: |lines| {
            each(lines, |at, text| {
                let entry = json!({"stream_name": "stderr", "time": 12.5 + at as f64, "data": format!("{text}\n")});
                format!("{}{entry}", if at == 0 { '[' } else { ',' })
            })
        },
    },
    Wrapping { name: "pretty export", kind: Kind::Paste, wrap: pretty },
    Wrapping {
        name: "quote",
        kind: Kind::Paste,
        wrap: |lines| each(lines, |_, text| if text.is_empty() { ">".to_owned() } else { format!("> {text}") }),
    },
    Wrapping { name: "cat -n", kind: Kind::Paste, wrap: |lines| each(lines, |at, text| format!("{:>6}\t{text}", at + 1)) },
    Wrapping { name: "grep -n", kind: Kind::Paste, wrap: |lines| each(lines, |at, text| format!("{}:{text}", at + 1)) },
];

/// Why a log cannot be in a wrapping, if so.
fn refuses(wrapping: &Wrapping, fixture: &Fixture) -> Option<&'static str> {
    let lines = &fixture.lines;
    let any = |test: fn(&str) -> bool| lines.iter().any(|line| test(&line.text));
    let engine = fixture.engine.as_deref();
    if wrapping.name == "vllm process" && engine != Some("vllm") {
        return Some("it is vLLM's");
    }
    if wrapping.kind == Kind::Process && matches!(engine, Some("llama.cpp" | "ollama")) {
        return Some("it has no ranks or actors");
    }
    if wrapping.kind == Kind::Paste && lines.len() < 3 {
        return Some("two lines do not tell what stands before both");
    }
    if wrapping.kind == Kind::Process && any(|text| text.starts_with("[rank") || text.starts_with('(') && text.contains("pid=")) {
        return Some("its processes have a prefix already");
    }
    if wrapping.kind == Kind::Process && any(|text| text.starts_with('{')) {
        return Some("a logger of objects writes no prefix before them");
    }
    if wrapping.kind == Kind::Logger && any(|text| text.starts_with('{')) {
        return Some("it is written by such a logger already");
    }
    let torn = |pair: &[Line]| {
        let [before, after] = [&pair[0], &pair[1]].map(|line| repeated_header(&line.text));
        before != after && !after.is_empty() && pair[1].text[after.len()..].starts_with(' ')
    };
    if wrapping.kind == Kind::Logger && lines.windows(2).any(torn) {
        return Some("messages of several processes lie in each other line by line, as objects never do");
    }
    None
}

/// Why an outer wrapping is never around an inner one, if so.
fn incompatible(outer: &Wrapping, inner: &Wrapping) -> Option<&'static str> {
    if outer.name == inner.name || [outer.name, inner.name].iter().all(|name| name.contains("compose")) {
        return Some("it would be the same twice");
    }
    if [outer.name, inner.name].iter().all(|name| matches!(*name, "json-file" | "cri")) {
        return Some("the log files of two container runtimes do not lie in each other");
    }
    if [outer.name, inner.name].contains(&"pretty export") && outer.name != "crlf" {
        return Some("a document begins where the log does");
    }
    if matches!(outer.name, "cat -n" | "grep -n") && inner.name.starts_with("notebook") {
        return Some("a notebook's lines are numbered already");
    }
    match (outer.kind, inner.kind) {
        (Kind::Process | Kind::Logger, Kind::Carrier) if !matches!(inner.name, "colours" | "coloured lines" | "crlf") => {
            Some("what the process writes is inside what collects it")
        }
        (Kind::Logger, _) if inner.kind != Kind::Carrier => Some("a logger writes the message, not what stands before lines"),
        (Kind::Process, Kind::Logger) => Some("a logger of objects writes no prefix before them"),
        (Kind::Process, Kind::Process) => Some("one prefix tells the process"),
        (Kind::Carrier | Kind::Process | Kind::Logger, Kind::Paste) if outer.name != "crlf" => Some("nothing collects what was pasted"),
        _ => None,
    }
}

// ------------------------------------------------------------------------------------------------------------ encodings

/// In which order encodings can follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Changes bytes of the text; a line may be added in front.
    Text,
    /// Other characters.
    Characters,
    Packed,
}

struct Encoding {
    name: &'static str,
    layer: Layer,
    encode: fn(&[u8]) -> Vec<u8>,
    /// Lines that it adds in front.
    added: usize,
}

fn utf16(bytes: &[u8], order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(order).collect()
}

const ENCODINGS: &[Encoding] = &[
    Encoding { name: "byte order mark", layer: Layer::Text, encode: |b| [b"\xef\xbb\xbf", b].concat(), added: 0 },
    Encoding { name: "no final newline", layer: Layer::Text, encode: |b| b.strip_suffix(b"\n").unwrap_or(b).to_vec(), added: 0 },
    Encoding {
        name: "nul bytes",
        layer: Layer::Text,
        encode: |b| {
            let mut out = vec![0; 300];
            for (at, line) in b.split_inclusive(|b| *b == b'\n').enumerate() {
                if at % 5 == 3 {
                    out.extend_from_slice(&[0; 7]);
                }
                out.extend_from_slice(line);
            }
            out
        },
        added: 0,
    },
    Encoding { name: "broken utf-8", layer: Layer::Text, encode: |b| [b"caf\xe9 \xff\xf8 \xe2\x82 (\xc3\x28) \xf0\x9f\x92\n", b].concat(), added: 1 },
    Encoding { name: "utf-16le", layer: Layer::Characters, encode: |b| utf16(b, u16::to_le_bytes), added: 0 },
    Encoding { name: "utf-16be", layer: Layer::Characters, encode: |b| utf16(b, u16::to_be_bytes), added: 0 },
    Encoding {
        name: "gzip",
        layer: Layer::Packed,
        encode: |b| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(b).unwrap();
            out.finish().unwrap()
        },
        added: 0,
    },
    Encoding {
        name: "bzip2",
        layer: Layer::Packed,
        encode: |b| {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(b).unwrap();
            out.finish().unwrap()
        },
        added: 0,
    },
    Encoding {
        name: "xz",
        layer: Layer::Packed,
        encode: |b| {
            let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
            out.write_all(b).unwrap();
            out.finish().unwrap()
        },
        added: 0,
    },
    Encoding {
        name: "zstd",
        layer: Layer::Packed,
        encode: |b| ruzstd::encoding::compress_to_vec(b, ruzstd::encoding::CompressionLevel::Fastest),
        added: 0,
    },
];

// ----------------------------------------------------------------------------------------------------------- comparison

/// What differs from the plain log's verdict.
fn difference(fixture: &Fixture, lines: &[Line], added: usize, report: Result<PostMortem, String>) -> Option<String> {
    let report = match report {
        Ok(report) => report,
        Err(error) => return Some(format!("not read: {error}")),
    };
    let got = Verdict::of(&report);
    let expected = &fixture.plain;
    let mut wrong = String::new();
    if got.all != expected.all {
        let _ = write!(wrong, "  causes {:?} instead of {:?};", got.all, expected.all);
    }
    if got.figures != expected.figures {
        let changed = |name: &String| got.figures[name] != expected.figures[name];
        for name in expected.figures.as_object().into_iter().chain(got.figures.as_object()).flat_map(|o| o.keys()).filter(|n| changed(n)) {
            let _ = write!(wrong, "  {name} {} instead of {};", got.figures[name], expected.figures[name]);
        }
    }
    match (&got.proof, &expected.proof) {
        (Some((line, text)), Some((expected_line, expected_text))) => {
            // Lines that were added say nothing, and stand in front.
            let held = line.checked_sub(added).and_then(|at| lines.get(at));
            if !held.is_some_and(|held| (held.from..=held.to).contains(expected_line)) {
                let _ = write!(wrong, "  line {} holds {:?} instead of line {};", line + 1, held.map(|h| (h.from + 1, h.to + 1)), expected_line + 1);
            }
            if text != expected_text {
                let _ = write!(wrong, "  evidence {text:?} instead of {expected_text:?};");
            }
        }
        (None, None) => {}
        (got, expected) => {
            let _ = write!(wrong, "  evidence {got:?} instead of {expected:?};");
        }
    }
    (!wrong.is_empty()).then_some(wrong)
}

/// Runs tasks on all cores and fails with what they return.
fn all<T: Sync>(tasks: &[T], run: impl Fn(&T) -> Option<String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(found) = run(task) {
                        wrong.lock().unwrap().push(found);
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), tasks.len(), wrong.join("\n"));
}

// ---------------------------------------------------------------------------------------------------------------- tests

#[test]
fn every_wrapping_leaves_every_verdict() {
    let tasks: Vec<_> = WRAPPINGS.iter().flat_map(|w| fixtures().iter().map(move |f| (w, f))).filter(|(w, f)| refuses(w, f).is_none()).collect();
    all(&tasks, |(wrapping, fixture)| {
        let lines = (wrapping.wrap)(&fixture.lines);
        let wrong = difference(fixture, &lines, 0, analyze(bytes_of(&lines)))?;
        Some(format!("{} | {}:{wrong}", wrapping.name, fixture.name))
    });
}

#[test]
fn every_pair_of_wrappings_leaves_the_verdict() {
    let mut tasks = Vec::new();
    for outer in WRAPPINGS {
        for inner in WRAPPINGS {
            if incompatible(outer, inner).is_none() {
                let possible = fixtures().iter().filter(|f| refuses(inner, f).is_none() && refuses(outer, f).is_none()).collect();
                tasks.extend(some_of((outer.name, inner.name), 3, possible).into_iter().map(|fixture| (outer, inner, fixture)));
            }
        }
    }
    all(&tasks, |(outer, inner, fixture)| {
        let lines = (outer.wrap)(&(inner.wrap)(&fixture.lines));
        let wrong = difference(fixture, &lines, 0, analyze(bytes_of(&lines)))?;
        Some(format!("{} ({}) | {}:{wrong}", outer.name, inner.name, fixture.name))
    });
}

#[test]
fn every_encoding_leaves_every_verdict() {
    // What is unpacked is the same bytes: a fourth of the logs, another one for each packer, shows that.
    let is_taken = |e: &Encoding, f: &Fixture| e.layer != Layer::Packed || takes_every() || lot((e.name, &f.name)).is_multiple_of(4);
    let mut tasks = Vec::new();
    for encoding in ENCODINGS {
        tasks.extend(fixtures().iter().filter(|fixture| is_taken(encoding, fixture)).map(|fixture| (encoding, fixture)));
    }
    all(&tasks, |(encoding, fixture)| {
        let wrong = difference(fixture, &fixture.lines, encoding.added, analyze((encoding.encode)(&bytes_of(&fixture.lines))))?;
        Some(format!("{} | {}:{wrong}", encoding.name, fixture.name))
    });
}

#[test]
fn every_pair_of_encodings_leaves_the_verdict() {
    let mut tasks = Vec::new();
    for (o, outer) in ENCODINGS.iter().enumerate() {
        for (i, inner) in ENCODINGS.iter().enumerate() {
            // Text is changed before it gets other characters, and both before it is packed; characters are chosen once,
            // and the mark of UTF-8 is not put before those of UTF-16, nor broken UTF-8 put into them.
            let ordered = inner.layer < outer.layer || inner.layer == outer.layer && outer.layer != Layer::Characters && o != i;
            let foreign = outer.layer == Layer::Characters && matches!(inner.name, "byte order mark" | "broken utf-8");
            // The mark of UTF-16 with NUL behind it is that of UTF-32.
            let foreign = foreign || outer.layer == Layer::Characters && inner.name == "nul bytes";
            // The mark is a mark only at the very beginning, and rotation leaves its NUL bytes there.
            let displaced = matches!(inner.name, "byte order mark" | "nul bytes") && outer.layer == Layer::Text && outer.name != "no final newline";
            if ordered && !foreign && !displaced {
                let logs = some_of((outer.name, inner.name), 4, fixtures().iter().collect());
                tasks.extend(logs.into_iter().map(|fixture| (outer, inner, fixture)));
            }
        }
    }
    all(&tasks, |(outer, inner, fixture)| {
        let bytes = (outer.encode)(&(inner.encode)(&bytes_of(&fixture.lines)));
        let wrong = difference(fixture, &fixture.lines, outer.added + inner.added, analyze(bytes))?;
        Some(format!("{} ({}) | {}:{wrong}", outer.name, inner.name, fixture.name))
    });
}

#[test]
fn every_encoding_of_every_wrapping_leaves_the_verdict() {
    let mut tasks = Vec::new();
    for encoding in ENCODINGS {
        for wrapping in WRAPPINGS {
            if encoding.added > 0 && wrapping.name == "pretty export" {
                continue; // A document begins where the log does.
            }
            let possible = fixtures().iter().filter(|f| refuses(wrapping, f).is_none()).collect();
            tasks.extend(some_of((encoding.name, wrapping.name), 3, possible).into_iter().map(|fixture| (encoding, wrapping, fixture)));
        }
    }
    all(&tasks, |(encoding, wrapping, fixture)| {
        let lines = (wrapping.wrap)(&fixture.lines);
        let wrong = difference(fixture, &lines, encoding.added, analyze((encoding.encode)(&bytes_of(&lines))))?;
        Some(format!("{} ({}) | {}:{wrong}", encoding.name, wrapping.name, fixture.name))
    });
}

/// What a cut may not change: nothing panics wherever it is, and behind the proof and its cascade the verdict on a death
/// stands. (Whether failing requests are an incident is told by how many of them there are.)
#[test]
fn a_log_cut_anywhere_is_read_and_cut_behind_the_proof_says_the_same() {
    all(&fixtures().iter().collect::<Vec<_>>(), |fixture| {
        let bytes = bytes_of(&fixture.lines);
        let whole: usize = fixture.lines[..=fixture.plain.last].iter().map(|line| line.text.len() + 1).sum();
        let mut wrong = String::new();
        let mut cut = |at: usize| {
            let got = match analyze(bytes[..at].to_vec()) {
                Ok(report) => Verdict::of(&report),
                Err(error) if error.contains("panic") => {
                    let _ = write!(wrong, "  cut at {at}: {error};");
                    return;
                }
                Err(_) => return,
            };
            if at >= whole && fixture.died && fixture.plain.cause != "healthy" && got.cause != fixture.plain.cause {
                let _ = write!(wrong, "  cut at {at} of {}: {} instead of {};", bytes.len(), got.cause, fixture.plain.cause);
            }
        };
        let behind: Range<usize> = whole..bytes.len() + 1;
        if takes_every() {
            (0..whole).step_by(11).for_each(&mut cut);
            behind.filter(|at| bytes[at - 1] == b'\n').for_each(cut);
        } else {
            (0..12).map(|step| (bytes.len() * step / 12 + step * step * 31) % bytes.len()).for_each(&mut cut);
            (0..4).map(|step| behind.start + behind.len().saturating_sub(1) * step / 3).for_each(cut);
        }
        (!wrong.is_empty()).then(|| format!("{}:{wrong}", fixture.name))
    });
}

/// Takes lines of two logs in turn, the longer's rest behind.
fn mixed(a: &Fixture, b: &Fixture, prefixes: [&str; 2]) -> Vec<u8> {
    let mut out = String::new();
    for at in 0..a.lines.len().max(b.lines.len()) {
        for (fixture, prefix) in [a, b].iter().zip(prefixes) {
            if let Some(line) = fixture.lines.get(at) {
                let _ = writeln!(out, "{prefix}{}", line.text);
            }
        }
    }
    out.into_bytes()
}

/// Pairs of fixtures with different verdicts of one incident each.
fn pairs(fits: impl Fn(&Fixture) -> bool) -> Vec<(&'static Fixture, &'static Fixture)> {
    let fitting: Vec<&Fixture> = fixtures().iter().filter(|f| f.right && f.plain.all.len() == 1 && fits(f)).collect();
    let mut pairs = Vec::new();
    for a in &fitting {
        let others = fitting.iter().copied().filter(|b| a.plain.cause != b.plain.cause).collect();
        pairs.extend(some_of(&a.name, 2, others).into_iter().map(|b| (*a, b)));
    }
    pairs
}

/// An unknown failure beside one that is known is taken for what followed from it, so that it need not be named.
#[test]
fn two_services_of_a_composition_have_both_verdicts() {
    all(&pairs(|f| f.plain.cause != "unknown"), |(a, b)| {
        let report = analyze(mixed(a, b, ["alpha-1  | ", "beta-1   | "]));
        let causes: Vec<_> = report.iter().flat_map(|report| &report.incidents).map(|i| i.cause).collect();
        let missing: Vec<_> = [a, b].iter().map(|f| f.plain.cause).filter(|cause| !causes.contains(cause)).collect();
        (!missing.is_empty()).then(|| format!("{} + {}: {missing:?} not among {causes:?} {:?}", a.name, b.name, report.err()))
    });
}

/// Whether ranks of one model could have printed it: not what names its process, nor what happened to one request, nor a
/// start after an orderly stop, which all ranks have at once.
fn is_of_a_rank(fixture: &Fixture) -> bool {
    let torchrun = WRAPPINGS.iter().find(|wrapping| wrapping.name == "torchrun").unwrap();
    fixture.died && !fixture.stopped && refuses(torchrun, fixture).is_none()
}

/// Ranks of one model die together: the first to fail is the incident, and what else failed in its own right is named
/// as contributing. They share one run, so the marks of one may tell at which stage the other was: what must be named is a
/// cause of the same family. What is said only where nothing else explains a death is not asked for: when one rank fails,
/// others are killed, stopped, and lose their peers.
#[test]
fn two_ranks_have_both_verdicts() {
    const FOLLOWS: &[&str] = &["collective-failure", "terminated", "internal-error", "unknown"];
    let killed = |text: &str| ["signal", "killed"].iter().any(|word| text.to_lowercase().contains(word));
    let own = |f: &Fixture| is_of_a_rank(f) && !FOLLOWS.contains(&f.plain.cause) && f.plain.proof.as_ref().is_some_and(|(_, text)| !killed(text));
    let server = |f: &Fixture| f.engine.as_deref().filter(|engine| matches!(*engine, "tgi" | "vllm" | "sglang")).map(str::to_owned);
    all(&pairs(own), |(a, b)| {
        if matches!((server(a), server(b)), (Some(a), Some(b)) if a != b) {
            // Ranks of one model are of one server, whose words decide what is meant.
            return None;
        }
        if a.trained && server(b).is_some() || b.trained && server(a).is_some() {
            return None; // Nor does a server train.
        }
        let report = analyze(mixed(a, b, ["[rank0]: ", "[rank1]: "]));
        let incidents = || report.iter().flat_map(|report| &report.incidents);
        let said: Vec<_> = incidents().map(|i| i.cause).chain(incidents().flat_map(|i| &i.contributing).map(|c| c.cause)).collect();
        let family = |cause: &str| by_id(cause).map(|cause| cause.family);
        let missing: Vec<_> = [a, b].iter().map(|f| f.plain.cause).filter(|cause| said.iter().all(|said| family(said) != family(cause))).collect();
        (!missing.is_empty()).then(|| format!("{} + {}: {missing:?} not among {said:?} {:?}", a.name, b.name, report.err()))
    });
}

/// Two ranks that print the same, line by line, are one incident with the figures of either.
#[test]
fn two_ranks_with_one_failure_are_one_incident() {
    all(&fixtures().iter().filter(|f| is_of_a_rank(f)).collect::<Vec<_>>(), |fixture| {
        let twice = |line: &Line| ["[rank0]: ", "[rank1]: "].map(|prefix| Line { text: format!("{prefix}{}", line.text), ..line.clone() });
        let lines: Lines = fixture.lines.iter().flat_map(twice).collect();
        let wrong = difference(fixture, &lines, 0, analyze(bytes_of(&lines)))?;
        Some(format!("{}:{wrong}", fixture.name))
    });
}
