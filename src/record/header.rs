//! What stands before a message: stamp, level, logger, process, rank, as each writer prints it.
//!
//! A text without a header of a known form is a continuation of the message before it, or raw output: [`parse`] gives `None`.
//! Where a part could belong to the header or to the message, it is left in the message.

use crate::envelope::Level;
use crate::time::{Clock, Stamp, leading_stamp};

/// The writers whose lines are recognised by their form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Rust's `tracing` and `env_logger`: `2024-05-14T12:30:52.830987Z  INFO text_generation_launcher: message`.
    Tracing,
    /// vLLM: `INFO 03-20 12:00:00 [core.py:53] message`.
    Vllm,
    /// SGLang: `[2025-03-20 12:00:00 TP0] message`.
    Sglang,
    /// Python's `logging` with one of its usual formats.
    PythonLogging,
    /// transformers: `[INFO|trainer.py:123] 2024-01-01 12:00:00,123 >> message`.
    Transformers,
    /// The C++ side of PyTorch: `[W1120 12:00:00.123456789 file.cpp:12] message`.
    C10,
    /// glog: `W1120 12:00:00.123456 12345 file.cc:12] message`.
    Glog,
    /// Kubernetes' variant of glog, from Go.
    Klog,
    /// Triton inference server: `E1120 12:00:00.123 1 model.cc:12] message`.
    TritonServer,
    /// Go's `slog`: `time=2025-03-20T12:00:00.000Z level=INFO source=server.go:504 msg="…"`.
    Slog,
    /// logrus and other writers of `key=value`: `time="2025-03-20T12:00:00Z" level=info msg="…"`.
    Logrus,
    /// Gin's access log: `[GIN] 2025/03/20 - 12:00:00 | 200 | …`.
    Gin,
    /// uvicorn: `INFO:     message`.
    Uvicorn,
    /// loguru: `2024-01-01 12:00:00.123 | INFO     | module:function:12 - message`.
    Loguru,
    /// The kernel's ring buffer: `[12345.678901] message`.
    Kernel,
    /// llama.cpp: `0.00.366.780 W message`.
    LlamaCpp,
    /// Ray: `2024-01-01 12:00:00,123 INFO worker.py:1234 -- message`, with a tab or a space before the level.
    Ray,
    /// TensorRT and TensorRT-LLM: `[TRT-LLM] [E] message`.
    TensorRt,
    /// NCCL: `host:123:456 [0] NCCL WARN message`.
    Nccl,
    /// Slurm: `slurmstepd: error: message`.
    Slurm,
    /// A stamp and a level before the message, as many loggers print them.
    Levelled,
    /// A stamp before the message.
    Stamped,
}

/// What stands before one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// When.
    pub stamp: Option<Stamp>,
    /// How serious.
    pub level: Option<Level>,
    /// Logger, target or source position (`core.py:53`).
    pub logger: Option<String>,
    /// The process as it names itself: `EngineCore_DP0`.
    pub process: Option<String>,
    /// The process id.
    pub pid: Option<u32>,
    /// The rank: tensor-parallel rank where there are several kinds.
    pub rank: Option<u32>,
    /// Who writes in this form.
    pub format: Format,
    /// Offset at which the message begins.
    pub body: usize,
    /// Offset at which the message ends; fields that the writer adds stand behind it.
    pub end: usize,
}

impl Header {
    fn new(format: Format, text: &str, body: usize) -> Self {
        Header { stamp: None, level: None, logger: None, process: None, pid: None, rank: None, format, body: body.min(text.len()), end: text.len() }
    }

    /// The message in the text that the header was read from.
    pub fn message<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.body..self.end.max(self.body)).unwrap_or(text)
    }

    /// True when a line with this header goes on with the message that `earlier` began: the writer repeats the header on
    /// every line of a message.
    pub fn continues(&self, earlier: &Header) -> bool {
        self.format == Format::Vllm
            && self.format == earlier.format
            && self.level == earlier.level
            && self.logger == earlier.logger
            && self.process == earlier.process
            && self.pid == earlier.pid
            && self.stamp.as_ref().map(|s| &s.text) == earlier.stamp.as_ref().map(|s| &s.text)
    }

    fn shifted(mut self, by: usize) -> Self {
        self.body += by;
        self.end += by;
        self
    }
}

/// The header that a text begins with.
pub fn parse(text: &str) -> Option<Header> {
    parse_at(text, 0)
}

fn parse_at(text: &str, depth: u8) -> Option<Header> {
    match text.as_bytes().first()? {
        b'[' => bracketed(text, depth),
        b'(' => vllm_process(text),
        b'0'..=b'9' => stamped(text, depth),
        _ => lettered(text, depth),
    }
}

// ---------------------------------------------------------------------------------------------------------- small parts

/// Levels in capitals, and the three-letter ones of Go's loggers.
const LEVELS: [(&str, Level); 26] = [
    ("TRACE", Level::Trace),
    ("TRC", Level::Trace),
    ("VERBOSE", Level::Debug),
    ("DEBUG", Level::Debug),
    ("DBG", Level::Debug),
    ("INFO", Level::Info),
    ("INF", Level::Info),
    ("NOTICE", Level::Info),
    ("SUCCESS", Level::Info),
    ("INFORMATION", Level::Info),
    ("WARNING", Level::Warn),
    ("WARN", Level::Warn),
    ("WRN", Level::Warn),
    ("ERROR", Level::Error),
    ("ERR", Level::Error),
    ("SEVERE", Level::Error),
    ("FAILURE", Level::Error),
    ("FATAL", Level::Fatal),
    ("FTL", Level::Fatal),
    ("CRITICAL", Level::Fatal),
    ("CRIT", Level::Fatal),
    ("PANIC", Level::Fatal),
    ("PNC", Level::Fatal),
    ("DPANIC", Level::Fatal),
    ("EMERG", Level::Fatal),
    ("ALERT", Level::Fatal),
];

/// The level that a word names, in capitals or small letters.
fn level_of(word: &str) -> Option<Level> {
    if word.len() > 11 {
        return None;
    }
    LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|&(_, level)| level)
}

/// A level in capitals at the start of a text, and its length.
fn leading_level(text: &str) -> Option<(Level, usize)> {
    let length = text.bytes().take(12).take_while(u8::is_ascii_uppercase).count();
    let next = text.as_bytes().get(length);
    if next.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
        return None;
    }
    level_of(text.get(..length)?).map(|level| (level, length))
}

/// A level named by one letter, as glog, TensorRT and llama.cpp do.
fn letter_level(letter: u8) -> Option<Level> {
    Some(match letter {
        b'V' | b'T' => Level::Trace,
        b'D' => Level::Debug,
        b'I' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'F' | b'C' => Level::Fatal,
        _ => return None,
    })
}

/// The text in a bracket that opens at the start, and the length with both brackets.
fn bracket(text: &str) -> Option<(&str, usize)> {
    let inside = text.strip_prefix('[')?;
    let close = inside.bytes().take(160).position(|b| b == b']' || b == b'[' || b == b'\n')?;
    if inside.as_bytes().get(close) != Some(&b']') {
        return None;
    }
    Some((inside.get(..close)?, close + 2))
}

/// Length of the blanks at the start.
fn blanks(text: &str) -> usize {
    text.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

/// Length of the digits at the start.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// True for `core.py:53`, `v1/engine/core.py:58`, `server.go:504`.
fn is_position(text: &str) -> bool {
    let Some((path, line)) = text.rsplit_once(':') else { return false };
    let name = path.rsplit('/').next().unwrap_or(path);
    !line.is_empty() && line.len() <= 6 && line.bytes().all(|b| b.is_ascii_digit()) && path.len() <= 200 && name.contains('.') && !path.contains(' ')
}

/// True for what loggers are called: `vllm.engine`, `__main__`, `root`.
fn is_logger(text: &str) -> bool {
    let shaped = text.len() <= 120
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-' | b'/' | b'$' | b'<' | b'>'));
    // An exception's class has dots too, but its last part has a capital.
    shaped
        && !text.ends_with([':', '.', '-'])
        && !text.rsplit(['.', ':']).next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// True for a logger's name that cannot be a word of a message.
fn is_surely_logger(text: &str) -> bool {
    is_logger(text) && (text.contains(['.', '_']) || text.contains("::") || text == "root") && !text.contains("//")
}

/// The rank in ` TP0`, `DP0 TP1`, `Worker_DP0_PP0_TP1_EP1`, `rank=1`, `RANK 1`.
fn rank_in(text: &str) -> Option<u32> {
    let number = |key: &str| {
        let at = text.find(key)? + key.len();
        let rest = text.get(at..)?;
        rest.get(..digits(rest).min(6))?.parse().ok()
    };
    ["TP", "rank=", "RANK ", "rank ", "rank"].into_iter().find_map(number)
}

/// The rank and its offset where a text ends with ` rank=0`, the field that a TGI shard's span adds to its message.
pub fn trailing_rank(text: &str) -> Option<(u32, usize)> {
    let trimmed = text.trim_end();
    let at = trimmed.rfind(" rank=")?;
    let number = trimmed.get(at + 6..)?;
    if number.is_empty() || number.len() > 5 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, at))
}

// ------------------------------------------------------------------------------------------------- begins with a letter

