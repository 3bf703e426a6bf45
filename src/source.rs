//! What a person has, as lines: files, standard input and folders, whatever they are packed in.
//!
//! The only module with I/O on the way in. It undoes compression and character encodings, refuses what is no log and
//! cuts the rest into lines. It looks at magic bytes, never at file names, because rotated logs are called anything.
//! Damage does not end the reading: what could be read is handed out, and [`Reader::problems`] says what is missing.

mod decode;
mod error;
mod folder;
pub mod live;
mod sniff;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use decode::{Lenient, Packing};
pub use error::SourceError;
pub use folder::expand;

use crate::redact::{cut_bytes_before, cut_bytes_behind};

/// How much of an input is looked at to tell what it is.
const HEAD: usize = 8 * 1024;
/// How much white space may stand before the first text.
const BLANK_HEAD: usize = 1024 * 1024;
/// How often an input may be packed in itself.
const NESTING: usize = 2;
/// The longest line that is kept whole.
const LONGEST_LINE: usize = 1024 * 1024;
/// What is kept of the beginning of a longer one.
const KEPT_HEAD: usize = 512 * 1024;
/// What is kept of its end.
const KEPT_TAIL: usize = 64 * 1024;
/// What stands for the part that was left out.
const CUT_MARK: &[u8] = b" ... ";
/// How much is asked for in one read.
const BLOCK: usize = 128 * 1024;
/// What is kept of the lines that were handed out or passed over.
const HISTORY: usize = 256 * 1024;
/// The size from which on the block is begun again at its front.
const ROOM: usize = 8 * BLOCK;

/// Where a log comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

impl Input {
    /// The file's path, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Stdin => None,
        }
    }
}

impl From<&Path> for Input {
    /// `-` is standard input, as everywhere.
    fn from(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::Path(path.to_path_buf()) }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// Something that kept a part of an input from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What happened, in words: `the gzip data end before they are complete`.
    pub what: String,
    /// How many bytes of the log had been read by then.
    pub after_bytes: u64,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (after {} bytes of log)", self.what, self.after_bytes)
    }
}

/// One physical line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawLine<'a> {
    /// 1-based number in the input as read.
    pub number: u64,
    /// The line without its `\n` and without NUL bytes; a `\r` before the end is still there.
    pub bytes: &'a [u8],
    /// True if the line was longer than 1 MiB: then its first 512 KiB and its last 64 KiB are here, with ` ... ` between.
    pub cut: bool,
}

impl<'a> RawLine<'a> {
    /// The line as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes)
    }
}

/// Why [`Reader::pass`] did not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What was looked for is in the next line.
    Found,
    /// So many bytes were passed over.
    Full,
    /// The next line is not known yet, or there is none.
    Unknown,
}

/// What the layers of a reader tell each other.
#[derive(Debug, Default)]
struct Ledger {
    /// Bytes that came in, before anything was unpacked.
    packed: Cell<u64>,
    /// Bytes of the log.
    bytes: Cell<u64>,
    problems: RefCell<Vec<Problem>>,
}

impl Ledger {
    fn report(&self, what: String) {
        self.problems.borrow_mut().push(Problem { what, after_bytes: self.bytes.get() });
    }
}

/// Counts what goes through it.
struct Counting {
    inner: Box<dyn Read>,
    ledger: Rc<Ledger>,
    /// The figure that it counts into.
    figure: fn(&Ledger) -> &Cell<u64>,
}

impl Read for Counting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        let figure = (self.figure)(&self.ledger);
        figure.set(figure.get() + count as u64);
        Ok(count)
    }
}

/// Hands out the lines of one input, in order, with bounded memory.
pub struct Reader {
    name: String,
    inner: Box<dyn Read>,
    ledger: Rc<Ledger>,
    block: Vec<u8>,
    /// What of `block` was read and not yet handed out.
    filled: Range<usize>,
    long: Vec<u8>,
    number: u64,
    ended: bool,
    /// Whether the input grows, and then whether it has nothing more at present.
    is_live: bool,
    waits: bool,
    failure: Option<io::Error>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("name", &self.name).field("lines", &self.number).finish_non_exhaustive()
    }
}

