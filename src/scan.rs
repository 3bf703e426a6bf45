//! Which lines of a large log are worth reading. No domain words: what to look for is given.
//!
//! A crash log is nearly all lines that say nothing. The beginning of a log and its end are read whole, for they hold
//! the start of the run and its death; between them a line is read when it holds one of the needles, when it stands
//! just before or after such a line, or when its turn as a sample has come.

pub mod needles;

use memchr::memmem::Finder;

use crate::source::{Reader, SourceError, Stop};
use needles::Needles;

/// Bytes at the beginning that are read whole.
const HEAD_BYTES: u64 = 1 << 20;
/// Lines after a hit that are read with it: the rest of a message or traceback, and what came of it.
const FOLLOWING: u32 = 80;
/// The same where every needle that was found is familiar by then.
const FOLLOWING_FAMILIAR: u32 = 16;
/// Lines before a hit that are read with it.
const LEADING: usize = 4;
/// Lines at the end that are read whole, and the bytes that they may take.
const TAIL_LINES: usize = 400;
const TAIL_BYTES: usize = 256 << 10;
/// After so many bytes that were passed over a line is read whatever it holds, as a sign of life with its stamp.
const SAMPLE_EVERY: usize = 256 << 10;
/// Samples after which they are taken half as often.
const SAMPLES: u32 = 1024;
/// The longest line that is read so.
const LONGEST_SAMPLE: usize = 1 << 10;
/// A needle that was found so often is familiar.
const FAMILIAR: u32 = 16;
/// A needle that was found so often is noise; then it is worth reading only each time that its number has doubled.
const OFTEN: u32 = 512;

/// Passes over what is not worth reading.
pub struct Gate<'t> {
    tables: Vec<Search<'t>>,
    seen_bytes: u64,
    following: u32,
    /// The last line that was read.
    read: u64,
    /// Whether the next line is known to be worth reading.
    is_expected: bool,
    /// How many samples were taken.
    samples: u32,
    /// The last sample. It waits until it is known that it will not be read with its neighbours.
    sample: Option<(u64, Vec<u8>)>,
}

impl<'t> Gate<'t> {
    /// A gate for lines that hold one of these needles.
    pub fn new(tables: &'t [Needles]) -> Self {
        Gate { tables: tables.iter().map(Search::new).collect(), seen_bytes: 0, following: 0, read: 0, is_expected: false, samples: 0, sample: None }
    }

    /// Calls `read` for the lines of an input that are worth reading, until it has no more to give.
    ///
    /// # Errors
    /// When reading fails.
    pub fn run(&mut self, reader: &mut Reader, mut read: impl FnMut(u64, &[u8])) -> Result<(), SourceError> {
        loop {
            self.pass(reader, &mut read);
            let Some(raw) = reader.next_line()? else { return Ok(()) };
            self.push(raw.number, raw.bytes, &mut read);
        }
    }

    /// Lets the reader pass over lines until there is one that may be worth reading, and calls `read` for those just
    /// before it.
    fn pass(&mut self, reader: &mut Reader, mut read: impl FnMut(u64, &[u8])) {
        if self.seen_bytes <= HEAD_BYTES || self.following > 0 {
            return;
        }
        loop {
            let tables = &mut self.tables;
            let mut first: Option<Hit> = None;
            let every = SAMPLE_EVERY << (self.samples / SAMPLES).min(20);
            let stop = reader.pass(every, |block| {
                for table in tables.iter_mut() {
                    let before = first.as_ref().map_or(block.len(), |hit| hit.at);
                    first = table.first(&block[..before]).or(first.take());
                }
                first.as_ref().map(|hit| hit.at)
            });
            match stop {
                Stop::Full => {
                    self.samples += 1;
                    self.read_sample(reader.lines_read(), &mut read);
                    self.sample = reader.before(reader.lines_read() - 1, 1, TAIL_BYTES).pop().filter(|(_, line)| line.len() <= LONGEST_SAMPLE);
                }
                Stop::Found => {
                    self.is_expected = true;
                    self.following = first.map_or(0, |hit| hit.following) + 1;
                    return self.read_before(reader, LEADING, &mut read);
                }
                Stop::Unknown => return,
            }
        }
    }

    /// Takes a line and calls `read` if it is worth it.
    fn push(&mut self, number: u64, line: &[u8], mut read: impl FnMut(u64, &[u8])) {
        self.seen_bytes += line.len() as u64 + 1;
        if self.seen_bytes > HEAD_BYTES && !std::mem::take(&mut self.is_expected) {
            let following = self.tables.iter_mut().filter_map(|table| table.first(line)).map(|hit| hit.following + 1).max();
            self.following = self.following.max(following.unwrap_or(0));
            if self.following == 0 {
                return;
            }
        }
        self.read_sample(number, &mut read);
        self.following = self.following.saturating_sub(1);
        self.read = number;
        read(number, line);
    }

