//! Memory causes: the space of changes, searched with the estimator.
//!
//! Moves are tried alone and in pairs, each with the longest context that it leaves room for, if it needs that. Of those
//! that fit, the ones that lose least are taken, each with a set of moves that none before it is a part of.

use super::ground::Ground;
use super::moves::{Move, context, is_before_three, is_of_weights, moves, room_beside};
use super::{Occasion, Plan, Words, capital, elsewhere, sentence};
use crate::causes::advice;
use crate::memory::Bytes;
use crate::memory::estimate::{Engine, Estimate, Setup, check};
use crate::post_mortem::{Fit, Remedy};

/// Planned remedies of an incident at most.
const PLANNED: usize = 4;
/// A context below this is of little use to anyone.
pub(super) const USEFUL: u64 = 2048;
/// Devices that one may have without the log showing them.
const SEVERAL: u64 = 4;
/// What is lost where weights have to be quantized.
const MUCH: u32 = 3;
/// What counts as sure.
pub(super) const SURE: f64 = 0.9;

/// Ids of words that the search decides about.
const SETTLED: [&str; 12] = [
    "more-devices",
    "quantize",
    "smaller-model",
    "split",
    "shorter-context",
    "larger-share",
    "smaller-cache",
    "fewer-prefill-tokens",
    "bigger-device",
    "fewer-sequences",
    "smaller-share",
    "fewer-graphs",
];

/// A combination that fits.
struct Found {
    moves: Vec<Move>,
    estimate: Estimate,
    probability: f64,
    loss: u32,
}

impl Found {
    fn ids(&self) -> Vec<&'static str> {
        self.moves.iter().map(|m| m.id).collect()
    }

    fn ranks(&self) -> u64 {
        self.estimate.plan.ranks()
    }
}

/// The plan for memory that ran out before the server came up. None where too little is known.
pub(super) fn plan(occasion: &Occasion<'_>) -> Option<Plan> {
    if !matches!(occasion.cause, "weight-oom" | "prefill-oom" | "kv-cache-oom") {
        return None;
    }
    let ground = Ground::of(occasion).filter(|ground| ground.engine != Engine::Sglang || occasion.cause != "prefill-oom")?;
    // Weights that have room are others than the ones that failed.
    if occasion.cause == "weight-oom" && ground.now.weights.bytes + Bytes::gib(1) < ground.device.total {
        let remedies = elsewhere::as_last_run(occasion, &ground).or_else(|| elsewhere::cast_while_loading(occasion, &ground));
        return remedies.map(|remedies| Plan { remedies, settled: vec!["quantize", "split"] });
    }
    let found = search(occasion, &ground);
    let mut remedies = Vec::new();
    let mut taken: Vec<(Vec<&str>, u64)> = Vec::new();
    let (many, few): (Vec<&Found>, Vec<&Found>) = found.iter().partition(|one| one.ranks() > ground.devices.max(SEVERAL));
    for one in few {
        let (ids, length) = (one.ids(), one.estimate.plan.length);
        // More moves than one before, for nothing that is worth it.
        let is_more = |(before, shorter): &(Vec<&str>, u64)| before.iter().all(|id| ids.contains(id)) && length * 3 < *shorter * 4;
        // The last place is for one that keeps weights and devices as they are, if only just.
        let keeps = |ids: &[&str]| !ids.iter().any(|id| is_of_weights(id));
        let is_kept_free = remedies.len() + 1 == PLANNED && !taken.iter().any(|(ids, _)| keeps(ids)) && found.iter().any(|one| keeps(&one.ids()));
        if taken.iter().any(is_more) || is_kept_free && !keeps(&ids) {
            continue;
        }
        if let Some(remedy) = remedy(occasion, &ground, one) {
            taken.push((ids, length));
            remedies.push(remedy);
        }
        if remedies.len() == PLANNED {
            break;
        }
    }
    remedies.extend(elsewhere::sibling(occasion, &ground));
    // Only where much has to change is another engine worth its trouble.
    if found.first().is_none_or(|best| best.loss >= MUCH) {
        remedies.extend(elsewhere::other_engine(occasion, &ground));
    }
    let helps_here = remedies.iter().any(|remedy| remedy.command.is_some() && remedy.fit.as_ref().is_some_and(|fit| fit.probability >= SURE));
    remedies.extend(elsewhere::stored_in_four_bits(occasion, &ground));
    if !helps_here {
        remedies.push(elsewhere::bigger_device(&ground));
    }
    if remedies.len() < PLANNED {
        remedies.extend(many.first().and_then(|one| remedy(occasion, &ground, one)));
    }
    Some(Plan { remedies, settled: SETTLED.to_vec() })
}

