//! What stands before the text of a line, where one line is enough to tell.
//!
//! Every recogniser takes the text and says how many bytes of it are wrapper, and what that said.

use super::stamps::{self, month_day, rfc3339, weekday_full};
use super::{Level, Origin, json, markup};
use crate::time::{Stamp, leading_stamp};

/// What a prefix says.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How many bytes it has.
    pub(super) len: usize,
    pub(super) container: Option<String>,
    pub(super) process: Option<String>,
    pub(super) pid: Option<u32>,
    pub(super) rank: Option<u32>,
    pub(super) stamp: Option<Stamp>,
    pub(super) level: Option<Level>,
    pub(super) kind: Kind,
}

/// Prefixes that the caller must treat in their own way.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub(super) enum Kind {
    #[default]
    Ordinary,
    /// A line of a container runtime's log file: which stream, and whether the line goes on in the next entry.
    Cri { stderr: bool, partial: bool },
    /// A system journal's, which indents the further lines of a message by the prefix's width.
    Journal,
    /// A service's name before a bar.
    Service,
    /// A stamp that could be the program's own.
    LikelyStamp,
    /// Fields of which one more stands behind the text.
    Fields,
    /// A name that stands before every line from here on, whatever the line begins with.
    Opener,
}

impl Found {
    fn new(len: usize) -> Self {
        Self { len, ..Self::default() }
    }

    /// Adds what the prefix says to what is known; inner prefixes know better.
    pub(super) fn apply(&mut self, origin: &mut Origin, stamp: &mut Option<Stamp>, level: &mut Option<Level>) {
        fn set<T>(to: &mut Option<T>, from: &mut Option<T>) {
            if from.is_some() {
                *to = from.take();
            }
        }
        set(&mut origin.container, &mut self.container);
        set(&mut origin.process, &mut self.process);
        set(&mut origin.pid, &mut self.pid);
        set(&mut origin.rank, &mut self.rank);
        set(stamp, &mut self.stamp);
        set(level, &mut self.level);
    }
}

/// The prefix at the beginning of a text.
pub(super) fn find(text: &str, stamped: bool) -> Option<Found> {
    match text.as_bytes().first()? {
        b'0'..=b'9' => stamped_line(text, stamped)
            .or_else(|| unix_journal(text))
            .or_else(|| sure_service(text))
            .or_else(|| exported(text))
            .or_else(|| endpoint(text))
            .or_else(|| supervised(text))
            .or_else(|| model_log(text))
            .or_else(|| serverless(text))
            .or_else(|| opener(text)),
        b'[' => rank(text)
            .or_else(|| pod(text))
            .or_else(|| mpi(text))
            .or_else(|| sure_service(text))
            .or_else(|| monotonic_journal(text))
            .or_else(|| relayed(text))
            .or_else(|| python_process(text)),
        b'@' => tai64n(text),
        b'(' => process(text),
        b'<' => syslog(text),
        b'#' => workflow_command(text),
        b'A'..=b'Z' => journal(text)
            .or_else(|| workflow_step(text))
            .or_else(|| sure_service(text))
            .or_else(|| filtered(text))
            .or_else(|| python_process(text))
            .or_else(|| opener(text)),
        b'a'..=b'z' => sure_service(text).or_else(|| workflow_step(text)).or_else(|| serverless(text)).or_else(|| opener(text)),
        b'.' | b'/' => opener(text),
        _ => None,
    }
}

/// The prefix that a container runtime puts before each part of a line (CRI).
pub(super) fn cri(text: &str) -> Option<Found> {
    let found = rfc3339(text)?;
    let (stderr, partial, length) = cri_tags(text[found.len..].strip_prefix(' ')?)?;
    let kind = Kind::Cri { stderr, partial };
    Some(Found { len: found.len + 1 + length, stamp: Some(found.stamp), kind, ..Found::default() })
}

/// How many bytes are left of one space, if there is one.
fn one_space(text: &str, at: usize) -> usize {
    at + usize::from(text.as_bytes().get(at) == Some(&b' '))
}

