//! Reading a shell's command line without running it, and writing one that a shell reads as meant.

use super::word::{Piece, Word};
use crate::redact::redact;
use crate::remedies::flags::Problem;

/// Words of one command line beyond this number are refused.
const MAX_WORDS: usize = 2000;
/// Bytes of a command line that are read.
const MAX_BYTES: usize = 64 * 1024;

/// Which shell a command is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shell {
    /// POSIX `sh`, bash, zsh.
    #[default]
    Sh,
    /// PowerShell.
    PowerShell,
}

/// The words of the first command in a text. Nothing is run: a command in the place of a word is refused, but for
/// `$(pwd)`, which is `$PWD`.
///
/// # Errors
/// When the text holds what only a shell could resolve, or a quote that is not closed.
pub fn split(text: &str) -> Result<Vec<Word>, Problem> {
    Ok(first(text)?.0)
}

/// The words of the only command in a text; none where there is more in it: another command, a redirection.
///
/// # Errors
/// As [`split`].
pub fn split_only(text: &str) -> Result<Option<Vec<Word>>, Problem> {
    let (words, rest) = first(text)?;
    Ok(rest.trim().is_empty().then_some(words))
}

/// The words of the first command, and what stands behind it.
fn first(text: &str) -> Result<(Vec<Word>, String), Problem> {
    if text.len() > MAX_BYTES {
        return Err(unreadable("the command is too long"));
    }
    let mut reader = Reader { chars: text.chars().collect(), at: 0 };
    let mut words: Vec<Word> = Vec::new();
    let mut word: Option<Vec<Piece>> = None;
    while let Some(c) = reader.next() {
        match c {
            '\\' => match reader.next() {
                // A line that goes on.
                Some('\n') | None => {}
                Some('\r') if reader.peek() == Some('\n') => {
                    reader.next();
                }
                // In a flat text the end of the line has become a space.
                Some(' ') if word.is_none() => {}
                Some(c) => push(&mut word, c),
            },
            '\'' => {
                let inside = reader.until('\'').ok_or_else(|| unreadable("a quote is not closed"))?;
                word.get_or_insert_default().push(Piece::Text(inside));
            }
            '"' => {
                let pieces = word.get_or_insert_default();
                pieces.push(Piece::Text(String::new()));
                double_quoted(&mut reader, pieces)?;
            }
            '$' if reader.peek() == Some('\'') => return Err(unreadable("the command uses $'…'")),
            '$' | '`' => variable(&mut reader, c, word.get_or_insert_default())?,
            '~' if word.is_none() && reader.peek().is_none_or(|c| c == '/' || c.is_whitespace()) => {
                word = Some(vec![Piece::Variable("HOME".to_owned())]);
            }
            '\n' if words.is_empty() && word.is_none() => {}
            '\n' | ';' | '|' | '&' => {
                reader.at -= 1;
                break;
            }
            '<' | '>' if reader.peek() == Some('(') => return Err(unreadable("the command has another command run in the place of a word")),
            '<' | '>' => {
                // `2> file`, `&> file`: what is read or written does not belong to the command.
                if word.as_ref().is_some_and(|w| matches!(w.as_slice(), [Piece::Text(digit)] if digit.bytes().all(|b| b.is_ascii_digit()))) {
                    word = None;
                }
                reader.at -= 1;
                break;
            }
            '(' | ')' => return Err(unreadable("the command is more than one simple command")),
            '#' if word.is_none() => while reader.peek().is_some_and(|c| c != '\n') && reader.next().is_some() {},
            c if c.is_whitespace() => words.extend(word.take().map(|pieces| Word(pieces).joined())),
            c => push(&mut word, c),
        }
        if words.len() > MAX_WORDS {
            return Err(unreadable("the command has too many words"));
        }
    }
    words.extend(word.map(|pieces| Word(pieces).joined()));
    let (read, rest) = reader.chars.split_at_checked(reader.at).unwrap_or((&reader.chars, &[]));
    let written = redact(&read.iter().collect::<String>()).1;
    if written > 0 && written > redact(&words.iter().map(Word::plain).collect::<Vec<_>>().join(" ")).1 {
        return Err(unreadable("without the quotes a secret in it would not be known for one"));
    }
    Ok((words, rest.iter().collect()))
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        c
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn until(&mut self, end: char) -> Option<String> {
        let length = self.chars.get(self.at..)?.iter().position(|c| *c == end)?;
        let text = self.chars.get(self.at..self.at + length)?.iter().collect();
        self.at += length + 1;
        Some(text)
    }
}

fn unreadable(why: &str) -> Problem {
    Problem::Unreadable(why.to_owned())
}

fn push(word: &mut Option<Vec<Piece>>, c: char) {
    let pieces = word.get_or_insert_default();
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(c),
        _ => pieces.push(Piece::Text(c.to_string())),
    }
}

fn double_quoted(reader: &mut Reader, pieces: &mut Vec<Piece>) -> Result<(), Problem> {
    let mut text = String::new();
    loop {
        match reader.next() {
            None => return Err(unreadable("a quote is not closed")),
            Some('"') => break,
            Some('\\') => match reader.next() {
                Some('\n') | None => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => text.push(c),
                Some(c) => {
                    text.push('\\');
                    text.push(c);
                }
            },
            Some(c @ ('$' | '`')) => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                variable(reader, c, pieces)?;
            }
            Some(c) => text.push(c),
        }
    }
    pieces.push(Piece::Text(text));
    Ok(())
}

