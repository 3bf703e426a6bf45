//! Thousands of needles in one pass over a block, at a fraction of a nanosecond a byte. Knows no words.
//!
//! It is enough to look at every fourth position of a text, if of each needle four groups of bytes are known that begin at
//! all four distances from a multiple of four. Of the groups of a needle those are chosen that are rarest in everyday text.
//! The first four bytes of a group choose a slot of a table, the next two a bit of it, and only where that is set are
//! needles compared. A group at the end of a short needle has fewer than six bytes; then all bits are set that may follow.
//!
//! Some needles open quoted text, such as what a user asked. It is passed over.
//!
//! The build script makes the tables; the same code makes those of a user's own rules.

use std::borrow::Cow;
use std::collections::HashMap;

/// Bytes of a needle that are compared at most: a message may be broken over several lines.
const COMPARED: usize = 14;
/// Bytes that are enough of a needle to avoid what else it has.
const ENOUGH: usize = 10;
/// Bytes from one position that is looked at to the next.
const STEP: usize = 4;
/// Bytes of a group, and those that it must have.
const GROUP: usize = 6;
const LEAST: usize = 4;
/// Bytes of the shortest needle that has four groups.
pub const SHORTEST: usize = LEAST + STEP - 1;
/// Bytes whose positions are looked at in a row, and bytes that must be there for it.
const ROW: usize = 32;
const REACH: usize = ROW - STEP + 8;
/// Bits of the hash that chooses a slot.
const SLOT_BITS: u32 = 15;
/// Multipliers that are tried for the hash.
const TRIED: u32 = 64;

/// A group of a needle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its bytes, the first one lowest.
    pub group: u64,
    /// How many they are.
    pub size: u8,
    /// Where in the needle they begin.
    pub at: u16,
    /// The number of the needle.
    pub number: u32,
    /// Where in the text of all needles it begins.
    pub from: u32,
    /// Its length.
    pub length: u16,
}

/// Needles to be found in blocks of bytes.
#[derive(Debug, Clone, Default)]
pub struct Needles {
    /// What the first four bytes of a group are multiplied with.
    pub multiplier: u32,
    /// For each slot the bits of the groups that begin there.
    pub slots: Cow<'static, [u64]>,
    /// Where the entries of each slot begin.
    pub starts: Cow<'static, [u32]>,
    /// All groups of all needles.
    pub entries: Cow<'static, [Entry]>,
    /// The needles, one after the other.
    pub text: Cow<'static, str>,
    /// Needles that are too short to be found so.
    pub tiny: Cow<'static, [Cow<'static, str>]>,
    /// How many needles there are, without the tiny ones; those with higher numbers open quoted text.
    pub count: usize,
}

/// The slot that the first four bytes of a group choose.
#[inline]
fn slot(multiplier: u32, first: u32) -> usize {
    (first.wrapping_mul(multiplier) >> (32 - SLOT_BITS)) as usize
}

/// The bit of a slot that the next two choose: the fifth tells the lowest three bits of its number.
#[inline]
fn bit(next: u32) -> u32 {
    (next ^ next >> 5) & 63
}

/// The bits of all groups that begin with these bytes.
fn bits(group: u64, size: u8) -> u64 {
    let next = (group >> 32) as u32;
    match size {
        4 => u64::MAX,
        5 => (0..8).map(|sixth| 1 << bit(next | sixth << 8)).sum(),
        _ => 1 << bit(next),
    }
}

/// The lowest bytes of a number.
#[inline]
fn lowest(bytes: u8, of: u64) -> u64 {
    of & (u64::MAX >> (64 - 8 * u32::from(bytes)))
}

/// The first bytes of a text, as a number; six at most.
fn group(text: &[u8]) -> u64 {
    text.iter().take(GROUP).rev().fold(0, |all, &byte| all << 8 | u64::from(byte))
}

