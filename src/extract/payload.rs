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
/// Which bytes a key begins with.
const INITIALS: [bool; 256] = {
    let mut initials = [false; 256];
    let mut key = 0;
    while key < KEYS.len() {
        initials[KEYS[key].as_bytes()[0] as usize] = true;
        key += 1;
    }
    initials
};
/// Dumps beyond this number in one message are not looked at.
const MAX_RANGES: usize = 200;

/// What users sent, in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The ranges of quoted values of such keys: `prompt: '…'`, `"inputs": "…"`, `messages=[…]`.
    pub ranges: Vec<(usize, usize)>,
    /// Whether the last one is not closed within the text.
    pub is_open: bool,
}

/// Looks for such values in a text.
pub fn quoted(flat: &str) -> Payload {
    let bytes = flat.as_bytes();
    let mut payload = Payload::default();
    let ranges = &mut payload.ranges;
    let mut at = 0;
    while at < bytes.len() && ranges.len() < MAX_RANGES {
        let begins_word = INITIALS[usize::from(bytes[at])] && (at == 0 || !is_of_a_word(bytes[at - 1]));
        let key = if begins_word { KEYS.iter().filter(|key| bytes[at..].starts_with(key.as_bytes())).max_by_key(|key| key.len()) } else { None };
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
                    return Payload { is_open: true, ..payload };
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
    payload
}

fn is_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
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
        for (start, end) in quoted(text).ranges {
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
        assert!(quoted("prompt: 'begins and does not end").is_open);
        assert!(!quoted("prompt: 'a'").is_open);
    }
}
