//! Thousands of needles in one pass over a block, at a fraction of a nanosecond a byte. Knows no words.
//!
//! Of each needle seven neighbouring bytes are chosen that are rare in everyday text. Wherever these stand, one of the
//! four groups of four bytes in them begins at a multiple of four. So it is enough to look at every fourth position of a
//! text: a bit for each group says whether it is in a needle, and only where it is are needles compared. The build script
//! makes the tables; the same code makes those of a user's own rules.

use std::borrow::Cow;
use std::collections::HashMap;

/// Bytes of a needle that are compared at most: a message may be broken over several lines.
const COMPARED: usize = 14;
/// Bytes by which a needle is found; shorter ones are for another kind of search.
const WINDOW: usize = 7;
/// Bytes in a group, and from one group that is looked at to the next.
const GROUP: usize = 4;
/// Bits of a group's hash that choose its bit, and of these the ones that choose its bucket.
const HASH_BITS: u32 = 20;
const BUCKET_BITS: u32 = 14;

/// A group of a needle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Its bucket.
    pub bucket: u16,
    /// The window that it is in, in the lower seven bytes.
    pub window: u64,
    /// Where in the window it begins.
    pub shift: u8,
    /// Where in the needle it begins.
    pub at: u8,
    /// The number of the needle.
    pub number: u16,
    /// Where in the text of all needles it begins.
    pub from: u32,
    /// Its length.
    pub length: u16,
}

/// Needles to be found in blocks of bytes.
#[derive(Debug, Clone, Default)]
pub struct Needles {
    /// A bit for each hash.
    pub bits: Cow<'static, [u64]>,
    /// Where the rows of each bucket begin.
    pub starts: Cow<'static, [u32]>,
    /// All groups of all needles.
    pub rows: Cow<'static, [Row]>,
    /// The needles, one after the other.
    pub text: Cow<'static, str>,
    /// Needles that are too short to be found so.
    pub short: Cow<'static, [Cow<'static, str>]>,
    /// How many needles there are, without the short ones.
    pub count: usize,
}

#[inline]
fn hash(group: u32) -> u32 {
    group.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)
}

fn groups(text: &[u8]) -> impl Iterator<Item = u32> + '_ {
    text.windows(GROUP).map(|group| u32::from_le_bytes([group[0], group[1], group[2], group[3]]))
}

impl Needles {
    /// Tables for these words. What stands in `everyday` text is no needle, and its groups are avoided in the others.
    pub fn new<'w>(words: impl Iterator<Item = &'w str>, everyday: &str) -> Self {
        let mut weights: HashMap<u32, u32> = HashMap::new();
        for group in groups(everyday.as_bytes()) {
            *weights.entry(group).or_default() += 1;
        }
        // What is frequent among the words is frequent elsewhere too.
        weights.values_mut().for_each(|weight| *weight *= 16);
        let words: Vec<&str> = words.filter(|word| !everyday.contains(word)).collect();
        for group in words.iter().flat_map(|word| groups(word.as_bytes())) {
            *weights.entry(group).or_default() += 1;
        }
        let mut chosen: Vec<(&str, usize)> = words.into_iter().map(|word| part(word, &weights, everyday)).collect();
        chosen.sort_unstable();
        chosen.dedup_by_key(|(part, _)| *part);
        let (long, short): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|(part, _)| part.len() >= WINDOW);
        let mut bits = vec![0u64; 1 << (HASH_BITS - 6)];
        let mut rows = Vec::new();
        let mut text = String::new();
        for (number, (part, window)) in (0..).zip(&long) {
            let bytes = &part.as_bytes()[*window..*window + WINDOW];
            let in_one = bytes.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte));
            for (shift, group) in (0..).zip(groups(bytes)) {
                let hash = hash(group);
                bits[hash as usize / 64] |= 1 << (hash % 64);
                let bucket = (hash >> (HASH_BITS - BUCKET_BITS)) as u16;
                rows.push(Row {
                    bucket,
                    window: in_one,
                    shift,
                    at: *window as u8 + shift,
                    number,
                    from: text.len() as u32,
                    length: part.len() as u16,
                });
            }
            text.push_str(part);
        }
        rows.sort();
        let starts = (0..=1u32 << BUCKET_BITS).map(|bucket| rows.partition_point(|row| u32::from(row.bucket) < bucket) as u32).collect();
        let short = short.into_iter().map(|(part, _)| Cow::Owned(part.to_owned())).collect();
        Needles {
            bits: Cow::Owned(bits),
            starts: Cow::Owned(starts),
            rows: Cow::Owned(rows),
            text: Cow::Owned(text),
            short: Cow::Owned(short),
            count: long.len(),
        }
    }

    /// Calls `found` with the number of each needle in a text and its place until it says that it is enough.
    pub fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize) -> bool) {
        let Ok(bits) = <&[u64; 1 << (HASH_BITS - 6)]>::try_from(self.bits.as_ref()) else { return };
        let is_known = |hash: u32| bits[hash as usize / 64] >> (hash % 64) & 1 == 1;
        let (chunks, rest) = text.as_chunks::<8>();
        for (number, chunk) in chunks.iter().enumerate() {
            let [a, b, c, d, e, f, g, h] = *chunk;
            let first = hash(u32::from_le_bytes([a, b, c, d]));
            let second = hash(u32::from_le_bytes([e, f, g, h]));
            if is_known(first) && self.compare(text, number * 8, first, &mut found) {
                return;
            }
            if is_known(second) && self.compare(text, number * 8 + GROUP, second, &mut found) {
                return;
            }
        }
        if let &[a, b, c, d, ..] = rest {
            let last = hash(u32::from_le_bytes([a, b, c, d]));
            if is_known(last) {
                self.compare(text, text.len() - rest.len(), last, &mut found);
            }
        }
    }

    /// Compares the needles that have this group with the text around it.
    fn compare(&self, text: &[u8], at: usize, hash: u32, found: &mut impl FnMut(usize, usize) -> bool) -> bool {
        // Three bytes before the group, itself, three after it: all windows that it can be in.
        let around = at.checked_sub(WINDOW - GROUP).and_then(|from| text.get(from..from + 16)?.first_chunk());
        let around = around.map(|bytes| u128::from_le_bytes(*bytes));
        let bucket = (hash >> (HASH_BITS - BUCKET_BITS)) as usize;
        let rows = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        self.rows[rows].iter().any(|row| {
            let differs = |around: u128| (around >> (8 * (WINDOW - GROUP - usize::from(row.shift)))) as u64 & ((1 << (8 * WINDOW)) - 1) != row.window;
            if around.is_some_and(differs) {
                return false;
            }
            let Some(start) = at.checked_sub(usize::from(row.at)) else { return false };
            let needle = &self.text.as_bytes()[row.from as usize..][..usize::from(row.length)];
            text[start..].starts_with(needle) && found(usize::from(row.number), start)
        })
    }
}