impl Needles {
    /// Tables for these words. What stands in `everyday` text is no needle, and its groups are avoided in the others.
    /// Each of `openings` ends with a quote; what follows in the line up to the next such quote is passed over.
    pub fn new<'w>(words: impl Iterator<Item = &'w str>, openings: &[&'w str], everyday: &str) -> Self {
        let words: Vec<&str> = words.filter(|word| !everyday.contains(word)).collect();
        let weights = Weights::new(&words, everyday);
        let (known, tiny): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.len() >= SHORTEST);
        let mut chosen: Vec<(&str, [usize; STEP])> = known.into_iter().map(|word| weights.part(word)).collect();
        chosen.sort_unstable();
        chosen.dedup_by_key(|(part, _)| *part);
        let count = chosen.len();
        chosen.extend(openings.iter().map(|opening| (*opening, weights.places(opening.as_bytes()).1)));
        let mut text = String::new();
        let mut entries = Vec::new();
        for (number, (part, places)) in (0..).zip(&chosen) {
            for &at in places {
                let group = group(&part.as_bytes()[at..]);
                let size = (part.len() - at).min(GROUP) as u8;
                entries.push(Entry { group, size, at: at as u16, number, from: text.len() as u32, length: part.len() as u16 });
            }
            text.push_str(part);
        }
        let tiny = tiny.into_iter().map(|word| Cow::Owned(word.to_owned())).collect();
        let mut table = Needles { text: Cow::Owned(text), tiny, count, ..Needles::default() };
        // The hash that takes the fewest positions of everyday text for a group.
        let mut fewest = usize::MAX;
        for number in 0..TRIED {
            let multiplier = 0x85EB_CA6B_u32.wrapping_mul(2 * number + 1);
            let mut slots = vec![0; 1 << SLOT_BITS];
            for entry in &entries {
                slots[slot(multiplier, entry.group as u32)] |= bits(entry.group, entry.size);
            }
            let looked_at = |text: &&[u8]| slots[slot(multiplier, group(text) as u32)] >> bit((group(text) >> 32) as u32) & 1 == 1;
            let taken = everyday.as_bytes().windows(GROUP).filter(looked_at).count();
            if taken < fewest {
                fewest = taken;
                (table.multiplier, table.slots) = (multiplier, Cow::Owned(slots));
            }
        }
        let slot = |entry: &Entry| slot(table.multiplier, entry.group as u32);
        entries.sort_by_key(|entry| (slot(entry), entry.group, entry.number, entry.at));
        table.starts = (0..=1 << SLOT_BITS).map(|number| entries.partition_point(|entry| slot(entry) < number) as u32).collect();
        table.entries = Cow::Owned(entries);
        table
    }

    /// Calls `found` with the number of each needle in a text and its place until it says that it is enough. The text
    /// consists of whole lines.
    pub fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize) -> bool) {
        let mut at = 0;
        while let Some(row) = text.get(at..).and_then(<[u8]>::first_chunk) {
            at = self.find_in_row(text, at, row, &mut found);
        }
        while let Some(rest @ [_, ..]) = text.get(at..) {
            let mut row = [0; REACH];
            row[..rest.len()].copy_from_slice(rest);
            at = self.find_in_row(text, at, &row, &mut found);
        }
    }

    /// Says from where to go on, which is the end of all where it is enough.
    #[inline(always)]
    fn find_in_row(&self, text: &[u8], from: usize, row: &[u8; REACH], found: &mut impl FnMut(usize, usize) -> bool) -> usize {
        let Ok(slots) = <&[u64; 1 << SLOT_BITS]>::try_from(self.slots.as_ref()) else { return usize::MAX };
        let multiplier = self.multiplier;
        let word = |at: usize| row.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let look = |at: usize| slots[slot(multiplier, word(at))] >> bit(word(at + STEP)) & 1 == 1;
        let mut compare = |at: usize| self.compare(text, from + at, u64::from(word(at)) | u64::from(word(at + STEP)) << 32, found);
        // Written out, so that all places are constants.
        let next = if look(0) { compare(0) } else { None };
        let next = next.or_else(|| if look(4) { compare(4) } else { None });
        let next = next.or_else(|| if look(8) { compare(8) } else { None });
        let next = next.or_else(|| if look(12) { compare(12) } else { None });
        let next = next.or_else(|| if look(16) { compare(16) } else { None });
        let next = next.or_else(|| if look(20) { compare(20) } else { None });
        let next = next.or_else(|| if look(24) { compare(24) } else { None });
        let next = next.or_else(|| if look(28) { compare(28) } else { None });
        next.unwrap_or(from + ROW)
    }

    /// Compares the needles that have the group that begins there with the text around it; says from where to go on if
    /// that is not the next place.
    #[cold]
    #[inline(never)]
    fn compare(&self, text: &[u8], at: usize, here: u64, found: &mut impl FnMut(usize, usize) -> bool) -> Option<usize> {
        let slot = slot(self.multiplier, here as u32);
        let &[from, to] = self.starts.get(slot..slot + 2)? else { return None };
        self.entries.get(from as usize..to as usize)?.iter().find_map(|entry| {
            if lowest(entry.size, here) != entry.group {
                return None;
            }
            let start = at.checked_sub(usize::from(entry.at))?;
            let needle = &self.text.as_bytes()[entry.from as usize..][..usize::from(entry.length)];
            // Byte by byte, because most differ in the first.
            if text.len() - start < needle.len() || needle.iter().zip(&text[start..]).any(|(sought, there)| sought != there) {
                return None;
            }
            let number = entry.number as usize;
            if number < self.count {
                return found(number, start).then_some(usize::MAX);
            }
            Some(after_quoted(text, start + needle.len(), *needle.last()?))
        })
    }
}