/// Opens an input, unpacks it and makes sure that it is a log.
///
/// # Errors
/// Says why the input cannot be read or is no log; see [`SourceError`].
pub fn open(input: &Input) -> Result<Reader, SourceError> {
    open_metered(input, &Arc::default())
}

/// The same; adds to `meter` the bytes that are read, before anything is unpacked.
///
/// # Errors
/// As [`open`].
pub fn open_metered(input: &Input, meter: &Arc<AtomicU64>) -> Result<Reader, SourceError> {
    let (name, inner): (String, Box<dyn Read>) = match input {
        Input::Stdin => ("standard input".to_owned(), Box::new(io::stdin())),
        Input::Path(path) => (path.display().to_string(), Box::new(open_file(path)?)),
    };
    Reader::build(name, Box::new(Metered { inner, meter: Arc::clone(meter) }), HEAD)
}

/// Counts what is read, for others to see.
struct Metered {
    inner: Box<dyn Read>,
    meter: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.meter.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens a file and explains why it cannot be opened.
fn open_file(path: &Path) -> Result<File, SourceError> {
    let explain = |error| SourceError::opening(path, error);
    if std::fs::metadata(path).map_err(explain)?.is_dir() {
        return Err(SourceError::Directory { path: path.to_path_buf() });
    }
    File::open(path).map_err(explain)
}

impl Reader {
    /// Reads a log that is in memory.
    ///
    /// # Errors
    /// As [`open`], as far as it applies.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, SourceError> {
        Self::from_read(Box::new(Cursor::new(bytes.into())))
    }

    /// Reads a log from anything that can be read.
    ///
    /// # Errors
    /// As [`open`], as far as it applies.
    pub fn from_read(inner: Box<dyn Read>) -> Result<Self, SourceError> {
        Self::build("input".to_owned(), inner, HEAD)
    }

    /// Reads a log that is still being written: looks no further ahead than what the first read gives.
    ///
    /// # Errors
    /// As [`open`], as far as it applies.
    pub fn live(name: &str, inner: Box<dyn Read>) -> Result<Self, SourceError> {
        Self::build(name.to_owned(), inner, 1)
    }

    /// What messages call the input.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes of log were read, after decompression and before decoding. Reading goes in blocks, so this is
    /// ahead of the lines until the end.
    pub fn bytes_read(&self) -> u64 {
        self.ledger.bytes.get()
    }

    /// How many lines were handed out.
    pub fn lines_read(&self) -> u64 {
        self.number
    }

    /// True when a live input has nothing more at present, but may have later.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// What kept a part of the input from being read, so far.
    pub fn problems(&self) -> Vec<Problem> {
        self.ledger.problems.borrow().clone()
    }

    fn build(name: String, mut inner: Box<dyn Read>, enough: usize) -> Result<Self, SourceError> {
        let ledger = Rc::new(Ledger::default());
        let io = |error| SourceError::Io { name: name.clone(), error };
        let mut head;
        let mut packed = 0;
        loop {
            (head, inner) = peek(inner, enough, HEAD).map_err(io)?;
            let Some(packing) = Packing::of(&head) else { break };
            if packed == 0 {
                inner = Box::new(Counting { inner, ledger: Rc::clone(&ledger), figure: |ledger| &ledger.packed });
            }
            if packed == NESTING {
                return Err(SourceError::NotALog { name, what: "a file that is compressed more than twice".to_owned() });
            }
            packed += 1;
            inner = Box::new(Lenient::new(packing, inner, Rc::clone(&ledger)));
        }
        if head.is_empty() && !ledger.problems.borrow().is_empty() {
            let what = ledger.problems.borrow().iter().map(|p| p.what.clone()).collect::<Vec<_>>().join("; ");
            return Err(SourceError::Damaged { name, what });
        }
        if let Some(what) = sniff::known_format(&head) {
            return Err(SourceError::NotALog { name, what: what.to_owned() });
        }
        inner = Box::new(Counting { inner, ledger: Rc::clone(&ledger), figure: |ledger| &ledger.bytes });
        if let Some(encoding) = sniff::utf16(&head) {
            inner = Box::new(decode::Utf16::new(encoding, inner));
            (head, inner) = peek(inner, enough, HEAD).map_err(io)?;
        } else if sniff::is_binary(&head) {
            return Err(SourceError::NotALog { name, what: "binary data".to_owned() });
        }
        if head.starts_with("\u{feff}".as_bytes()) {
            let mut mark = [0; 3];
            inner.read_exact(&mut mark).map_err(io)?;
        }
        if sniff::is_blank(&head) && (enough == HEAD) {
            (head, inner) = peek(inner, BLANK_HEAD, BLANK_HEAD).map_err(io)?;
            if sniff::is_blank(&head) && head.len() < BLANK_HEAD {
                return Err(SourceError::Empty { name });
            }
        }
        Ok(Self {
            name,
            inner,
            ledger,
            block: Vec::new(),
            filled: 0..0,
            long: Vec::new(),
            number: 0,
            ended: false,
            is_live: enough < HEAD,
            waits: false,
            failure: None,
        })
    }

