//! Terminal sequences and control characters: taken out, whoever left them and however they were mangled on the way.

use memchr::{memchr, memchr_iter};

use crate::redact::redact;

/// How far is looked for a secret behind a sequence.
const LOOKED_AT: usize = 512;

/// How an escape character looks after a log shipper, `cat -v` or a printed representation.
const SPELLED_ESCAPES: &[&str] = &["#033", "^[", "\\x1b", "\\x1B", "\\u001b", "\\u001B", "\\033", "\\e", "\u{241b}"];

/// Takes out colours, cursor movements and control characters. Tabs stay, as does every `\r` within the line: it
/// parts redraws. So that they part too, a sequence that goes back to the line's beginning becomes a `\r`.
pub(super) fn clean(text: &mut String) {
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if needs_cleaning(text.as_bytes()) {
        *text = without_controls(text);
    }
    if memchr(b'm', text.as_bytes()).is_some() {
        remove_bare_colours(text);
    }
    let kept = text.trim_end_matches('\r').len();
    text.truncate(kept);
}

fn needs_cleaning(bytes: &[u8]) -> bool {
    // 0xc2 leads the second control block (and a few harmless signs).
    bytes.iter().any(|byte| (*byte < 0x20 && *byte != b'\t' && *byte != b'\r') || *byte == 0x7f || *byte == 0xc2)
}

fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '\u{1b}' => escape(after, &mut out),
            '\u{9b}' => control_sequence(after, &mut out),
            '\t' | '\r' => {
                out.push(first);
                after
            }
            _ if first.is_control() => after,
            _ => {
                out.push(first);
                after
            }
        };
    }
    out
}

/// Skips what follows an escape character.
fn escape<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let Some(kind) = rest.chars().next() else { return rest };
    let after = &rest[kind.len_utf8()..];
    match kind {
        '[' => control_sequence(after, out),
        ']' | 'P' | 'X' | '^' | '_' => string_end(after).map_or(after, |end| &after[end..]),
        ' '..='/' => {
            if after.starts_with(|c| ('0'..='~').contains(&c)) {
                behind(after, out)
            } else {
                after
            }
        }
        '0'..='~' => behind(rest, out),
        _ => rest,
    }
}

/// Where a string sequence (a title, a link) ends; nothing if it does not, and then its text is text.
fn string_end(text: &str) -> Option<usize> {
    let bell = text.find('\u{7}').map(|at| at + 1);
    let terminator = text.find("\u{1b}\\").map(|at| at + 2);
    match (bell, terminator) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn control_sequence<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let parameters = rest.bytes().take_while(|b| (0x30..=0x3f).contains(b)).count();
    let between = rest[parameters..].bytes().take_while(|b| (0x20..=0x2f).contains(b)).count();
    let end = parameters + between;
    match rest.as_bytes().get(end) {
        Some(last) if (0x40..=0x7e).contains(last) => {
            match (last, &rest[..parameters]) {
                (b'G', "" | "0" | "1") | (b'K', "2") => out.push('\r'),
                (b'C', _) => out.push(' '),
                _ => {}
            }
            behind(&rest[end..], out)
        }
        _ => &rest[end..],
    }
}

/// What comes behind the last byte of a sequence, which is the first here. Where it is the first letter of a secret it
/// stays: without it nobody would know the rest for one.
fn behind<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let after = &rest[1..];
    // A colour, as nearly all are; no secret begins with this letter.
    if rest.starts_with('m') {
        return after;
    }
    let end = rest.char_indices().nth(LOOKED_AT).map_or(rest.len(), |(at, _)| at);
    let found = |from: usize| redact(&rest[from..end]).1;
    let whole = found(0);
    if whole > 0 && whole > found(1) {
        out.push(' ');
        return rest;
    }
    after
}

/// Takes out colours that lost their escape character (`[0;36m`), as pasted from a web page, or have it spelled out.
fn remove_bare_colours(text: &mut String) {
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    let mut sure = false;
    for open in memchr_iter(b'[', text.as_bytes()) {
        let rest = &text[open + 1..];
        let length = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').count();
        if length > 16 || rest.as_bytes().get(length) != Some(&b'm') {
            continue;
        }
        let before = &text[..open];
        let end = open + 1 + length + 1;
        if let Some(spelled) = SPELLED_ESCAPES.iter().find(|spelled| before.ends_with(**spelled)) {
            let from = open - spelled.len();
            // Quoted once more, its backslash is doubled; a single one left behind would break the quotation.
            let doubled = if spelled.starts_with('\\') { before[..from].bytes().rev().take_while(|b| *b == b'\\').count() } else { 0 };
            cuts.push((from - doubled, end));
            sure = true;
        } else if is_colour(&rest[..length]) && text.as_bytes().get(end) != Some(&b']') {
            cuts.push((open, end));
            sure |= length > 1 || &rest[..length] == "0";
        }
    }
    if sure {
        for (from, to) in cuts.into_iter().rev() {
            text.replace_range(from..to, "");
        }
    }
}

fn is_colour(codes: &str) -> bool {
    !codes.is_empty()
        && (codes.starts_with("38;")
            || codes.starts_with("48;")
            || codes.split(';').all(|code| matches!(code.parse::<u8>(), Ok(0..=9 | 21..=49 | 53..=55 | 90..=107))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_loses_its_first_letter() {
        for (sequence, secret) in [
            ("\u{1b} ", "sk-proj-Zk3mQ9vT7xLpR2wN8bYcD4fGhJ6sAeUi"),
            ("\u{1b}[0", "sk-proj-Zk3mQ9vT7xLpR2wN8bYcD4fGhJ6sAeUi"),
            ("\u{1b}[", "hf_aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3x"),
            ("\u{9b}", "ghp_aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"),
            ("\u{1b}(", "AKIAQ3WLT7RZP5XKM2VD"),
            ("\u{1b}[", "password=kzT8vQ2mW5"),
            ("\u{1b}", "password=kzT8vQ2mW5"),
        ] {
            assert!(redact(secret).1 > 0, "{secret}");
            let mut cleaned = format!("owl{sequence}{secret} finch");
            clean(&mut cleaned);
            assert_eq!(cleaned, format!("owl {secret} finch"));
        }
        let mut cleaned = "\u{1b}[2J\u{1b}[31mred\u{1b}[0m \u{1b}(Bsk\u{1b}7".to_owned();
        clean(&mut cleaned);
        assert_eq!(cleaned, "red sk");
    }

    #[test]
    fn a_quoted_colour_leaves_its_quotation_whole() {
        for (text, is) in [
            (r#"{"log":"\u001b[1;36m(pid=341)\u001b[0;0m ERROR"}"#, r#"{"log":"(pid=341) ERROR"}"#),
            (r#"{"a":"{\"log\":\"\\u001b[1;36m(pid=341)\\u001b[0;0m ERROR\"}"}"#, r#"{"a":"{\"log\":\"(pid=341) ERROR\"}"}"#),
            (r"\\\\u001b[31mred\\\\u001b[0m", "red"),
        ] {
            let mut cleaned = text.to_owned();
            clean(&mut cleaned);
            assert_eq!(cleaned, is);
        }
    }
}
