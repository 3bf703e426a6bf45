//! Logs exported as a table: the first line names the columns, and a message may go over several lines in its quotes.

use super::{Piece, stamps};
use crate::time::Stamp;

/// What exports call the column with the message.
const MESSAGES: &[&str] = &[
    "message",
    "@message",
    "content",
    "line",
    "logmessage",
    "logentry",
    "log",
    "log_s",
    "_raw",
    "msg",
    "body",
    "text",
    "textpayload",
    "event.original",
];
/// Columns beyond this number make no export of a log.
const MOST: usize = 64;

/// Follows a table row by row.
#[derive(Debug, Default)]
pub(super) struct Table {
    began: bool,
    columns: Option<Columns>,
    /// The column that an open quotation is in.
    open: Option<usize>,
    stamp: Option<Stamp>,
}

#[derive(Debug, Clone, Copy)]
struct Columns {
    sign: char,
    message: usize,
    time: usize,
}

impl Table {
    /// Takes a physical line: true if it was a table's, and its text is now the part of the message on it, if any.
    pub(super) fn take(&mut self, piece: &mut Piece) -> Option<bool> {
        let text = piece.text.trim_end_matches('\r');
        if !self.began {
            if text.trim().is_empty() {
                return None;
            }
            self.began = true;
            self.columns = header(text.trim_start_matches('\u{feff}'));
            return self.columns.map(|_| false);
        }
        let columns = self.columns?;
        let was_open = self.open.take();
        let (cells, open) = cells(text, columns.sign, was_open);
        if was_open.is_none() && open.is_none() && cells.last().is_none_or(|&(at, _)| at < columns.message.max(columns.time)) {
            // A line that is no row of it: the table has ended, or it never was one.
            self.columns = None;
            return None;
        }
        self.open = open;
        let mut message = None;
        for (at, cell) in cells {
            if at == columns.time && was_open.is_none() {
                self.stamp = stamps::of_json(&serde_json::Value::String(cell.clone()));
            }
            if at == columns.message {
                message = Some(cell);
            }
        }
        piece.context.stamp = self.stamp.clone();
        let continues = was_open == Some(columns.message);
        piece.context.starts_record = open == Some(columns.message) && !continues;
        piece.context.continues_record = continues;
        // What closes a quotation on a line of its own is no part of the message.
        let is_part = message.as_ref().is_some_and(|text| !(continues && open.is_none() && text.is_empty()));
        piece.text = message.unwrap_or_default();
        Some(is_part)
    }
}

/// The columns, if a line names them.
fn header(text: &str) -> Option<Columns> {
    let sign = [',', '\t', ';'].into_iter().find(|sign| text.contains(*sign))?;
    let (cells, open) = cells(text, sign, None);
    if open.is_some() || cells.len() < 2 || cells.len() > MOST {
        return None;
    }
    let names: Vec<String> = cells.into_iter().map(|(_, cell)| cell.trim().to_ascii_lowercase()).collect();
    let is_name = |name: &String| name.len() <= 40 && !name.starts_with(|c: char| c.is_ascii_digit());
    let message = MESSAGES.iter().find_map(|wanted| names.iter().position(|name| name == wanted))?;
    let is_time = |name: &String| name.contains("time") || name.contains("date") || matches!(name.as_str(), "ts" | "tsns");
    let time = names.iter().position(is_time)?;
    names.iter().all(is_name).then_some(Columns { sign, message, time })
}

/// The cells on a line with their columns, and the column of a quotation that the line leaves open.
fn cells(text: &str, sign: char, open: Option<usize>) -> (Vec<(usize, String)>, Option<usize>) {
    let mut column = open.unwrap_or(0);
    let mut quoted = open.is_some();
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut fresh = !quoted;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if fresh => quoted = true,
            c if c == sign && !quoted => {
                cells.push((column, std::mem::take(&mut cell)));
                column += 1;
                fresh = true;
                continue;
            }
            c => cell.push(c),
        }
        fresh = false;
    }
    cells.push((column, cell));
    (cells, quoted.then_some(column))
}