/// What follows a `$` or a backtick.
fn variable(reader: &mut Reader, sign: char, pieces: &mut Vec<Piece>) -> Result<(), Problem> {
    let refused = || unreadable("the command has another command run in the place of a word");
    let working_folder = |text: Option<String>| text.filter(|text| text.trim() == "pwd").map(|_| Piece::Variable("PWD".to_owned()));
    if sign == '`' {
        pieces.push(working_folder(reader.until('`')).ok_or_else(refused)?);
        return Ok(());
    }
    match reader.peek() {
        Some('(') => {
            reader.next();
            pieces.push(working_folder(reader.until(')')).ok_or_else(refused)?);
        }
        Some('{') => {
            reader.next();
            let inside = reader.until('}').and_then(|inside| Piece::in_braces(&inside));
            pieces.push(inside.ok_or_else(|| unreadable("the command uses ${…} for more than a name with a fallback"))?);
        }
        Some(c) if c.is_ascii_alphabetic() || c == '_' => {
            let mut name = String::new();
            while let Some(c) = reader.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                name.push(c);
                reader.next();
            }
            pieces.push(Piece::Variable(name));
        }
        Some(c) if c.is_ascii_digit() || matches!(c, '@' | '*' | '#' | '?' | '$' | '!' | '-') => {
            return Err(unreadable("the command uses parameters of a script"));
        }
        _ => pieces.push(Piece::Text("$".to_owned())),
    }
    Ok(())
}

// ------------------------------------------------------------------------------------------------------------- writing

/// A word as a shell reads it back.
///
/// # Errors
/// When the shell has no sure way to write it.
pub fn quote(word: &Word, shell: Shell) -> Result<String, Problem> {
    match shell {
        Shell::Sh => Ok(sh_word(word)),
        Shell::PowerShell => power_shell(word),
    }
}

fn sh_word(word: &Word) -> String {
    let plain = |piece: &Piece| matches!(piece, Piece::Text(text) if !text.bytes().all(is_plain));
    if word.has_variable() && !word.0.iter().any(plain) {
        // All of it in one pair of quotes, which reads best.
        let mut out = String::from("\"");
        for (at, piece) in word.0.iter().enumerate() {
            match piece {
                Piece::Variable(name) if word.goes_on_behind(at) => out.push_str(&format!("${{{name}}}")),
                Piece::Variable(name) => out.push_str(&format!("${name}")),
                Piece::Fallback(name, rest) => out.push_str(&format!("${{{name}{rest}}}")),
                Piece::Text(text) => out.push_str(text),
            }
        }
        return out + "\"";
    }
    let text: String = word.0.iter().enumerate().map(|(at, piece)| sh(piece, word.goes_on_behind(at))).collect();
    if text.is_empty() { "''".to_owned() } else { text }
}

/// True for what no shell takes for anything but itself, within double quotes too.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte)
}

fn sh(piece: &Piece, goes_on: bool) -> String {
    match piece {
        Piece::Variable(name) if goes_on => format!("\"${{{name}}}\""),
        Piece::Variable(name) => format!("\"${name}\""),
        Piece::Fallback(name, rest) => format!("\"${{{name}{rest}}}\""),
        Piece::Text(text) if text.is_empty() => String::new(),
        Piece::Text(text) if text.bytes().all(is_plain) => text.clone(),
        Piece::Text(text) => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn power_shell(word: &Word) -> Result<String, Problem> {
    let refused = || Problem::NotHere { what: "a value with double quotes".to_owned() };
    if word.0.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('"') || text.ends_with('\\'))) {
        return Err(refused());
    }
    if let Some(text) = word.literal() {
        let bare = !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=/-".contains(&b) || b".:".contains(&b) && !text.starts_with('-'));
        return Ok(if bare { text } else { format!("'{}'", text.replace('\'', "''")) });
    }
    let mut out = String::from("\"");
    for piece in &word.0 {
        match piece {
            Piece::Variable(name) if matches!(name.as_str(), "PWD" | "HOME") => out.push_str(&format!("${{{name}}}")),
            Piece::Variable(name) => out.push_str(&format!("${{env:{name}}}")),
            Piece::Fallback(..) => return Err(Problem::NotHere { what: "a variable with a fallback".to_owned() }),
            Piece::Text(text) => {
                for c in text.chars() {
                    if matches!(c, '`' | '$') {
                        out.push('`');
                    }
                    out.push(c);
                }
            }
        }
    }
    out.push('"');
    Ok(out)
}

/// Groups of words as one command, a group never torn; over several lines when one would be too long.
pub(super) fn lay_out(groups: &[String], shell: Shell) -> String {
    let one = groups.join(" ");
    // A report breaks what is too long for it as `sh` wants it.
    let most = if shell == Shell::Sh { 80 } else { 60 };
    if one.chars().count() <= most || groups.len() < 2 {
        return one;
    }
    groups.join(if shell == Shell::Sh { " \\\n  " } else { " `\n  " })
}