/// Lines that begin with an RFC 3339 stamp: CRI, `docker logs -t`, `kubectl logs --timestamps`, journald's and
/// rsyslog's ISO forms, GitHub Actions. Rust's tracing begins its lines so too, and keeps its stamp.
fn stamped_line(text: &str, stamped: bool) -> Option<Found> {
    if let Some(found) = cri(text) {
        return Some(found);
    }
    let found = rfc3339(text)?;
    let rest = &text[found.len..];
    let stamp = Some(found.stamp);
    let fixed = matches!(found.digits, 7 | 9);
    if rest.is_empty() {
        return Some(Found { len: text.len(), stamp, ..Found::default() });
    }
    let after = rest.strip_prefix(' ')?;
    if let Some(mut journal) = unit(after, true) {
        journal.len += found.len + 1;
        journal.stamp = stamp;
        return Some(journal);
    }
    if let Some((stream, length)) = stream_name(after)
        && found.digits == 6
    {
        return Some(Found { len: found.len + 1 + length, container: Some(stream.to_owned()), stamp, ..Found::default() });
    }
    if let Some((container, length)) = relay(after) {
        return Some(Found { len: found.len + 1 + length, container, stamp, ..Found::default() });
    }
    let own = [" INFO ", " WARN "].iter().any(|level| after.starts_with(level));
    ((fixed && !own) || has_own_header(after) || (stamped && !own && !is_tracing(after))).then(|| Found {
        len: found.len + 1,
        stamp,
        kind: Kind::LikelyStamp,
        ..Found::default()
    })
}

/// What relays print behind their stamp: GitLab's `01O `, Heroku's `app[web.1]: `, Fly's `app[0123abcd] ord [info]`,
/// Loki's `{app="llm"} `, the stream of a machine in CloudWatch. With the source that it names.
fn relay(text: &str) -> Option<(Option<String>, usize)> {
    let bytes = text.as_bytes();
    if let [a, b, b'O' | b'E', b' ' | b'+', ..] = bytes
        && a.is_ascii_hexdigit()
        && b.is_ascii_hexdigit()
    {
        return Some((None, 4));
    }
    if text.starts_with('{') {
        let end = text.bytes().take(1000).position(|b| b == b'}')?;
        let labels = &text[1..end];
        // An object has a quotation mark first, and may have `="` in its text.
        let is_label = labels.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        return (is_label && labels.contains("=\"") && labels.ends_with('"')).then(|| (None, one_space(text, end + 1)));
    }
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if let Some(machine) = text.strip_prefix("i-") {
        let digits = machine.bytes().take(18).take_while(u8::is_ascii_hexdigit).count();
        return (matches!(digits, 8 | 17) && machine[digits..].starts_with(' ')).then(|| (Some(text[..2 + digits].to_owned()), 3 + digits));
    }
    let (app, rest) = text.split_once('[')?;
    let close = rest.bytes().take(64).position(|b| b == b']')?;
    let name = &rest[..close];
    if !plain(app) || app.len() > 64 || !plain(name) {
        return None;
    }
    let end = app.len() + 1 + close + 1;
    if text[end..].starts_with(": ") {
        return Some((Some(format!("{app}/{name}")), end + 2));
    }
    // Fly: the region, and the level that it guesses.
    let region = text[end..].strip_prefix(' ')?;
    let letters = region.bytes().take(4).take_while(u8::is_ascii_lowercase).count();
    let level = region[letters..].strip_prefix(" [")?;
    let word = level.bytes().take(8).take_while(u8::is_ascii_lowercase).count();
    let len = end + 1 + letters + 2 + word + 1;
    (letters == 3 && level[word..].starts_with(']')).then(|| (Some(format!("{app}/{name}")), one_space(text, len)))
}

/// `1742464817000<TAB>2025-03-20T10:00:17Z<TAB>`, as Grafana saves a log.
fn exported(text: &str) -> Option<Found> {
    let digits = text.bytes().take(20).take_while(u8::is_ascii_digit).count();
    let rest = text[digits..].strip_prefix('\t')?;
    let found = rfc3339(rest)?;
    let len = digits + 1 + found.len + 1;
    (matches!(digits, 13 | 19) && rest[found.len..].starts_with('\t')).then(|| Found { stamp: Some(found.stamp), ..Found::new(len) })
}

/// `EVENTS<TAB>id<TAB>time<TAB>stream<TAB>message<TAB>time`, which the AWS command line prints as text.
fn filtered(text: &str) -> Option<Found> {
    let mut fields = text.strip_prefix("EVENTS\t")?.splitn(4, '\t');
    let (id, time, stream) = (fields.next()?, fields.next()?, fields.next()?);
    let len = 7 + id.len() + 1 + time.len() + 1 + stream.len() + 1;
    let is_time = time.len() == 13 && time.bytes().all(|b| b.is_ascii_digit());
    is_time.then(|| Found {
        container: Some(stream.to_owned()),
        stamp: stamps::of_json(&time.into()),
        kind: Kind::Fields,
        ..Found::new(len.min(text.len()))
    })
}

/// `2025/03/20 10:00:17 ~ ` of Hugging Face's endpoints.
fn endpoint(text: &str) -> Option<Found> {
    let (stamp, len) = leading_stamp(text)?;
    let len = len + text[len..].strip_prefix(" ~").map(|_| 2)?;
    text[..len].contains('/').then(|| Found { stamp: Some(stamp), ..Found::new(one_space(text, len)) })
}

