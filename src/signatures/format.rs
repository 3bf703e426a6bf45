//! The format of signature files, shared by the build script and by `--rules DIR`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One file of signatures.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The engine that a hit suggests.
    pub engine: Option<String>,
    /// Recognisers of messages.
    #[serde(default)]
    pub signature: Vec<Entry>,
    /// Recognisers of traceback frames.
    #[serde(default)]
    pub frame: Vec<FrameEntry>,
}

/// One string or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        OneOrMany::Many(Vec::new())
    }
}

impl OneOrMany {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// One recogniser of a message; the keys are explained in `CONTRIBUTING.md`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Entry {
    pub id: String,
    #[serde(default)]
    pub anchor: OneOrMany,
    pub pattern: Option<String>,
    pub parser: Option<String>,
    pub fact: String,
    pub stage: Option<String>,
    pub ends: Option<String>,
    pub event: Option<String>,
    pub hints: Option<String>,
    pub cause: Option<String>,
    pub versions: Option<String>,
    #[serde(default)]
    pub example: OneOrMany,
    #[serde(default)]
    pub counter: OneOrMany,
    #[serde(default)]
    pub needle: OneOrMany,
    #[serde(default)]
    pub unit: BTreeMap<String, String>,
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    #[serde(default)]
    pub decimal: bool,
    #[serde(default)]
    pub any_level: bool,
    #[serde(default)]
    pub weak: bool,
    #[serde(default)]
    pub needs_failure: bool,
    #[serde(default)]
    pub exclusive: bool,
    #[serde(default)]
    pub open: bool,
    #[serde(default)]
    pub priority: i8,
}

/// One recogniser of a traceback frame.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FrameEntry {
    pub path: Option<String>,
    #[serde(default)]
    pub function: OneOrMany,
    pub code: Option<String>,
    pub stage: String,
    pub engine: Option<String>,
    #[serde(default)]
    pub priority: i8,
}

/// Captures that hold a size in bytes.
pub const SIZES: &[&str] = &[
    "tried",
    "total",
    "free",
    "allocated",
    "reserved",
    "unallocated",
    "process",
    "other",
    "private",
    "limit",
    "weights",
    "kv_available",
    "kv_needed",
    "activation",
    "non_torch",
    "graph",
    "requested",
    "host_total",
    "host_free",
    "host_used",
    "swap",
    "downloaded",
];

/// Captures that hold an integer.
pub const INTEGERS: &[&str] = &[
    "device",
    "kv_tokens",
    "max_model_len",
    "prefill_tokens",
    "max_num_seqs",
    "tensor_parallel",
    "blocks",
    "block_size",
    "rank",
    "pid",
    "signal",
    "exit_code",
    "port",
    "count",
    "layers",
];

/// Captures that hold a fraction or a percentage.
pub const FRACTIONS: &[&str] = &["gpu_util", "usage"];

/// Captures that hold one word.
pub const WORDS: &[&str] = &[
    "model",
    "version",
    "dtype",
    "quantization",
    "path",
    "flag",
    "value",
    "module",
    "process",
    "device_name",
    "url",
    "reason",
    "architecture",
    "template",
    "payload",
];

/// Words by which the gate knows a failure that no signature knows. Each has seven bytes, so a level stands with what comes
/// before or after it in some kind of log; behind vLLM's at a line's beginning comes the month.
pub const FORMS: &[&str] = &[
    "Traceback (most",
    "  File \"",
    " ERROR ",
    " ERROR:",
    "[ERROR]",
    "\"ERROR\"",
    "=ERROR ",
    "ERROR: ",
    "ERROR  ",
    "ERROR 0",
    "ERROR 1",
    "ERROR:root",
    "ERROR:__main__",
    "CRITICAL",
    " FATAL ",
    " FATAL:",
    "[FATAL]",
    "FATAL: ",
    "Error: ",
    "Error:\n",
    "error: ",
    "panicked at",
    "Exception: ",
    "terminate called",
    "Failed to",
    "failed to",
    "fatal: ",
    "Aborted",
    "Fatal error",
    "Fatal Python",
    "Segmentation fault",
];

/// What quotes a user's text in a line that is written for each request. The gate passes over what is in the quotes.
pub const OPENINGS: &[&str] =
    &["prompt: '", "prompt: \"", "'prompt': '", "'prompt': \"", "\"prompt\": \"", "\"prompt\":\"", "inputs: \"", "\"inputs\": \"", "\"inputs\":\""];

impl Entry {
    /// Whether a line of a large log is read for the sake of this signature: it is no everyday line, no mark that is left
    /// for every request or step, and it counts by itself.
    pub fn is_sought(&self) -> bool {
        let everyday = matches!(self.fact.as_str(), "request-served" | "metrics" | "payload" | "benign" | "context" | "device");
        let of_each = matches!(self.event.as_deref(), Some("generation-started" | "generation-finished" | "request-started" | "training-started"));
        !everyday && !of_each && !self.weak && !self.needs_failure
    }
}

/// The bit that stands for four bytes in the filter of anchors, 0 to 65535.
pub const fn gram_bit(gram: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

/// A bit that stands for the name of a function, one of 64.
pub fn name_bit(name: &str) -> u64 {
    1 << (name.bytes().fold(0u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) >> 26)
}

/// Replaces every `{name}` of a pattern by the named capture that it stands for.
///
/// # Errors
/// Names the placeholder that is not known.
pub fn expand(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let tail = &rest[open + 1..];
        let close = tail.find('}');
        let name = close.map(|end| &tail[..end]).unwrap_or("");
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let Some(end) = close.filter(|_| is_name) else {
            out.push('{');
            rest = tail;
            continue;
        };
        let body = if SIZES.contains(&name) {
            r"-?\d[\d,_]*(?:\.\d+)?(?: ?(?:[KMGTP]i?[Bb]|[Bb]ytes?|B)\b)?"
        } else if INTEGERS.contains(&name) {
            r"-?\d[\d,_]*"
        } else if name == "seconds" {
            r"\d[\d,]*(?:\.\d+)?"
        } else if FRACTIONS.contains(&name) {
            r"\d+(?:\.\d+)?"
        } else if WORDS.contains(&name) {
            r#"[^\s'",()]+"#
        } else {
            return Err(format!("unknown placeholder {{{name}}}"));
        };
        out.push_str(&format!("(?P<{name}>{body})"));
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