/// Where text in quotes ends, or its line.
fn after_quoted(text: &[u8], mut at: usize, quote: u8) -> usize {
    loop {
        match memchr::memchr3(quote, b'\\', b'\n', text.get(at..).unwrap_or_default()) {
            Some(next) if text[at + next] == b'\\' => at += next + 2,
            Some(next) => return at + next,
            None => return text.len(),
        }
    }
}

/// How frequent groups are, to choose by.
struct Weights<'e> {
    everyday: &'e str,
    /// How often groups of four, five and six bytes stand in everyday text.
    counts: HashMap<(usize, u64), u32>,
    /// How many words have four bytes: what is frequent among them is frequent elsewhere too.
    of_words: HashMap<u64, u32>,
}

impl<'e> Weights<'e> {
    fn new(words: &[&str], everyday: &'e str) -> Self {
        let mut weights = Weights { everyday, counts: HashMap::new(), of_words: HashMap::new() };
        for size in LEAST..=GROUP {
            for window in everyday.as_bytes().windows(size) {
                *weights.counts.entry((size, group(window))).or_default() += 1;
            }
        }
        for window in words.iter().flat_map(|word| word.as_bytes().windows(LEAST)) {
            *weights.of_words.entry(group(window)).or_default() += 1;
        }
        weights
    }

    /// What it costs to look for the group that a text begins with.
    fn of(&self, text: &[u8]) -> u32 {
        let size = text.len().min(GROUP);
        let count = |size: usize| self.counts.get(&(size, group(&text[..size]))).copied().unwrap_or(0);
        // A slot with all bits set is met by others too.
        let unknown = [100, 15, 0][size - LEAST];
        1000 * count(size) + 16 * count(LEAST) + self.of_words.get(&group(&text[..LEAST])).copied().unwrap_or(0) + unknown
    }

    /// Where the four groups of a part begin, and what they cost.
    fn places(&self, part: &[u8]) -> (u32, [usize; STEP]) {
        let mut sum = 0;
        let places = std::array::from_fn(|distance| {
            let places = (distance..=part.len() - LEAST).step_by(STEP);
            let (weight, at) = places.map(|at| (self.of(&part[at..]), at)).min().unwrap_or_default();
            sum += weight;
            at
        });
        (sum, places)
    }

