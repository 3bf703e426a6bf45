//! One log message: its header, its text over all its lines, its traceback put back together.
//!
//! Lines of different origins are assembled apart, so interleaved ranks do not disturb one another.

pub mod header;
#[cfg(test)]
mod tests;
pub mod traceback;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::envelope::{Level, Line, OriginId};
use crate::record::header::{Format, Header};
use crate::record::traceback::{Exception, Tracing};
use crate::time::Stamp;

/// Lines of one message beyond this number are left out; a message is a message, not a file.
const MAX_LINES: usize = 400;
/// Bytes of one message beyond this number are left out.
const MAX_BYTES: usize = 256 * 1024;
/// Exceptions of one message beyond this number are left out.
const MAX_EXCEPTIONS: usize = 64;
/// Lines that are not indented and stand in a message only because a bracket is open.
const MAX_BRACKETED: u32 = 6;
/// Bytes of messages that may be open at a time.
const MAX_OPEN: usize = 8 * 1024 * 1024;

/// Text over several lines, each with its number in the input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The lines and their numbers.
    pub lines: Vec<(u64, String)>,
}

/// A text with every run of white space made one space, and where its lines begin.
#[derive(Debug, Clone, Default)]
pub struct Flat {
    /// The text.
    pub text: String,
    /// Offsets at which lines begin, with their places among the lines of the text.
    starts: Vec<(usize, usize)>,
}

impl Flat {
    /// The place, among the lines of the text, of the line that holds an offset.
    pub fn line_at(&self, offset: usize) -> usize {
        let after = self.starts.partition_point(|&(start, _)| start <= offset);
        self.starts.get(after.saturating_sub(1)).map_or(0, |&(_, at)| at)
    }
}

impl Text {
    fn push(&mut self, number: u64, text: &str) {
        let bytes: usize = self.lines.iter().map(|(_, line)| line.len()).sum();
        if self.lines.len() < MAX_LINES && bytes < MAX_BYTES {
            self.lines.push((number, text.to_owned()));
        }
    }

    /// True when there is nothing but white space.
    pub fn is_blank(&self) -> bool {
        self.lines.iter().all(|(_, line)| line.trim().is_empty())
    }

    /// The text as one string, for matching.
    pub fn flat(&self) -> Flat {
        let mut flat = Flat::default();
        let mut unbroken = false;
        for (at, (_, line)) in self.lines.iter().enumerate() {
            for (index, word) in line.split_whitespace().enumerate() {
                if !(flat.text.is_empty() || unbroken && index == 0) {
                    flat.text.push(' ');
                }
                if index == 0 {
                    flat.starts.push((flat.text.len(), at));
                }
                flat.text.push_str(word);
            }
            unbroken = breaks_a_word(line);
        }
        flat
    }

    /// Some of its lines.
    pub fn part(&self, first: usize, last: usize) -> Text {
        Text { lines: self.lines.get(first..=last.max(first)).unwrap_or_default().to_vec() }
    }

    /// The text as it was printed, its lines joined.
    pub fn joined(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n").trim_end().to_owned()
    }
}

/// True for a line that a writer of 80 columns (rich) filled with one long word and so broke in its middle.
fn breaks_a_word(line: &str) -> bool {
    line.chars().count() == 80 && line.rsplit(' ').next().is_some_and(|word| word.chars().count() > 40)
}

/// One message.
#[derive(Debug, Clone)]
pub struct Record {
    /// First line in the input.
    pub first_line: u64,
    /// Last line in the input.
    pub last_line: u64,
    /// Who wrote it.
    pub origin: OriginId,
    /// When: the program's own stamp, else the wrapper's.
    pub stamp: Option<Arc<Stamp>>,
    /// How serious its writer says that it is.
    pub level: Option<Level>,
    /// The writer's form, when a header was there.
    pub format: Option<Format>,
    /// Logger, target or source position.
    pub logger: Option<String>,
    /// Rank in the header.
    pub rank: Option<u32>,
    /// Process in the header.
    pub process: Option<String>,
    /// The message without header and traceback.
    pub message: Text,
    /// The exceptions of its traceback, in the order in which they were printed.
    pub exceptions: Vec<Exception>,
    /// How often the message was folded.
    pub repeated: u32,
}

