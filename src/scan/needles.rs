//! Thousands of needles in one pass over a block, at a fraction of a nanosecond a byte. Knows no words.
//!
//! Of each needle ten neighbouring bytes are chosen that are rare in everyday text. Wherever these stand, one of the four
//! groups of seven bytes in them begins at a multiple of four. So it is enough to look at every fourth position of a text:
//! the first four bytes of a group choose a slot, all seven a bit of it, and only where that is set are needles compared.
//!
//! Needles of five to nine bytes are found by five of them, of which one group of four begins at an even position. At every
//! fourth position the slots tell these too, by having all bits set; half-way between, a table of their own does.
//!
//! The build script makes the tables; the same code makes those of a user's own rules.

use std::borrow::Cow;
use std::collections::HashMap;

/// Bytes of a needle that are compared at most: a message may be broken over several lines.
const COMPARED: usize = 14;
/// Bytes from one position that is looked at to the next.
const STEP: usize = 4;
/// Bytes by which a long needle is found, and those of its groups.
const LONG: usize = 10;
const LONG_GROUP: usize = LONG + 1 - STEP;
/// The same for a short one, which is looked for at even positions.
const SHORT: usize = 5;
const SHORT_GROUP: usize = SHORT + 1 - STEP / 2;
/// Bytes whose positions are looked at in a row, and bytes that must be there for it.
const ROW: usize = 32;
const REACH: usize = ROW - STEP + 8;
/// Bits of the hashes that choose a slot, a word of the table for half-way positions, and a bucket of entries.
const SLOT_BITS: u32 = 15;
const HALFWAY_BITS: u32 = 11;
const BUCKET_BITS: u32 = 14;

/// A group of a needle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes, the first one lowest.
    pub group: u64,
    /// Where in the needle it begins.
    pub at: u16,
    /// The number of the needle.
    pub number: u16,
    /// Where in the text of all needles it begins.
    pub from: u32,
    /// Its length.
    pub length: u16,
}

/// Groups of one size, by their hash.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Where the entries of each bucket begin.
    pub starts: Cow<'static, [u32]>,
    /// All groups of all needles.
    pub entries: Cow<'static, [Entry]>,
}

/// Needles to be found in blocks of bytes.
#[derive(Debug, Clone, Default)]
pub struct Needles {
    /// A bit for each group of seven bytes; all bits for one of four.
    pub slots: Cow<'static, [u64]>,
    /// A bit for each group of four bytes.
    pub halfway: Cow<'static, [u64]>,
    /// The groups of seven bytes.
    pub long: Index,
    /// The groups of four bytes.
    pub short: Index,
    /// The needles, one after the other.
    pub text: Cow<'static, str>,
    /// Needles that are too short to be found so.
    pub tiny: Cow<'static, [Cow<'static, str>]>,
    /// How many needles there are, without the tiny ones.
    pub count: usize,
}

/// The lowest bytes of a number.
#[inline]
fn lowest(bytes: usize, of: u64) -> u64 {
    of & (u64::MAX >> (64 - 8 * bytes))
}

/// The slot that the first four bytes of a group choose.
#[inline]
fn slot(group: u64) -> usize {
    ((group as u32).wrapping_mul(0x85EB_CA6B) >> (32 - SLOT_BITS)) as usize
}

/// The bit of a slot; the eighth byte has no part in it.
#[inline]
fn bit(group: u64) -> u64 {
    mixed(group) >> 58
}

/// The word of the table for half-way positions; the bit is told by the first byte.
#[inline]
fn halfway(group: u64) -> usize {
    ((group as u32).wrapping_mul(0x9E37_79B1) >> (32 - HALFWAY_BITS)) as usize
}

#[inline]
fn is_halfway(table: &[u64; 1 << HALFWAY_BITS], group: u64) -> bool {
    table[halfway(group)] >> (group & 63) & 1 == 1
}

/// A hash of the first seven bytes of a group.
#[inline]
fn mixed(group: u64) -> u64 {
    (group << 8).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn groups(size: usize, text: &[u8]) -> impl Iterator<Item = u64> + '_ {
    text.windows(size).map(|group| group.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte)))
}

impl Index {
    fn new(mut entries: Vec<Entry>) -> Self {
        let bucket = |entry: &Entry| Self::bucket(entry.group) as u32;
        entries.sort_by_key(|entry| (bucket(entry), entry.group, entry.number, entry.at));
        let starts = (0..=1 << BUCKET_BITS).map(|number| entries.partition_point(|entry| bucket(entry) < number) as u32).collect();
        Index { starts: Cow::Owned(starts), entries: Cow::Owned(entries) }
    }

    fn bucket(group: u64) -> usize {
        (mixed(group) >> (64 - BUCKET_BITS)) as usize
    }

