//! What the figures of a log and the needs of its model say together.

use super::{by_id, size};
use crate::case::need::{Need, is_loading};
use crate::case::{Case, Situation};
use crate::causes::arbiter::Verdict;
use crate::facts::{FactKind, Stage};
use crate::memory::Bytes;
use crate::memory::estimate::{Engine, Figure, Verdict as Fit};
use crate::post_mortem::{Contributing, Figures};

/// Confidence in `weight-oom` where the weights are certainly larger than the device.
const CERTAIN: f64 = 0.96;

/// Lets the arithmetic have its say about a verdict: what no empty device of this size could hold was not refused because
/// of its neighbours or of holes.
pub fn settle(case: &Case, verdict: &mut Verdict, figures: &Figures, need: &Need) {
    let Some(total) = total(figures, need) else { return };
    let fact = &case.facts[verdict.decisive];
    let Some(beyond) = need.beyond(total) else {
        would_fit_alone(verdict, figures, need, total);
        return;
    };
    if verdict.cause.id == "weight-oom" || need.is_by_name() {
        return;
    }
    let reason = match need.weights {
        Some(weights) => format!("the weights take {}, {} more than the device has", with_basis(weights, need), size(beyond.0)),
        None => return,
    };
    let by_figures = matches!(verdict.cause.id, "gpu-occupied" | "fragmentation-oom") && fact.kind == FactKind::OutOfMemory;
    match by_id("weight-oom") {
        Some(cause) if by_figures && is_loading(verdict.stage) => {
            let reason = if verdict.cause.id == "gpu-occupied" {
                "other processes hold part of the device as well"
            } else {
                "unused memory is in pieces as well"
            };
            let other = Contributing { cause: verdict.cause.id, confidence: 0.3, reason: reason.to_owned() };
            verdict.contributing.retain(|c| c.cause != cause.id);
            verdict.contributing.insert(0, other);
            verdict.cause = cause;
            verdict.confidence = CERTAIN;
        }
        // After loading the weights are there: what was computed is not what runs.
        _ if is_loading(verdict.stage) => add(verdict, "weight-oom", 0.6, reason),
        _ => {}
    }
}

/// What an empty device holds easily did not fail for its weights alone.
fn would_fit_alone(verdict: &mut Verdict, figures: &Figures, need: &Need, total: Bytes) {
    let (Some(others), Some(weights)) = (figures.other_processes_bytes, need.weights) else { return };
    let left = total.saturating_sub(Bytes(others));
    if verdict.cause.id == "weight-oom" && !need.is_by_name() && need.fits_easily(total) && need.beyond(left).is_some() {
        let reason = format!("the weights take {} and would fit an empty device; other processes held {}", with_basis(weights, need), size(others));
        add(verdict, "gpu-occupied", 0.6, reason);
    }
}

fn add(verdict: &mut Verdict, cause: &'static str, confidence: f64, reason: String) {
    verdict.contributing.retain(|c| c.cause != cause);
    verdict.contributing.insert(0, Contributing { cause, confidence, reason });
}

fn total(figures: &Figures, need: &Need) -> Option<Bytes> {
    figures.total_bytes.map(Bytes).or(need.total)
}

/// `12.55 GiB in 16 bit (computed)`.
fn with_basis(weights: Figure, need: &Need) -> String {
    let said = if need.is_computed() { if need.is_by_name() { "computed from the size in its name" } else { "computed" } } else { "logged" };
    format!("{} {} ({said})", size(weights.bytes.0), need.format())
}

/// `they need 12.55 GiB in 16 bit (computed), the GPU has 8.00 GiB: 4.56 GiB short`, where that is certain.
pub fn shortfall(s: &Situation<'_>) -> Option<String> {
    let need = s.need?;
    let total = total(&s.figures, need)?;
    let beyond = need.beyond(total)?;
    let each = if need.plan.ranks() > 1 { format!(" for each of {} GPUs", need.plan.ranks()) } else { String::new() };
    Some(format!("they need {}{each}, the GPU has {}: {} short", with_basis(need.weights?, need), size(total.0), size(beyond.0)))
}

