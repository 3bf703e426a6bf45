//! Quoting a log: which evidence, which of its lines, which part of a line decides, and how a long one is cut.

use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::escape;
use crate::pairs::Pairs;
use crate::post_mortem::{Evidence, Role};

/// One line of a quotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// Its number in the log, where it is known.
    pub number: Option<u64>,
    /// What the evidence that it is from shows.
    pub role: Role,
    /// Visible text on one line.
    pub text: String,
    /// Whether lines of the log were left out before it.
    pub gap: bool,
    /// Whether the decisive part of its evidence is in it.
    pub decisive: bool,
}

/// The evidence worth quoting where room is short: the cause, what led to it most closely, one symptom.
pub fn select(evidence: &[Evidence], causes: usize, contexts: usize, symptoms: usize) -> Vec<&Evidence> {
    let decisive = evidence.iter().filter(|e| e.role == Role::Cause).map(|e| e.line).min();
    let of = |role: Role| evidence.iter().filter(move |e| e.role == role);
    let mut chosen: Vec<&Evidence> = of(Role::Cause).take(causes).collect();
    let mut context: Vec<&Evidence> = of(Role::Context).collect();
    context.sort_by_key(|e| decisive.unwrap_or(u64::MAX).abs_diff(e.line));
    chosen.extend(context.into_iter().take(contexts));
    chosen.extend(of(Role::Symptom).take(symptoms));
    chosen.sort_by_key(|e| (e.line, e.role));
    chosen
}

/// The lines of some evidence, in the log's order, at most `most` of each piece.
pub fn lines(evidence: &[&Evidence], most: usize) -> Vec<Quoted> {
    let mut out: Vec<Quoted> = Vec::new();
    let mut last: Option<u64> = None;
    for piece in evidence {
        let all: Vec<String> = piece.text.lines().map(escape::line).collect();
        #[allow(clippy::cast_possible_truncation)]
        let numbered = piece.last_line.is_some_and(|end| end.checked_sub(piece.line) == Some(all.len() as u64 - u64::from(!all.is_empty())));
        let best = piece.decisive;
        // What only advises is left out where something else says what happened.
        let tells = |at: usize| all.get(at).is_some_and(|line| !line.is_empty() && (at == best || score(line) >= 0));
        let mut kept: Vec<usize> = (0..all.len()).filter(|&at| tells(at)).collect();
        if kept.len() > most {
            // The line that decides, then those around it: what follows rather than what stands before.
            kept.sort_by_key(|&at| if at >= best { (at - best) * 2 } else { (best - at) * 2 + 1 });
            kept.truncate(most.max(1));
            kept.sort_unstable();
        }
        let mut previous: Option<usize> = None;
        for at in kept {
            let Some(text) = all.get(at) else { continue };
            let number = if numbered || at == 0 { Some(piece.line + at as u64) } else { None };
            let gap = match previous {
                Some(previous) => at > previous + 1,
                None => last.is_some_and(|last| piece.line > last + 1),
            };
            out.push(Quoted { number, role: piece.role, text: text.clone(), gap, decisive: at == best });
            previous = Some(at);
        }
        last = Some(piece.last_line.unwrap_or(piece.line).max(last.unwrap_or(0)));
    }
    out
}

/// The part of a line that decides: the sentence that says what failed, with its figures.
pub fn decisive(line: &str) -> Range<usize> {
    let mut best: Option<(i32, Range<usize>)> = None;
    for (at, range) in sentences(line).into_iter().enumerate() {
        let text = line.get(range.clone()).unwrap_or_default();
        let value = score(text) * 4 - i32::try_from(at).unwrap_or(0);
        if best.as_ref().is_none_or(|(most, _)| value > *most) {
            best = Some((value, range));
        }
    }
    best.map_or(0..line.len(), |(_, range)| range)
}

/// How much a sentence says about a failure.
fn score(sentence: &str) -> i32 {
    const SAYS: [&str; 44] = [
        "out of memory",
        "not enough memory",
        "tried to allocate",
        "meta tensor",
        "out of range",
        "no space left",
        "killed",
        "larger than",
        "greater than",
        "smaller than",
        "longer than",
        "too large",
        "template",
        "cannot",
        "can't",
        "not supported",
        "unsupported",
        "not found",
        "refused",
        "denied",
        "gated",
        "illegal",
        "mismatch",
        "exceed",
        "must be",
        "failed",
        "unable",
        "invalid",
        "no module named",
        "in use",
        "timed out",
        "not divisible",
        "insufficient",
        "does not",
        "doesn't",
        "could not",
        "is not",
        "are not",
        "isn't",
        "no available",
        "less than desired",
        "unrecognized",
        "unknown",
        "unexpected",
    ];
    const ADVISES: [&str; 14] = [
        "try ",
        "consider",
        "please",
        "you need to",
        "see documentation",
        "see http",
        "if reserved",
        "for more",
        "for debugging",
        "for further information",
        "asynchronously reported",
        "compile with",
        "you can",
        "process ",
    ];
    let lower = sentence.to_ascii_lowercase();
    let pairs = Pairs::of(&lower);
    let holds = |phrase: &&str| pairs.may_hold(phrase) && lower.contains(phrase);
    let mut value = 0;
    if SAYS.iter().any(holds) {
        value += 4;
    }
    if ["tried to allocate", "not enough memory", "larger than"].iter().any(holds) {
        value += 2;
    }
    if sentence.bytes().any(|b| b.is_ascii_digit()) {
        value += 1;
    }
    if [" mib", " gib", " mb", " gb", " bytes"].iter().any(holds) {
        value += 2;
    }
    if ADVISES.iter().any(holds) {
        value -= 4;
    }
    value
}