/// `0|llm  | ` of pm2, `10:00:17 llm.1   | ` of foreman and honcho.
fn supervised(text: &str) -> Option<Found> {
    let digits = text.bytes().take(4).take_while(u8::is_ascii_digit).count();
    if let Some(rest) = text[digits..].strip_prefix('|') {
        let service = service(rest)?;
        return Some(Found { container: Some(service.name.to_owned()), ..Found::new(digits + 1 + service.len) });
    }
    let (stamp, len) = leading_stamp(text)?;
    let service = service(text[len..].strip_prefix(' ')?)?;
    let (_, number) = service.name.rsplit_once('.')?;
    number.bytes().all(|b| b.is_ascii_digit()).then(|| Found {
        container: Some(service.name.to_owned()),
        stamp: Some(stamp),
        ..Found::new(len + 1 + service.len)
    })
}

/// `2025-03-20T10:00:17,123 [WARN ] W-9000-llm_1.0-stderr MODEL_LOG - ` of TorchServe, which relays its workers.
fn model_log(text: &str) -> Option<Found> {
    let (stamp, len) = leading_stamp(text)?;
    let head = beginning(text);
    let at = head.find(" MODEL_LOG - ")?;
    let worker = head[len.min(at)..at].rsplit(' ').next()?;
    worker.starts_with("W-").then(|| Found { container: Some(worker.to_owned()), stamp: Some(stamp), ..Found::new(at + " MODEL_LOG - ".len()) })
}

/// `a1b2c3d4e5f6g7[info]` of RunPod's workers: the level is the stream's, whatever the line says.
fn serverless(text: &str) -> Option<Found> {
    let (worker, rest) = text.split_at_checked(14)?;
    let is_made_up = worker.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) && worker.bytes().any(|b| b.is_ascii_digit());
    let level = ["[info]", "[error]", "[warning]", "[debug]"].into_iter().find(|level| rest.starts_with(level)).filter(|_| is_made_up)?;
    Some(Found { container: Some(worker.to_owned()), ..Found::new(worker.len() + level.len()) })
}

/// `[INFO ] PyProcess - W-9-llm-stdout: `, `WARN  PyProcess W-9-4f2a-stderr: ` of DJL Serving, which relays its workers: the
/// level is the stream's.
fn python_process(text: &str) -> Option<Found> {
    let head = beginning(text);
    let at = head.find("PyProcess ").filter(|&at| at <= "[INFO ] ".len())? + "PyProcess ".len();
    let at = at + head[at..].strip_prefix("- ").map_or(0, |_| 2);
    let end = at + head[at..].find(": ")?;
    let worker = &head[at..end];
    let is_worker = worker.starts_with("W-") && (worker.ends_with("-stdout") || worker.ends_with("-stderr"));
    is_worker.then(|| Found { container: Some(worker[..worker.len() - "-stdout".len()].to_owned()), ..Found::new(end + 2) })
}

/// `[1000.123456] host unit[123]: ` of `journalctl -o short-monotonic`.
fn monotonic_journal(text: &str) -> Option<Found> {
    let inner = text.strip_prefix('[')?;
    let close = inner.bytes().take(24).position(|b| b == b']')?;
    if !inner[..close].trim_start().bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let mut found = unit(inner[close + 1..].strip_prefix(' ')?, true)?;
    found.len += close + 3;
    found.stamp = leading_stamp(text).map(|(stamp, _)| stamp);
    Some(found)
}

/// `[2025-03-20T10:00:17.123+0000] {subprocess.py:106} INFO - ` of Airflow, where it relays what it runs.
fn relayed(text: &str) -> Option<Found> {
    const RELAYS: &[&str] = &["subprocess.py:", "docker.py:", "pod_manager.py:", "logging_mixin.py:", "ssh.py:"];
    let (stamp, len) = leading_stamp(text)?;
    let rest = text[len..].strip_prefix(" {")?;
    let close = rest.bytes().take(64).position(|b| b == b'}')?;
    let level = rest[close + 1..].strip_prefix(' ')?;
    let dash = level.bytes().take(12).position(|b| b == b'-').filter(|at| level[*at..].starts_with("- "))?;
    let len = len + 2 + close + 2 + dash + 2;
    RELAYS.iter().any(|relay| rest.starts_with(relay)).then(|| Found { stamp: Some(stamp), ..Found::new(len) })
}