fn lettered(text: &str, depth: u8) -> Option<Header> {
    if let Some(header) = logfmt_line(text) {
        return Some(header);
    }
    if let Some((level, length)) = leading_level(text) {
        return after_level(text, level, length);
    }
    if let Some(header) = glog(text).or_else(|| slurm(text)).or_else(|| nccl(text)) {
        return Some(header);
    }
    stamped(text, depth).or_else(|| vllm_after_prefix(text))
}

/// What stands behind a level at the start of a line.
fn after_level(text: &str, level: Level, length: usize) -> Option<Header> {
    if let Some(header) = vllm(text) {
        return Some(header);
    }
    let rest = text.get(length..)?;
    let with = |format, body| Header { level: Some(level), ..Header::new(format, text, body) };
    if let Some(after) = rest.strip_prefix(':') {
        // `INFO:     message`: the level and its colon are padded to nine, and a space follows.
        let pad = blanks(after);
        if pad >= 2 && length + 1 + pad == 10 {
            return Some(with(Format::Uvicorn, length + 1 + pad));
        }
        // `WARNING:root:message`
        let name = after.bytes().take(120).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/')).count();
        let logger = after.get(..name)?;
        if is_logger(logger) && after.as_bytes().get(name) == Some(&b':') && level != Level::Trace {
            return Some(Header { logger: Some(logger.to_owned()), ..with(Format::PythonLogging, length + name + 2) });
        }
    }
    // `ERROR 2024-01-01 12:00:00,123 name message`, `INFO | 2024-01-01 12:00:00 | message`, `INFO:2024-…`
    let pad = rest.bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'|' | b':')).count();
    let at = length + pad;
    let (stamp, taken) = leading_stamp(text.get(at..)?)?;
    if pad == 0 || matches!(stamp.clock, Clock::Elapsed { .. }) {
        return None;
    }
    let mut header = with(Format::PythonLogging, at + taken);
    header.stamp = Some(stamp);
    let (logger, body) = after_fields(text, at + taken, false);
    if text.get(body..)?.starts_with("-- ") {
        header.format = Format::Ray;
        header.body = body + 3;
    } else {
        header.body = body;
    }
    header.logger = logger;
    if let Some(dashes) = text.get(header.body..).and_then(|t| t.find(" -- ").filter(|&at| at < 120 && t.get(..at).is_some_and(ray_fields))) {
        header.format = Format::Ray;
        header.body += dashes + 4;
    }
    Some(header)
}

/// True for what Ray Serve prints between stamp and `--`: names, ids, a source position.
fn ray_fields(text: &str) -> bool {
    text.split(' ').count() <= 5 && text.split(' ').next_back().is_some_and(is_position)
}

/// `INFO 09-15 12:00:00 llm_engine.py:223] message` and `INFO 03-20 12:00:00 [core.py:53] message`.
fn vllm(text: &str) -> Option<Header> {
    let (level, length) = leading_level(text)?;
    let at = length + text.get(length..)?.strip_prefix(':').map_or(0, |_| 1);
    let pad = blanks(text.get(at..)?);
    let start = at + pad;
    let (stamp, taken) = leading_stamp(text.get(start..)?)?;
    let Clock::Wall { date: Some(date), .. } = stamp.clock else { return None };
    if pad == 0 || date.year.is_some() || stamp.text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let place = start + taken;
    let rest = text.get(place..)?.strip_prefix(' ')?;
    let open = usize::from(rest.starts_with('['));
    let close = rest.bytes().take(200).position(|b| b == b']')?;
    let position = rest.get(open..close)?;
    if !is_position(position) {
        return None;
    }
    let mut body = place + 1 + close + 1;
    body += usize::from(text.as_bytes().get(body) == Some(&b' '));
    Some(Header { stamp: Some(stamp), level: Some(level), logger: Some(position.to_owned()), ..Header::new(Format::Vllm, text, body) })
}

/// `(EngineCore_DP0 pid=99) INFO …`: the process is part of the record.
fn vllm_process(text: &str) -> Option<Header> {
    let close = text.bytes().take(120).position(|b| b == b')')?;
    let inside = text.get(1..close)?;
    let at = inside.find(" pid=")?;
    let pid = inside.get(at + 5..)?;
    let pid = pid.get(..digits(pid))?.parse().ok()?;
    let rest = close + 1 + blanks(text.get(close + 1..)?);
    let mut header = vllm(text.get(rest..)?)?.shifted(rest);
    let name = inside.split(' ').next()?;
    header.process = Some(name.to_owned());
    header.pid = Some(pid);
    header.rank = rank_in(inside);
    Some(header)
}

/// vLLM's line behind a prefix that the user chose (`VLLM_LOGGING_PREFIX`).
fn vllm_after_prefix(text: &str) -> Option<Header> {
    let head: &str = text.get(..text.len().min(64)).or_else(|| text.get(..text.char_indices().take(48).last()?.0))?;
    for name in ["INFO ", "WARNING ", "ERROR ", "DEBUG ", "CRITICAL "] {
        if let Some(at) = head.find(name)
            && at > 0
            && at <= 32
            && !head.get(..at)?.ends_with(|c: char| c.is_ascii_alphanumeric())
            && !head.get(..at)?.contains(['"', '\'', '`', ':'])
            && let Some(header) = text.get(at..).and_then(vllm)
        {
            return Some(header.shifted(at));
        }
    }
    None
}

/// glog, klog and Triton: `W1120 12:00:00.123456 12345 file.cc:12] message`; with `[` C10's form, which has months of one
/// digit too.
fn glog(text: &str) -> Option<Header> {
    let level = letter_level(*text.as_bytes().first()?)?;
    let count = digits(text.get(1..)?);
    if !matches!(count, 3 | 4 | 8) {
        return None;
    }
    let (year_at, month_at, day_at) = (1, 1 + count.saturating_sub(4), 1 + count - 2);
    let (year, month, day) = (text.get(year_at..month_at)?, text.get(month_at..day_at)?, text.get(day_at..day_at + 2)?);
    let clock = text.get(1 + count..)?;
    let separator = blanks(clock);
    let time = clock.get(separator..)?;
    let length = time.bytes().take(24).take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.')).count();
    // Read as a usual date, so that months, days and hours are checked in one place.
    let dated = format!("{}{month:0>2}-{day} {}", if year.is_empty() { String::new() } else { format!("{year}-") }, time.get(..length)?);
    let (stamp, taken) = leading_stamp(&dated)?;
    if separator == 0 || taken != dated.len() {
        return None;
    }
    let from = 1 + count + separator + length;
    let stamp = Stamp { text: text.get(1..from)?.to_owned(), clock: stamp.clock };
    let rest = text.get(from..)?;
    let close = rest.bytes().take(240).position(|b| b == b']')?;
    let fields = rest.get(..close)?;
    let pad = blanks(fields);
    let position = fields.split_whitespace().next_back()?;
    let pid: Option<u32> = fields.split_whitespace().next()?.parse().ok();
    let plausible = pad > 0 && is_position(position) && fields.split_whitespace().count() <= 3;
    if !plausible {
        return None;
    }
    let file = position.rsplit_once(':').map_or(position, |(file, _)| file);
    let small = pid.is_some_and(|pid| pid < 10_000);
    let format = if file.ends_with(".go") {
        Format::Klog
    } else if pid.is_none() {
        Format::C10
    } else if file.ends_with(".cc") && pad == 1 && small {
        Format::TritonServer
    } else {
        Format::Glog
    };
    let mut body = from + close + 1;
    body += usize::from(text.as_bytes().get(body) == Some(&b' '));
    Some(Header { stamp: Some(stamp), level: Some(level), logger: Some(position.to_owned()), pid, ..Header::new(format, text, body) })
}

fn slurm(text: &str) -> Option<Header> {
    let (program, rest) = text.split_once(": ")?;
    if !matches!(program, "slurmstepd" | "srun" | "sbatch" | "salloc" | "slurmd" | "slurmctld" | "scancel") {
        return None;
    }
    let mut body = program.len() + 2;
    let word = rest.split(':').next().unwrap_or("");
    let level = level_of(word).filter(|_| rest.len() > word.len());
    if level.is_some() {
        body += word.len() + 1;
        body += blanks(text.get(body..)?);
    }
    Some(Header { level, logger: Some(program.to_owned()), ..Header::new(Format::Slurm, text, body) })
}

/// `host:123:456 [0] NCCL WARN message`.
fn nccl(text: &str) -> Option<Header> {
    let head = text.get(..text.len().min(160)).unwrap_or("");
    let at = head.find(" NCCL ")?;
    let before = head.get(..at)?;
    let (origin, rank) = before.rsplit_once(" [").map_or((before, ""), |(origin, rank)| (origin, rank.trim_end_matches(']')));
    let mut parts = origin.split(':');
    let host = parts.next()?;
    let pid: u32 = parts.next()?.parse().ok()?;
    if host.is_empty() || host.contains(' ') || parts.any(|part| part.parse::<u32>().is_err()) {
        return None;
    }
    let rest = text.get(at + 6..)?;
    let word = rest.split(' ').next()?;
    let level = level_of(word).or_else(|| matches!(word, "VERSION" | "ABORT").then_some(Level::Info))?;
    let mut body = at + 6 + word.len();
    body += blanks(text.get(body..)?);
    // NCCL's monitoring is told by the place alone, which so stays with the message.
    if let Some(place) = before.find("] ras/") {
        body = place + 2;
    }
    Some(Header {
        level: Some(level),
        pid: Some(pid),
        rank: rank.parse().ok(),
        logger: Some("NCCL".to_owned()),
        ..Header::new(Format::Nccl, text, body)
    })
}

