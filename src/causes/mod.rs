//! The causes, one file each, and the arbiter that weighs them against one another.
//!
//! A cause never sees text: it is asked what it makes of a failure in its situation, and answers with a weight.

use crate::case::Situation;
use crate::facts::{Fact, FactKind, Stage, Strength};
use crate::post_mortem::{Phase, Remedy};
use crate::redact::cut_before;
use crate::units::{size, thousands};

pub mod arbiter;
pub mod arithmetic;

/// What a cause makes of a failure.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Probability that this cause is the one, all that the situation tells taken into account.
    pub weight: f64,
    /// Why, in one sentence; used when it is only contributing.
    pub reason: String,
}

impl Claim {
    /// A claim with its reason.
    pub fn new(weight: f64, reason: impl Into<String>) -> Option<Self> {
        Some(Claim { weight, reason: reason.into() })
    }
}

/// One root cause: what it is, when it applies, what to say and to do about it.
pub struct Cause {
    /// Its id in the contract.
    pub id: &'static str,
    /// The family that it belongs to: lower-case, hyphens.
    pub family: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The facts that state it outright.
    pub kinds: &'static [FactKind],
    /// The phase that it belongs to where the log shows none.
    pub phase: Option<Phase>,
    /// What it means, how it is recognised, how it is fixed, in Markdown; `explain` and the docs print it.
    pub doc: &'static str,
    /// What it makes of a failure.
    pub claim: fn(&Situation<'_>) -> Option<Claim>,
    /// One line with figures.
    pub headline: fn(&Situation<'_>) -> String,
    /// Why it happened, in sentences.
    pub explanation: fn(&Situation<'_>) -> String,
    /// What would help, in words.
    pub remedies: fn(&Situation<'_>) -> Vec<Remedy>,
}

macro_rules! causes {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        /// Every cause, in the order of the taxonomy.
        pub static CAUSES: &[&Cause] = &[$(&$module::CAUSE),*];
    };
}

causes!(
    weight_oom,
    prefill_oom,
    kv_cache_oom,
    sampler_oom,
    graph_capture_oom,
    inference_oom,
    training_oom,
    fragmentation_oom,
    gpu_occupied,
    host_oom,
    shm_exhausted,
    disk_full,
    meta_tensor_offload,
    quantized_offload_refused,
    device_mismatch,
    template_error,
    integer_overflow,
    nan_logits,
    context_limit_config,
    parallelism_config,
    quantization_unsupported,
    dtype_unsupported,
    model_unsupported,
    remote_code_refused,
    invalid_argument,
    model_auth,
    model_download,
    weights_invalid,
    cuda_unavailable,
    gpu_arch_unsupported,
    cuda_fault,
    collective_failure,
    gpu_hardware,
    missing_dependency,
    port_in_use,
    internal_error,
    overload,
    terminated,
    unknown,
);

/// The cause with an id.
pub fn by_id(id: &str) -> Option<&'static Cause> {
    CAUSES.iter().copied().find(|cause| cause.id == id)
}

/// What a process holds on a device before any tensor: CUDA context, modules, workspaces.
const CONTEXT: u64 = 600 * 1024 * 1024;

/// Weights that take more than this share of a device leave too little for anything else.
const NEARLY_ALL: f64 = 0.8;

fn weights_take_nearly_all(s: &Situation<'_>) -> bool {
    let (weights, total) = (s.figures.weights_bytes, s.figures.total_bytes);
    weights.zip(total).is_some_and(|(weights, total)| weights < total && weights as f64 > NEARLY_ALL * total as f64)
}

/// The weight of a failure that the message itself states.
fn stated(s: &Situation<'_>) -> f64 {
    match s.fact.strength {
        Strength::Exact => 0.98,
        Strength::Weak => 0.75,
        Strength::Demoted => 0.6,
        Strength::Form => 0.5,
    }
}

/// The claim of a cause that one kind of fact states outright.
fn direct(s: &Situation<'_>, kind: FactKind, reason: &str) -> Option<Claim> {
    if s.is(kind) { Claim::new(stated(s), reason) } else { None }
}

/// The claim of a memory cause that the stage decides.
fn memory_at(s: &Situation<'_>, stages: &[Stage], reason: &str) -> Option<Claim> {
    if !s.is(FactKind::OutOfMemory) || !s.at(stages) {
        return None;
    }
    Claim::new(if s.fact.stage_is_proven { 0.95 } else { 0.85 } * stated(s) / 0.98, reason)
}

/// The signal that ended a process, from the signal or from an exit code above 128 or below 0.
fn exit_signal(fact: &Fact) -> Option<i64> {
    if !matches!(fact.kind, FactKind::ProcessExit | FactKind::Symptom | FactKind::Failure | FactKind::Crash) {
        return None;
    }
    let from_code = || match fact.number("exit_code")? {
        code if code > 128 => Some(code - 128),
        code if code < 0 => Some(-code),
        _ => None,
    };
    fact.number("signal").or_else(from_code)
}

/// The model's name, or words for it.
fn the_model<'s>(s: &'s Situation<'_>) -> &'s str {
    s.model.unwrap_or("the model")
}

/// ` on GPU 1` when the message names the device.
fn on_device(s: &Situation<'_>) -> String {
    s.figures.device.map_or(String::new(), |device| format!(" on GPU {device}"))
}

/// What was asked for, against what was there: `172.00 MiB was refused with 20.00 MiB free of 8.00 GiB`.
fn refusal(s: &Situation<'_>) -> Option<String> {
    let f = &s.figures;
    let mut text = format!("{} was refused", size(f.tried_bytes?));
    // What was free when the process started says nothing about this moment: only what the refusal itself says counts.
    let own = if s.fact.figures.tried_bytes.is_some() { &s.fact.figures } else { f };
    let at_start = if is_ggml(s) { " at the start" } else { "" };
    match (own.free_bytes, f.total_bytes) {
        (Some(free), Some(total)) => text += &format!(" with {} free{at_start} of {}", size(free), size(total)),
        (Some(free), None) => text += &format!(" with {} free{at_start}", size(free)),
        _ => {}
    }
    Some(text)
}

/// The same with what was missing. While weights are loaded it says only how far loading got.
fn refusal_and_deficit(s: &Situation<'_>) -> Option<String> {
    let text = refusal(s)?;
    let own = if s.fact.figures.tried_bytes.is_some() { &s.fact.figures } else { &s.figures };
    let deficit = s.figures.tried_bytes.zip(own.free_bytes).and_then(|(tried, free)| tried.checked_sub(free));
    Some(match deficit.filter(|&deficit| deficit > 0 && own.free_bytes != Some(0)) {
        Some(deficit) => format!("{text}: {} short", size(deficit)),
        None => text,
    })
}

/// What PyTorch held when memory was refused, and what the arithmetic says of it.
fn held(s: &Situation<'_>) -> String {
    held_alone(s) + &arithmetic::sentences(s)
}

/// What PyTorch held when memory was refused, in a sentence, and what does not add up about it.
fn held_alone(s: &Situation<'_>) -> String {
    let f = &s.figures;
    let mut text = String::new();
    if let Some(allocated) = f.allocated_bytes {
        text += &match f.reserved_unallocated_bytes.or_else(|| f.reserved_bytes?.checked_sub(allocated)) {
            Some(unused) => format!(" PyTorch had {} in tensors and held {} more that it did not use.", size(allocated), size(unused)),
            None => format!(" PyTorch had {} in tensors.", size(allocated)),
        };
    }
    if let (Some(weights), Some(total), true) = (f.weights_bytes, f.total_bytes, weights_take_nearly_all(s)) {
        text += &format!(" The weights alone take {} of {}.", size(weights), size(total));
    }
    if let (Some(tried), Some(free)) = (s.fact.figures.tried_bytes, s.fact.figures.free_bytes)
        && free > tried
    {
        text += &format!(
            " The device said that {} were free, more than the {} that were asked for: something limits this process (a memory fraction, a container, WSL), or another process took and gave back.",
            size(free),
            size(tried)
        );
    }
    text
}

/// Characters of a message that a headline quotes.
const QUOTED: usize = 160;

/// What the decisive message says, without the name of its exception, shortened: the headline of causes whose message
/// says it best.
fn said(s: &Situation<'_>) -> String {
    let line = s.fact.said();
    // `Error(s) in loading state_dict for …:` is said on the next line.
    let next = s.fact.place.text.lines().nth(s.fact.place.decisive + 1).map_or("", str::trim);
    let joined = if line.ends_with(':') && !next.is_empty() { format!("{line} {next}") } else { line.to_owned() };
    let line = joined.as_str();
    match line.char_indices().nth(QUOTED) {
        Some((cut, _)) => {
            let head = &line[..cut_before(line, cut)];
            // At the end of a sentence if there is one, else between two words.
            match head.rfind(". ").filter(|&at| at > QUOTED / 3) {
                Some(at) => head[..at].to_owned(),
                None => format!("{}…", head.rsplit_once(' ').map_or(head, |(before, _)| before)),
            }
        }
        None => line.trim_end_matches('.').to_owned(),
    }
}

/// Whether the engine is one of the GGUF family, which PyTorch's settings do not concern.
fn is_ggml(s: &Situation<'_>) -> bool {
    matches!(s.engine, Some("llama.cpp" | "ollama"))
}

/// A remedy in words.
pub fn advice(id: &str, title: impl Into<String>, rationale: impl Into<String>, tradeoff: impl Into<String>) -> Remedy {
    Remedy {
        id: id.to_owned(),
        title: title.into(),
        rationale: rationale.into(),
        tradeoff: tradeoff.into(),
        command: None,
        changes: Vec::new(),
        verify: String::new(),
        otherwise: String::new(),
        fit: None,
    }
}