/// What an open record can be continued by.
enum Mode {
    /// Lines that are indented, or that close a bracket.
    Message,
    /// The lines of a traceback.
    Traceback(Tracing),
}

struct Open {
    record: Record,
    mode: Mode,
    header: Option<Header>,
    /// Bytes of its lines.
    bytes: usize,
    /// Brackets that the message has left open.
    depth: i32,
    /// Lines that only these hold in it.
    bracketed: u32,
}

/// Puts lines together to records.
#[derive(Default)]
pub struct Assembler {
    open: BTreeMap<OriginId, Open>,
    /// Bytes of the lines in them.
    held: usize,
    /// Who wrote the last message of PyTorch's native log, in which container, and the line that it has come to.
    native: Option<(OriginId, OriginId, u64)>,
}

impl Assembler {
    /// Takes a line and gives out the records that it completes.
    pub fn push(&mut self, mut line: Line, out: &mut Vec<Record>) {
        if let Some(at) = behind_a_bar(&line.text) {
            // What was printed while a progress bar stood on the line is a message of its own.
            let message = line.text.split_off(at);
            let behind = Line { text: message.trim_start_matches("^C").trim_start().to_owned(), ..line.clone() };
            self.push_line(line, out);
            self.push_line(behind, out);
        } else {
            self.push_line(line, out);
        }
    }

    fn push_line(&mut self, mut line: Line, out: &mut Vec<Record>) {
        if self.held > MAX_OPEN {
            // Very many writers at once, or very long lines: what they have said so far must do.
            self.finish(out);
        }
        let header = if line.continues_record { None } else { header::parse(&line.text) };
        self.follow_native(&mut line, header.as_ref());
        let (body, rank_in_tail) = match &header {
            Some(header) => (header.message(&line.text), header.rank),
            None => (line.text.as_str(), None),
        };
        if let Some(open) = self.open.get_mut(&line.origin) {
            if open.takes(&line, header.as_ref(), body) {
                open.record.last_line = line.last_number;
                open.bytes += line.text.len();
                self.held += line.text.len();
                if open.record.rank.is_none() {
                    open.record.rank = rank_in_tail;
                }
                return;
            }
            if body.trim().is_empty() && header.is_none() {
                return;
            }
            if let Mode::Traceback(tracing) = &mut open.mode
                && header.is_none()
                && tracing.tolerates_noise()
            {
                // tqdm bars and other raw output in the middle of a traceback.
                let noise = Open::new(&line, header, body);
                out.push(noise.record);
                return;
            }
            if let Some(done) = self.open.remove(&line.origin) {
                self.held -= done.bytes;
                out.push(done.finish());
            }
        }
        if body.trim().is_empty() {
            return;
        }
        let open = Open::new(&line, header, body);
        self.held += open.bytes;
        self.open.insert(line.origin, open);
    }

    /// Native code has its rank put only before the first line of a message; the lines right behind it are of that rank.
    fn follow_native(&mut self, line: &mut Line, header: Option<&Header>) {
        if header.is_some_and(|header| header.format == Format::C10) {
            self.native = Some((line.origin, line.container, line.last_number));
        } else if let Some((origin, container, last)) = &mut self.native
            && *container == line.container
            && *last + 1 == line.number
            && header.is_none()
            && line.text.starts_with([' ', '\t'])
        {
            line.origin = *origin;
            *last = line.last_number;
        }
    }

    /// Gives out what is still open, in the order of the input.
    pub fn finish(&mut self, out: &mut Vec<Record>) {
        self.held = 0;
        let mut rest: Vec<Record> = std::mem::take(&mut self.open).into_values().map(Open::finish).collect();
        rest.sort_by_key(|record| record.first_line);
        out.append(&mut rest);
    }
}