/// `@4000000067dbe81a075bcd15 ` of multilog and s6: seconds since 1970 with an offset of 2**62, and nanoseconds.
fn tai64n(text: &str) -> Option<Found> {
    let (label, _) = text.strip_prefix('@')?.split_once(' ')?;
    if label.len() != 24 || !label.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    // Ten leap seconds lay between the scales at the beginning, as the tools reckon.
    let seconds = u64::from_str_radix(&label[..16], 16).ok()?.checked_sub((1 << 62) + 10)?;
    Some(Found { stamp: stamps::of_json(&seconds.into()), ..Found::new(26) })
}

/// `server.log:` of grep, `10.0.0.7: ` and `worker-1: ` of pdsh, in front of a line that begins something.
fn opener(text: &str) -> Option<Found> {
    let length = text.bytes().take(200).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/')).count();
    let name = &text[..length];
    let rest = text[length..].strip_prefix(':')?;
    let file = name.rsplit('/').next().unwrap_or(name);
    let of_a_file = [".log", ".txt", ".out", ".err"].iter().any(|end| file.ends_with(end) || file.contains(&format!("{end}.")));
    let of_a_host = name.contains(['-', '.'])
        && name.bytes().any(|b| b.is_ascii_digit())
        && name.bytes().all(|b| !matches!(b, b'/' | b'_') && !b.is_ascii_uppercase());
    let (len, container) = match rest.strip_prefix(' ') {
        None if of_a_file => (length + 1, file),
        Some(_) if of_a_host => (length + 2, name),
        _ => return None,
    };
    let behind = beginning(&text[len..]);
    // Behind a file's name there may be the number of the line.
    let digits = behind.bytes().take(9).take_while(u8::is_ascii_digit).count();
    let numbered = of_a_file && digits > 0 && behind[digits..].strip_prefix(':').is_some_and(is_start);
    (numbered || is_start(behind)).then(|| Found { container: Some(container.to_owned()), kind: Kind::Opener, ..Found::new(len) })
}

/// The stamp of a text that has another, with a header, right behind it: the first is a wrapper's.
pub(super) fn outer_stamp(text: &str) -> Option<(Stamp, usize)> {
    // What follows syslog's stamp may begin with a year, which is not its own.
    let (stamp, len) = month_day(text).or_else(|| leading_stamp(text))?;
    let rest = text[len..].trim_start_matches(' ');
    let pad = text.len() - len - rest.len();
    let level = ["INFO", "WARNING", "ERROR", "DEBUG", "CRITICAL"].iter().find_map(|level| rest.strip_prefix(level)?.strip_prefix(' '));
    let levelled = level.is_some_and(|r| matches!(r.as_bytes(), [a, b, b'-', c, d, b' ', ..] if [a, b, c, d].iter().all(|x| x.is_ascii_digit())));
    let header = levelled || has_date(rest.trim_start_matches('['));
    // A frame of a traceback is indented by two.
    let frame = pad > 2 && rest.starts_with("File \"");
    match (header, frame) {
        _ if pad == 0 => None,
        (true, _) => Some((stamp, len + pad)),
        (_, true) => Some((stamp, len + pad - 2)),
        _ => None,
    }
}

/// `ERROR target: ` and its like, as tracing prints behind its stamp.
fn is_tracing(text: &str) -> bool {
    let Some(rest) = ["ERROR ", "DEBUG ", "TRACE ", "INFO ", "WARN "].iter().find_map(|level| text.strip_prefix(level)) else {
        return false;
    };
    let name = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':')).count();
    name > 1 && (rest[..name].ends_with(':') || rest[name..].starts_with('{'))
}

/// `stdout F `, `stderr P ` with further tags.
fn cri_tags(text: &str) -> Option<(bool, bool, usize)> {
    let (stderr, rest) = match text.strip_prefix("stdout ") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("stderr ")?),
    };
    let tags = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b':').count();
    let partial = match rest[..tags].split(':').next()? {
        "P" => true,
        "F" => false,
        _ => return None,
    };
    let end = 7 + tags;
    match text.as_bytes().get(end) {
        None => Some((stderr, partial, end)),
        Some(b' ') => Some((stderr, partial, end + 1)),
        Some(_) => None,
    }
}

/// `ecs/vllm/0123abcd `, as `aws logs tail` prints it behind the stamp.
fn stream_name(text: &str) -> Option<(&str, usize)> {
    let (name, _) = text.split_once(' ')?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.' | b'[' | b']' | b'$'));
    (plain && name.matches('/').count() >= 2 && !name.starts_with('/')).then_some((name, name.len() + 1))
}