    /// The part of a word that is compared, and where in it the groups begin: those that cost least, and of equal ones
    /// the last.
    fn part<'w>(&self, word: &'w str) -> (&'w str, [usize; STEP]) {
        // Quotes and backslashes are avoided, because a wrapper may have escaped them.
        let plain = word.split(is_escaped).max_by_key(|part| part.len()).unwrap_or_default();
        let word = if plain.len() >= ENOUGH && !self.everyday.contains(plain) { plain } else { word };
        let parts = (0..word.len()).rev().filter_map(|from| {
            // A part that stands in everyday text would say nothing.
            let part = (COMPARED - 3..=COMPARED).rev().find_map(|size| word.get(from..from + size))?;
            (!self.everyday.contains(part)).then(|| (self.places(part.as_bytes()), part))
        });
        match parts.min_by_key(|((weight, _), _)| *weight) {
            Some(((_, places), part)) => (part, places),
            None => (word, self.places(word.as_bytes()).1),
        }
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
        let words = ["out of memory", "is refused", "SIGKILL", "Ünïcode überall", "aaaaaaaa", "a message that is longer than what is compared"];
        for word in words {
            let needles = Needles::new(["nowhere else", word].into_iter(), &[], "tokens per second");
            for shift in 0..80 {
                let text = format!("{}{word}{}", "x".repeat(shift), "y".repeat(shift % 7));
                assert!(has(&needles, &text), "{word} in {text}");
            }
            assert!(!has(&needles, "nowhere, out of mem, is refu, SIGKIL, aaaaaaa and a message that is long"), "{word}");
        }
    }

    proptest! {
        #[test]
        fn what_a_text_holds_is_found_and_nothing_else(words in prop::collection::vec("[ab ]{7,18}", 1..12), text in "[ab \"é]{0,300}") {
            let needles = Needles::new(words.iter().map(String::as_str), &[], "");
            let mut found = BTreeSet::new();
            needles.find(text.as_bytes(), |number, at| {
                found.insert((number, at));
                false
            });
            let mut there = BTreeSet::new();
            for entry in needles.entries.iter() {
                let needle = &needles.text[entry.from as usize..][..usize::from(entry.length)];
                let places = (0..text.len()).filter(|&at| text.as_bytes()[at..].starts_with(needle.as_bytes()));
                there.extend(places.map(|at| (entry.number as usize, at)));
            }
            prop_assert_eq!(found, there);
        }
    }

    #[test]
    fn what_is_said_every_day_is_no_needle() {
        let needles = Needles::new(["of every day", "not of every day"].into_iter(), &[], "a line of every day");
        assert!(has(&needles, "this is not of every day, is it"));
        assert!(!has(&needles, "a line of every day"));
    }

    #[test]
    fn a_needle_is_found_where_its_quotes_are_escaped() {
        let needles = Needles::new(["cannot open \"the file"].into_iter(), &[], "");
        assert!(has(&needles, "cannot open \\\"the file") && has(&needles, "cannot open \"the file"));
    }

    #[test]
    fn what_stands_in_quotes_is_passed_over_up_to_the_end_of_the_line() {
        let needles = Needles::new(["out of memory"].into_iter(), &["prompt: '"], "");
        for text in ["prompt: 'out of memory', max", "a prompt: 'it\\'s out of memory' is", "prompt: 'out of memory\nand", "prompt: 'out of memory\\"]
        {
            assert!(!has(&needles, text), "{text}");
        }
        for text in ["prompt: 'a' out of memory", "prompt: 'a\nout of memory", "prompt: 'it\\\\' out of memory", "prompt: out of memory"] {
            for shift in 0..40 {
                assert!(has(&needles, &format!("{}{text}", "-".repeat(shift))), "{text}");
            }
        }
    }

    #[test]
    fn tiny_ones_are_kept_apart() {
        let needles = Needles::new(["NIXL"].into_iter(), &[], "");
        assert_eq!((needles.tiny.as_ref(), needles.count), ([Cow::Borrowed("NIXL")].as_slice(), 0));
    }
}