    /// The entries among which those of a group are.
    fn near(&self, group: u64) -> &[Entry] {
        let bucket = Self::bucket(group);
        match self.starts.get(bucket..bucket + 2) {
            Some(&[from, to]) => self.entries.get(from as usize..to as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

impl Needles {
    /// Tables for these words. What stands in `everyday` text is no needle, and its groups are avoided in the others.
    pub fn new<'w>(words: impl Iterator<Item = &'w str>, everyday: &str) -> Self {
        let words: Vec<&str> = words.filter(|word| !everyday.contains(word)).collect();
        let weights = Weights::new(&words, everyday);
        let mut chosen: Vec<(&str, usize)> = words.into_iter().map(|word| weights.part(word)).collect();
        chosen.sort_unstable();
        chosen.dedup_by_key(|(part, _)| *part);
        let (known, tiny): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|(part, _)| part.len() >= SHORT);
        let mut text = String::new();
        let (mut long, mut short) = (Vec::new(), Vec::new());
        for (number, (part, window)) in (0..).zip(&known) {
            let (entries, length, size) = if part.len() >= LONG { (&mut long, LONG, LONG_GROUP) } else { (&mut short, SHORT, SHORT_GROUP) };
            for (at, group) in (*window as u16..).zip(groups(size, &part.as_bytes()[*window..*window + length])) {
                entries.push(Entry { group, at, number, from: text.len() as u32, length: part.len() as u16 });
            }
            text.push_str(part);
        }
        let mut halfway_table = vec![0u64; 1 << HALFWAY_BITS];
        for entry in &short {
            halfway_table[halfway(entry.group)] |= 1 << (entry.group & 63);
        }
        let mut slots = vec![0; 1 << SLOT_BITS];
        for entry in &long {
            slots[slot(entry.group)] |= 1 << bit(entry.group);
        }
        for entry in &short {
            slots[slot(entry.group)] = u64::MAX;
        }
        Needles {
            slots: Cow::Owned(slots),
            halfway: Cow::Owned(halfway_table),
            long: Index::new(long),
            short: Index::new(short),
            text: Cow::Owned(text),
            tiny: tiny.into_iter().map(|(part, _)| Cow::Owned(part.to_owned())).collect(),
            count: known.len(),
        }
    }

    /// Calls `found` with the number of each needle in a text and its place until it says that it is enough.
    pub fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize) -> bool) {
        let mut at = 0;
        while let Some(row) = text.get(at..).and_then(<[u8]>::first_chunk) {
            if self.find_in_row(text, at, row, &mut found) {
                return;
            }
            at += ROW;
        }
        // The rest, with zeros behind it.
        let rest = text.get(at..).unwrap_or_default();
        let mut padded = [0; ROW + REACH];
        padded[..rest.len()].copy_from_slice(rest);
        for (row, at) in [(padded.first_chunk(), at), (padded.last_chunk(), at + ROW)] {
            if row.is_some_and(|row| self.find_in_row(text, at, row, &mut found)) {
                return;
            }
        }
    }

    #[inline(always)]
    fn find_in_row(&self, text: &[u8], from: usize, row: &[u8; REACH], found: &mut impl FnMut(usize, usize) -> bool) -> bool {
        let Ok(slots) = <&[u64; 1 << SLOT_BITS]>::try_from(self.slots.as_ref()) else { return true };
        let Ok(table) = <&[u64; 1 << HALFWAY_BITS]>::try_from(self.halfway.as_ref()) else { return true };
        let mut is_enough = |at: usize| {
            let Some(bytes) = row.get(at..).and_then(<[u8]>::first_chunk) else { return true };
            let here = u64::from_le_bytes(*bytes);
            let between = here >> (8 * STEP / 2);
            slots[slot(here)] >> bit(here) & 1 == 1 && self.compare(text, from + at, here, true, found)
                || is_halfway(table, between) && self.compare(text, from + at + STEP / 2, between, false, found)
        };
        // Written out, so that all places are constants.
        is_enough(0) || is_enough(4) || is_enough(8) || is_enough(12) || is_enough(16) || is_enough(20) || is_enough(24) || is_enough(28)
    }

    /// Compares the needles that have the group that begins there with the text around it.
    #[cold]
    #[inline(never)]
    fn compare(&self, text: &[u8], at: usize, here: u64, may_be_long: bool, found: &mut impl FnMut(usize, usize) -> bool) -> bool {
        let mut is_enough = |entry: &Entry| {
            let Some(start) = at.checked_sub(usize::from(entry.at)) else { return false };
            let needle = &self.text.as_bytes()[entry.from as usize..][..usize::from(entry.length)];
            text[start..].starts_with(needle) && found(usize::from(entry.number), start)
        };
        let group = lowest(LONG_GROUP, here);
        if may_be_long && self.long.near(group).iter().any(|entry| entry.group == group && is_enough(entry)) {
            return true;
        }
        let group = lowest(SHORT_GROUP, here);
        self.short.near(group).iter().any(|entry| entry.group == group && is_enough(entry))
    }
}

/// How frequent groups are, to choose by.
struct Weights<'e> {
    everyday: &'e str,
    long: HashMap<u64, u32>,
    short: HashMap<u64, u32>,
}