/// True if a text begins with a header of its own, so that a stamp before it is somebody else's.
fn has_own_header(text: &str) -> bool {
    let level = ["INFO", "WARNING", "ERROR", "DEBUG", "CRITICAL"].iter().find_map(|level| text.strip_prefix(level));
    let levelled = level.is_some_and(|rest| {
        rest.starts_with(":     ")
            || rest.starts_with(":  ")
            || rest
                .strip_prefix(' ')
                .is_some_and(|r| matches!(r.as_bytes(), [a, b, b'-', c, d, b' ', ..] if [a, b, c, d].iter().all(|x| x.is_ascii_digit())))
    });
    levelled
        || has_date(text.trim_start_matches('['))
        || text.starts_with("Traceback (most recent call last)")
        || text.starts_with("  File \"")
        || text.starts_with("{\"")
        || text.starts_with("time=")
        || month_day(text).is_some()
        || c10(text)
        || rank(text).is_some()
        || process(text).is_some()
        || text.starts_with("[TensorRT-LLM]")
}

/// `2024-11-20 12:` or with `T` or `/`.
fn has_date(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c, d, b'-' | b'/', e, f, b'-' | b'/', g, h, b' ' | b'T', i, j, b':', ..]
        if [a, b, c, d, e, f, g, h, i, j].iter().all(|x| x.is_ascii_digit()))
}

/// `[W1120 12:`, torch's native log.
fn c10(text: &str) -> bool {
    let Some([b'I' | b'W' | b'E' | b'F', date @ ..]) = text.strip_prefix('[').map(str::as_bytes) else { return false };
    let digits = date.iter().take(5).take_while(|b| b.is_ascii_digit()).count();
    matches!(digits, 3 | 4) && matches!(&date[digits..], [b' ', e, f, b':', ..] if e.is_ascii_digit() && f.is_ascii_digit())
}

/// True if a text begins as lines of logs begin, with any wrapper or none. Used where something before it is doubtful.
pub(super) fn is_start(text: &str) -> bool {
    is_start_within(text, 3)
}

fn is_start_within(text: &str, depth: u8) -> bool {
    if depth == 0 {
        return false;
    }
    if let Some(quoted) = text.strip_prefix("> ") {
        return is_start_within(quoted, depth - 1);
    }
    has_own_header(text)
        || find(text, false).is_some()
        || begins_with_level(text)
        || is_exception(text)
        || begins_with_function(text)
        || stream_pair(text).is_some_and(|(_, _, len)| is_start_within(&text[len..], depth - 1))
        || named_service(text).is_some()
}

/// Stricter than [`is_start`], for a line behind an indentation: a level alone, a function's or an exception's name may
/// be inside a message that is indented on purpose.
pub(super) fn begins_block(text: &str) -> bool {
    let quoted = text.strip_prefix("> ").is_some_and(begins_block);
    let levelled = begins_with_level(text) && text.split(' ').nth(1).is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    quoted
        || levelled
        || (has_own_header(text) && !text.starts_with('{'))
        || text.starts_with(['{', '[', ',']) && (json::unwrap(text).is_some() || json::lines_of_export(text).is_some())
        || markup::is_marked(text)
        || find(text, false).is_some()
        || named_service(text).is_some()
        || stream_pair(text).is_some_and(|(_, _, len)| is_start_within(&text[len..], 2))
}

fn begins_with_level(text: &str) -> bool {
    ["TRACE", "DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"]
        .iter()
        .any(|level| text.strip_prefix(level).is_some_and(|rest| rest.starts_with([' ', ':'])))
}