/// The sentences of a line without their full stops and without the exception's name before them.
fn sentences(line: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = after_name(line);
    let bytes = line.as_bytes();
    let mut at = start;
    while at < bytes.len() {
        let ends = matches!(bytes.get(at), Some(b'.' | b';')) && bytes.get(at + 1) == Some(&b' ');
        if ends {
            if at > start {
                out.push(start..at);
            }
            start = at + 2;
            at += 1;
        }
        at += 1;
    }
    if start < bytes.len() {
        let end = line.trim_end_matches(['.', ' ', ';', '…']).len().max(start);
        if end > start {
            out.push(start..end);
        }
    }
    if out.is_empty() {
        out.push(0..line.len());
    }
    out
}

/// Where the message begins after `package.ExceptionName: `.
fn after_name(line: &str) -> usize {
    match line.split_once(": ") {
        Some((name, rest))
            if !rest.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
                && ["Error", "Exception", "Warning", "Interrupt", "Exit"].iter().any(|end| name.ends_with(end)) =>
        {
            name.len() + 2
        }
        _ => 0,
    }
}

/// A message cut to so many columns: sentences without figures go first, those that decide last.
pub fn shorten(line: &str, columns: usize) -> String {
    if line.width() <= columns {
        return line.to_owned();
    }
    let parts = sentences(line);
    if parts.len() < 2 {
        return middle(line, columns);
    }
    let head = line.get(..parts.first().map_or(0, |r| r.start)).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().map(|r| line.get(r.clone()).unwrap_or_default()).collect();
    let decisive = decisive(line);
    let keep_always: Vec<bool> = parts.iter().map(|r| *r == decisive).collect();
    let mut kept = vec![true; texts.len()];
    loop {
        let joined = join(head, &texts, &kept);
        if joined.width() <= columns {
            return joined;
        }
        // The least telling sentence goes; among equals the last one.
        let drop = (0..texts.len())
            .filter(|&at| kept.get(at) == Some(&true) && keep_always.get(at) == Some(&false))
            .min_by_key(|&at| (texts.get(at).map_or(0, |t| score(t)), usize::MAX - at));
        match drop {
            Some(at) => kept.iter_mut().enumerate().filter(|(n, _)| *n == at).for_each(|(_, k)| *k = false),
            None => return middle(&joined, columns),
        }
    }
}

/// A message without the sentences that only advise.
pub fn without_advice(line: &str) -> String {
    let parts = sentences(line);
    let head = line.get(..parts.first().map_or(0, |r| r.start)).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().map(|r| line.get(r.clone()).unwrap_or_default()).collect();
    let kept: Vec<bool> = texts.iter().map(|text| score(text) >= 0).collect();
    if kept.iter().all(|k| *k) || !kept.contains(&true) { line.to_owned() } else { join(head, &texts, &kept) }
}

/// Sentences put together again, an ellipsis for every gap.
fn join(head: &str, texts: &[&str], kept: &[bool]) -> String {
    let mut out = head.to_owned();
    let mut gap = false;
    for (at, text) in texts.iter().enumerate() {
        if kept.get(at) == Some(&true) {
            if gap {
                out.push_str(if out.is_empty() || out.ends_with(' ') { "… " } else { " … " });
            } else if at > 0 {
                out.push(' ');
            }
            out.push_str(text);
            if at + 1 < texts.len() && kept.get(at + 1) == Some(&true) {
                out.push('.');
            }
            gap = false;
        } else {
            gap = true;
        }
    }
    if gap {
        out.push_str(" …");
    }
    out
}

/// Rows of a text as byte ranges: broken at blanks, inside a word only where it is longer than a row.
pub fn wrap(text: &str, first: usize, width: usize) -> Vec<Range<usize>> {
    let width = width.max(4);
    let mut rows = Vec::new();
    let mut start = 0;
    let mut used = 0;
    let mut blank: Option<usize> = None;
    let mut room = first.max(4);
    for (at, c) in text.char_indices() {
        let columns = c.width().unwrap_or(0);
        if c == ' ' {
            blank = Some(at);
        }
        if used + columns > room {
            if c == ' ' {
                rows.push(start..at);
                start = at + 1;
                used = 0;
                blank = None;
                room = width;
                continue;
            }
            let (end, next) = match blank {
                Some(blank) if blank > start => (blank, blank + 1),
                _ => (at, at),
            };
            rows.push(start..end);
            start = next;
            blank = None;
            room = width;
            used = text.get(start..at).map_or(0, UnicodeWidthStr::width);
        }
        used += columns;
    }
    if start < text.len() || rows.is_empty() {
        rows.push(start..text.len());
    }
    rows
}

/// A text cut in its middle, at blanks where there are any near.
pub fn middle(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    if columns < 12 {
        return end(text, columns);
    }
    let room = columns - 3;
    let tail_room = room * 2 / 5;
    let head_room = room - tail_room;
    let head = prefix(text, head_room);
    let tail = suffix(text, tail_room);
    let head_cut = head.rfind(' ').filter(|at| head.len() - at < 16 && *at > 0).and_then(|at| head.get(..at)).unwrap_or(head);
    let tail_cut = tail.find(' ').filter(|at| *at < 16).and_then(|at| tail.get(at + 1..)).unwrap_or(tail);
    if head_cut.len() == head.len() && tail_cut.len() == tail.len() {
        format!("{head}…{tail}")
    } else {
        format!("{} … {}", head_cut.trim_end(), tail_cut.trim_start())
    }
}

/// A text cut at its end.
pub fn end(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    format!("{}…", prefix(text, columns - 1).trim_end())
}

/// The longest prefix of at most so many columns.
pub fn prefix(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// The longest suffix of at most so many columns.
fn suffix(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return text.get(at + c.len_utf8()..).unwrap_or_default();
        }
    }
    text
}