/// All that the arithmetic adds to an explanation.
pub fn sentences(s: &Situation<'_>) -> String {
    let mut text = tensor(s);
    let Some(need) = s.need else { return text };
    match need.weights {
        Some(weights) if is_loading(s.stage) || s.is(FactKind::DeviceOccupied) => text += &while_loading(s, need, weights),
        Some(weights) => text += &when_loaded(s, need, weights),
        None => text += &of_open_format(s, need),
    }
    text
}

/// Which tensor was refused.
fn tensor(s: &Situation<'_>) -> String {
    let guess = || s.need?.tensor(Bytes(s.figures.tried_bytes?), s.stage);
    guess().map_or(String::new(), |guess| format!(" By its size, what was refused is {guess}."))
}

fn while_loading(s: &Situation<'_>, need: &Need, weights: Figure) -> String {
    let Some(total) = total(&s.figures, need) else {
        return format!(" The weights take {}.", with_basis(weights, need));
    };
    let each = if need.plan.ranks() > 1 { format!(" on each of {} GPUs", need.plan.ranks()) } else { String::new() };
    let mut text = format!(" The weights take {}{each}", with_basis(weights, need));
    match need.beyond(total) {
        Some(beyond) => text += &format!(": {} more than the {} of the GPU, before any cache.", size(beyond.0), size(total.0)),
        None if need.fits_easily(total) && (s.is(FactKind::DeviceOccupied) || s.figures.other_processes_bytes.is_some_and(|others| others > 0)) => {
            text += &format!(" of {}: an empty GPU would hold them.", size(total.0));
        }
        None if need.fits_easily(total) => {
            text += &format!(" of {}: an empty GPU would hold them. Something else was on it, or loading held more than the weights.", size(total.0));
        }
        None => text += &format!(" of {}.", size(total.0)),
    }
    if let (true, Some((eight, four))) = (need.beyond(total).is_some(), need.quantized()) {
        text += &format!(" Quantized they would take about {} in 8 bit, {} in 4 bit (computed).", size(eight.0), size(four.0));
        let is_own = s.model.is_some_and(|name| name.starts_with(['/', '.', '~'])) || need.model.base.is_some();
        if is_own {
            text += " That is by the model's name. Its files are surer: if they take much less on disk than the weights above, they are quantized already, and the engine was not told.";
        }
    }
    text
}

fn when_loaded(s: &Situation<'_>, need: &Need, weights: Figure) -> String {
    let f = &s.figures;
    let mut text = String::new();
    if need.is_computed() {
        // With less in tensors than the weights take, they are not all there.
        let surely = weights.bytes.saturating_sub(weights.margin * 3);
        if let Some(allocated) = f.allocated_bytes.filter(|&allocated| surely > Bytes(allocated)) {
            return format!(
                " The weights would take {}, more than the {} in tensors: they were not all on this GPU, or in fewer bits than the log says.",
                with_basis(weights, need),
                size(allocated)
            );
        }
        text += &format!(" The weights take {}", with_basis(weights, need));
        match (f.allocated_bytes.and_then(|allocated| allocated.checked_sub(weights.bytes.0)), f.total_bytes) {
            (Some(rest), _) => text += &format!("; the other {} in tensors are cache, activations and workspace.", size(rest)),
            (None, Some(total)) => text += &format!(" of {}.", size(total)),
            (None, None) => text += ".",
        }
    }
    text + &share(s, need, weights) + &whole(s, need)
}