/// `torch.OutOfMemoryError: `.
fn is_exception(text: &str) -> bool {
    let name = text.bytes().take(100).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    let (name, rest) = text.split_at(name);
    rest.starts_with(": ") && (name.ends_with("Error") || name.ends_with("Exception")) && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// `load_tensors: `, as native programs name the function that speaks.
fn begins_with_function(text: &str) -> bool {
    let name = text.bytes().take(80).take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_').count();
    name > 5 && text[..name].contains('_') && text[name..].starts_with(": ")
}

/// `Nov 20 12:00:00 host unit[123]: ` and journalctl's longer forms of it.
fn journal(text: &str) -> Option<Found> {
    let (stamp, len) = month_day(text).or_else(|| weekday_full(text))?;
    let mut found = unit(text[len..].strip_prefix(' ')?, false)?;
    found.len += len + 1;
    found.stamp = Some(stamp);
    Some(found)
}

fn unix_journal(text: &str) -> Option<Found> {
    let (stamp, len) = stamps::unix(text)?;
    let mut found = unit(text[len..].strip_prefix(' ')?, true)?;
    found.len += len + 1;
    found.stamp = Some(stamp);
    Some(found)
}

/// `host unit[123]: `. Where the stamp before it does not say syslog, the process id must be there.
fn unit(text: &str, strict: bool) -> Option<Found> {
    let (host, rest) = text.split_once(' ')?;
    let plain =
        |name: &str, more: &[u8]| !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    if !plain(host, b".-_") || begins_with_level(text) {
        return None;
    }
    let name_len = rest.bytes().take(128).take_while(|b| !matches!(b, b'[' | b':' | b' ' | b'(')).count();
    let name = rest.get(..name_len)?;
    if !plain(name, b"._-@/\\+") {
        return None;
    }
    let mut at = name_len;
    // `systemd (unit)[1]` never is, `(python3)[1]` before exec is: both are read as far as needed.
    let mut pid = None;
    if let Some(inner) = rest[at..].strip_prefix('[') {
        let close = inner.find(']')?;
        pid = Some(inner[..close].parse().ok()?);
        at += close + 2;
    } else if strict && name != "kernel" {
        return None;
    }
    let tail = rest[at..].strip_prefix(':')?;
    let len = host.len() + 1 + at + 1;
    if !(tail.is_empty() || tail.starts_with(' ')) {
        return None;
    }
    Some(Found { len: one_space(text, len), container: Some(name.to_owned()), pid, kind: Kind::Journal, ..Found::default() })
}

/// RFC 5424 (`<34>1 2024-11-20T12:00:00Z host app 123 id - `), and RFC 3164 behind a priority.
fn syslog(text: &str) -> Option<Found> {
    let priority = text[1..].bytes().take(4).take_while(u8::is_ascii_digit).count();
    if priority == 0 || priority > 3 || text.as_bytes().get(1 + priority) != Some(&b'>') {
        return None;
    }
    let start = priority + 2;
    let rest = &text[start..];
    let Some(fields) = rest.strip_prefix("1 ") else {
        let mut found = journal(rest).or_else(|| stamped_line(rest, false).filter(|f| f.kind == Kind::Journal))?;
        found.len += start;
        return Some(found);
    };
    let mut at = start + 2;
    let mut parts = fields.splitn(6, ' ');
    let mut next = || parts.next().inspect(|part| at += part.len() + 1);
    let (stamp, _host, app, pid, _id) = (next()?, next()?, next()?, next()?, next()?);
    let stamp = if stamp == "-" { None } else { Some(rfc3339(stamp)?.stamp) };
    at += structured_data(text.get(at..)?)?;
    at = one_space(text, at);
    if text[at..].starts_with('\u{feff}') {
        at += '\u{feff}'.len_utf8();
    }
    let named = |part: &str| (part != "-").then(|| part.to_owned());
    Some(Found { len: at, container: named(app), pid: pid.parse().ok(), stamp, ..Found::default() })
}

/// How long RFC 5424's `-` or `[id name="value"][..]` is.
fn structured_data(text: &str) -> Option<usize> {
    if text.starts_with('-') {
        return matches!(text.as_bytes().get(1), None | Some(b' ')).then_some(1);
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        let mut quoted = false;
        loop {
            at += 1;
            match bytes.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
        }
        at += 1;
    }
    (at > 0 && text.is_char_boundary(at)).then_some(at)
}

/// `[rank0]: ` of torch, `[default0]:` of torchrun.
fn rank(text: &str) -> Option<Found> {
    let inner = text.strip_prefix('[')?;
    let name = inner.bytes().take(24).take_while(|b| b.is_ascii_lowercase() || *b == b'_').count();
    let digits = inner[name..].bytes().take(6).take_while(u8::is_ascii_digit).count();
    if digits == 0 || !inner[name + digits..].starts_with("]:") {
        return None;
    }
    let len = 1 + name + digits + 2;
    let len = match &inner[..name] {
        "rank" => one_space(text, len),
        // torchrun's has no space: one that stands there is the text's.
        "default" | "worker" | "trainer" | "actor" | "server" => len,
        _ => return None,
    };
    Some(Found { rank: inner[name..name + digits].parse().ok(), ..Found::new(len) })
}

/// `[pod/vllm-0/server] ` of kubectl.
fn pod(text: &str) -> Option<Found> {
    let Some(inner) = text.strip_prefix("[pod/") else { return named_pod(text) };
    let close = inner.find(']').filter(|at| *at < 400)?;
    let name = &inner[..close];
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/' | b'_' | b':')) {
        return None;
    }
    Some(Found { container: Some(format!("pod/{name}")), ..Found::new(one_space(text, 5 + close + 1)) })
}

/// `[vllm-0 server] ` of log collectors, in front of a line that begins something.
fn named_pod(text: &str) -> Option<Found> {
    let inner = text.strip_prefix('[')?;
    let close = inner.find("] ")?;
    let (pod, container) = inner[..close].split_once(' ')?;
    let named = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let rest = &inner[close + 2..];
    let of_a_pod = named(pod) && named(container) && pod.contains('-') && container.bytes().any(|b| b.is_ascii_lowercase());
    (of_a_pod && (is_start(beginning(rest)) || rest.starts_with('(')))
        .then(|| Found { container: Some(format!("pod/{pod}/{container}")), ..Found::new(one_space(text, close + 2)) })
}

