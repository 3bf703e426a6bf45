//! Logs inside documents of many lines: pretty-printed JSON, as exports and notebooks have it, and a journal's fields.
//!
//! A document begins where the log does. Its lines are held until one of them shows that it carries a log; a document
//! that carries none, such as a program's configuration, is given out as it is.

use serde_json::{Map, Value};

use super::{Piece, json, stamps};
use crate::time::Stamp;

/// Lines of a document that are held until it shows what it is.
const HELD: usize = 64;
/// Lists whose items are lines: a notebook's outputs, what Ansible prints of a command.
const LISTS: &[&str] = &["text", "traceback", "text/plain", "stderr_lines", "stdout_lines", "lines"];

/// What a line turned out to be.
pub(super) enum Taken {
    /// Not a document's.
    No,
    /// Held, or nothing but document.
    Kept,
    /// These lines of the log.
    Lines(Vec<Piece>),
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing was read yet.
    #[default]
    Before,
    /// Inside JSON that has not shown a log yet.
    Perhaps,
    /// Inside JSON that carries a log.
    Json,
    /// Inside a list of lines.
    List,
    /// Among the fields of a journal.
    Fields,
    /// No document, or it has ended.
    Over,
}

/// Follows a document line by line.
#[derive(Debug, Default)]
pub(super) struct Document {
    state: State,
    held: Vec<Piece>,
    /// The message of the object that is being read, until the object ends; its stamp may stand behind it.
    pending: Vec<Piece>,
    stamp: Option<Stamp>,
}

impl Document {
    /// Takes a physical line.
    pub(super) fn push(&mut self, piece: &Piece) -> Taken {
        let text = piece.text.trim();
        if self.state == State::Before {
            if text.is_empty() {
                return Taken::No;
            }
            self.state = if matches!(text, "{" | "[" | "[{") || text.ends_with("=> {") {
                State::Perhaps
            } else if text.starts_with("__CURSOR=") || text.starts_with("__REALTIME_TIMESTAMP=") || is_verbose_head(text) {
                State::Fields
            } else {
                State::Over
            };
        }
        match self.state {
            State::Before | State::Over => Taken::No,
            State::Perhaps => self.perhaps(piece, text),
            State::Json => self.member(piece, text),
            State::List => self.item(piece, text),
            State::Fields => self.field(piece, text),
        }
    }

    /// What is still held at the log's end.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        self.state = State::Over;
        let mut rest = std::mem::take(&mut self.held);
        rest.append(&mut self.flush());
        rest
    }

    fn perhaps(&mut self, piece: &Piece, text: &str) -> Taken {
        let carries = member_of(text).is_some_and(|(key, value)| {
            json::is_message(&key) && value.is_string() || LISTS.contains(&key.as_str()) && value.as_array().is_some_and(Vec::is_empty)
        });
        if carries {
            self.held.clear();
            self.state = State::Json;
            return self.member(piece, text);
        }
        if !is_json(text) || self.held.len() >= HELD {
            self.held.push(piece.clone());
            return Taken::Lines(self.finish());
        }
        self.held.push(piece.clone());
        Taken::Kept
    }

    fn member(&mut self, piece: &Piece, text: &str) -> Taken {
        if text.starts_with('}') {
            return Taken::Lines(self.flush());
        }
        match member_of(text) {
            Some((key, Value::String(message))) if json::is_message(&key) => {
                self.pending.extend(lines_of(piece, &message));
                Taken::Kept
            }
            Some((key, Value::Array(items))) if items.is_empty() && LISTS.contains(&key.as_str()) => {
                self.state = State::List;
                Taken::Kept
            }
            Some((key, value)) => {
                if json::is_time(&key) {
                    self.stamp = stamps::of_json(&value).or(self.stamp.take());
                }
                Taken::Kept
            }
            None if is_json(text) => Taken::Kept,
            None => {
                let mut lines = self.finish();
                lines.push(piece.clone());
                Taken::Lines(lines)
            }
        }
    }

    fn item(&mut self, piece: &Piece, text: &str) -> Taken {
        match serde_json::from_str(text.trim_end_matches(',')) {
            Ok(Value::String(line)) => {
                let line = line.trim_end_matches('\n').split('\n');
                Taken::Lines(line.map(|text| Piece { text: text.to_owned(), ..piece.clone() }).collect())
            }
            _ => {
                self.state = State::Json;
                Taken::Kept
            }
        }
    }

    fn field(&mut self, piece: &Piece, text: &str) -> Taken {
        if text.is_empty() || is_verbose_head(text) {
            return Taken::Lines(self.flush());
        }
        let name = text.bytes().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_').count();
        match text[..name].split_at(name).0 {
            "MESSAGE" if text[name..].starts_with('=') => {
                let at = piece.text.find("MESSAGE=").unwrap_or(0) + "MESSAGE=".len();
                self.pending.push(Piece { text: piece.text[at..].to_owned(), ..piece.clone() });
                Taken::Kept
            }
            "__REALTIME_TIMESTAMP" if text[name..].starts_with('=') => {
                self.stamp = stamps::of_json(&Value::String(text[name + 1..].to_owned()));
                Taken::Kept
            }
            _ if name > 1 && text[name..].starts_with('=') => Taken::Kept,
            // A field of several lines goes on.
            _ if !self.pending.is_empty() => {
                self.pending.push(piece.clone());
                Taken::Kept
            }
            _ => {
                let mut lines = self.finish();
                lines.push(piece.clone());
                Taken::Lines(lines)
            }
        }
    }

    fn flush(&mut self) -> Vec<Piece> {
        let stamp = self.stamp.take();
        let mut lines = std::mem::take(&mut self.pending);
        for line in &mut lines {
            line.context.stamp = stamp.clone().or(line.context.stamp.take());
        }
        lines
    }
}

/// The lines of a message, marked as one if there are several.
fn lines_of(piece: &Piece, message: &str) -> Vec<Piece> {
    let several = message.trim_end().contains('\n');
    let lines = message.trim_end_matches(['\n', '\r']).split('\n');
    lines
        .enumerate()
        .map(|(at, text)| {
            let mut line = Piece { text: text.to_owned(), ..piece.clone() };
            line.context.starts_record = several && at == 0;
            line.context.continues_record = at > 0;
            line
        })
        .collect()
}

/// `"key": value`, the only member on its line; an opened list or object counts as an empty one.
fn member_of(text: &str) -> Option<(String, Value)> {
    if !text.starts_with('"') {
        return None;
    }
    let text = text.trim_end_matches(',');
    let closing = match text.as_bytes().last()? {
        b'[' => "]",
        b'{' => "}",
        _ => "",
    };
    let object: Map<String, Value> = serde_json::from_str(&format!("{{{text}{closing}}}")).ok()?;
    (object.len() == 1).then(|| object.into_iter().next())?
}

/// True for what a line of pretty-printed JSON may be.
fn is_json(text: &str) -> bool {
    text.is_empty()
        || matches!(text.trim_end_matches(','), "{" | "}" | "[" | "]" | "[{" | "}]" | "{}" | "[]")
        || text.ends_with("=> {")
        || member_of(text).is_some()
        || serde_json::from_str::<Value>(text.trim_end_matches(',')).is_ok()
}

/// `Thu 2025-03-20 10:00:00.123456 UTC [s=ab;i=1;b=..]`, which begins an entry of `journalctl -o verbose`.
fn is_verbose_head(text: &str) -> bool {
    stamps::weekday_full(text).is_some_and(|(_, len)| text[len..].trim_start().starts_with("[s=") && text.ends_with(']'))
}
