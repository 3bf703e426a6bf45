//! Which lines of a large log are worth reading. No domain words: what to look for is given.
//!
//! A crash log is nearly all lines that say nothing. The beginning of a log and its end are read whole, for they hold
//! the start of the run and its death; between them a line is read when it holds one of the needles, when it stands
//! just before or after such a line, or when its turn as a sample has come.

use std::collections::VecDeque;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Bytes at the beginning that are read whole.
const HEAD_BYTES: u64 = 1 << 20;
/// Lines after a hit that are read with it: the rest of a message or traceback.
const FOLLOWING: u32 = 80;
/// Lines before a hit that are read with it.
const LEADING: usize = 4;
/// Lines at the end that are read whole, and the bytes that they may take.
const TAIL_LINES: usize = 400;
const TAIL_BYTES: usize = 256 << 10;
/// Every so many lines one is read whatever it holds, as a sign of life with its stamp.
const SAMPLE_EVERY: u64 = 512;
/// Bytes of a needle that are searched; more of them make the automaton larger and find no less.
const NEEDLE: usize = 14;

/// Lets pass what is worth reading.
pub struct Gate<'n> {
    needles: Box<dyn Iterator<Item = &'n str> + 'n>,
    automaton: Option<AhoCorasick>,
    seen_bytes: u64,
    following: u32,
    skipped: VecDeque<(u64, Vec<u8>)>,
    skipped_bytes: usize,
    spare: Vec<Vec<u8>>,
}

impl<'n> Gate<'n> {
    /// A gate for lines that hold one of these needles. They are put together only when a log turns out to be large.
    pub fn new(needles: impl Iterator<Item = &'n str> + 'n) -> Self {
        Gate {
            needles: Box::new(needles),
            automaton: None,
            seen_bytes: 0,
            following: 0,
            skipped: VecDeque::new(),
            skipped_bytes: 0,
            spare: Vec::new(),
        }
    }

    /// Takes a line; calls `read` for each line that is to be read now, in order.
    pub fn push(&mut self, number: u64, line: &[u8], mut read: impl FnMut(u64, &[u8])) {
        self.seen_bytes += line.len() as u64 + 1;
        if self.seen_bytes <= HEAD_BYTES {
            read(number, line);
            return;
        }
        let needles = &mut self.needles;
        let automaton = self.automaton.get_or_insert_with(|| build(needles));
        if automaton.is_match(line) {
            self.following = FOLLOWING;
            let leading = self.skipped.len().min(LEADING);
            let from = self.skipped.len() - leading;
            for (number, line) in self.skipped.range(from..) {
                read(*number, line);
            }
            self.forget_skipped();
            read(number, line);
        } else if self.following > 0 {
            self.following -= 1;
            read(number, line);
        } else if number.is_multiple_of(SAMPLE_EVERY) {
            // What was skipped before it stays: it may turn out to be the end.
            read(number, line);
        } else {
            self.skip(number, line);
        }
    }

    /// Gives out the end of the log.
    pub fn finish(&mut self, mut read: impl FnMut(u64, &[u8])) {
        for (number, line) in &self.skipped {
            read(*number, line);
        }
        self.forget_skipped();
    }

    fn skip(&mut self, number: u64, line: &[u8]) {
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(&line[..line.len().min(TAIL_BYTES / 4)]);
        self.skipped_bytes += kept.len();
        self.skipped.push_back((number, kept));
        while self.skipped.len() > TAIL_LINES || self.skipped_bytes > TAIL_BYTES {
            let Some((_, old)) = self.skipped.pop_front() else { break };
            self.skipped_bytes -= old.len();
            self.spare.push(old);
        }
    }

    fn forget_skipped(&mut self) {
        self.spare.extend(self.skipped.drain(..).map(|(_, line)| line));
        self.spare.truncate(TAIL_LINES);
        self.skipped_bytes = 0;
    }
}

fn build(needles: &mut dyn Iterator<Item = &str>) -> AhoCorasick {
    let mut short: Vec<&str> = needles.map(shorten).collect();
    short.sort_unstable();
    short.dedup();
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(&short)
        .or_else(|_| AhoCorasick::new(&short))
        .unwrap_or_else(|_| unreachable!("short needles build"))
}

/// The end of a needle says more than its beginning: `Failed to` begins many things.
fn shorten(needle: &str) -> &str {
    let mut from = needle.len().saturating_sub(NEEDLE);
    while !needle.is_char_boundary(from) {
        from += 1;
    }
    &needle[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(lines: &[String]) -> Vec<u64> {
        let mut gate = Gate::new(["out of memory"].into_iter());
        let mut read = Vec::new();
        for (number, line) in (1..).zip(lines) {
            gate.push(number, line.as_bytes(), |number, _| read.push(number));
        }
        gate.finish(|number, _| read.push(number));
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
        let mut once = read.clone();
        once.sort_unstable();
        assert!(once.windows(2).all(|pair| pair[0] < pair[1]), "none twice");
        assert!((59_601..=60_000).all(|number| once.binary_search(&number).is_ok()), "the end is whole");
        assert!(read.len() < 25_000);
    }
}
