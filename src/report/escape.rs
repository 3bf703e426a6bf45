//! What a log brought in, made harmless for where it goes.
//!
//! A log may hold escape sequences, text that runs backwards, invisible characters, Markdown and HTML.
//! Nothing of it reaches a terminal or a page as anything but visible text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Invisible characters may follow one another this often before the rest is dropped.
const MAX_MARKS: usize = 3;

/// Text that a terminal shows and does not obey.
///
/// Escape sequences are removed, a tab becomes a space, other control characters are shown in caret notation,
/// characters that hide or reorder text as `<U+202E>`. Line feeds stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    // Not `all`, which would look at one byte after the other.
    if text.bytes().fold(true, |is_plain, b| is_plain & (b == b'\n' || (b' '..=b'~').contains(&b))) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push(c),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\t' => out.push(' '),
            '\u{1b}' => skip_sequence(&mut chars),
            '\u{9b}' => skip_parameters(&mut chars),
            '\u{fe00}'..='\u{fe0f}' => {}
            c if u32::from(c) < 0x20 => {
                out.push('^');
                out.push(char::from_u32(u32::from(c) + 0x40).unwrap_or('?'));
            }
            '\u{7f}' => out.push_str("^?"),
            c if hides(c) => {
                let _ = write!(out, "<U+{:04X}>", u32::from(c));
            }
            c => {
                let mark = unicode_width::UnicodeWidthChar::width(c) == Some(0);
                marks = if mark { marks + 1 } else { 0 };
                if marks <= MAX_MARKS {
                    out.push(c);
                }
            }
        }
    }
    Cow::Owned(out)
}

/// The same on one line: every run of white space is one space.
pub fn line(text: &str) -> String {
    let visible = visible(text);
    let mut out = String::with_capacity(visible.len());
    for word in visible.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// After an escape character: the rest of the sequence.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_parameters(chars);
        }
        // Strings of the operating system (titles, links): up to BEL or ST, and never beyond the line.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            while let Some(&c) = chars.peek() {
                if c == '\n' {
                    break;
                }
                chars.next();
                if c == '\u{7}' || c == '\u{9c}' {
                    break;
                }
                if c == '\u{1b}' {
                    if chars.peek() == Some(&'\\') {
                        chars.next();
                    }
                    break;
                }
            }
        }
        Some('(' | ')' | '*' | '+' | '#' | ' ') => {
            chars.next();
            if chars.peek().is_some_and(char::is_ascii_graphic) {
                chars.next();
            }
        }
        Some(c) if ('0'..='~').contains(c) => {
            chars.next();
        }
        _ => {}
    }
}

/// Parameters and final byte of a control sequence.
fn skip_parameters(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(&c) = chars.peek() {
        if (' '..='?').contains(&c) {
            chars.next();
        } else {
            if ('@'..='~').contains(&c) {
                chars.next();
            }
            break;
        }
    }
}

/// Whether a character is not shown, or changes how others are shown.
pub fn hides(c: char) -> bool {
    matches!(
        u32::from(c),
        0x80..=0x9f
            | 0xad
            | 0x34f
            | 0x61c
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfffb
            | 0xe000..=0xf8ff
            | 0x1d173..=0x1d17a
            | 0xe0000..=0x10_ffff
    )
}

/// Text for a terminal that shows ASCII only: the characters that reports use have stand-ins, others become `?`.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            '×' => out.push('x'),
            '–' | '—' | '‑' | '−' | '·' | '•' | '─' | '━' => out.push('-'),
            '…' => out.push_str("..."),
            '→' => out.push_str("->"),
            '≥' => out.push_str(">="),
            '≤' => out.push_str("<="),
            '≈' => out.push('~'),
            '│' | '┃' => out.push('|'),
            '⋮' => out.push(':'),
            '‘' | '’' => out.push('\''),
            '“' | '”' => out.push('"'),
            '\u{a0}' | '\u{202f}' => out.push(' '),
            _ => out.push('?'),
        }
    }
    Cow::Owned(out)
}