// ------------------------------------------------------------------------------------------------------------- logfmt

/// `time=… level=… msg=…`; the message begins at `msg=`.
fn logfmt_line(text: &str) -> Option<Header> {
    let begins = ["time=", "ts=", "level=", "t=", "timestamp="].iter().any(|key| text.starts_with(key));
    if !begins {
        return None;
    }
    let mut header = Header::new(Format::Slog, text, text.len());
    let mut body = None;
    for field in Fields::new(text) {
        let value = text.get(field.value.clone())?.trim_matches('"');
        match text.get(field.key.clone())? {
            "time" | "ts" | "t" | "timestamp" => {
                header.stamp = leading_stamp(value).map(|(stamp, _)| stamp).or_else(|| crate::time::epoch_stamp(value));
                if text.as_bytes().get(field.value.start) == Some(&b'"') {
                    header.format = Format::Logrus;
                }
            }
            "level" | "lvl" => header.level = level_of(value.split(['+', '-']).next().unwrap_or(value)),
            "source" | "caller" | "logger" => header.logger = Some(value.to_owned()),
            "msg" | "message" => body = Some(field.key.start),
            _ => {}
        }
        if body.is_some() || field.key.start > 600 {
            break;
        }
    }
    if !text.starts_with("time=") {
        header.format = Format::Logrus;
    }
    header.body = body.unwrap_or_else(|| {
        Fields::new(text)
            .find(|f| !matches!(text.get(f.key.clone()), Some("time" | "ts" | "t" | "timestamp" | "level" | "lvl" | "source" | "caller" | "logger")))
            .map_or(text.len(), |f| f.key.start)
    });
    (header.level.is_some() || header.stamp.is_some() && body.is_some()).then_some(header)
}

/// The fields of a `key=value` line in the order in which they stand, quotes and escapes taken off.
///
/// Words that are no field are passed over; a value that the line breaks off in is given as far as it goes.
pub fn logfmt(text: &str) -> Vec<(String, String)> {
    let take = |field: Field| {
        let key = text.get(field.key)?.to_owned();
        let raw = text.get(field.value)?;
        Some((key, raw.strip_prefix('"').map_or_else(|| raw.to_owned(), unescaped)))
    };
    Fields::new(text).filter_map(take).collect()
}

/// The text of a quoted value whose opening quote is taken off.
fn unescaped(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

/// Where a field's key and value stand.
struct Field {
    key: std::ops::Range<usize>,
    /// With its quotes.
    value: std::ops::Range<usize>,
}

struct Fields<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Fields<'t> {
    fn new(text: &'t str) -> Self {
        Fields { text, at: 0 }
    }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        let bytes = self.text.as_bytes();
        loop {
            while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
                self.at += 1;
            }
            let start = self.at;
            let key = bytes.get(start..)?.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b':')).count();
            self.at += key;
            if key == 0 || bytes.get(self.at) != Some(&b'=') {
                if self.at >= bytes.len() {
                    return None;
                }
                // Not a field: to the next white space.
                while bytes.get(self.at).is_some_and(|b| !b.is_ascii_whitespace()) {
                    self.at += 1;
                }
                continue;
            }
            self.at += 1;
            let value = self.at;
            if bytes.get(value) == Some(&b'"') {
                self.at += 1;
                while let Some(&byte) = bytes.get(self.at) {
                    self.at += 1;
                    match byte {
                        b'\\' => self.at += 1,
                        b'"' => break,
                        _ => {}
                    }
                }
                self.at = self.at.min(bytes.len());
            } else {
                while bytes.get(self.at).is_some_and(|b| !b.is_ascii_whitespace()) {
                    self.at += 1;
                }
            }
            return Some(Field { key: start..start + key, value: value..self.at });
        }
    }
}

// ------------------------------------------------------------------------------------------------ begins with a bracket

fn bracketed(text: &str, depth: u8) -> Option<Header> {
    if let Some(rest) = text.strip_prefix("[rank") {
        // `[rank0]:[E1120 …`; a raw line behind the same prefix has no header.
        let count = digits(rest);
        let after = rest.get(count..)?.strip_prefix("]:")?;
        let at = text.len() - after.len() + blanks(after);
        let inner = text.get(at..)?;
        let mut header = c10(inner).or_else(|| glog(inner)).or_else(|| vllm(inner))?.shifted(at);
        header.rank = rest.get(..count)?.parse().ok();
        return Some(header);
    }
    if let Some(header) = c10(text).or_else(|| transformers(text)).or_else(|| gin(text)) {
        return Some(header);
    }
    if let Some((stamp, length)) = leading_stamp(text) {
        return after_bracketed_stamp(text, stamp, length, depth);
    }
    if let Some(header) = sglang(text).or_else(|| env_logger(text)).or_else(|| celery(text)) {
        return Some(header);
    }
    let (inside, length) = bracket(text)?;
    let tag = inside.trim();
    if matches!(tag, "TRT-LLM" | "TensorRT-LLM" | "TRT" | "TensorRT" | "TM" | "FT") {
        return tagged(text, 0, None);
    }
    // `[ERROR] message`, `[WARNING  ] 2024-… message`
    let level = level_of(tag)?;
    let rest = text.get(length..)?;
    let at = length + rest.bytes().take_while(|b| matches!(b, b' ' | b'\t' | b':' | b'-')).count();
    let mut header = Header { level: Some(level), ..Header::new(Format::PythonLogging, text, at) };
    if let Some((stamp, taken)) = text.get(at..).and_then(leading_stamp).filter(|(stamp, _)| !matches!(stamp.clock, Clock::Elapsed { .. })) {
        header.stamp = Some(stamp);
        (header.logger, header.body) = after_fields(text, at + taken, false);
    } else if tag.bytes().any(|b| b.is_ascii_lowercase()) && tag.len() < 4 {
        return None;
    } else {
        (header.logger, header.body) = after_fields(text, at, false);
    }
    Some(header)
}

/// `[W1120 12:00:00.123456789 file.cpp:12] message`, older `[W ProcessGroupNCCL.cpp:1569] message`.
fn c10(text: &str) -> Option<Header> {
    let inside = text.strip_prefix('[')?;
    let level = letter_level(*inside.as_bytes().first()?)?;
    if let Some(place) = inside.get(1..)?.strip_prefix(' ') {
        let close = place.bytes().take(120).position(|b| b == b']')?;
        let position = place.get(..close)?;
        if !is_position(position) {
            return None;
        }
        let mut body = 3 + close + 1;
        body += usize::from(text.as_bytes().get(body) == Some(&b' '));
        return Some(Header { level: Some(level), logger: Some(position.to_owned()), ..Header::new(Format::C10, text, body) });
    }
    let mut header = glog(inside)?.shifted(1);
    header.format = Format::C10;
    Some(header)
}

/// `[INFO|trainer.py:123] 2024-01-01 12:00:00,123 >> message`.
fn transformers(text: &str) -> Option<Header> {
    let (inside, length) = bracket(text)?;
    let (name, position) = inside.split_once('|')?;
    let level = level_of(name.trim())?;
    if !is_position(position) {
        return None;
    }
    let mut at = length + blanks(text.get(length..)?);
    let mut header = Header { level: Some(level), logger: Some(position.to_owned()), ..Header::new(Format::Transformers, text, at) };
    if let Some((stamp, taken)) = text.get(at..).and_then(leading_stamp) {
        header.stamp = Some(stamp);
        at += taken;
    }
    at += blanks(text.get(at..)?);
    if text.get(at..)?.starts_with(">>") {
        at += 2;
        at += usize::from(text.as_bytes().get(at) == Some(&b' '));
    }
    header.body = at;
    Some(header)
}

fn gin(text: &str) -> Option<Header> {
    if let Some(rest) = text.strip_prefix("[GIN-debug]") {
        let level = if rest.starts_with(" [WARNING]") { Level::Warn } else { Level::Debug };
        return Some(Header { level: Some(level), ..Header::new(Format::Gin, text, 11 + blanks(rest)) });
    }
    let at = 5 + blanks(text.strip_prefix("[GIN]")?);
    let (stamp, taken) = leading_stamp(text.get(at..)?)?;
    let rest = text.get(at + taken..)?;
    let pad = rest.bytes().take_while(|b| matches!(b, b' ' | b'|')).count();
    Some(Header { stamp: Some(stamp), ..Header::new(Format::Gin, text, at + taken + pad) })
}

/// `[2025-03-20 12:00:00 TP0] message`.
fn sglang(text: &str) -> Option<Header> {
    let (inside, length) = bracket(text)?;
    let (stamp, taken) = leading_stamp(inside)?;
    let ranks = inside.get(taken..)?.strip_prefix(' ')?;
    let is_rank = |word: &str| {
        let letters = word.bytes().take_while(|b| b.is_ascii_uppercase() || *b == b'_').count();
        let number = &word[letters..];
        letters >= 2 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'_')
            || matches!(word, "Detokenizer" | "Tokenizer" | "Scheduler")
    };
    if ranks.is_empty() || !ranks.split(' ').all(is_rank) {
        return None;
    }
    let at = length + usize::from(text.as_bytes().get(length) == Some(&b' '));
    let (level, at) = uvicorn_level(text, at);
    Some(Header { stamp: Some(stamp), level, process: Some(ranks.to_owned()), rank: rank_in(ranks), ..Header::new(Format::Sglang, text, at) })
}