/// The part of a word that is compared, and where in it the window begins: the rarest, and of equal ones the last. Quotes
/// and backslashes are avoided, because a wrapper may have escaped them.
fn part<'w>(word: &'w str, weights: &HashMap<u32, u32>, everyday: &str) -> (&'w str, usize) {
    let bytes = word.as_bytes();
    let rarest = (0..=bytes.len().saturating_sub(WINDOW)).rev().filter(|_| bytes.len() >= WINDOW).min_by_key(|&at| {
        let window = &bytes[at..at + WINDOW];
        let escaped = window.iter().filter(|byte| matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | b'\'') || !byte.is_ascii()).count();
        groups(window).map(|group| weights.get(&group).copied().unwrap_or(0)).sum::<u32>() + 100_000 * escaped as u32
    });
    let Some(window) = rarest else { return (word, 0) };
    let is_plain = |at: &usize| word.is_char_boundary(*at);
    let to = (window + WINDOW..=bytes.len().min(window + COMPARED)).rev().find(is_plain).unwrap_or(bytes.len());
    let from = (to.saturating_sub(COMPARED)..=window).find(is_plain).unwrap_or(0);
    if everyday.contains(&word[from..to]) {
        return (word, window);
    }
    (&word[from..to], window - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(needles: &Needles, text: &str) -> bool {
        let mut is_there = false;
        needles.find(text.as_bytes(), |_, _| {
            is_there = true;
            true
        });
        is_there
    }

    #[test]
    fn every_needle_is_found_wherever_it_stands() {
        let words = ["out of memory", "is refused", "Ünïcode überall", "aaaaaaa", "a message that is longer than what is compared"];
        for word in words {
            let needles = Needles::new(["nowhere else", word].into_iter(), "tokens per second");
            for shift in 0..9 {
                let text = format!("{}{word}{}", "x".repeat(shift), "y".repeat(shift % 3));
                assert!(has(&needles, &text), "{word} in {text}");
            }
            assert!(!has(&needles, "nowhere, out of mem, is refu, aaaaaa and a message that is long"), "{word}");
        }
    }

    #[test]
    fn what_is_said_every_day_is_no_needle() {
        let needles = Needles::new(["of every day", "not of every day"].into_iter(), "a line of every day");
        assert!(has(&needles, "this is not of every day, is it"));
        assert!(!has(&needles, "a line of every day"));
    }

    #[test]
    fn short_ones_are_kept_apart() {
        let needles = Needles::new(["ERROR"].into_iter(), "");
        assert_eq!((needles.short.as_ref(), needles.count), ([Cow::Borrowed("ERROR")].as_slice(), 0));
    }
}
