//! Progress bars: many drawings of one line, sometimes with an error text among them.

use memchr::memchr_iter;

/// The pieces of a line that are worth keeping, if it is made of several: the last drawing, and whatever is more than
/// a drawing.
pub(super) fn pieces(text: &str, is_start: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let redrawn = text.contains('\r');
    if !redrawn {
        let (bar, message) = glued(text, &is_start)?;
        return Some(vec![bar.to_owned(), message.to_owned()]);
    }
    let drawn: Vec<&str> = text
        .split('\r')
        .filter(|piece| !piece.trim().is_empty())
        .flat_map(|piece| match glued(piece, &is_start) {
            Some((bar, message)) => [Some(bar), Some(message)],
            None => [Some(piece), None],
        })
        .flatten()
        .collect();
    let Some((last, earlier)) = drawn.split_last() else { return Some(vec![String::new()]) };
    let mut kept: Vec<String> = Vec::new();
    for (at, piece) in earlier.iter().enumerate() {
        let next = drawn.get(at + 1).copied().unwrap_or(last);
        if is_start(piece.trim_start()) || (!is_bar(piece) && has_words(piece) && words(piece).ne(words(next))) {
            kept.push((*piece).to_owned());
        }
    }
    kept.push((*last).to_owned());
    Some(kept)
}

/// A bar and a message that was printed right behind it.
fn glued<'a>(text: &'a str, is_start: &impl Fn(&str) -> bool) -> Option<(&'a str, &'a str)> {
    let end = bar_end(text)?;
    let message = text[end..].trim_start();
    (!message.is_empty() && is_start(message)).then(|| (&text[..end], message))
}

/// Where tqdm's `[00:01<00:03, 1.20s/it]` ends.
fn bar_end(text: &str) -> Option<usize> {
    memchr_iter(b'[', text.as_bytes()).find_map(|open| {
        let inner = &text[open + 1..];
        let [a, b, b':', c, d, ..] = inner.as_bytes() else { return None };
        if ![a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let close = inner.find(']')?;
        let inside = &inner[..close];
        let rate = ["<", "it/s", "s/it", "B/s"].iter().any(|sign| inside.contains(sign));
        rate.then_some(open + 1 + close + 1)
    })
}

fn is_bar(piece: &str) -> bool {
    if let Some(end) = bar_end(piece) {
        return !has_words(&piece[end..]);
    }
    let Some(percent) = piece.find('%') else { return false };
    piece[..percent].ends_with(|c: char| c.is_ascii_digit())
        && (piece.contains("it/s") || piece.contains("s/it") || piece.contains("B/s") || piece[percent..].contains('|'))
}

fn words(piece: &str) -> impl Iterator<Item = char> {
    piece.chars().filter(|c| c.is_alphabetic())
}

fn has_words(piece: &str) -> bool {
    words(piece).nth(2).is_some()
}