/// A level that uvicorn put behind another header.
fn uvicorn_level(text: &str, at: usize) -> (Option<Level>, usize) {
    let rest = text.get(at..).unwrap_or("");
    match leading_level(rest).and_then(|(level, length)| after_level(rest, level, length)) {
        Some(inner) if inner.format == Format::Uvicorn => (inner.level, at + inner.body),
        _ => (None, at),
    }
}

/// `[2024-01-01T12:00:00Z INFO  target] message`.
fn env_logger(text: &str) -> Option<Header> {
    let (inside, length) = bracket(text)?;
    let (stamp, taken) = leading_stamp(inside)?;
    let rest = inside.get(taken..)?.trim_start();
    let (level, word) = leading_level(rest)?;
    let target = rest.get(word..)?.trim();
    if !target.is_empty() && !is_logger(target) {
        return None;
    }
    let body = length + blanks(text.get(length..)?);
    let logger = (!target.is_empty()).then(|| target.to_owned());
    Some(Header { stamp: Some(stamp), level: Some(level), logger, ..Header::new(Format::Tracing, text, body) })
}

/// `[2024-01-01 12:00:00,123: INFO/MainProcess] message`.
fn celery(text: &str) -> Option<Header> {
    let (inside, length) = bracket(text)?;
    let (stamp, taken) = leading_stamp(inside)?;
    let rest = inside.get(taken..)?.trim_start_matches([':', ' ', '|', '-', ',']);
    let (level, word) = leading_level(rest)?;
    let process = rest.get(word..)?.strip_prefix('/').map(str::to_owned);
    let body = length + blanks(text.get(length..)?);
    Some(Header { stamp: Some(stamp), level: Some(level), process, ..Header::new(Format::PythonLogging, text, body) })
}

fn after_bracketed_stamp(text: &str, stamp: Stamp, length: usize, depth: u8) -> Option<Header> {
    let rest = text.get(length..)?;
    let pad = blanks(rest);
    let at = length + pad;
    let ring_buffer = matches!(stamp.clock, Clock::Elapsed { .. });
    let dmesg_dates =
        stamp.text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && stamp.text.as_bytes().get(4).is_some_and(u8::is_ascii_alphabetic);
    if ring_buffer || dmesg_dates {
        // `[12345.678901][ T123] message`
        let caller = if rest.starts_with('[') { bracket(rest).map_or(0, |(_, l)| l) } else { 0 };
        let body = length + caller + blanks(rest.get(caller..)?);
        return Some(Header { stamp: Some(stamp), ..Header::new(Format::Kernel, text, body) });
    }
    let after = text.get(at..)?;
    if ["[TRT", "[TensorRT", "[TM]", "[FT]"].iter().any(|tag| after.starts_with(tag)) {
        return tagged(text, at, Some(stamp));
    }
    if let Some(inner) = nccl(after) {
        return Some(Header { stamp: Some(stamp), ..inner.shifted(at) });
    }
    if stamp.text.contains('T') && after.bytes().take(9).take_while(u8::is_ascii_lowercase).count() >= 4 {
        // slurmd's own log: `[2024-01-01T12:00:00.123] error: message`.
        let word = after.split([':', ' ']).next().unwrap_or("");
        if let (Some(level), Some(b':')) = (level_of(word), after.as_bytes().get(word.len())) {
            let body = at + word.len() + 1;
            return Some(Header { stamp: Some(stamp), level: Some(level), ..Header::new(Format::Slurm, text, body + blanks(text.get(body..)?)) });
        }
    }
    if let (Some(level), body) = uvicorn_level(text, at) {
        return Some(Header { stamp: Some(stamp), level: Some(level), ..Header::new(Format::Sglang, text, body) });
    }
    let sglang = [
        "server_args=",
        "Load weight ",
        "Prefill batch",
        "Decode batch",
        "KV Cache is allocated",
        "Memory pool end",
        "max_total_num_tokens=",
        "The server is fired up",
        "Capture cuda graph",
        "Init torch distributed",
    ];
    if sglang.iter().any(|start| after.starts_with(start)) {
        return Some(Header { stamp: Some(stamp), ..Header::new(Format::Sglang, text, at) });
    }
    behind_stamp(text, stamp, length, depth)
}

/// `[TRT-LLM] [E] message`, `[TensorRT-LLM][ERROR] message`, `[TRT-LLM] [RANK 1] [W] message`, from offset `at`.
fn tagged(text: &str, at: usize, stamp: Option<Stamp>) -> Option<Header> {
    let (tag, length) = bracket(text.get(at..)?)?;
    let format = if tag.starts_with("TRT") || tag.starts_with("TensorRT") { Format::TensorRt } else { Format::PythonLogging };
    let mut header = Header { stamp, logger: Some(tag.to_owned()), ..Header::new(format, text, at + length) };
    for _ in 0..4 {
        let start = header.body + blanks(text.get(header.body..)?);
        let Some((inside, length)) = text.get(start..).and_then(bracket) else { break };
        let inside = inside.trim();
        let letter = inside.as_bytes().first().copied().filter(|_| inside.len() == 1).and_then(letter_level);
        let rank = rank_in(inside).or_else(|| inside.parse().ok()).filter(|_| inside.len() <= 12);
        match (letter.or_else(|| level_of(inside)), rank) {
            (Some(level), _) if header.level.is_none() => header.level = Some(level),
            (_, Some(rank)) if header.rank.is_none() => header.rank = Some(rank),
            _ => break,
        }
        header.body = start + length;
    }
    header.body += blanks(text.get(header.body..)?);
    Some(header)
}

// -------------------------------------------------------------------------------------------------- begins with a stamp

fn stamped(text: &str, depth: u8) -> Option<Header> {
    let (stamp, length) = leading_stamp(text)?;
    if matches!(stamp.clock, Clock::Elapsed { .. }) {
        let rest = text.get(length..)?.strip_prefix(' ')?;
        let level = letter_level(*rest.as_bytes().first()?)?;
        if rest.as_bytes().get(1).is_some_and(|b| *b != b' ') {
            return None;
        }
        return Some(Header { stamp: Some(stamp), level: Some(level), ..Header::new(Format::LlamaCpp, text, length + 3) });
    }
    behind_stamp(text, stamp, length, depth)
}

/// What stands behind a stamp that `length` bytes hold.
fn behind_stamp(text: &str, stamp: Stamp, length: usize, depth: u8) -> Option<Header> {
    let rest = text.get(length..)?;
    if let Some(header) = kernel_in_syslog(text, &stamp, length) {
        return Some(header);
    }
    let pad = rest.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let at = length + pad;
    if let Some(header) = loguru(text, &stamp, at) {
        return Some(header);
    }
    // A wrapper's stamp in front of a complete line.
    let after = text.get(at..)?;
    if depth < 2
        && pad > 0
        && let Some(inner) = inner_line(after, depth)
    {
        let mut header = inner.shifted(at);
        header.stamp = header.stamp.or(Some(stamp));
        return Some(header);
    }
    if let Some((level, word)) = leading_level(after)
        && pad > 0
    {
        let mut header = Header { level: Some(level), ..Header::new(Format::Levelled, text, at + word) };
        if stamp.text.contains('T') {
            tracing(text, &mut header, at + word);
        }
        if header.format != Format::Tracing {
            header = levelled(text, level, at + word, false);
        }
        header.stamp = Some(stamp);
        return Some(header);
    }
    let mut header = fields_until_level(text, length).unwrap_or_else(|| Header::new(Format::Stamped, text, at));
    if header.format == Format::Stamped {
        let rest = text.get(at..)?;
        let lead = ["- ", "| ", ": ", "-- "].iter().find(|lead| rest.starts_with(**lead)).map_or(0, |lead| lead.len());
        header.body = at + lead + blanks(text.get(at + lead..)?);
    }
    header.stamp = Some(stamp);
    Some(header)
}

/// A complete line behind a wrapper's stamp: only forms that no plain message has.
fn inner_line(text: &str, depth: u8) -> Option<Header> {
    let header = match text.as_bytes().first()? {
        b'0'..=b'9' => return stamped(text, depth + 1).filter(|h| h.stamp.is_some()),
        b'[' => {
            if leading_stamp(text).is_some() || c10(text).is_some() || transformers(text).is_some() || sglang(text).is_some() || gin(text).is_some() {
                bracketed(text, depth + 1)?
            } else if ["[TRT", "[TensorRT"].iter().any(|tag| text.starts_with(tag)) {
                tagged(text, 0, None)?
            } else {
                return None;
            }
        }
        b'(' => vllm_process(text)?,
        _ => vllm(text).or_else(|| glog(text)).or_else(|| logfmt_line(text)).or_else(|| nccl(text)).or_else(|| {
            let (level, length) = leading_level(text)?;
            after_level(text, level, length).filter(|h| matches!(h.format, Format::Uvicorn))
        })?,
    };
    Some(header)
}

