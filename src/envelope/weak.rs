//! Prefixes that one line does not prove: line numbers, quoting, task labels, names before a bar, a notebook's seconds and
//! counts, indentation.
//!
//! A doubtful line is held until its neighbours settle it, six lines at most; once settled, lines go straight through
//! until they stop looking alike.

use super::Piece;
use super::prefix::{begins_block, is_start, service, stream_pair};

/// How many lines are held at most.
const HELD: usize = 6;

/// What a settled prefix is.
#[derive(Debug, Default)]
enum Settled {
    #[default]
    Nothing,
    /// `> `
    Quote,
    /// Line numbers, which rise as the physical lines do: the value, and the line that it stood on.
    Number { form: Form, value: u64, line: u64 },
    /// Numbers of lines that were picked out of a file, as `grep -n` prints them: the last one.
    Picked { value: u64 },
    /// `0: ` of `srun --label`.
    Label { missed: u32 },
    /// `348.2s 328 `, a notebook's seconds since its start and the number of the line: the last number.
    Elapsed { value: u64, missed: u32 },
    /// `vllm  | `, the bar in one column.
    Name { column: usize, missed: u32 },
    /// `vllm-0 server `
    Pair { known: Vec<(String, String)>, missed: u32 },
    /// Spaces before everything.
    Indent(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    sign: char,
    /// True if a space belongs to the number.
    spaced: bool,
}

/// What a line may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Signs {
    quote: bool,
    number: bool,
    picked: bool,
    label: bool,
    elapsed: bool,
    name: bool,
    pair: bool,
}

impl Signs {
    fn any(self) -> bool {
        self != Self::default()
    }

    fn of(text: &str) -> Self {
        let number = numbered(text);
        let pair = stream_pair(text).is_some();
        Self {
            quote: text.starts_with('>') && !text.starts_with(">>>"),
            number: number.is_some(),
            picked: number.is_some_and(|n| n.sign == ':' && !n.spaced && n.value > 0 && is_start(&text[n.len..])),
            label: number.is_some_and(|n| n.sign == ':' && n.spaced && n.value < 10_000),
            elapsed: elapsed(text).is_some(),
            name: !pair && service(text).is_some_and(|s| s.name.bytes().all(|b| !b.is_ascii_uppercase())),
            pair,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            quote: self.quote && other.quote,
            number: self.number && other.number,
            picked: self.picked && other.picked,
            label: self.label && other.label,
            elapsed: self.elapsed && other.elapsed,
            name: self.name && other.name,
            pair: self.pair && other.pair,
        }
    }
}

/// A number at the beginning of a line, with its separator.
#[derive(Debug, Clone, Copy)]
struct Numbered {
    value: u64,
    sign: char,
    spaced: bool,
    /// Where the text begins, without the space.
    len: usize,
}

fn numbered(text: &str) -> Option<Numbered> {
    let bytes = text.as_bytes();
    let start = bytes.iter().take(16).take_while(|b| **b == b' ').count();
    let digits = bytes[start..].iter().take(10).take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > 8 {
        return None;
    }
    let value = text[start..start + digits].parse().ok()?;
    let rest = &text[start + digits..];
    let spaces = rest.bytes().take(4).take_while(|b| *b == b' ').count();
    // less pads its numbers to seven columns.
    let padded = start > 0 && start + digits == 7 && spaces > 0;
    let sign = if padded && !rest[spaces..].starts_with(['|', '│']) { ' ' } else { rest[spaces..].chars().next()? };
    let spaces = if sign == ' ' { 0 } else { spaces };
    let allowed = match sign {
        ' ' => padded,
        '|' | '│' => true,
        ':' | '\t' => spaces == 0,
        _ => false,
    };
    let after = &rest[spaces + sign.len_utf8()..];
    // A time of day begins so too: two digits, and then no third and no letter.
    let is_clock = matches!(after.as_bytes(), [a, b, rest @ ..] if a.is_ascii_digit() && b.is_ascii_digit() && !rest.first().is_some_and(u8::is_ascii_alphanumeric));
    if !allowed || sign == ':' && is_clock {
        return None;
    }
    let spaced = sign != '\t' && (after.is_empty() || after.starts_with(' '));
    Some(Numbered { value, sign, spaced, len: text.len() - after.len() })
}

/// `348.2s 328 ` at the beginning of a line, with blanks or tabs between.
#[derive(Debug, Clone, Copy)]
struct Elapsed {
    tenths: u64,
    value: u64,
    /// Where the text begins.
    len: usize,
}

fn elapsed(text: &str) -> Option<Elapsed> {
    let digits = |text: &str| text.bytes().take(9).take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let rest = text.get(whole..)?.strip_prefix('.')?;
    let tenth = rest.bytes().next().filter(u8::is_ascii_digit)?;
    let rest = rest.get(1..)?.strip_prefix("s")?;
    let number = rest.strip_prefix(['\t', ' '])?;
    let count = digits(number);
    if whole == 0 || count == 0 {
        return None;
    }
    let after = &number[count..];
    let said = after.strip_prefix(['\t', ' ']).or_else(|| after.is_empty().then_some(""))?;
    Some(Elapsed {
        tenths: text[..whole].parse::<u64>().ok()? * 10 + u64::from(tenth - b'0'),
        value: number[..count].parse().ok()?,
        len: text.len() - said.len(),
    })
}

