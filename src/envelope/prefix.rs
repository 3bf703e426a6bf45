//! What stands before the text of a line, where one line is enough to tell.
//!
//! Every recogniser takes the text and says how many bytes of it are wrapper, and what that said.

use super::stamps::{self, month_day, rfc3339, weekday_full};
use super::{Level, Origin, json};
use crate::time::Stamp;

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
        b'0'..=b'9' => stamped_line(text, stamped).or_else(|| unix_journal(text)).or_else(|| sure_service(text)),
        b'[' => rank(text).or_else(|| pod(text)).or_else(|| mpi(text)).or_else(|| sure_service(text)),
        b'(' => process(text),
        b'<' => syslog(text),
        b'#' => workflow_command(text),
        b'A'..=b'Z' => journal(text).or_else(|| workflow_step(text)).or_else(|| sure_service(text)),
        b'a'..=b'z' => sure_service(text).or_else(|| workflow_step(text)),
        _ => None,
    }
}

/// How many bytes are left of one space, if there is one.
fn one_space(text: &str, at: usize) -> usize {
    at + usize::from(text.as_bytes().get(at) == Some(&b' '))
}

/// Lines that begin with an RFC 3339 stamp: CRI, `docker logs -t`, `kubectl logs --timestamps`, journald's and
/// rsyslog's ISO forms, GitHub Actions. Rust's tracing begins its lines so too, and keeps its stamp.
fn stamped_line(text: &str, stamped: bool) -> Option<Found> {
    let found = rfc3339(text)?;
    let rest = &text[found.len..];
    let stamp = Some(found.stamp);
    let fixed = matches!(found.digits, 7 | 9);
    if rest.is_empty() {
        return Some(Found { len: text.len(), stamp, ..Found::default() });
    }
    let after = rest.strip_prefix(' ')?;
    if let Some((stderr, partial, length)) = cri_tags(after) {
        let kind = Kind::Cri { stderr, partial };
        return Some(Found { len: found.len + 1 + length, stamp, kind, ..Found::default() });
    }
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
    let own = [" INFO ", " WARN "].iter().any(|level| after.starts_with(level));
    ((fixed && !own) || has_own_header(after) || (stamped && !own && !is_tracing(after))).then(|| Found {
        len: found.len + 1,
        stamp,
        kind: Kind::LikelyStamp,
        ..Found::default()
    })
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
        || (has_own_header(text) && (!text.starts_with('{') || json::unwrap(text).is_some()))
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