    /// Gives out the end of the log. Of a log that goes on, what comes next is read whole like a beginning.
    pub fn finish(&mut self, reader: &Reader, mut read: impl FnMut(u64, &[u8])) {
        self.read_before(reader, TAIL_LINES, &mut read);
        self.seen_bytes = 0;
        self.samples = 0;
        for table in &mut self.tables {
            table.times.fill(0);
        }
    }

    /// Reads the lines before the next one that were not read, so many at most.
    fn read_before(&mut self, reader: &Reader, lines: usize, read: &mut impl FnMut(u64, &[u8])) {
        let lines = reader.before(self.read, lines, TAIL_BYTES);
        self.read_sample(lines.first().map_or(u64::MAX, |&(number, _)| number), read);
        for (number, line) in lines {
            self.read = number;
            read(number, &line);
        }
    }

    /// Reads the sample that waits, if it comes before this line.
    fn read_sample(&mut self, next: u64, read: &mut impl FnMut(u64, &[u8])) {
        if let Some((number, line)) = self.sample.take().filter(|&(number, _)| number < next && number > self.read) {
            self.read = number;
            read(number, &line);
        }
    }
}

/// A needle that was found.
struct Hit {
    at: usize,
    /// How many lines after its own are to be read.
    following: u32,
}

/// Needles, and how often each was found.
struct Search<'t> {
    needles: &'t Needles,
    tiny: Vec<Finder<'t>>,
    times: Vec<u32>,
}

impl<'t> Search<'t> {
    fn new(needles: &'t Needles) -> Self {
        Search { needles, tiny: Vec::new(), times: Vec::new() }
    }

    /// The first needle that is not mere noise.
    fn first(&mut self, text: &[u8]) -> Option<Hit> {
        let count = self.needles.count;
        if self.times.is_empty() {
            // Put together only when a log turns out to be large.
            self.times = vec![0; count + self.needles.tiny.len()];
            self.tiny = self.needles.tiny.iter().map(|tiny| Finder::new(tiny.as_bytes())).collect();
        }
        let times = &mut self.times;
        let mut hit = |number: usize, at: usize| {
            times[number] = times[number].saturating_add(1);
            let is_news = times[number] <= OFTEN || times[number].is_power_of_two();
            is_news.then_some(Hit { at, following: if times[number] <= FAMILIAR { FOLLOWING } else { FOLLOWING_FAMILIAR } })
        };
        let mut first: Option<Hit> = None;
        self.needles.find(text, |number, at| {
            first = hit(number, at);
            first.is_some()
        });
        for (number, tiny) in (count..).zip(&self.tiny) {
            let text = &text[..first.as_ref().map_or(text.len(), |hit| hit.at)];
            first = tiny.find(text).and_then(|at| hit(number, at)).or(first);
        }
        first
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read_of(lines: &[String]) -> Vec<u64> {
        let needles = [Needles::new(["out of memory", "short"].into_iter(), &[], "")];
        let mut gate = Gate::new(&needles);
        let mut reader = Reader::from_bytes(lines.join("\n")).unwrap();
        let mut read = Vec::new();
        let mut check = |number: u64, line: &[u8]| {
            assert_eq!(lines[number as usize - 1].as_bytes(), line, "line {number}");
            read.push(number);
        };
        gate.run(&mut reader, &mut check).unwrap();
        gate.finish(&reader, &mut check);
        assert_eq!(reader.lines_read(), lines.len() as u64);
        read
    }

    #[test]
    fn a_small_log_is_read_whole() {
        let lines: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        assert_eq!(read_of(&lines), (1..=1000).collect::<Vec<_>>());
    }

    #[test]
    fn hits_are_read_with_their_neighbours_in_order() {
        let mut lines: Vec<String> = (0..60_000).map(|n| format!("request {n} was served without anything to say about it")).collect();
        lines[40_000] = "CUDA out of memory".into();
        let read = read_of(&lines);
        assert!((39_997..=40_081).all(|number| read.contains(&number)));
        assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
        assert!((59_601..=60_000).all(|number| read.binary_search(&number).is_ok()), "the end is whole");
        assert!((20_000..39_000).any(|number| read.contains(&number)), "samples");
        assert!(read.len() < 25_000);
    }

    #[test]
    fn a_needle_that_is_noise_is_read_now_and_then() {
        let mut lines: Vec<String> = (0..200_000).map(|n| format!("request {n} was refused: out of memory, as so often")).collect();
        lines[150_000] = "something else is short".into();
        let read = read_of(&lines);
        assert!(read.len() < 60_000, "{}", read.len());
        assert!((149_997..=150_081).all(|number| read.contains(&number)));
    }

    #[test]
    fn very_long_lines_are_passed_over_or_read_by_what_they_hold() {
        let mut lines: Vec<String> = (0..40).map(|n| format!("{n} {}", "quiet ".repeat(100_000))).collect();
        lines[20] = format!("{} out of memory", "loud ".repeat(100_000));
        let read = read_of(&lines);
        assert!(read.contains(&21) && !read.contains(&15), "{read:?}");
    }
}