/// `Nov 20 12:00:00 host kernel: [12345.678901] message`.
fn kernel_in_syslog(text: &str, stamp: &Stamp, length: usize) -> Option<Header> {
    let rest = text.get(length..)?.strip_prefix(' ')?;
    let at = rest.find("kernel: ").filter(|&at| at < 80)?;
    let host = rest.get(..at)?;
    if !(host.is_empty() || host.ends_with(' ') && host.matches(' ').count() == 1) {
        return None;
    }
    let mut body = length + 1 + at + 8;
    if let Some((stamp, taken)) = text.get(body..).and_then(leading_stamp)
        && matches!(stamp.clock, Clock::Elapsed { .. })
    {
        body += taken + blanks(text.get(body + taken..)?);
    }
    Some(Header { stamp: Some(stamp.clone()), process: Some("kernel".to_owned()), ..Header::new(Format::Kernel, text, body) })
}

/// `| INFO     | module:function:12 - message`, from offset `at`.
fn loguru(text: &str, stamp: &Stamp, at: usize) -> Option<Header> {
    let rest = text.get(at..)?.strip_prefix('|')?;
    let mut position = at + 1;
    let (word, _) = rest.split_once('|').unwrap_or((rest, ""));
    let level = level_of(word.trim())?;
    position += word.len();
    let mut header = Header { stamp: Some(stamp.clone()), level: Some(level), ..Header::new(Format::Loguru, text, position) };
    while let Some(field) = text.get(position..).and_then(|t| t.strip_prefix('|')) {
        // Fields up to the last bar; the last one ends with ` - `.
        let dash = field.find(" - ").unwrap_or(field.len());
        let bar = field.find('|').filter(|&bar| bar < dash && bar < 80);
        if let Some(bar) = bar {
            position += 1 + bar;
            continue;
        }
        let name = field.get(..dash).unwrap_or("").trim();
        let is_name = dash < field.len() && dash < 160 && !name.contains(' ');
        if is_name {
            header.logger = Some(name.to_owned());
            header.body = position + 1 + dash + 3;
        } else {
            header.body = position + 1 + blanks(field);
        }
        return Some(header);
    }
    header.body = position;
    Some(header)
}

/// What stands between a level, which ends at `at`, and the message.
fn levelled(text: &str, level: Level, at: usize, named: bool) -> Header {
    let mut header = Header { level: Some(level), ..Header::new(Format::Levelled, text, at) };
    let rest = text.get(at..).unwrap_or("");
    // `INFO worker.py:1234 -- message`
    let pad = blanks(rest);
    if let Some(dashes) = rest.find(" -- ").filter(|&dashes| dashes > pad && dashes < 160)
        && rest.get(pad..dashes).is_some_and(is_position)
    {
        header.format = Format::Ray;
        header.logger = rest.get(pad..dashes).map(str::to_owned);
        header.body = at + dashes + 4;
        return header;
    }
    let (logger, body) = after_fields(text, at, named);
    if logger.is_some() {
        header.format = Format::PythonLogging;
    }
    header.logger = logger;
    header.body = body;
    header
}

/// Logger, source position and separators from offset `at`, and where the message begins; `named` when the logger is known.
fn after_fields(text: &str, at: usize, named: bool) -> (Option<String>, usize) {
    let mut at = at;
    let mut logger: Option<String> = None;
    for step in 0..5 {
        let Some(rest) = text.get(at..) else { break };
        let pad = rest.bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'|')).count();
        let start = at + pad;
        let Some(rest) = text.get(start..) else { break };
        // Separators.
        if let Some(length) = ["- ", ": ", ">> ", "— "].iter().find(|s| rest.starts_with(**s)).map(|s| s.len()) {
            at = start + length;
            continue;
        }
        if step == 0 && (rest == ":" || rest.starts_with(':')) && pad == 0 && !rest.starts_with("::") {
            let name = rest.get(1..).and_then(|r| r.split([':', ' ']).next()).unwrap_or("");
            if is_logger(name) && rest.as_bytes().get(1 + name.len()) == Some(&b':') {
                // `LEVEL:name:message`
                return (Some(name.to_owned()), start + name.len() + 2);
            }
            at = start + 1;
            continue;
        }
        // `[file.py:12:function]`, `[logger]`, `[123]`
        if let Some((inside, length)) = bracket(rest) {
            let name = inside.trim();
            let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
            let parts: Vec<&str> = name.split(':').collect();
            let placed = is_position(name) || parts.len() == 3 && is_position(&parts[..2].join(":"));
            let known =
                placed || is_surely_logger(name) || name.starts_with("Thread") || name.starts_with("pid=") || name == "main" || name == "Rank 0";
            let followed = rest.as_bytes().get(length).is_none_or(|b| matches!(b, b' ' | b'\t' | b':' | b'[' | b'-'));
            if (known || is_number && logger.is_none() && step < 2) && followed && level_of(name).is_none() {
                if !is_number && logger.is_none() {
                    logger = Some(name.to_owned());
                }
                at = start + length;
                if text.get(at..).is_some_and(|t| t.starts_with(": ")) {
                    at += 2;
                }
                continue;
            }
            return (logger, start);
        }
        let word = rest.split([' ', '\t']).next().unwrap_or("");
        // `file.py:12]`, `file.py:12 -`, `file.py:12:`
        let bare = word.trim_end_matches([':', ']']);
        if is_position(bare) && word.len() - bare.len() <= 1 {
            logger.get_or_insert_with(|| bare.to_owned());
            at = start + word.len();
            continue;
        }
        let after = rest.get(word.len()..).unwrap_or("");
        // `name - message`, `logger.name: message`, tabs between fields
        let dashed = after.starts_with(" - ") && is_logger(word) || after.starts_with(" -- ") && is_logger(word);
        let tabbed = after.starts_with('\t') && is_logger(word) && is_surely_logger(word);
        if !named && logger.is_none() && (dashed || tabbed) {
            logger = Some(word.to_owned());
            at = start + word.len() + if dashed { 3 } else { 1 };
            continue;
        }
        if !named
            && logger.is_none()
            && let Some(name) = word.strip_suffix(':')
            && is_surely_logger(name)
            && !name.contains('/')
        {
            return (Some(name.to_owned()), start + word.len() + blanks(after));
        }
        return (logger, start);
    }
    let pad = text.get(at..).map_or(0, blanks);
    (logger, at + pad)
}

/// ` - name - LEVEL - message`, ` [123] [ERROR] message`, ` name LEVEL message`: fields before the level, from offset `at`.
fn fields_until_level(text: &str, at: usize) -> Option<Header> {
    let mut at = at;
    let mut logger: Option<String> = None;
    let mut pid = None;
    let mut sure = false;
    for _ in 0..6 {
        let rest = text.get(at..)?;
        let separator = rest.bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'-' | b'|' | b':' | b',')).count();
        sure |= rest.get(..separator).is_some_and(|s| s.contains(['-', '|', '\t']));
        let start = at + separator;
        let rest = text.get(start..)?;
        if let Some((inside, length)) = bracket(rest) {
            let name = inside.trim();
            if let Some(level) = level_of(name).or_else(|| level_of(name.split('/').next().unwrap_or(""))) {
                let mut header = levelled(text, level, start + length, logger.is_some());
                header.format = if matches!(header.format, Format::Ray) { Format::Ray } else { Format::PythonLogging };
                header.logger = logger.or(header.logger);
                header.pid = pid;
                return Some(header);
            }
            if name.len() > 80 || rest.as_bytes().get(length).is_some_and(u8::is_ascii_alphanumeric) {
                return None;
            }
            if let Ok(number) = name.parse() {
                pid = Some(number);
            } else if logger.is_none() && is_logger(name) {
                logger = Some(name.to_owned());
            }
            at = start + length;
            continue;
        }
        if let Some((level, length)) = leading_level(rest) {
            if separator == 0 {
                return None;
            }
            let mut header = levelled(text, level, start + length, logger.is_some());
            header.format = if matches!(header.format, Format::Ray) { Format::Ray } else { Format::PythonLogging };
            header.logger = logger.or(header.logger);
            header.pid = pid;
            return Some(header);
        }
        let length = rest.bytes().take(120).take_while(|b| !matches!(b, b' ' | b'\t')).count();
        let word = rest.get(..length)?;
        if let Some(position) = word.strip_suffix(':').filter(|position| is_position(position))
            && let Some((level, taken)) = rest.get(length + 1..).and_then(leading_level)
        {
            // Go's standard logger under slog: `routes.go:1008: INFO message`.
            let body = start + length + 1 + taken;
            let format = if position.contains(".go:") { Format::Slog } else { Format::Levelled };
            let header = Header { level: Some(level), logger: Some(position.to_owned()), ..Header::new(format, text, body) };
            return Some(Header { body: body + blanks(text.get(body..)?), ..header });
        }
        if separator == 0 || word.is_empty() {
            return None;
        }
        let next = rest.get(length..)?;
        let separated = next.starts_with(" - ") || next.starts_with(" | ") || next.starts_with('\t');
        if word.bytes().all(|b| b.is_ascii_digit()) {
            pid = word.parse().ok();
        } else if is_position(word) || is_surely_logger(word) || separated && is_logger(word) {
            logger.get_or_insert_with(|| word.to_owned());
        } else if !(sure && separated && word.len() < 60) {
            return None;
        }
        at = start + length;
    }
    None
}