/// `[1,0]<stderr>: ` of mpirun: job, rank.
fn mpi(text: &str) -> Option<Found> {
    let inner = text.strip_prefix('[')?;
    let close = inner.find(']').filter(|at| *at < 24)?;
    let (job, rank) = inner[..close].split_once(',')?;
    job.parse::<u32>().ok()?;
    let rank = rank.parse().ok()?;
    let rest = &inner[close + 1..];
    let stream = ["<stdout>:", "<stderr>:", "<stdout>", "<stderr>"].iter().find(|s| rest.starts_with(**s))?;
    Some(Found { rank: Some(rank), ..Found::new(one_space(text, 1 + close + 1 + stream.len())) })
}

/// Ray's own processes, which have no pid in their prefix.
const RAY: &[&str] = &["raylet", "autoscaler", "gcs_server", "dashboard", "log_monitor", "monitor", "scheduler"];

/// `(Worker_TP0 pid=12) ` of vLLM, `(RayWorkerWrapper pid=9, ip=10.0.0.2) ` of Ray.
fn process(text: &str) -> Option<Found> {
    let inner = text.strip_prefix('(')?;
    let close = inner.find(')').filter(|at| *at <= 200)?;
    let inside = &inner[..close];
    let end = 1 + close + 1;
    if !matches!(text.as_bytes().get(end), None | Some(b' ' | b'\r')) {
        return None;
    }
    let len = one_space(text, end);
    let first = inside.split([' ', ',']).next()?;
    if RAY.contains(&first) && (inside == first || inside[first.len()..].starts_with([',', ' '])) {
        let pid = inside.find("pid=").and_then(|at| digits(&inside[at + 4..]));
        return Some(Found { process: Some(first.to_owned()), pid, ..Found::new(len) });
    }
    let (name, rest) = match inside.strip_prefix("pid=") {
        Some(rest) => ("", rest),
        None => inside.split_once(" pid=")?,
    };
    let pid = digits(rest)?;
    let further = &rest[rest.bytes().take_while(u8::is_ascii_digit).count()..];
    if !(further.is_empty() || further.starts_with(", ")) {
        return None;
    }
    let mut words = name.split(' ');
    let head = words.next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'<' | b'>' | b'[' | b']' | b'/');
    if !head.bytes().all(plain) || head.starts_with(|c: char| !c.is_ascii_alphabetic()) {
        return None;
    }
    let mut rank = rank_of(head);
    let mut process = head.to_owned();
    if let Some(word) = words.next() {
        if let Some(printed) = word.strip_prefix("rank=") {
            rank = Some(printed.parse().ok()?);
        } else if is_coordinate(word) {
            rank = rank_of(name).or(rank);
            process = name.to_owned();
        } else {
            return None;
        }
    }
    if !words.all(is_coordinate) {
        return None;
    }
    let process = (!process.is_empty()).then_some(process);
    Some(Found { process, pid: Some(pid), rank, ..Found::new(len) })
}

fn digits(text: &str) -> Option<u32> {
    text[..text.bytes().take_while(u8::is_ascii_digit).count()].parse().ok()
}

/// `TP0`, `DP1`: a place among the ranks.
fn is_coordinate(word: &str) -> bool {
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    (2..=4).contains(&letters) && word.len() > letters && word[letters..].bytes().all(|b| b.is_ascii_digit())
}

/// The tensor-parallel rank in a process name, else the pipeline's.
pub(super) fn rank_of(name: &str) -> Option<u32> {
    ["TP", "PP"].iter().find_map(|axis| name.split(['_', ' ']).find_map(|part| part.strip_prefix(axis).and_then(|rank| rank.parse().ok())))
}

/// `##[error]` and its like, of GitHub Actions and Azure Pipelines.
fn workflow_command(text: &str) -> Option<Found> {
    let inner = text.strip_prefix("##[")?;
    let close = inner.find(']').filter(|at| *at < 16)?;
    let level = match &inner[..close] {
        "error" => Some(Level::Error),
        "warning" => Some(Level::Warn),
        "debug" => Some(Level::Debug),
        "group" | "endgroup" | "command" | "section" | "notice" => None,
        _ => return None,
    };
    Some(Found { level, ..Found::new(3 + close + 1) })
}

