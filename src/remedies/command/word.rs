//! Words of a command: text, and variables that a shell fills in.

use crate::remedies::flags::Problem;
use crate::report::escape::hides;

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The value of an environment variable.
    Variable(String),
    /// The same with what stands for it when it is not set: `${NAME:-8192}` is the name and `:-8192`.
    Fallback(String, String),
}

impl Piece {
    /// What stands between `${` and `}`. None for more than a name and a plain fallback.
    pub(super) fn in_braces(text: &str) -> Option<Piece> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let piece = if rest.is_empty() { Piece::Variable(name.to_owned()) } else { Piece::Fallback(name.to_owned(), rest.to_owned()) };
        piece.is_right().then_some(piece)
    }

    /// True for a name, and a fallback that no shell takes for anything else.
    fn is_right(&self) -> bool {
        match self {
            Piece::Text(text) => is_safe(text),
            Piece::Variable(name) => is_variable(name),
            Piece::Fallback(name, rest) => {
                let word = rest.strip_prefix(':').unwrap_or(rest).strip_prefix('-');
                is_variable(name) && word.is_some_and(|word| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:@+=,-".contains(&b)))
            }
        }
    }
}

/// A word of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word(pub Vec<Piece>);

impl Word {
    /// A word without variables.
    pub fn text(text: impl Into<String>) -> Self {
        Word(vec![Piece::Text(text.into())])
    }

    /// The value of an environment variable.
    pub fn variable(name: impl Into<String>) -> Self {
        Word(vec![Piece::Variable(name.into())])
    }

    /// The word as a reader sees it: variables as `$NAME`, or `${NAME}` where text goes on.
    pub fn plain(&self) -> String {
        let part = |(at, piece): (usize, &Piece)| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) if self.goes_on_behind(at) => format!("${{{name}}}"),
            Piece::Variable(name) => format!("${name}"),
            Piece::Fallback(name, rest) => format!("${{{name}{rest}}}"),
        };
        self.0.iter().enumerate().map(part).collect()
    }

    /// Whether behind that piece comes what would be taken for a part of its name.
    pub(super) fn goes_on_behind(&self, at: usize) -> bool {
        let next = self.0.iter().skip(at + 1).find(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        matches!(next, Some(Piece::Text(text)) if text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    }

    /// The word as it is where no variable that has a fallback is set.
    pub(super) fn with_fallbacks(&self) -> String {
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) => format!("${name}"),
            Piece::Fallback(_, rest) => rest.trim_start_matches(':').trim_start_matches('-').to_owned(),
        };
        self.0.iter().map(part).collect()
    }

    /// The text of a word without variables.
    pub fn literal(&self) -> Option<String> {
        (!self.has_variable()).then(|| self.plain())
    }

    /// True when a variable is part of it.
    pub fn has_variable(&self) -> bool {
        self.0.iter().any(|piece| !matches!(piece, Piece::Text(_)))
    }

    /// Splits at the first `=` that stands in text, in front of any variable.
    pub(super) fn split_once(&self, at: char) -> Option<(String, Word)> {
        let Some(Piece::Text(first)) = self.0.first() else { return None };
        let (name, rest) = first.split_once(at)?;
        let mut pieces = vec![Piece::Text(rest.to_owned())];
        pieces.extend(self.0.iter().skip(1).cloned());
        Some((name.to_owned(), Word(pieces).joined()))
    }

    /// The same word with neighbouring texts in one piece and no empty ones.
    pub(super) fn joined(self) -> Self {
        let mut out: Vec<Piece> = Vec::new();
        for piece in self.0 {
            match (out.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
                (_, Piece::Text(text)) if text.is_empty() => {}
                (_, piece) => out.push(piece),
            }
        }
        if out.is_empty() {
            out.push(Piece::Text(String::new()));
        }
        Word(out)
    }

    /// Refuses what could mislead: control characters, line ends, characters that hide or reorder text, strange blanks.
    ///
    /// # Errors
    /// [`Problem::Unsafe`], which names the place and does not repeat the word.
    pub fn must_be_safe(&self, place: &str) -> Result<(), Problem> {
        if self.0.iter().all(Piece::is_right) { Ok(()) } else { Err(Problem::Unsafe { place: place.to_owned() }) }
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Word::text(text)
    }
}

/// True for text that shows what it is.
pub(super) fn is_safe(text: &str) -> bool {
    let odd = |c: char| {
        c.is_control()
            || hides(c)
            || c != ' ' && c.is_whitespace()
            || matches!(c, '\u{fffd}' | '\u{2018}'..='\u{201f}' | '\u{e000}'..='\u{f8ff}' | '\u{ff00}'..='\u{ffef}' | '\u{e0000}'..)
    };
    text.len() <= 16 * 1024 && !text.chars().any(odd)
}

/// True for the name of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') && name.len() <= 128
}

/// True for variables whose value is a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["TOKEN", "API_KEY", "APIKEY", "SECRET", "PASSWORD", "PASSWD", "ACCESS_KEY", "CREDENTIAL", "AUTHTOKEN"].iter().any(|part| upper.contains(part))
        && !upper.contains("TOKENS")
        && !upper.contains("TOKENIZER")
}

/// True for text that is a secret by its shape, or the mask of one.
pub(super) fn is_secret_text(text: &str) -> bool {
    text.contains("****") || crate::redact::redact(text).1 > 0
}