/// One stage of doubt.
#[derive(Debug, Default)]
pub(super) struct Weak {
    settled: Settled,
    held: Vec<Piece>,
    signs: Signs,
    /// The number that would go on with a list that turned out not to be line numbers.
    refused: Option<u64>,
}

impl Weak {
    /// Takes a line and gives out those that are settled: each with whether something was taken off it.
    pub(super) fn push(&mut self, mut piece: Piece, out: &mut Vec<(Piece, bool)>) {
        if let Some(stripped) = self.settled(&mut piece) {
            out.push((piece, stripped));
            return;
        }
        let mut signs = Signs::of(&piece.text);
        if signs.number
            && let Some(refused) = self.refused
        {
            let goes_on = numbered(&piece.text).is_some_and(|n| n.value == refused);
            self.refused = goes_on.then_some(refused + 1);
            signs.number &= !goes_on;
            signs.picked &= !goes_on;
            signs.label &= !goes_on;
        }
        if !signs.any() {
            self.release(out);
            let stripped = self.indented(&mut piece);
            out.push((piece, stripped));
            return;
        }
        let shared = match self.held.last() {
            Some(last) => self.signs.and(signs).and(alike(&last.text, &piece.text)),
            None => signs,
        };
        if shared.any() {
            self.signs = shared;
        } else {
            self.release(out);
            self.signs = signs;
        }
        if self.held.is_empty() && self.indented(&mut piece) {
            out.push((piece, true));
            return;
        }
        self.held.push(piece);
        if let Some(settled) = self.judge() {
            self.settled = settled;
            for mut piece in std::mem::take(&mut self.held) {
                let stripped = self.settled(&mut piece).unwrap_or(false);
                out.push((piece, stripped));
            }
        } else if self.held.len() >= HELD {
            if self.rising() {
                self.refused = self.held.last().and_then(|piece| numbered(&piece.text)).map(|n| n.value + 1);
            }
            self.release(out);
        }
    }

    /// Gives out what is held, as it is.
    pub(super) fn release(&mut self, out: &mut Vec<(Piece, bool)>) {
        out.extend(self.held.drain(..).map(|piece| (piece, false)));
    }

    /// Takes the settled prefix off a line. Nothing: no prefix is settled, or it has just ended.
    fn settled(&mut self, piece: &mut Piece) -> Option<bool> {
        let text = &piece.text;
        let blank = text.trim().is_empty();
        let len = match &mut self.settled {
            Settled::Nothing => None,
            Settled::Quote => match text.strip_prefix('>') {
                Some(rest) => Some(1 + usize::from(rest.starts_with(' '))),
                None if blank => return Some(false),
                None => None,
            },
            Settled::Number { form, value, line } => match numbered(text) {
                // A gate before this may have left lines out.
                Some(found) if found.sign == form.sign && Some(found.value) == piece.number.checked_sub(*line).map(|risen| *value + risen) => {
                    (*value, *line) = (found.value, piece.number);
                    Some(found.len + usize::from(form.spaced && text[found.len..].starts_with(' ')))
                }
                _ => None,
            },
            Settled::Picked { value } => match numbered(text) {
                Some(found) if found.sign == ':' && found.value > *value => {
                    *value = found.value;
                    Some(found.len)
                }
                _ => None,
            },
            Settled::Label { missed } => match numbered(text) {
                Some(found) if found.sign == ':' && found.spaced => {
                    *missed = 0;
                    piece.context.origin.rank = u32::try_from(found.value).ok();
                    Some(found.len + usize::from(text[found.len..].starts_with(' ')))
                }
                _ => {
                    *missed += 1;
                    if *missed <= 32 {
                        return Some(false);
                    }
                    None
                }
            },
            Settled::Elapsed { value, missed } => match elapsed(text) {
                Some(found) if found.value > *value => {
                    (*value, *missed) = (found.value, 0);
                    Some(found.len)
                }
                // Further lines of one entry have no number of their own.
                _ => {
                    *missed += 1;
                    if *missed <= 32 {
                        return Some(false);
                    }
                    None
                }
            },
            Settled::Name { column, missed } => match service(text) {
                Some(found) if found.column == *column => {
                    *missed = 0;
                    piece.context.origin.container = Some(found.name.to_owned());
                    Some(found.len)
                }
                _ => {
                    *missed += 1;
                    if *missed <= 8 {
                        return Some(false);
                    }
                    None
                }
            },
            Settled::Pair { known, missed } => {
                let found = stream_pair(text)
                    .filter(|(pod, container, len)| known.iter().any(|(p, c)| p == pod && c == container) || is_start(&text[*len..]));
                match found {
                    Some((pod, container, len)) => {
                        *missed = 0;
                        if known.len() < 64 && !known.iter().any(|(p, c)| p == pod && c == container) {
                            known.push((pod.to_owned(), container.to_owned()));
                        }
                        piece.context.origin.container = Some(format!("{pod}/{container}"));
                        Some(len)
                    }
                    None => {
                        *missed += 1;
                        if *missed <= 8 {
                            return Some(false);
                        }
                        None
                    }
                }
            }
            Settled::Indent(columns) => {
                let spaces = text.bytes().take(*columns).take_while(u8::is_ascii_whitespace).count();
                (blank || spaces == *columns).then_some(spaces)
            }
        };
        match len {
            Some(len) => {
                piece.text.drain(..len);
                Some(true)
            }
            None => {
                self.settled = Settled::Nothing;
                None
            }
        }
    }