/// Spans, target, source position and trailing fields of `tracing`, from the end of the level.
fn tracing(text: &str, header: &mut Header, from: usize) {
    let Some(rest) = text.get(from..) else { return };
    let start = from + blanks(rest);
    let mut at = start;
    if text.get(at..).is_some_and(|t| t.starts_with("ThreadId(")) {
        at += text.get(at..).and_then(|t| t.find(") ")).map_or(0, |close| close + 2);
    }
    let mut target = None;
    let mut spans = Vec::new();
    // Groups of `span{fields}:span:` that a space ends; the last group that is a single name is the target.
    for _ in 0..4 {
        let Some((names, fields, length)) = span_group(text.get(at..).unwrap_or("")) else { break };
        let alone = names.len() == 1 && !fields;
        let name = names.last().copied().unwrap_or("");
        let next = text.get(at + length..).unwrap_or("");
        let followed_by_target = || {
            span_group(next).is_some_and(|(after, fields, _)| {
                after.len() == 1
                    && !fields
                    && after.first().is_some_and(|n| is_target(n) && (!is_target(name) || n.contains("::") || n.starts_with("text_generation")))
            })
        };
        if alone && !followed_by_target() {
            if !is_target(name) && !spans.is_empty() || !name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
                break;
            }
            target = Some(name);
            at += length;
            break;
        }
        spans.extend(names);
        at += length;
    }
    if target.is_none() && spans.is_empty() {
        return;
    }
    header.format = Format::Tracing;
    header.logger = target.map(str::to_owned);
    if let Some(position) = text.get(at..).and_then(|t| t.split(' ').next()).and_then(|word| word.strip_suffix(':'))
        && position.contains(".rs:")
        && is_position(position)
    {
        at += position.len() + 1;
        at += text.get(at..).map_or(0, blanks);
    }
    header.body = at;
    if let Some((rank, end)) = trailing_rank(text)
        && end >= at
    {
        header.rank = Some(rank);
        header.end = end;
    }
}

