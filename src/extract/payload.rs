//! What users of a server sent and models answered, quoted in a log. It is never evidence.

/// Keys whose quoted value is such text, in request dumps of all engines and of scripts.
const KEYS: &[&str] = &[
    "prompt",
    "prompts",
    "inputs",
    "input_text",
    "content",
    "messages",
    "generated_text",
    "completion",
    "query",
    "question",
    "user_input",
    "text_prompt",
    "system_prompt",
    "user_message",
    "response_text",
    "answer",
    "user",
    "assistant",
];
/// Dumps beyond this number in one message are not looked at.
const MAX_RANGES: usize = 200;

/// The ranges of quoted values of such keys: `prompt: '…'`, `"inputs": "…"`, `messages=[…]`.
pub fn quoted(flat: &str) -> Vec<(usize, usize)> {
    scan(flat).0
}

/// True when the last such value is not closed within the text.
pub fn is_open(flat: &str) -> bool {
    scan(flat).1
}

fn scan(flat: &str) -> (Vec<(usize, usize)>, bool) {
    let bytes = flat.as_bytes();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < bytes.len() && ranges.len() < MAX_RANGES {
        let begins_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_' || bytes[at - 1] == b'-');
        let key = KEYS.iter().filter(|key| begins_word && bytes[at..].starts_with(key.as_bytes())).max_by_key(|key| key.len());
        let Some(key) = key else {
            at += 1;
            continue;
        };
        let mut next = at + key.len();
        if bytes.get(next).is_some_and(|b| matches!(b, b'"' | b'\'')) {
            next += 1;
        }
        while bytes.get(next) == Some(&b' ') {
            next += 1;
        }
        if !bytes.get(next).is_some_and(|b| matches!(b, b':' | b'=')) {
            at = next;
            continue;
        }
        next += 1;
        while bytes.get(next) == Some(&b' ') {
            next += 1;
        }
        match bytes.get(next) {
            Some(&quote @ (b'"' | b'\'')) => match closing_quote(bytes, next + 1, quote) {
                Some(end) => {
                    ranges.push((next + 1, end));
                    at = end;
                }
                None => {
                    ranges.push((next + 1, bytes.len()));
                    return (ranges, true);
                }
            },
            Some(b'[') => {
                let end = closing_bracket(bytes, next);
                ranges.push((next + 1, end.unwrap_or(bytes.len())));
                at = end.unwrap_or(bytes.len());
            }
            _ => at = next,
        }
    }
    (ranges, false)
}

fn closing_quote(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b if b == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn closing_bracket(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    while at < bytes.len() {
        match bytes[at] {
            b'[' => depth += 1,
            b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            quote @ (b'"' | b'\'') => at = closing_quote(bytes, at + 1, quote)?,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for (start, end) in quoted(text) {
            bytes[start..end].fill(b'.');
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn quoted_values_are_found() {
        assert_eq!(blanked("Received request a-1: prompt: 'CUDA out\\'s', params"), "Received request a-1: prompt: '...........', params");
        assert_eq!(blanked(r#"{"inputs": "x", "parameters": {}}"#), r#"{"inputs": ".", "parameters": {}}"#);
        assert_eq!(blanked("messages=[{'a': ']'}] tail"), "messages=[..........] tail");
    }

    #[test]
    fn other_words_are_left() {
        for text in ["prompt_tokens: 'x'", "system prompt is long", "reprompt: 'x'", "max_inputs='3'", "Avg prompt throughput: 1.0"] {
            assert_eq!(blanked(text), text);
        }
    }

    #[test]
    fn an_unclosed_value_is_open() {
        assert!(is_open("prompt: 'begins and does not end"));
        assert!(!is_open("prompt: 'a'"));
    }
}