    /// Notices that a block is indented: by a line that begins as lines of logs do, were it not for the spaces.
    fn indented(&mut self, piece: &mut Piece) -> bool {
        let text = &piece.text;
        let spaces = text.len() - text.trim_start_matches([' ', '\t']).len();
        let tabbed = text.starts_with('\t');
        if !(tabbed || spaces >= 2) || spaces > 64 || !begins_block(&text[spaces..]) {
            return false;
        }
        self.settled = Settled::Indent(spaces);
        piece.text.drain(..spaces);
        true
    }

    /// Whether the held lines settle it.
    fn judge(&self) -> Option<Settled> {
        let count = self.held.len();
        let first = self.held.first()?;
        let last = self.held.last()?;
        let starts = |len: &dyn Fn(&str) -> Option<usize>| {
            self.held.iter().any(|piece| len(&piece.text).and_then(|len| piece.text.get(len..)).is_some_and(is_start))
        };
        if self.signs.quote && (count >= 3 || starts(&|text| Some(1 + usize::from(text.starts_with("> "))))) {
            // loguru marks one frame of a traceback so.
            if count >= 3 || !last.text.starts_with("> File \"") {
                return Some(Settled::Quote);
            }
        }
        let pair = |text: &str| stream_pair(text).map(|(_, _, len)| len);
        if self.signs.pair && (count >= 5 || count >= 3 && starts(&pair)) {
            return Some(Settled::Pair {
                known: stream_pair(&first.text).map(|(p, c, _)| (p.to_owned(), c.to_owned())).into_iter().collect(),
                missed: 0,
            });
        }
        if self.signs.name {
            let found = service(&last.text)?;
            let table = self.held.iter().all(|piece| service(&piece.text).is_none_or(|s| piece.text[s.len..].contains(" |")));
            if starts(&|text| service(text).map(|s| s.len)) || (count >= 4 && !table && self.names_repeat()) {
                return Some(Settled::Name { column: found.column, missed: 0 });
            }
        }
        if self.signs.elapsed && (count >= 3 || count >= 2 && starts(&|text| elapsed(text).map(|found| found.len))) {
            return Some(Settled::Elapsed { value: 0, missed: 0 });
        }
        let number = numbered(&first.text);
        let len = |text: &str| numbered(text).map(|n| n.len + usize::from(text[n.len..].starts_with(' ')));
        if self.signs.number && !self.signs.label || self.rising() {
            let number = number?;
            let spaced = self.held.iter().all(|piece| numbered(&piece.text).is_some_and(|n| n.spaced));
            // Counted from nought it is a list of devices rather than of lines.
            let is_line = number.value == first.number;
            if number.value > 0 && (count >= 4 || count >= 3 && (is_line || starts(&len))) {
                return Some(Settled::Number { form: Form { sign: number.sign, spaced }, value: number.value, line: first.number });
            }
            return None;
        }
        if self.signs.picked && count >= 3 {
            return Some(Settled::Picked { value: 0 });
        }
        let mut labels: Vec<u64> = self.held.iter().filter_map(|piece| numbered(&piece.text)).map(|n| n.value).collect();
        labels.sort_unstable();
        labels.dedup();
        if self.signs.label && labels.len() < count && (count >= HELD || count >= 4 && starts(&len)) {
            return Some(Settled::Label { missed: 0 });
        }
        None
    }

    /// True if a name stands before two held lines; in a table of settings each stands once.
    fn names_repeat(&self) -> bool {
        let mut names: Vec<&str> = self.held.iter().filter_map(|piece| service(&piece.text)).map(|found| found.name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// True if every held line has a number one higher than the line before it.
    fn rising(&self) -> bool {
        self.signs.number && self.held.len() > 1
    }
}

/// Which signs two neighbouring lines have in the same way.
fn alike(before: &str, text: &str) -> Signs {
    let (a, b) = (numbered(before), numbered(text));
    Signs {
        quote: true,
        number: matches!((a, b), (Some(a), Some(b)) if a.sign == b.sign && a.value.checked_add(1) == Some(b.value)),
        picked: matches!((a, b), (Some(a), Some(b)) if a.value < b.value),
        label: true,
        elapsed: matches!((elapsed(before), elapsed(text)), (Some(a), Some(b)) if a.value < b.value && a.tenths <= b.tenths),
        name: matches!((service(before), service(text)), (Some(a), Some(b)) if a.column == b.column),
        pair: matches!((stream_pair(before), stream_pair(text)), (Some(a), Some(b)) if (a.0, a.1) == (b.0, b.1)),
    }
}