impl Open {
    fn new(line: &Line, header: Option<Header>, body: &str) -> Self {
        let own = header.as_ref();
        let mut record = Record {
            first_line: line.number,
            last_line: line.last_number,
            origin: line.origin,
            stamp: own.and_then(|h| h.stamp.clone()).or_else(|| line.stamp.clone()).map(Arc::new),
            level: own.and_then(|h| h.level).or(line.level).or_else(|| is_python_warning(body).then_some(Level::Warn)),
            format: own.map(|h| h.format),
            logger: own.and_then(|h| h.logger.clone()).or_else(|| line.logger.clone()),
            rank: own.and_then(|h| h.rank),
            process: own.and_then(|h| h.process.clone()),
            message: Text::default(),
            exceptions: Vec::new(),
            repeated: line.repeated,
        };
        let mode = match traceback::begins(body) {
            Some(form) => {
                let lead = traceback::lead(body);
                if !lead.is_empty() {
                    record.message.push(line.number, lead);
                }
                Mode::Traceback(Tracing::begin(form))
            }
            None if traceback::is_frame(body) => Mode::Traceback(Tracing::inside(body)),
            None => match traceback::exception_line(body) {
                Some(exception) if own.is_none_or(|h| h.level.is_none_or(|l| l >= Level::Warn)) => {
                    record.exceptions.push(Exception::bare(line.number, exception));
                    Mode::Traceback(Tracing::after_exception())
                }
                _ => {
                    record.message.push(line.number, body);
                    Mode::Message
                }
            },
        };
        let depth = if is_python_warning(body) { 0 } else { bracket_balance(body) };
        Open { record, mode, header, bytes: line.text.len(), depth, bracketed: 0 }
    }

    /// Takes a line into the record if it belongs there.
    fn takes(&mut self, line: &Line, header: Option<&Header>, body: &str) -> bool {
        if line.starts_record {
            return false;
        }
        let same_header = match (header, &self.header) {
            (Some(new), Some(old)) => new.continues(old),
            _ => false,
        };
        if header.is_some() && !same_header {
            return false;
        }
        let joined_by_wrapper = line.continues_record;
        match &mut self.mode {
            Mode::Traceback(tracing) => {
                let taken = tracing.push(&mut self.record.exceptions, line.number, body, joined_by_wrapper || same_header);
                if self.record.exceptions.len() > MAX_EXCEPTIONS {
                    self.record.exceptions.remove(MAX_EXCEPTIONS / 2);
                }
                taken
            }
            Mode::Message => {
                if let Some(form) = traceback::begins(body) {
                    if self.accepts_traceback(line, same_header) {
                        let lead = traceback::lead(body);
                        if !lead.is_empty() {
                            self.record.message.push(line.number, lead);
                        }
                        self.mode = Mode::Traceback(Tracing::begin(form));
                        return true;
                    }
                    return false;
                }
                if traceback::is_frame(body) {
                    return false;
                }
                let indented = body.starts_with([' ', '\t']) && !is_event(body);
                let is_bar = body.contains("%|");
                let bracketed = self.depth > 0 && (indented || closes_a_bracket(body) || self.bracketed < MAX_BRACKETED);
                let goes_on = joined_by_wrapper
                    || !is_bar && bracketed && traceback::exception_line(body).is_none()
                    || !is_bar && same_header && indented
                    || header.is_none() && self.is_head_of_a_panic()
                    || !is_bar && header.is_none() && indented && !body.trim().is_empty() && self.record.message.lines.len() < 80;
                if goes_on {
                    self.bracketed += u32::from(!(indented || joined_by_wrapper));
                    if joined_by_wrapper && let Some(exception) = traceback::exception_line(body) {
                        self.record.exceptions.push(Exception::bare(line.number, exception));
                        self.mode = Mode::Traceback(Tracing::after_exception());
                        return true;
                    }
                    if !self.is_warning() {
                        self.depth += bracket_balance(body);
                    }
                    self.record.message.push(line.number, body);
                }
                goes_on
            }
        }
    }