/// A piece of prose: plain words, or something to be set as code.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Segment {
    /// Whether it is set as code.
    pub code: bool,
    /// Visible text on one line.
    pub text: String,
}

/// Prose on one line, cut into words and code.
///
/// What stands in backticks is code. So are words that a Markdown viewer would make active or mangle:
/// flags, addresses, mentions, paths and names with underscores.
pub fn prose(text: &str) -> Vec<Segment> {
    let text = line(text);
    let mut out: Vec<Segment> = Vec::new();
    let parts: Vec<&str> = text.split('`').collect();
    let paired = parts.len() % 2 == 1;
    for (at, part) in parts.iter().enumerate() {
        if paired && at % 2 == 1 {
            if !part.trim().is_empty() {
                push(&mut out, true, part.trim());
            }
            continue;
        }
        if !paired && at > 0 {
            push(&mut out, false, "`");
        }
        for (n, word) in part.split(' ').enumerate() {
            if n > 0 {
                push(&mut out, false, " ");
            }
            let core = word.trim_end_matches(['.', ',', ';', ':', ')', '?', '"', '\'']);
            // The brackets of a call belong to its name.
            let core = if core.ends_with('(') { word.get(..=core.len()).unwrap_or(core) } else { core };
            let lead = core.len() - core.trim_start_matches(['(', '"', '\'']).len();
            let (before, core) = core.split_at(lead);
            let after = word.get(before.len() + core.len()..).unwrap_or_default();
            push(&mut out, false, before);
            push(&mut out, is_code(core), core);
            push(&mut out, false, after);
        }
    }
    out
}

/// Adds text to the last segment when it is of the same kind.
fn push(out: &mut Vec<Segment>, code: bool, text: &str) {
    if text.is_empty() {
        return;
    }
    match out.last_mut() {
        Some(last) if last.code == code && !code => last.text.push_str(text),
        _ => out.push(Segment { code, text: text.to_owned() }),
    }
}

/// Whether a word is better set as code.
fn is_code(word: &str) -> bool {
    let letters = word.bytes().any(|b| b.is_ascii_alphanumeric());
    letters
        && (word.starts_with("--")
            || word.contains("://")
            || word.contains('@')
            || word.to_ascii_lowercase().contains("www.")
            || word.contains('_')
            || word.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            || (word.contains('/') && word.len() > 4 && !word.contains('<')))
}

/// Prose as Markdown: words with every character escaped that could mean something, code in code spans.
pub fn markdown(segments: &[Segment], cell: bool) -> String {
    let mut out = String::new();
    for segment in segments {
        if segment.code {
            out.push_str(&markdown_code(&segment.text, cell));
        } else {
            markdown_words(&mut out, &segment.text);
        }
    }
    out
}

/// Words as inert Markdown, good in paragraphs and in table cells.
fn markdown_words(out: &mut String, text: &str) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let special = match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '#' | '~' | '$' | '@' | '!' | '{' | '}' => true,
            // A list, a rule, a numbered item or a link begins with these.
            '+' | '-' => out.is_empty() && matches!(chars.peek(), None | Some(' ' | '-')),
            '.' | ')' => !out.is_empty() && out.bytes().all(|b| b.is_ascii_digit()) && matches!(chars.peek(), None | Some(' ')),
            ':' => chars.peek() == Some(&'/'),
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
}

/// A code span that its content cannot leave; in a table's cell a bar is escaped too, elsewhere the escape would show.
pub fn markdown_code(text: &str, cell: bool) -> String {
    let text = line(text);
    if text.is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    let text = if cell { text.replace('|', "\\|") } else { text };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A fenced block in a language, that its content cannot close.
pub fn markdown_fence(language: &str, lines: &[String]) -> String {
    let longest = lines.iter().map(|l| longest_run(l, '`')).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let mut out = format!("{fence}{language}\n");
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push_str(&fence);
    out.push('\n');
    out
}

/// The longest run of a character.
fn longest_run(text: &str, wanted: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Visible text without line feeds; blanks stay, for what is laid out already.
pub fn line_keeping_blanks(text: &str) -> String {
    visible(text).replace('\n', " ")
}
