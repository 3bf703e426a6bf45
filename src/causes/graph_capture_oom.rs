//! `graph-capture-oom`.

use super::*;

/// CUDA graphs or compilation do not fit.
pub const CAUSE: Cause = Cause {
    id: "graph-capture-oom",
    family: "device-memory",
    title: "CUDA graphs or compilation do not fit",
    kinds: &[FactKind::CaptureFailed],
    phase: Some(Phase::GraphCapture),
    doc: "\
Memory ran out while CUDA graphs were captured or kernels were compiled or tuned.

**Recognised by** the engine's own words (SGLang: `Capture cuda graph failed`; TGI: `Decode cuda graph warmup failed`, which it
logs and goes on without graphs), or by an out-of-memory message whose traceback is in the capture, the compiler or the
autotuner (`capture_model`, `torch.cuda.graph`, `do_bench`), or that follows the mark that capturing began.

**Fixed by** fewer or smaller graphs, by none (vLLM: `--enforce-eager`; TGI: `--cuda-graphs 0`), or by a smaller share for the
cache, which is taken before the graphs.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::CaptureFailed) {
        return Claim::new(stated(s), "the engine says that graph capture failed for memory");
    }
    memory_at(s, &[Stage::Capture], "memory ran out while CUDA graphs were captured or kernels compiled")
}

fn headline(s: &Situation<'_>) -> String {
    let lead = format!("Not enough memory left to capture CUDA graphs{}", on_device(s));
    match refusal_and_deficit(s) {
        Some(refusal) => format!("{lead}: {refusal}"),
        None => lead,
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let text = "The weights are in, and the cache if it was allocated before; the graphs, or the compiler's trial runs, come on top of them.";
    text.to_owned() + &held(s)
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let (none, share) = match s.engine {
        Some("tgi") => ("Switch graphs off (`--cuda-graphs 0`) or capture fewer sizes", "Lower `--cuda-memory-fraction`"),
        Some("sglang") => ("Capture fewer sizes (`--cuda-graph-max-bs`), or none (`--disable-cuda-graph`)", "Lower `--mem-fraction-static`"),
        _ => ("Run without graphs (`--enforce-eager`), or capture fewer sizes", "Lower `--gpu-memory-utilization`"),
    };
    vec![
        advice("fewer-graphs", none, "Each captured size keeps its memory.", "Decoding is slower."),
        advice("smaller-share", share, "The cache is taken before the graphs; a smaller one leaves room for them.", "Less key-value cache."),
    ]
}