    /// True for a message of Python's `warnings`: behind it stands a source line, whose brackets say nothing.
    fn is_warning(&self) -> bool {
        self.header.is_none() && self.record.level == Some(Level::Warn)
    }

    /// A traceback without a header belongs to the message just before it, if that announces a failure.
    fn accepts_traceback(&self, line: &Line, same_header: bool) -> bool {
        let announced = || {
            let text = self.record.message.lines.last().map_or("", |(_, text)| text.trim_end());
            text.ends_with(':') || text.to_ascii_lowercase().contains("traceback")
        };
        same_header
            || line.continues_record
            || self.introduces_a_traceback()
            || self.record.last_line + 3 >= line.number
                && self.header.is_some()
                && (self.record.level.is_some_and(|level| level >= Level::Error) || announced())
    }

    /// True for what stands above a traceback that stopped nothing: the interpreter's `Exception ignored in: …`, the logging
    /// module's own failures, what a tool answered to a model. What these mean is said by `python-tool-result` and its kin.
    fn introduces_a_traceback(&self) -> bool {
        const LEADS: &[&str] = &[
            "Exception ignored in",
            "--- Logging error ---",
            "[tool:result]",
            "[tool_result]",
            "[tool]",
            "Observation:",
            "OBSERVATION:",
            "Tool result",
            "<tool_response>",
            "⎿",
        ];
        let text = self.record.message.lines.last().map_or("", |(_, text)| text.as_str());
        self.header.is_none() && LEADS.iter().any(|lead| text.trim_start().starts_with(lead))
    }

    /// True for `thread 'main' panicked at src/main.rs:12:5:`, which says on its next line why.
    fn is_head_of_a_panic(&self) -> bool {
        matches!(self.record.message.lines.as_slice(), [(_, text)] if text.contains(" panicked at ") && text.trim_end().ends_with(':'))
    }

    fn finish(mut self) -> Record {
        if let Mode::Traceback(tracing) = self.mode {
            tracing.finish(&mut self.record.exceptions);
        }
        self.record
    }
}

/// Where a message begins behind a tqdm bar on the same line.
fn behind_a_bar(text: &str) -> Option<usize> {
    let bar = text.find("%|")?;
    let end = ["it/s]", "s/it]", "B/s]", "it/s, ?]"].iter().filter_map(|rate| text[bar..].find(rate).map(|at| bar + at + rate.len())).min()?;
    let rest = text[end..].trim_start().trim_start_matches("^C");
    let begins = rest.chars().next().is_some_and(|c| c.is_alphabetic() || matches!(c, '[' | '/' | '*' | '{'));
    (begins && rest.len() > 6).then_some(end)
}

/// True for a row of the events that `kubectl describe` prints: each is a message of its own.
fn is_event(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("Normal  ") || text.starts_with("Warning  ")
}

/// True for what Python's `warnings` print: `file.py:12: UserWarning: …`.
fn is_python_warning(text: &str) -> bool {
    let Some((place, _)) = text.split_once("Warning: ") else { return false };
    let Some((place, class)) = place.rsplit_once(": ") else { return false };
    let line = place.rsplit(':').next().unwrap_or("");
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()) && class.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
}

/// How many brackets a line leaves open, if it ends with one; argument dumps go over many lines.
fn bracket_balance(text: &str) -> i32 {
    let trimmed = text.trim_end();
    if trimmed.ends_with(['{', '(', '[']) {
        return 1;
    }
    if closes_a_bracket(trimmed) { -1 } else { 0 }
}

/// True for a line that is nothing but the end of something bracketed.
fn closes_a_bracket(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(['}', ')', ']']) && text.len() <= 3
}