/// `job<TAB>step<TAB>2024-..Z `, of `gh run view --log`. The stamp itself is left for the next turn.
fn workflow_step(text: &str) -> Option<Found> {
    let first = memchr::memchr(b'\t', text.as_bytes())?;
    let second = first + 1 + memchr::memchr(b'\t', &text.as_bytes()[first + 1..])?;
    let rest = text[second + 1..].trim_start_matches('\u{feff}');
    (rfc3339(rest)?.digits == 7).then(|| Found::new(text.len() - rest.len()))
}

/// A `service | ` prefix of a composition of containers.
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    /// How many bytes the prefix has.
    pub(super) len: usize,
    /// Where the bar stands.
    pub(super) column: usize,
    /// True if this line alone is enough to say that it is one.
    pub(super) sure: bool,
}

/// `web-1  | `, `web_1    | `, `[web] | `, `stack_web.1.task@node    | `.
pub(super) fn service(text: &str) -> Option<Service<'_>> {
    let bracket = text.starts_with('[');
    let start = usize::from(bracket);
    let length = text[start..].bytes().take(128).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@')).count();
    let name = &text[start..start + length];
    let mut at = start + length;
    if bracket {
        text[at..].strip_prefix(']')?;
        at += 1;
    }
    let spaces = text[at..].bytes().take(64).take_while(|b| *b == b' ').count();
    let column = at + spaces;
    if spaces == 0 || text.as_bytes().get(column) != Some(&b'|') || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    if !name.bytes().any(|b| b.is_ascii_alphabetic()) || begins_with_level(text) {
        return None;
    }
    let end = column + 1;
    if !matches!(text.as_bytes().get(end), None | Some(b' ')) {
        return None;
    }
    let len = one_space(text, end);
    let rest = &text[len..];
    let numbered = name.contains('@')
        || name
            .rsplit_once(['-', '_'])
            .is_some_and(|(service, n)| !service.is_empty() && !n.is_empty() && n.len() <= 3 && n.bytes().all(|b| b.is_ascii_digit()));
    // One space is all that the longest name gets from docker-compose 1, but so do the columns of tables.
    let padded = spaces >= 2 && !rest.contains(" | ");
    let sure = numbered && (padded || has_own_header(rest) || find_nested(beginning(rest)) || begins_with_level(rest));
    Some(Service { name, len, column, sure })
}

/// As much of a text as is looked at to see whether a wrapper begins it: wrappers may lie in each other without end.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(512);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// True if there is another wrapper behind a service's.
fn find_nested(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'A'..=b'Z' | b'a'..=b'z') => journal(text).is_some() || workflow_step(text).is_some() || named_service(text).is_some(),
        Some(_) => find(text, false).is_some(),
        None => false,
    }
}

/// A service's prefix that its own rest makes sure.
fn named_service(text: &str) -> Option<Service<'_>> {
    service(text).filter(|s| s.sure || has_own_header(&text[s.len..]) || begins_with_level(&text[s.len..]))
}

fn sure_service(text: &str) -> Option<Found> {
    let service = service(text).filter(|service| service.sure)?;
    Some(Found { container: Some(service.name.to_owned()), kind: Kind::Service, ..Found::new(service.len) })
}

/// `vllm-0 server `: stern's pod and container, by their shape only.
pub(super) fn stream_pair(text: &str) -> Option<(&str, &str, usize)> {
    let label = |text: &str| text.bytes().take(128).take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')).count();
    let first = label(text);
    let pod = &text[..first];
    let rest = text[first..].strip_prefix(' ')?;
    let container = &rest[..label(rest)];
    let len = first + 1 + container.len();
    let (name, suffix) = pod.rsplit_once('-')?;
    let generated = suffix.bytes().all(|b| b.is_ascii_digit()) && !suffix.is_empty()
        || suffix.len() == 5 && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let named = !name.is_empty() && generated && container.starts_with(|c: char| c.is_ascii_lowercase());
    (named && matches!(text.as_bytes().get(len), None | Some(b' '))).then(|| (pod, container, one_space(text, len)))
}

/// The same pair in colours, which settle it: text with its terminal sequences still in.
pub(super) fn coloured_pair(text: &str) -> Option<(String, String, usize)> {
    let mut rest = text;
    let mut names: [&str; 2] = ["", ""];
    for name in &mut names {
        rest = skip_colours(rest)?;
        let length = rest.bytes().take(128).take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')).count();
        if length == 0 {
            return None;
        }
        *name = &rest[..length];
        rest = skip_colours(&rest[length..])?.strip_prefix(' ')?;
    }
    let [pod, container] = names;
    Some((pod.to_owned(), container.to_owned(), text.len() - rest.len()))
}

/// One or more colour sequences.
fn skip_colours(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix("\u{1b}[") {
        let codes = inner.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
        rest = inner[codes..].strip_prefix('m')?;
    }
    (rest.len() < text.len()).then_some(rest)
}