fn is_target(name: &str) -> bool {
    name.contains("::")
        || name.contains('_') && !name.contains('-') && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Names joined by colons, each perhaps with fields in braces, up to `: `. Gives the names, whether one has fields, the length.
fn span_group(text: &str) -> Option<(Vec<&str>, bool, usize)> {
    let bytes = text.as_bytes();
    let mut names = Vec::new();
    let mut fields = false;
    let mut at = 0;
    while names.len() < 16 {
        let start = at;
        loop {
            let count = bytes.get(at..)?.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
            at += count;
            if count > 0 && bytes.get(at..)?.starts_with(b"::") {
                at += 2;
            } else {
                break;
            }
        }
        if at == start || at - start > 120 {
            return None;
        }
        names.push(text.get(start..at)?);
        if bytes.get(at) == Some(&b'{') {
            fields = true;
            at += braces(bytes.get(at..)?)?;
        }
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        at += 1;
        if bytes.get(at).is_none_or(|b| *b == b' ') {
            return Some((names, fields, (at + 1).min(text.len())));
        }
    }
    None
}

/// Length of a text in braces, which may nest and hold strings.
fn braces(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Format, level, logger, rank, stamp and message of a line.
    type Parts = (Format, Option<Level>, Option<String>, Option<u32>, String, String);

    fn read(text: &str) -> Option<Parts> {
        let header = parse(text)?;
        let message = header.message(text).to_owned();
        Some((header.format, header.level, header.logger, header.rank, header.stamp.map(|s| s.text).unwrap_or_default(), message))
    }

    #[track_caller]
    fn check(text: &str, format: Format, level: Option<Level>, logger: &str, stamp: &str, message: &str) {
        let expected = (format, level, (!logger.is_empty()).then(|| logger.to_owned()), stamp.to_owned(), message.to_owned());
        let found = read(text).map(|(format, level, logger, _, stamp, message)| (format, level, logger, stamp, message));
        assert_eq!(found, Some(expected), "{text}");
    }

    const DEBUG: Option<Level> = Some(Level::Debug);
    const INFO: Option<Level> = Some(Level::Info);
    const WARN: Option<Level> = Some(Level::Warn);
    const ERROR: Option<Level> = Some(Level::Error);
    const FATAL: Option<Level> = Some(Level::Fatal);

    #[test]
    fn tracing_lines() {
        let at = "2024-05-14T12:30:52.830987Z";
        let rows = [
            ("  INFO text_generation_launcher: Args {", INFO, "text_generation_launcher", "Args {"),
            ("  INFO shard-manager: text_generation_launcher: Starting shard rank=0", INFO, "text_generation_launcher", "Starting shard"),
            (
                " ERROR shard-manager: text_generation_launcher: Shard complete standard error output:",
                ERROR,
                "text_generation_launcher",
                "Shard complete standard error output:",
            ),
            (
                "  INFO download: text_generation_launcher: Starting check and download process for a/b",
                INFO,
                "text_generation_launcher",
                "Starting check and download process for a/b",
            ),
            (
                " ERROR text_generation_client: router/client/src/lib.rs:33: Server error: transport error",
                ERROR,
                "text_generation_client",
                "Server error: transport error",
            ),
            (
                " ERROR warmup{max_input_length=Some(4095) max_prefill_tokens=4096 max_batch_size=None}:warmup: text_generation_client: backends/client/src/lib.rs:46: Server error: x",
                ERROR,
                "text_generation_client",
                "Server error: x",
            ),
            (" ERROR prefill{id=0 size=1}:prefill{id=0 size=1}: text_generation_client: x", ERROR, "text_generation_client", "x"),
            (" ERROR batch{batch_size=1}:prefill:prefill{id=0 size=1}: text_generation_client: x", ERROR, "text_generation_client", "x"),
            (
                "  INFO compat_generate{default_return_full_text=true compute_type=Extension(ComputeType(\"gpu\"))}:generate{parameters=P { stop: [\"}: \"], seed: None } }:generate_stream: text_generation_router::server: router/src/server.rs:500: Success",
                INFO,
                "text_generation_router::server",
                "Success",
            ),
            (
                "  WARN text_generation_router: router/src/main.rs:304: Invalid hostname, defaulting to 0.0.0.0",
                WARN,
                "text_generation_router",
                "Invalid hostname, defaulting to 0.0.0.0",
            ),
            ("  INFO hyper: listening", INFO, "hyper", "listening"),
            ("  WARN tower_http::trace: slow: 3 s", WARN, "tower_http::trace", "slow: 3 s"),
        ];
        for (rest, level, logger, message) in rows {
            check(&format!("{at}{rest}"), Format::Tracing, level, logger, at, message);
        }
        assert_eq!(read(&format!("{at}  INFO shard-manager: text_generation_launcher: Starting shard rank=3")).and_then(|r| r.3), Some(3));
        check(&format!("{at}  INFO Loading the model"), Format::Levelled, INFO, "", at, "Loading the model");
        check(&format!("{at} ERROR Error: it failed"), Format::Levelled, ERROR, "", at, "Error: it failed");
        check("[2024-01-02T03:04:05Z INFO  some_crate::part] up", Format::Tracing, INFO, "some_crate::part", "2024-01-02T03:04:05Z", "up");
        check(
            "2024-06-05T18:08:23.230497824Z 2024-06-05T18:08:23.230282Z ERROR text_generation_launcher: x",
            Format::Tracing,
            ERROR,
            "text_generation_launcher",
            "2024-06-05T18:08:23.230282Z",
            "x",
        );
    }

    #[test]
    fn vllm_lines() {
        check("INFO 09-15 12:00:00 llm_engine.py:223] Up", Format::Vllm, INFO, "llm_engine.py:223", "09-15 12:00:00", "Up");
        check("WARNING 03-20 12:00:00 [core.py:53]  two", Format::Vllm, WARN, "core.py:53", "03-20 12:00:00", " two");
        check("DEBUG 03-20 12:00:00 [v1/engine/core.py:58] x", Format::Vllm, DEBUG, "v1/engine/core.py:58", "03-20 12:00:00", "x");
        check("ERROR 03-20 12:00:00 [model_executor/.../fp8.py:3] ", Format::Vllm, ERROR, "model_executor/.../fp8.py:3", "03-20 12:00:00", "");
        check("(APIServer pid=1) INFO 11-20 12:00:00 [api_server.py:9] x", Format::Vllm, INFO, "api_server.py:9", "11-20 12:00:00", "x");
        check("node3 INFO 11-20 12:00:00 [api_server.py:9] x", Format::Vllm, INFO, "api_server.py:9", "11-20 12:00:00", "x");
        check("2024-11-20T12:00:01.5Z INFO 11-20 12:00:00 [a.py:9] x", Format::Vllm, INFO, "a.py:9", "11-20 12:00:00", "x");
        let worker = parse("(Worker_DP0_PP0_TP1_EP1 pid=77) ERROR 11-20 12:00:00 [a.py:9] x");
        assert_eq!(worker.map(|h| (h.process, h.pid, h.rank)), Some((Some("Worker_DP0_PP0_TP1_EP1".to_owned()), Some(77), Some(1))));
        let rank = parse("(VllmWorker rank=2 pid=77) ERROR 11-20 12:00:00 [a.py:9] x");
        assert_eq!(rank.map(|h| (h.pid, h.rank)), Some((Some(77), Some(2))));
        for (text, continues) in [
            ("INFO 03-20 12:00:00 [a.py:1] b", true),
            ("INFO 03-20 12:00:00 [a.py:2] b", false),
            ("INFO 03-20 12:00:01 [a.py:1] b", false),
            ("ERROR 03-20 12:00:00 [a.py:1] b", false),
        ] {
            let pair = parse(text).zip(parse("INFO 03-20 12:00:00 [a.py:1] a"));
            assert_eq!(pair.map(|(new, old)| new.continues(&old)), Some(continues), "{text}");
        }
    }

    #[test]
    fn sglang_lines() {
        let at = "2025-03-20 12:00:00";
        for (text, rank, level, message) in [
            ("[2025-03-20 12:00:00 TP0] Load weight begin.", Some(0), None, "Load weight begin."),
            ("[2025-03-20 12:00:00 DP0 TP1] x", Some(1), None, "x"),
            ("[2025-03-20 12:00:00 DP1 TP3 EP3] x", Some(3), None, "x"),
            ("[2025-03-20 12:00:00 PP0] x", None, None, "x"),
            ("[2025-03-20 12:00:00] server_args=ServerArgs(", None, None, "server_args=ServerArgs("),
            ("[2025-03-20 12:00:00] INFO:     127.0.0.1:1 - x", None, INFO, "127.0.0.1:1 - x"),
        ] {
            assert_eq!(read(text), Some((Format::Sglang, level, None, rank, at.to_owned(), message.to_owned())), "{text}");
        }
        check("[2025-03-20 12:00:00.123 TP0] x", Format::Sglang, None, "", "2025-03-20 12:00:00.123", "x");
        check("[2025-03-20 12:00:00] something", Format::Stamped, None, "", at, "something");
        assert_eq!(parse("[2025-03-20 12:00:00 TP0"), None);
    }

    #[test]
    fn python_lines() {
        let at = "2024-01-02 03:04:05,678";
        check("WARNING:root:msg: here", Format::PythonLogging, WARN, "root", "", "msg: here");
        check("ERROR:vllm.engine:msg", Format::PythonLogging, ERROR, "vllm.engine", "", "msg");
        check("INFO:__main__: msg", Format::PythonLogging, INFO, "__main__", "", " msg");
        let rows = [
            (" - my.mod - ERROR - msg - x", ERROR, "my.mod", "msg - x"),
            (" - root - INFO - [a.py:12] msg", INFO, "root", "msg"),
            (" - INFO - msg", INFO, "", "msg"),
            (" - WARNING - my.mod - msg", WARN, "my.mod", "msg"),
            (" - lmdeploy - ERROR - engine.py:12 - msg", ERROR, "lmdeploy", "msg"),
            (" - my.mod - 123 - ERROR - msg", ERROR, "my.mod", "msg"),
            (" ERROR my.mod msg", ERROR, "", "my.mod msg"),
            (" ERROR my.mod: msg", ERROR, "my.mod", "msg"),
            (" ERROR torch.OutOfMemoryError: msg", ERROR, "", "torch.OutOfMemoryError: msg"),
            (" ERROR [my.mod] msg", ERROR, "my.mod", "msg"),
            (" ERROR [worker.py:12] msg", ERROR, "worker.py:12", "msg"),
            (" ERROR worker.py:12] msg", ERROR, "worker.py:12", "msg"),
            (" my.mod ERROR msg", ERROR, "my.mod", "msg"),
            (" [ERROR] msg", ERROR, "", "msg"),
            (" [ERROR] my.mod: msg", ERROR, "my.mod", "msg"),
            (" [info     ] msg", INFO, "", "msg"),
            (" [123] [CRITICAL] msg", FATAL, "", "msg"),
            (" [main] ERROR c.x.Y - msg", ERROR, "main", "c.x.Y - msg"),
            (": [WARNING] msg", WARN, "", "msg"),
            (":WARNING:my.mod:msg", WARN, "my.mod", "msg"),
            (" | my.mod | ERROR | msg", ERROR, "my.mod", "msg"),
        ];
        for (rest, level, logger, message) in rows {
            let text = format!("{at}{rest}");
            let found = read(&text);
            assert!(matches!(found, Some((Format::PythonLogging | Format::Levelled, ..))), "{text} {found:?}");
            let found = found.map(|(_, level, logger, _, stamp, message)| (level, logger.unwrap_or_default(), stamp, message));
            assert_eq!(found, Some((level, logger.to_owned(), at.to_owned(), message.to_owned())), "{text}");
        }
        check("[2024-01-02 03:04:05,678] [INFO] [stage.py:12:init] msg", Format::PythonLogging, INFO, "stage.py:12:init", at, "msg");
        check("[2024-01-02 03:04:05,678][ERROR] msg", Format::PythonLogging, ERROR, "", at, "msg");
        check("[2024-01-02 03:04:05,678][my.mod][INFO] - msg", Format::PythonLogging, INFO, "my.mod", at, "msg");
        check("[2024-01-02 03:04:05 +0000] [1] [INFO] Booting", Format::PythonLogging, INFO, "", "2024-01-02 03:04:05 +0000", "Booting");
        check("[2024-01-02 03:04:05,678: ERROR/MainProcess] msg", Format::PythonLogging, ERROR, "", at, "msg");
        check("01/02/2024 03:04:05 - INFO - __main__ - msg", Format::PythonLogging, INFO, "__main__", "01/02/2024 03:04:05", "msg");
        check("ERROR 2024-01-02 03:04:05,678 my.mod: msg", Format::PythonLogging, ERROR, "my.mod", at, "msg");
        check("INFO | 2024-01-02 03:04:05 | msg", Format::PythonLogging, INFO, "", "2024-01-02 03:04:05", "msg");
        check("[ERROR] msg", Format::PythonLogging, ERROR, "", "", "msg");
        check("[WARNING] 2024-01-02 03:04:05,678 msg", Format::PythonLogging, WARN, "", at, "msg");
        check("[TM][ERROR] msg", Format::PythonLogging, ERROR, "TM", "", "msg");
    }

    #[test]
    fn other_loggers() {
        check("[INFO|trainer.py:123] 2024-01-02 03:04:05,678 >> msg", Format::Transformers, INFO, "trainer.py:123", "2024-01-02 03:04:05,678", "msg");
        check("[WARNING|a_b.py:9] 2024-01-02 03:04:05,678 >> ", Format::Transformers, WARN, "a_b.py:9", "2024-01-02 03:04:05,678", "");
        check("[W1120 12:00:00.123456789 file.cpp:12] Warning: x", Format::C10, WARN, "file.cpp:12", "1120 12:00:00.123456789", "Warning: x");
        check(
            "[rank0]:[E1120 12:00:00.123456789 ProcessGroupNCCL.cpp:616] x",
            Format::C10,
            ERROR,
            "ProcessGroupNCCL.cpp:616",
            "1120 12:00:00.123456789",
            "x",
        );
        assert_eq!(parse("[rank12]:[E1120 12:00:00.123456789 P.cpp:616] x").and_then(|h| h.rank), Some(12));
        check("[E ProcessGroupNCCL.cpp:474] x", Format::C10, ERROR, "ProcessGroupNCCL.cpp:474", "", "x");
        check("W1120 12:00:00.123456 12345 file.cpp:12] x", Format::Glog, WARN, "file.cpp:12", "1120 12:00:00.123456", "x");
        check("I20241120 12:00:00.123456 12345 file.cc:12] x", Format::Glog, INFO, "file.cc:12", "20241120 12:00:00.123456", "x");
        check(
            "W1120 12:00:00.123000 123 torch/distributed/run.py:779] x",
            Format::Glog,
            WARN,
            "torch/distributed/run.py:779",
            "1120 12:00:00.123000",
            "x",
        );
        check("E1120 12:00:00.123456       1 file.go:12] x", Format::Klog, ERROR, "file.go:12", "1120 12:00:00.123456", "x");
        check("E1120 12:00:00.123 1 model.cc:12] x", Format::TritonServer, ERROR, "model.cc:12", "1120 12:00:00.123", "x");
        check(
            "2024-01-02 03:04:05.678 | ERROR    | my.mod:func:12 - msg | x",
            Format::Loguru,
            ERROR,
            "my.mod:func:12",
            "2024-01-02 03:04:05.678",
            "msg | x",
        );
        check("2024-01-02 03:04:05.678 | INFO     | msg", Format::Loguru, INFO, "", "2024-01-02 03:04:05.678", "msg");
        check(
            "2024-01-02 03:04:05.678 | SUCCESS  | 12:34 | m:<module>:1 - msg",
            Format::Loguru,
            INFO,
            "m:<module>:1",
            "2024-01-02 03:04:05.678",
            "msg",
        );
        check("2024-01-02 03:04:05,678\tINFO worker.py:1234 -- msg", Format::Ray, INFO, "worker.py:1234", "2024-01-02 03:04:05,678", "msg");
        check("2024-01-02 03:04:05,678 ERROR serve.py:9 -- msg -- x", Format::Ray, ERROR, "serve.py:9", "2024-01-02 03:04:05,678", "msg -- x");
        check("INFO 2024-01-02 03:04:05,678 serve 12 api.py:9 -- msg", Format::Ray, INFO, "", "2024-01-02 03:04:05,678", "msg");
        check("0.00.366.780 W srv  load_model: x", Format::LlamaCpp, WARN, "", "0.00.366.780", "srv  load_model: x");
        check("[12345.678901] Out of memory: x", Format::Kernel, None, "", "12345.678901", "Out of memory: x");
        check("[12345.678901][ T12] x", Format::Kernel, None, "", "12345.678901", "x");
        check("[Fri Nov 20 12:00:00 2020] x", Format::Kernel, None, "", "Fri Nov 20 12:00:00 2020", "x");
        check("Nov 20 12:00:00 host kernel: [  12.345678] x: y", Format::Kernel, None, "", "Nov 20 12:00:00", "x: y");
        check("INFO:     Started server process [1]", Format::Uvicorn, INFO, "", "", "Started server process [1]");
        check("ERROR:    Exception in ASGI application", Format::Uvicorn, ERROR, "", "", "Exception in ASGI application");
        check("WARNING:  x", Format::Uvicorn, WARN, "", "", "x");
        check("[TRT-LLM] [E] x", Format::TensorRt, ERROR, "TRT-LLM", "", "x");
        check("[TensorRT-LLM][ERROR] x", Format::TensorRt, ERROR, "TensorRT-LLM", "", "x");
        check("[01/02/2024-03:04:05] [TRT-LLM] [W] x", Format::TensorRt, WARN, "TRT-LLM", "01/02/2024-03:04:05", "x");
        check("[01/02/2024-03:04:05] [TRT] [E] 1: [a.cpp::b::12] x", Format::TensorRt, ERROR, "TRT", "01/02/2024-03:04:05", "1: [a.cpp::b::12] x");
        assert_eq!(read("[TRT-LLM] [RANK 3] [I] x").map(|r| (r.1, r.3, r.5)), Some((INFO, Some(3), "x".to_owned())));
        check(
            "[GIN] 2025/03/20 - 12:00:00 | 200 | 1.2s | 127.0.0.1 | POST \"/x\"",
            Format::Gin,
            None,
            "",
            "2025/03/20 - 12:00:00",
            "200 | 1.2s | 127.0.0.1 | POST \"/x\"",
        );
        check("[GIN-debug] x", Format::Gin, DEBUG, "", "", "x");
        check("slurmstepd: error: *** JOB 1", Format::Slurm, ERROR, "slurmstepd", "", "*** JOB 1");
        check("srun: Job 12 queued", Format::Slurm, None, "srun", "", "Job 12 queued");
        check("[2024-01-02T03:04:05.678] error: x", Format::Slurm, ERROR, "", "2024-01-02T03:04:05.678", "x");
        check("host-1:123:456 [2] NCCL WARN x", Format::Nccl, WARN, "NCCL", "", "x");
        assert_eq!(parse("host-1:123:456 [2] NCCL INFO x").and_then(|h| h.rank), Some(2));
        check("2025/01/02 03:04:05 routes.go:1008: INFO msg a=1", Format::Slog, INFO, "routes.go:1008", "2025/01/02 03:04:05", "msg a=1");
        check("12:00:00 ERROR msg", Format::Levelled, ERROR, "", "12:00:00", "msg");
        check("12:00:00.123 WARNING: msg", Format::Levelled, WARN, "", "12:00:00.123", "msg");
        check("2024-01-02T03:04:05.678Z\tERROR\tmsg", Format::Levelled, ERROR, "", "2024-01-02T03:04:05.678Z", "msg");
        check("2024/01/02 03:04:05 msg", Format::Stamped, None, "", "2024/01/02 03:04:05", "msg");
        check("2024-01-02 03:04:05 Got ERROR from server", Format::Stamped, None, "", "2024-01-02 03:04:05", "Got ERROR from server");
        check("2024-01-02 03:04:05: msg", Format::Stamped, None, "", "2024-01-02 03:04:05", "msg");
    }

    #[test]
    fn logfmt_lines() {
        let text = r#"time=2025-03-20T12:00:00.000Z level=ERROR source=server.go:504 msg="llama \"x\" ended" error="exit status 2\nCUDA" total="31.3 GiB" n=3"#;
        check(text, Format::Slog, ERROR, "server.go:504", "2025-03-20T12:00:00.000Z", &text[text.find("msg=").unwrap_or(0)..]);
        let fields = logfmt(text);
        assert_eq!(fields.len(), 7);
        assert_eq!(fields.get(3).map(|(k, v)| (k.as_str(), v.as_str())), Some(("msg", "llama \"x\" ended")));
        assert_eq!(fields.get(4).map(|(_, v)| v.as_str()), Some("exit status 2\nCUDA"));
        assert_eq!(fields.get(6).map(|(k, v)| (k.as_str(), v.as_str())), Some(("n", "3")));
        check("time=\"2025-03-20T12:00:00Z\" level=warning msg=x y=1", Format::Logrus, WARN, "", "2025-03-20T12:00:00Z", "msg=x y=1");
        check("level=info ts=2025-03-20T12:00:00Z caller=a.go:1 msg=x", Format::Logrus, INFO, "a.go:1", "2025-03-20T12:00:00Z", "msg=x");
        check(
            "time=2025-03-20T12:00:00.000+02:00 level=INFO source=a.go:1 msg=offload library=cuda",
            Format::Slog,
            INFO,
            "a.go:1",
            "2025-03-20T12:00:00.000+02:00",
            "msg=offload library=cuda",
        );
        assert_eq!(parse("time=3.2 ms per token"), None);
        assert_eq!(logfmt("a=\"open b=c"), [("a".to_owned(), "open b=c".to_owned())]);
    }

    #[test]
    fn continuations_have_no_header() {
        let texts = [
            "",
            " ",
            "    File \"a.py\", line 1, in f",
            "ValueError: x",
            "Error: ShardCannotStart",
            "ERROR: Could not install",
            "WARNING: x",
            "INFO server is up",
            "CRITICAL: x",
            "llama_model_load: error loading model",
            "srv  load_model: x",
            "Traceback (most recent call last):",
            "[rank0]: Traceback (most recent call last):",
            "[1, 2, 3]",
            "[0.5] x",
            "(most recent call last)",
            "10%|###  | 1/10 [00:01<00:09, 1.1it/s]",
            "Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03,  1.2s/it]",
            "torch.OutOfMemoryError: CUDA out of memory.",
            "00:01<00:09",
            "E1234 x",
            "Information",
            "level up",
            "[notalevel] x",
            "INFOR 09-15 12:00:00 a.py:1] x",
            "RuntimeError: ERROR 09-15",
            "+ INFO",
            "127.0.0.1 - - [20/Nov/2020:12:00:00 +0000] x",
            "[2024",
            "[2024-01-02 03:04:05",
            "WARNING:some text: x",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn trailing_ranks_are_numbers_at_the_end() {
        assert_eq!(trailing_rank("SafetensorError: x rank=0"), Some((0, 18)));
        assert_eq!(trailing_rank("rank=0 x"), None);
        assert_eq!(trailing_rank("x rank="), None);
        assert_eq!(trailing_rank("x rank=1b"), None);
    }

    const SAMPLES: [&str; 16] = [
        "2024-05-14T12:30:52.830987Z ERROR warmup{a=Some(4095) b=\"é}\"}:warmup: text_generation_client: backends/client/src/lib.rs:46: é rank=0",
        "(Worker_TP1 pid=77) ERROR 11-20 12:00:00 [a.py:9] é",
        "[2025-03-20 12:00:00 DP0 TP1] é",
        "2024-01-02 03:04:05,678 - my.mod - 123 - ERROR - é",
        "[2024-01-02 03:04:05,678] [INFO] [stage.py:12:init] é",
        "[INFO|trainer.py:123] 2024-01-02 03:04:05,678 >> é",
        "[rank0]:[E1120 12:00:00.123456789 ProcessGroupNCCL.cpp:616] é",
        "2024-01-02 03:04:05.678 | SUCCESS  | 12:34 | m:<module>:1 - é",
        "2024-01-02 03:04:05,678\tINFO worker.py:1234 -- é",
        "time=2025-03-20T12:00:00.000Z level=ERROR source=server.go:504 msg=\"é \\\" ended\" error=\"x",
        "[01/02/2024-03:04:05] [TRT-LLM] [RANK 1] [W] é",
        "[GIN] 2025/03/20 - 12:00:00 | 200 | 1.2s | é",
        "host-1:123:456 [2] NCCL WARN é",
        "slurmstepd: error: *** é",
        "Nov 20 12:00:00 host kernel: [  12.345678] é",
        "0.00.366.780 W srv  load_model: é",
    ];

    #[test]
    fn cuts_at_any_byte_are_survived() {
        for sample in SAMPLES {
            for at in (0..=sample.len()).filter(|&at| sample.is_char_boundary(at)) {
                let text = &sample[..at];
                if let Some(header) = parse(text) {
                    assert!(text.get(header.body..header.end).is_some(), "{text} {header:?}");
                }
                let _ = logfmt(text);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(sample in 0_usize..16, cut in 0_usize..90, insert in "\\PC{0,6}", rest in "\\PC{0,30}") {
            let sample = SAMPLES[sample];
            let mut at = cut.min(sample.len());
            while !sample.is_char_boundary(at) { at -= 1; }
            for text in [format!("{}{insert}{}", &sample[..at], &sample[at..]), format!("{insert}{}", &sample[at..]), format!("{}{rest}", &sample[..at])] {
                if let Some(header) = parse(&text) {
                    prop_assert!(text.get(header.body..header.end).is_some(), "{} {:?}", text, header);
                }
                let _ = logfmt(&text);
            }
        }
    }
}
