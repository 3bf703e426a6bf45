//! How figures and ids are said: the one place where bytes become GiB and `process-died` becomes a phrase.

use crate::post_mortem::{Basis, Completeness, Impact, Incident, Phase, Role};
pub use crate::units::{signed_size, size, thousands};

/// How often an incident happened: `6`, `at least 300,000`.
pub fn occurrences(incident: &Incident) -> String {
    let bound = if incident.occurrences_is_lower_bound { "at least " } else { "" };
    format!("{bound}{}", thousands(incident.occurrences))
}

/// The size of a log: bytes while they can be read at a glance.
pub fn log_size(bytes: u64) -> String {
    if bytes < 1_048_576 { format!("{} byte{}", thousands(bytes), plural(bytes)) } else { size(bytes) }
}

/// `s` unless there is exactly one.
pub fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// A share of a whole in percent; nothing when there is no whole.
pub fn share(part: u64, whole: Option<u64>) -> Option<String> {
    let whole = whole.filter(|w| *w > 0)?;
    #[allow(clippy::cast_precision_loss)]
    let percent = part as f64 / whole as f64 * 100.0;
    Some(match percent {
        p if part > 0 && p < 0.5 => "<1%".to_owned(),
        p => format!("{p:.0}%"),
    })
}

/// A probability as a percentage that never says 100% or 0% of something uncertain.
pub fn percent(fraction: f64) -> String {
    let p = (fraction.clamp(0.0, 1.0) * 100.0).round();
    let p = if fraction < 1.0 { p.min(99.0) } else { p };
    let p = if fraction > 0.0 { p.max(1.0) } else { p };
    format!("{p:.0}%")
}

/// A probability in words.
pub fn confidence(fraction: f64) -> &'static str {
    match fraction {
        f if f >= 0.95 => "almost certain",
        f if f >= 0.85 => "very likely",
        f if f >= 0.70 => "likely",
        f if f >= 0.50 => "more likely than not",
        f if f >= 0.25 => "possible",
        _ => "a weak guess",
    }
}

/// A duration: the two largest units.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=59 => {
            let tenths = ms % 1000 / 100;
            if tenths == 0 { format!("{seconds} s") } else { format!("{seconds}.{tenths} s") }
        }
        60..=3_599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A duration in as few columns as can be read: `6m 50s`.
pub fn brief(ms: u64) -> String {
    duration(ms).replace(" ms", "ms").replace(" min", "m").replace(" s", "s").replace(" h", "h").replace(" d", "d")
}

/// An offset from the log's first stamp.
pub fn offset(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "+" };
    format!("{sign}{}", duration(ms.unsigned_abs()))
}

/// The same in as few columns as can be read.
pub fn brief_offset(ms: i64) -> String {
    format!("{}{}", if ms < 0 { "-" } else { "+" }, brief(ms.unsigned_abs()))
}

/// The time of day out of a stamp as printed; the stamp itself, shortened, when it holds none.
pub fn time_of_day(clock: &str) -> String {
    let bytes = clock.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let colon = |at: usize| bytes.get(at) == Some(&b':');
    let found = (0..bytes.len().saturating_sub(7))
        .find(|&at| digit(at) && digit(at + 1) && colon(at + 2) && digit(at + 3) && digit(at + 4) && colon(at + 5) && digit(at + 6) && digit(at + 7));
    match found.and_then(|at| clock.get(at..at + 8)) {
        Some(time) => time.to_owned(),
        None => clock.chars().take(12).collect(),
    }
}

/// What an incident did, as a clause.
pub fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::ProcessDied => "the process ended",
        Impact::RequestsFailed => "requests failed, the server stayed up",
        Impact::Degraded => "nothing ended, but the service got worse",
    }
}

/// What the process was doing.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Download => "while fetching files",
        Phase::Load => "while loading",
        Phase::Profile => "while warming up",
        Phase::GraphCapture => "while capturing graphs",
        Phase::Serve => "while serving",
        Phase::Train => "while training",
    }
}

/// Whether the log holds the run's start and end.
pub fn completeness(completeness: Completeness) -> &'static str {
    match completeness {
        Completeness::Whole => "The log holds the run's start and end.",
        Completeness::StartsLate => "The log starts late: what happened before its first line is not known.",
        Completeness::EndsEarly => "The log ends early: what happened after its last line is not known.",
        Completeness::Both => "The log is a piece: both the start and the end of the run are missing.",
    }
}

/// Where a figure comes from.
pub fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Logged => "printed in the log",
        Basis::Computed => "computed from the model's dimensions",
        Basis::Derived => "derived from printed figures",
    }
}

/// What a piece of evidence shows.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Cause => "cause",
        Role::Context => "context",
        Role::Symptom => "symptom",
    }
}

/// An engine's name as its makers write it.
pub fn engine(id: &str) -> &str {
    match id {
        "tgi" => "TGI",
        "vllm" => "vLLM",
        "sglang" => "SGLang",
        "ollama" => "Ollama",
        "tensorrt-llm" => "TensorRT-LLM",
        "lmdeploy" => "LMDeploy",
        "deepspeed" => "DeepSpeed",
        "accelerate" => "Accelerate",
        "pytorch" => "PyTorch",
        "kubernetes" => "Kubernetes",
        "kernel" => "the kernel's log",
        "other" => "an engine not known to oomdoc",
        other => other,
    }
}

/// A component of memory: the letter that stands for it in a bar, and its name.
pub fn component(name: &str) -> (char, String) {
    let (letter, words) = match name {
        "weights" => ('W', "weights"),
        "kv-cache" => ('K', "KV cache"),
        "activations" => ('A', "activations"),
        "allocated-by-pytorch" => ('P', "allocated by PyTorch"),
        "reserved-unallocated" => ('R', "reserved, unused"),
        "private-pools" => ('G', "private pools (graphs)"),
        "other-processes" => ('O', "other processes"),
        "context" => ('C', "driver's context"),
        "communication" => ('N', "outside PyTorch"),
        "cuda-graphs" => ('G', "CUDA graphs"),
        "outside-the-allocator" => ('C', "outside PyTorch"),
        "beyond-the-share" => ('S', "beyond the engine's share"),
        "engine-share" => ('E', "engine's share"),
        "unexplained" => ('?', "not accounted for"),
        "graphs" => ('G', "CUDA graphs"),
        "free" => ('F', "free"),
        other => ('X', other),
    };
    let words = if letter == 'X' { words.replace('-', " ") } else { words.to_owned() };
    (letter, words)
}

/// An id in words: hyphens become spaces.
pub fn spaced(id: &str) -> String {
    id.replace('-', " ")
}

/// An id as a heading.
pub fn heading(id: &str) -> String {
    let words = spaced(id);
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Whether an event of the time line is a failure.
pub fn is_failure(kind: &str) -> bool {
    ["fail", "died", "killed", "error", "crash", "oom", "refused"].iter().any(|word| kind.contains(word))
}

/// A sentence that goes on after a colon.
pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && (second.is_lowercase() || second == ' ') => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// Where a figure comes from, as a word of the JSON.
pub fn basis_id(basis: Basis) -> &'static str {
    match basis {
        Basis::Logged => "logged",
        Basis::Computed => "computed",
        Basis::Derived => "derived",
    }
}