    /// The next line, or nothing after the last; of a live input also nothing while there is no whole line, see
    /// [`Self::waits`].
    ///
    /// # Errors
    /// When reading fails; every line that was read before has been handed out by then, and the next call says that
    /// the input has ended.
    pub fn next_line(&mut self) -> Result<Option<RawLine<'_>>, SourceError> {
        let mut searched = self.filled.start;
        let found = loop {
            if let Some(at) = memchr::memchr(b'\n', &self.block[searched..self.filled.end]) {
                break Some(searched + at);
            }
            if self.filled.len() > LONGEST_LINE {
                return Ok(Some(self.long_line()));
            }
            let read_so_far = self.filled.len();
            if !self.refill() {
                break None;
            }
            searched = self.filled.start + read_so_far;
        };
        let (line, after) = match found {
            Some(end) => (self.filled.start..end, end + 1),
            None if self.filled.is_empty() || self.waits => return self.at_end(),
            None => (self.filled.clone(), self.filled.end),
        };
        self.filled.start = after;
        self.number += 1;
        let kept = without_nul(&mut self.block[line.clone()]);
        Ok(Some(RawLine { number: self.number, bytes: &self.block[line.start..line.start + kept], cut: false }))
    }

    fn at_end(&mut self) -> Result<Option<RawLine<'_>>, SourceError> {
        match self.failure.take() {
            Some(error) => Err(SourceError::Io { name: self.name.clone(), error }),
            None => Ok(None),
        }
    }

    /// Passes over lines that `find` finds nothing in, up to the end of the line in which so many bytes are full. `find`
    /// gets many lines at once and gives the place of the first thing that it finds.
    pub fn pass(&mut self, mut bytes: usize, mut find: impl FnMut(&[u8]) -> Option<usize>) -> Stop {
        loop {
            let unread = &self.block[self.filled.clone()];
            let last = unread.get(bytes.saturating_sub(1)..).and_then(|rest| memchr::memchr(b'\n', rest));
            let end = match last {
                Some(at) => bytes.saturating_sub(1) + at + 1,
                None => memchr::memrchr(b'\n', unread).map_or(0, |at| at + 1),
            };
            if end == 0 {
                if self.filled.len() > LONGEST_LINE || !self.refill() {
                    return Stop::Unknown;
                }
                continue;
            }
            let found = find(&unread[..end]);
            let passed = found.map_or(end, |at| memchr::memrchr(b'\n', &unread[..at]).map_or(0, |before| before + 1));
            self.number += memchr::memchr_iter(b'\n', &unread[..passed]).count() as u64;
            self.filled.start += passed;
            match (found, last) {
                (Some(_), _) => return Stop::Found,
                (None, Some(_)) => return Stop::Full,
                (None, None) => bytes -= passed,
            }
        }
    }

    /// The lines before the next one that come after line `after`, in order: so many at most, and so many bytes.
    pub fn before(&self, after: u64, lines: usize, bytes: usize) -> Vec<(u64, Vec<u8>)> {
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut left = bytes;
        let mut end = self.filled.start;
        let mut number = self.number;
        while number > after && found.len() < lines && end > 0 {
            let start = memchr::memrchr(b'\n', &self.block[..end - 1]).map_or(0, |before| before + 1);
            let line = &self.block[start..end];
            let mut line = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
            line.truncate(cut_bytes_before(&line, bytes / 4));
            if line.len() > left {
                break;
            }
            left -= line.len();
            let kept = without_nul(&mut line);
            line.truncate(kept);
            found.push((number, line));
            number -= 1;
            end = start;
        }
        found.reverse();
        found
    }

    /// Goes to the end of a line that is too long to be kept, and keeps its two ends.
    fn long_line(&mut self) -> RawLine<'_> {
        let mut tail = Vec::new();
        self.long.clear();
        let head = cut_bytes_before(&self.block[self.filled.clone()], KEPT_HEAD);
        self.long.extend_from_slice(&self.block[self.filled.start..self.filled.start + head]);
        self.filled.start += head;
        loop {
            let rest = &self.block[self.filled.clone()];
            let end = memchr::memchr(b'\n', rest);
            tail.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            // More than is kept, so that it can be seen whether the cut goes through a secret.
            if tail.len() > 2 * KEPT_TAIL {
                tail.drain(..tail.len() - 2 * KEPT_TAIL);
            }
            if let Some(end) = end {
                self.filled.start += end + 1;
                break;
            }
            self.filled = 0..0;
            if !self.refill() {
                break;
            }
        }
        let from = cut_bytes_behind(&tail, tail.len().saturating_sub(KEPT_TAIL));
        self.long.extend_from_slice(CUT_MARK);
        self.long.extend_from_slice(&tail[from..]);
        self.number += 1;
        let kept = without_nul(&mut self.long);
        RawLine { number: self.number, bytes: &self.long[..kept], cut: true }
    }

    /// Moves what was not read, and the lines before it, to the beginning of the block.
    fn begin_again(&mut self) {
        let Some(from) = self.filled.start.checked_sub(HISTORY) else { return };
        let from = memchr::memchr(b'\n', &self.block[from..self.filled.start]).map_or(self.filled.start, |end| from + end + 1);
        self.block.copy_within(from..self.filled.end, 0);
        self.filled = self.filled.start - from..self.filled.end - from;
    }

    /// Reads some more; false at the end.
    fn refill(&mut self) -> bool {
        if self.ended {
            return false;
        }
        self.waits = false;
        if self.filled.end + BLOCK > ROOM {
            self.begin_again();
        }
        if self.block.len() < self.filled.end + BLOCK {
            self.block.resize(self.filled.end + BLOCK, 0);
        }
        loop {
            match self.inner.read(&mut self.block[self.filled.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.filled.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.is_live => {
                    self.waits = true;
                    // Many logs may wait at a time.
                    if self.filled.end > HISTORY + BLOCK {
                        self.begin_again();
                        self.block.truncate(self.filled.end);
                        self.block.shrink_to_fit();
                    }
                    return false;
                }
                Err(error) => {
                    self.ended = true;
                    self.failure = Some(error);
                }
            }
            return !self.ended;
        }
    }
}

/// Moves NUL bytes out of a line and says how much is left. Log rotation leaves long runs of them.
fn without_nul(line: &mut [u8]) -> usize {
    let Some(first) = memchr::memchr(0, line) else { return line.len() };
    let mut kept = first;
    for at in first..line.len() {
        if line[at] != 0 {
            line[kept] = line[at];
            kept += 1;
        }
    }
    // What is left behind goes when the line is looked at again.
    line[kept..].fill(0);
    kept
}

/// Reads until there is enough to look at, and puts it back in front.
fn peek(mut inner: Box<dyn Read>, enough: usize, most: usize) -> io::Result<(Vec<u8>, Box<dyn Read>)> {
    let mut head = vec![0; most];
    let mut filled = 0;
    while filled < enough {
        match inner.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if filled == 0 => return Err(error),
            Err(_) => break,
        }
    }
    head.truncate(filled);
    Ok((head.clone(), Box::new(Cursor::new(head).chain(inner))))
}