/// A share that is too small for the weights on a device that is not.
fn share(s: &Situation<'_>, need: &Need, weights: Figure) -> String {
    let f = &s.figures;
    let (Some(fraction), Some(total)) = (f.gpu_memory_utilization, f.total_bytes.map(Bytes)) else { return String::new() };
    let share = total.fraction(fraction);
    let too_small = weights.bytes.saturating_sub(weights.margin * 3) > share && need.fits_easily(total);
    if !too_small {
        return String::new();
    }
    format!(
        " The engine's share is {} ({:.0} % of {}): the weights do not fit the share, but they fit the GPU.",
        size(share.0),
        fraction * 100.0,
        size(total.0)
    )
}

/// What vLLM's share has beyond all that the server itself takes, where it found nothing left of it all the same.
pub fn unaccounted(s: &Situation<'_>) -> Option<(Bytes, Bytes)> {
    let estimate = s.need?.estimate.as_ref().filter(|estimate| estimate.plan.engine == Engine::Vllm)?;
    s.figures.kv_available_bytes.filter(|&bytes| bytes <= 0)?;
    let margins = estimate.weights.margin + estimate.activation?.margin;
    let certain = estimate.fixed() + margins * 3 + Bytes::gib(2) < estimate.limit;
    (certain && s.figures.total_bytes.is_some()).then(|| (estimate.fixed(), estimate.limit))
}

/// What the whole setup needs, if that certainly exceeds what the engine may take.
fn whole(s: &Situation<'_>, need: &Need) -> String {
    let Some(estimate) = &need.estimate else { return String::new() };
    let at_start = matches!(s.stage, Some(Stage::Profile | Stage::KvCache)) && s.figures.kv_needed_bytes.is_none();
    let (Some(cache), Some(activation)) = (estimate.needed_cache, estimate.activation) else { return String::new() };
    if !at_start || need.is_by_name() || estimate.verdict != Fit::Exceeds || estimate.probability.is_none_or(|p| p > 0.05) {
        return String::new();
    }
    let sum = estimate.fixed() + cache.bytes;
    let Some(beyond) = sum.checked_sub(estimate.limit) else { return String::new() };
    format!(
        " As it was set up it needs about {}: weights {}, a cache for {} tokens {}, activations {}, the rest {} (computed as far as the log does not say); it may take {}: {} short.",
        size(sum.0),
        size(estimate.weights.bytes.0),
        super::thousands(estimate.needed_tokens),
        size(cache.bytes.0),
        size(activation.bytes.0),
        size(estimate.overhead().0),
        size(estimate.limit.0),
        size(beyond.0)
    )
}

/// A library was not seen to say how it loads: what each way takes is arithmetic all the same.
fn of_open_format(s: &Situation<'_>, need: &Need) -> String {
    // A device beyond the first means several, which may share the model.
    let shares = s.figures.device.is_some_and(|device| device > 0) || s.has_several_ranks();
    let Some((eight, four)) = need.quantized().filter(|_| !need.is_by_name() && !shares) else { return String::new() };
    let sixteen = need.computed();
    let mut text = format!(
        " All its {} parameters take {} in 16 bit, {} in 8, {} in 4 (computed)",
        super::thousands(need.model.parameters),
        size(sixteen.0),
        size(eight.0),
        size(four.0),
    );
    // Half a GiB less than the smallest is no rounding. Where loading was refused memory, the rest was still to come.
    let is_underway = is_loading(s.stage) && s.is(FactKind::OutOfMemory);
    let is_short = |allocated: &u64| !is_underway && Bytes(*allocated) + Bytes::mib(512) < four;
    if let Some(allocated) = s.figures.allocated_bytes.filter(is_short) {
        return format!("{text}; only {} were in tensors: most likely not all of it was on this GPU.", size(allocated));
    }
    let Some(total) = total(&s.figures, need).filter(|&total| sixteen > total) else { return String::new() };
    text += &format!(", and the GPU has {}: ", size(total.0));
    text += &match (eight < total, four < total) {
        (true, _) => "16 bit does not fit.".to_owned(),
        (false, true) => format!("only 4 bit fits, and leaves {} for everything else.", size(total.saturating_sub(four).0)),
        (false, false) => "none of them fits.".to_owned(),
    };
    text
}