impl<'e> Weights<'e> {
    fn new(words: &[&str], everyday: &'e str) -> Self {
        let mut weights = Weights { everyday, long: HashMap::new(), short: HashMap::new() };
        for group in groups(LONG_GROUP, everyday.as_bytes()) {
            *weights.long.entry(group).or_default() += 1000;
        }
        for group in groups(SHORT_GROUP, everyday.as_bytes()) {
            *weights.short.entry(group).or_default() += 16;
        }
        // What is frequent among the words is frequent elsewhere too.
        for group in words.iter().flat_map(|word| groups(SHORT_GROUP, word.as_bytes())) {
            *weights.short.entry(group).or_default() += 1;
        }
        weights
    }

    fn of_long(&self, group: &[u8]) -> u32 {
        let whole: u32 = groups(LONG_GROUP, group).filter_map(|group| self.long.get(&group)).sum();
        // It is at most as frequent as the rarest that is in it.
        let mut parts = groups(SHORT_GROUP, group).map(|group| self.short.get(&group).copied().unwrap_or(0));
        let first = parts.next().unwrap_or(0);
        whole + first + parts.fold(first, u32::min)
    }

    fn of_short(&self, group: &[u8]) -> u32 {
        groups(SHORT_GROUP, group).filter_map(|group| self.short.get(&group)).sum()
    }

    /// The part of a word that is compared, and where in it the window begins: the rarest, and of equal ones the last.
    fn part<'w>(&self, word: &'w str) -> (&'w str, usize) {
        // Quotes and backslashes are avoided, because a wrapper may have escaped them.
        let plain = word.split(is_escaped).max_by_key(|part| part.len()).unwrap_or_default();
        let word = if plain.len() >= LONG && !self.everyday.contains(plain) { plain } else { word };
        let bytes = word.as_bytes();
        let size = if bytes.len() >= LONG { LONG } else { SHORT };
        let weight = |at: &usize| -> u32 {
            let window = &bytes[*at..*at + size];
            if size == LONG { window.windows(LONG_GROUP).map(|group| self.of_long(group)).sum() } else { self.of_short(window) }
        };
        let Some(window) = (0..(bytes.len() + 1).saturating_sub(size)).rev().min_by_key(weight) else { return (word, 0) };
        let is_plain = |at: &usize| word.is_char_boundary(*at);
        let to = (window + size..=bytes.len().min(window + COMPARED)).rev().find(is_plain).unwrap_or(bytes.len());
        let from = (to.saturating_sub(COMPARED)..=window).find(is_plain).unwrap_or(0);
        // A part that stands in everyday text would say nothing.
        if self.everyday.contains(&word[from..to]) { (word, window) } else { (&word[from..to], window - from) }
    }
}

fn is_escaped(letter: char) -> bool {
    matches!(letter, '"' | '\\' | '<' | '>' | '&' | '\'') || !letter.is_ascii()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

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
        let words =
            ["out of memory", "is refused", "ERROR", "SIGKILL", "Ünïcode überall", "aaaaaaa", "a message that is longer than what is compared"];
        for word in words {
            let needles = Needles::new(["nowhere else", word].into_iter(), "tokens per second");
            for shift in 0..80 {
                let text = format!("{}{word}{}", "x".repeat(shift), "y".repeat(shift % 7));
                assert!(has(&needles, &text), "{word} in {text}");
            }
            assert!(!has(&needles, "nowhere, out of mem, is refu, ERRO, SIGKIL, aaaaaa and a message that is long"), "{word}");
        }
    }

    proptest! {
        #[test]
        fn what_a_text_holds_is_found_and_nothing_else(words in prop::collection::vec("[ab ]{5,18}", 1..12), text in "[ab \"é]{0,300}") {
            let needles = Needles::new(words.iter().map(String::as_str), "");
            let mut found = BTreeSet::new();
            needles.find(text.as_bytes(), |number, at| {
                found.insert((number, at));
                false
            });
            let mut there = BTreeSet::new();
            for entry in needles.long.entries.iter().chain(needles.short.entries.iter()) {
                let needle = &needles.text[entry.from as usize..][..usize::from(entry.length)];
                let places = (0..text.len()).filter(|&at| text.as_bytes()[at..].starts_with(needle.as_bytes()));
                there.extend(places.map(|at| (usize::from(entry.number), at)));
            }
            prop_assert_eq!(found, there);
        }
    }

    #[test]
    fn what_is_said_every_day_is_no_needle() {
        let needles = Needles::new(["of every day", "not of every day"].into_iter(), "a line of every day");
        assert!(has(&needles, "this is not of every day, is it"));
        assert!(!has(&needles, "a line of every day"));
    }

    #[test]
    fn a_needle_is_found_where_its_quotes_are_escaped() {
        let needles = Needles::new(["cannot open \"the file"].into_iter(), "");
        assert!(has(&needles, "cannot open \\\"the file") && has(&needles, "cannot open \"the file"));
    }

    #[test]
    fn tiny_ones_are_kept_apart() {
        let needles = Needles::new(["NIXL"].into_iter(), "");
        assert_eq!((needles.tiny.as_ref(), needles.count), ([Cow::Borrowed("NIXL")].as_slice(), 0));
    }
}