/// What the setup needs of a device that nobody else uses, if it fits.
pub(super) fn alone(occasion: &Occasion<'_>) -> Option<Fit> {
    let ground = Ground::of(occasion)?;
    Some(fit_of(&ground.now, ground.now.probability.filter(|p| *p >= 0.5)?))
}

fn search(occasion: &Occasion<'_>, ground: &Ground) -> Vec<Found> {
    let moves = moves(occasion, ground);
    let mut found = Vec::new();
    for (at, one) in moves.iter().enumerate() {
        found.extend(attempt(ground, vec![one.clone()]));
        for other in moves.get(at + 1..).unwrap_or_default() {
            if go_together(one, other) {
                found.extend(attempt(ground, vec![one.clone(), other.clone()]));
            }
        }
    }
    found.extend(attempt(ground, Vec::new()));
    // Those that surely work, by what they lose; then those that may.
    found.sort_by(|a, b| {
        let key = |f: &Found| (f.probability < SURE, f.loss, f.moves.len());
        key(a).cmp(&key(b)).then(b.probability.total_cmp(&a.probability))
    });
    found
}

/// Whether two moves are worth trying at once.
fn go_together(one: &Move, other: &Move) -> bool {
    let has = |id: &str| one.id == id || other.id == id;
    let quantize = |m: &Move| m.id.starts_with("quanti");
    let alone =
        has("cpu-offload") || has("quantized-checkpoint") && !has("split") || has("no-graphs") && !has("larger-share") && !has("fewer-sequences");
    let clash = quantize(one) && quantize(other) || has("split") && has("fewer-sequences") || has("split") && has("pipeline");
    one.id != other.id && !alone && !clash
}

/// The setup after these moves, if it fits: as it is, or with the longest context that then surely does.
fn attempt(ground: &Ground, mut moves: Vec<Move>) -> Option<Found> {
    let mut setup = ground.setup.clone();
    for one in &moves {
        (one.apply)(&mut setup, one.value);
    }
    // Nothing but fewer bytes of weights helps weights.
    if ground.weights_fail && !moves.iter().any(|m| is_of_weights(m.id)) {
        return None;
    }
    // A share that leaves no room for what lies beside it fails whatever else is changed.
    if let Some(less) = room_beside(ground, &setup).filter(|_| !moves.is_empty()) {
        (less.apply)(&mut setup, less.value);
        moves.push(less);
    }
    let probable = |setup: &Setup| ground.estimate(setup).probability.unwrap_or(0.0);
    let loss = moves.iter().map(|m| m.loss).sum();
    // What is called impossible though it ran is known wrongly.
    let ran = check(&ground.model, &ground.device, &ground.now.plan).is_err();
    let possible = |e: &Estimate| ran || check(&ground.model, &ground.device, &e.plan).is_ok();
    let estimate = ground.estimate(&setup);
    if !possible(&estimate) {
        return None;
    }
    let probability = estimate.probability?;
    if probability >= SURE && !moves.is_empty() {
        return Some(Found { moves, estimate, probability, loss });
    }
    // Two moves and a context are more than a remedy should ask for, unless nothing else is left.
    let fits = |least: u64, enough: f64| longest(least, estimate.plan.length, |length| probable(&shorter(ground, &setup, length)) >= enough);
    // By itself, what is more likely than not is worth a try too: nothing else is lost by it. TGI's prefill is as long.
    let least = if ground.engine == Engine::Tgi { USEFUL / 2 } else { USEFUL };
    let length = fits(least, SURE).or_else(|| moves.is_empty().then(|| fits(least / 2, 0.5)).flatten());
    if let Some(length) = length {
        let estimate = ground.estimate(&shorter(ground, &setup, length));
        let times = (ground.now.plan.length as f64 / length.max(1) as f64).log2().ceil().clamp(1.0, 6.0);
        let mut moves = moves;
        moves.push(context(ground, length, estimate.plan.batch));
        let probability = estimate.probability?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let loss = loss + times as u32;
        return Some(Found { moves, estimate, probability, loss });
    }
    (probability >= 0.5 && !moves.is_empty()).then_some(Found { moves, estimate, probability, loss })
}

/// The setup with a shorter context, and with TGI a prefill that is no longer than that. Where it splits no prompt, the
/// warm-up runs as many of the longest prompts as the prefill holds: one, if it is as long as they are.
fn shorter(ground: &Ground, setup: &Setup, length: u64) -> Setup {
    let now = setup.max_num_batched_tokens.unwrap_or(ground.now.plan.batch);
    let batch = match ground.engine {
        Engine::Tgi if is_before_three(ground) => Some(now.min(prompt_of(length))),
        Engine::Tgi => Some(now.min(length)),
        _ => setup.max_num_batched_tokens,
    };
    Setup { max_model_len: Some(length), max_num_batched_tokens: batch, ..setup.clone() }
}

