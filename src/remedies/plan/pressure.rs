//! Memory that ran out beside a cache that the engine had sized before: at a peak of requests, in the sampler, while
//! graphs were captured. What was missing stands in the message, so that no model has to be known.

use super::memory::{SURE, USEFUL};
use super::{Occasion, Plan, Words, sentence};
use crate::facts::FactKind;
use crate::memory::Bytes;
use crate::memory::estimate::Engine;
use crate::memory::estimate::engine::Version;
use crate::post_mortem::{Fit, Phase, Remedy};

/// What a share is lowered by where the message does not say what was missing.
const STEP: f64 = 0.05;

/// What makes a remedy, if it would help.
type Make = fn(&Occasion<'_>, Engine, Option<&Refusal>) -> Option<Remedy>;

/// What a refusal says.
struct Refusal {
    tried: Bytes,
    free: Bytes,
    total: Bytes,
    /// How much more the step, or the next one, may take: nobody prints it.
    margin: Bytes,
}

impl Refusal {
    fn of(occasion: &Occasion<'_>) -> Option<Refusal> {
        let f = &occasion.situation.figures;
        let (tried, free, total) = (Bytes(f.tried_bytes?), Bytes(f.free_bytes?), Bytes(f.total_bytes?));
        // At the start each step is the same in every run; requests have other peaks.
        let margin = match occasion.situation.phase() {
            Some(Phase::Serve) => tried.max(total.fraction(0.02)),
            _ => tried.scaled(0.5).max(total.fraction(0.015)),
        };
        (free <= total && tried < total).then_some(Refusal { tried, free, total, margin })
    }

    /// What has to be freed for the step to go on, nine times in ten.
    fn wanted(&self) -> Bytes {
        self.tried.saturating_sub(self.free) + self.margin.scaled(1.3)
    }

    /// The device once this much was freed.
    fn after(&self, freed: Bytes) -> Fit {
        super::fit(self.total.saturating_sub(self.free).saturating_sub(freed) + self.tried, self.total, self.margin)
    }
}

/// The plan; none where the cause is another, or the engine divides memory differently.
pub(super) fn plan(occasion: &Occasion<'_>) -> Option<Plan> {
    let engine = occasion.server()?;
    let serving = occasion.situation.phase() == Some(Phase::Serve);
    let moves: &[Make] = match occasion.cause {
        // TGI takes the cache first, whatever the rest needs: only the graphs themselves are to be had.
        "graph-capture-oom" if engine == Engine::Tgi => &[no_graphs],
        "graph-capture-oom" => &[share, fewer_graphs, no_graphs],
        // What a smaller prefill leaves goes to the cache: it helps where logits of prompts are asked for.
        "sampler-oom" if serving => &[sequences, share, prefill, no_graphs],
        "sampler-oom" => &[sequences, share, no_graphs],
        "inference-oom" => &[share, prefill, sequences, no_graphs],
        // SGLang's trial runs come after its pools as well.
        "prefill-oom" if serving || engine == Engine::Sglang => &[prefill, share, sequences, no_graphs],
        _ => return None,
    };
    let refusal = Refusal::of(occasion);
    let mut remedies: Vec<Remedy> = moves.iter().filter_map(|make| make(occasion, engine, refusal.as_ref())).collect();
    // What surely works comes first, as in the search.
    remedies.sort_by_key(|remedy| remedy.fit.is_none_or(|fit| fit.probability < SURE));
    let settled = vec!["smaller-share", "fewer-sequences", "fewer-prefill-tokens", "fewer-graphs", "smaller-batch", "release"];
    (!remedies.is_empty()).then_some(Plan { remedies, settled })
}

fn version(occasion: &Occasion<'_>) -> Option<Version> {
    occasion.version().and_then(Version::find)
}

/// A smaller share for the engine: what its cache does not take is there for the step.
fn share(occasion: &Occasion<'_>, engine: Engine, refusal: Option<&Refusal>) -> Option<Remedy> {
    let f = &occasion.situation.figures;
    let (flag, default) = match engine {
        Engine::Vllm if version(occasion).is_some_and(|version| version >= Version(0, 20, 0)) => ("--gpu-memory-utilization", Some(0.92)),
        Engine::Vllm => ("--gpu-memory-utilization", Some(0.9)),
        Engine::Sglang => ("--mem-fraction-static", None),
        Engine::Tgi | Engine::LlamaCpp => return None,
    };
    let printed = f.gpu_memory_utilization.or(occasion.deployment.gpu_memory_utilization);
    let now = occasion.value(flag).and_then(|value| value.parse::<f64>().ok()).or(printed).or(default)?;
    let less = refusal.map_or(STEP, |r| (r.wanted().0 as f64 / r.total.0.max(1) as f64 * 100.0).ceil() / 100.0).max(0.01);
    let to = ((now - less) * 100.0).floor() / 100.0;
    let freed = refusal.map(|r| r.total.fraction((now - to).clamp(0.0, 1.0)));
    // There must be a cache left to take it from.
    let cache = f.kv_available_bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(Bytes);
    if to < 0.3 || cache.zip(freed).is_some_and(|(cache, freed)| freed >= cache.scaled(0.8)) {
        return None;
    }
    let value = format!("{to:.2}");
    let mut changes = vec![(flag, value.as_str())];
    let mut title = format!("Leave more of the device free ({flag} {value})");
    let mut price = "Less key-value cache: fewer requests at a time.";
    // One context must fit into what is left.
    let left = f.kv_tokens.zip(cache).zip(freed).map(|((tokens, cache), freed)| {
        u64::try_from(u128::from(tokens) * u128::from(cache.saturating_sub(freed).0) / u128::from(cache.0.max(1))).unwrap_or(tokens)
    });
    let length = left.filter(|left| engine == Engine::Vllm && f.max_model_len.is_some_and(|length| *left < length)).map(|left| left / 256 * 256);
    let text;
    if let Some(length) = length {
        if length < USEFUL {
            return None;
        }
        text = length.to_string();
        changes.push(("--max-model-len", &text));
        title += &format!(", and limit the context to {length} tokens");
        price = "Less key-value cache; longer prompts and answers are refused.";
    }
    let fit = refusal.zip(freed).map(|(refusal, freed)| refusal.after(freed));
    make(occasion, "smaller-share", title, price, &changes, fit)
}

/// Fewer sequences at a time.
fn sequences(occasion: &Occasion<'_>, engine: Engine, refusal: Option<&Refusal>) -> Option<Remedy> {
    let fact = occasion.situation.fact;
    let warmed_up = fact.number("count").filter(|_| fact.kind == FactKind::SamplerTooLarge).and_then(|n| u64::try_from(n).ok());
    let (flag, now) = match engine {
        Engine::Vllm => ("--max-num-seqs", occasion.number("--max-num-seqs").or(warmed_up).unwrap_or(256)),
        Engine::Sglang => ("--max-running-requests", occasion.number("--max-running-requests").unwrap_or(64)),
        Engine::Tgi | Engine::LlamaCpp => return None,
    };
    // What the sampler was refused is so much for each sequence.
    let refusal = refusal.filter(|_| occasion.cause == "sampler-oom");
    let (to, fit) = enough([4, 16, 64].map(|part| (now / part).max(1)), now, refusal)?;
    let title = format!("Run at most {to} sequences at a time ({flag} {to})");
    let value = to.to_string();
    make(occasion, "fewer-sequences", title, "Less throughput under load.", &[(flag, &value)], fit)
}

/// The first of these steps down from what there is that is likely to be enough, if what was refused shrinks with it; the
/// first of all where nobody can tell.
fn enough(steps: [u64; 3], now: u64, refusal: Option<&Refusal>) -> Option<(u64, Option<Fit>)> {
    let mut steps = steps.into_iter().filter(|to| *to < now);
    let Some(refusal) = refusal else { return Some((steps.next()?, None)) };
    let fit = |to: u64| refusal.after(refusal.tried.scaled(1.0 - to as f64 / now as f64));
    steps.map(|to| (to, fit(to))).find(|(_, fit)| fit.probability >= 0.5).map(|(to, fit)| (to, Some(fit)))
}

/// Fewer tokens in a prefill step.
fn prefill(occasion: &Occasion<'_>, engine: Engine, refusal: Option<&Refusal>) -> Option<Remedy> {
    let printed = occasion.situation.figures.prefill_tokens.filter(|_| engine == Engine::Tgi);
    let flag = match engine {
        // Before its second engine, vLLM wants a whole prompt in a batch.
        Engine::Vllm if version(occasion).is_none_or(|version| version < Version(0, 8, 5)) => return None,
        Engine::Vllm => "--max-num-batched-tokens",
        Engine::Sglang => "--chunked-prefill-size",
        Engine::Tgi => "--max-batch-prefill-tokens",
        Engine::LlamaCpp => return None,
    };
    let default = match engine {
        Engine::Tgi => 4096,
        Engine::Sglang => 8192,
        _ => 2048,
    };
    let now = occasion.number(flag).or(printed).unwrap_or(default);
    let least = if engine == Engine::Vllm { occasion.number("--max-num-seqs").unwrap_or(256).max(512) } else { 512 };
    // What was refused to a prefill grows with its tokens.
    let refusal = refusal.filter(|_| occasion.cause == "prefill-oom");
    let (to, fit) = enough([2, 4, 8].map(|part| (now / part).max(least)), now, refusal)?;
    let text = to.to_string();
    let input;
    let mut changes = vec![(flag, text.as_str())];
    // TGI before 3.0 splits no prompt.
    let whole = engine == Engine::Tgi && version(occasion).is_none_or(|version| version < Version(3, 0, 0));
    if whole {
        let own = occasion.number("--max-input-tokens").or_else(|| occasion.number("--max-input-length"));
        let total = occasion.number("--max-total-tokens").unwrap_or(4096);
        input = own.unwrap_or(to).min(to).min(total.saturating_sub(1)).to_string();
        changes.push(("--max-input-tokens", &input));
    }
    let price = if whole { "Longer prompts are refused." } else { "Long prompts take more steps." };
    make(occasion, "fewer-prefill-tokens", format!("Prefill at most {to} tokens at a time ({flag} {to})"), price, &changes, fit)
}

/// Graphs of fewer sizes: they are captured up to the largest batch that is to run.
fn fewer_graphs(occasion: &Occasion<'_>, engine: Engine, refusal: Option<&Refusal>) -> Option<Remedy> {
    if occasion.is_eager() {
        return None;
    }
    match engine {
        Engine::Sglang => {
            let to = occasion.number("--cuda-graph-max-bs").map_or(16, |now| (now / 4).max(1)).to_string();
            let title = format!("Capture graphs for batches up to {to} only (--cuda-graph-max-bs {to})");
            make(occasion, "fewer-graphs", title, "Larger batches decode more slowly.", &[("--cuda-graph-max-bs", &to)], None)
        }
        _ => sequences(occasion, engine, refusal),
    }
}

/// No graphs.
fn no_graphs(occasion: &Occasion<'_>, engine: Engine, refusal: Option<&Refusal>) -> Option<Remedy> {
    let (flag, value) = match engine {
        Engine::Vllm => ("--enforce-eager", "true"),
        Engine::Sglang => ("--disable-cuda-graph", "true"),
        Engine::Tgi => ("--cuda-graphs", "0"),
        Engine::LlamaCpp => return None,
    };
    if occasion.is_eager() {
        return None;
    }
    let f = &occasion.situation.figures;
    let graphs = f.graph_bytes.or(f.private_pools_bytes).map(Bytes);
    let fit = match occasion.cause {
        // What was refused was for a graph.
        "graph-capture-oom" => refusal.map(|refusal| refusal.after(graphs.unwrap_or_default() + refusal.tried)),
        _ => refusal.zip(graphs).map(|(refusal, graphs)| refusal.after(graphs)),
    };
    if fit.is_some_and(|fit| fit.probability < 0.5) {
        return None;
    }
    let price = "Decoding is slower, most of all with few requests at a time.";
    make(occasion, "no-graphs", format!("Run without CUDA graphs ({flag})"), price, &[(flag, value)], fit)
}

fn make(
    occasion: &Occasion<'_>,
    id: &'static str,
    title: String,
    tradeoff: &'static str,
    changes: &[(&str, &str)],
    fit: Option<Fit>,
) -> Option<Remedy> {
    let why = match &fit {
        Some(fit) => format!("{} That is for the step that failed; a larger one needs more.", sentence(fit)),
        None => "Memory ran out beside what the engine had sized its cache for; this leaves room for the peak.".to_owned(),
    };
    let words = Words { id, title, rationale: why, tradeoff };
    let mut remedy = occasion.changed(words, changes, &occasion.circumstances(None, None))?;
    remedy.fit = fit;
    Some(remedy)
}