/// Tokens of a prompt, with room left for a quarter as an answer.
fn prompt_of(length: u64) -> u64 {
    length - length / 4
}

/// The longest context from `least` on and below the present one for which `enough` holds, in round numbers.
fn longest(least: u64, now: u64, enough: impl Fn(u64) -> bool) -> Option<u64> {
    if now <= least || !enough(least) {
        return None;
    }
    let (mut good, mut bad) = (least, now);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if enough(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    let step = if good >= 16384 { 1024 } else { 256 };
    Some(good / step * step)
}

/// The remedy of a combination; none if the engine would refuse it.
fn remedy(occasion: &Occasion<'_>, ground: &Ground, found: &Found) -> Option<Remedy> {
    let fit = fit_of(&found.estimate, found.probability);
    let mut words: Vec<String> = found.moves.iter().map(|m| m.words.clone()).collect();
    if let Some(first) = words.first_mut() {
        *first = capital(first);
    }
    let missing = if ground.version.is_none() { " The log names no version: the flags are those of all recent ones." } else { "" };
    let rationale = format!("{}{missing}", sentence(&fit));
    let price = found.moves.iter().max_by_key(|m| m.loss).map_or("", |m| m.price);
    let price = match found.moves.iter().any(|m| m.id == "shorter-context") && found.moves.len() > 1 {
        true if price.is_empty() => "Longer prompts and answers are refused.",
        _ => price,
    };
    let id = found.moves.first().map_or("none", |m| m.id);
    let told = Words { id, title: words.join(", and "), rationale, tradeoff: price };
    let of_checkpoint = found.moves.iter().any(|m| m.flags.is_empty());
    let mut flags: Vec<(&str, &str)> = Vec::new();
    for (flag, value) in found.moves.iter().flat_map(|m| &m.flags) {
        // A later move sets what an earlier one took as it was.
        flags.retain(|(other, _)| other != flag);
        flags.push((flag, value));
    }
    let input;
    if ground.engine == Engine::Tgi && flags.iter().any(|(flag, _)| *flag == "--max-total-tokens") {
        input = tgi_input(occasion, ground, found, &flags);
        if let Some(input) = &input {
            flags.retain(|(flag, _)| *flag != "--max-input-tokens");
            flags.push(("--max-input-tokens", input));
        }
    }
    let mut remedy = if flags.is_empty() {
        advice(told.id, told.title, told.rationale, told.tradeoff)
    } else {
        occasion.changed(told, &flags, &ground.circumstances)?
    };
    let ranks = found.estimate.plan.tensor_parallel;
    if of_checkpoint || ranks > ground.devices.max(ground.setup.tensor_parallel) {
        // Nobody knows the checkpoint's name, or that the devices are there.
        remedy.command = None;
    }
    remedy.id = found.ids().join("-and-");
    remedy.fit = Some(fit);
    Some(remedy)
}

/// TGI checks prompt, total and prefill against one another.
fn tgi_input(occasion: &Occasion<'_>, ground: &Ground, found: &Found, flags: &[(&str, &str)]) -> Option<String> {
    let total = found.estimate.plan.length;
    let own = occasion.number("--max-input-tokens").or_else(|| occasion.number("--max-input-length"));
    let set = flags.iter().find(|(flag, _)| *flag == "--max-input-tokens").and_then(|(_, value)| value.parse::<u64>().ok());
    let most = if is_before_three(ground) { found.estimate.plan.batch } else { u64::MAX };
    // Room for an answer is left, a quarter where nothing was asked for.
    let wanted = set.or(own).unwrap_or(total);
    let input = if wanted >= total { prompt_of(total) } else { wanted }.min(most).min(total.saturating_sub(1));
    (own != Some(input)).then(|| input.to_string())
}

pub(super) fn fit_of(e: &Estimate, probability: f64) -> Fit {
    let needed = e.fixed() + e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes);
    Fit {
        verdict: e.verdict.as_str(),
        predicted_bytes: needed.0,
        // SGLang's share is of weights and cache alone.
        limit_bytes: if e.plan.engine == Engine::Sglang { e.total.0 } else { e.limit.0 },
        // No estimate is certain.
        probability: (probability.clamp(0.0, 0.99) * 100.0).round() / 100.0,
    }
}
