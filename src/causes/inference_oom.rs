//! `inference-oom`.

use super::*;

/// Inference ran out of device memory.
pub const CAUSE: Cause = Cause {
    id: "inference-oom",
    family: "device-memory",
    title: "Inference ran out of device memory",
    kinds: &[],
    phase: Some(Phase::Serve),
    doc: "\
Memory ran out in a forward or generate step at run time, and the log does not show that it was a prefill: growth while
decoding, a batch too large, image or audio pipelines, plain scripts.

**Recognised by** an out-of-memory message while requests are served or a script generates, outside loading, warm-up, cache
allocation, graph capture, sampling and training. Without a traceback and without marks the stage stays open, and so does
part of the confidence.

**Fixed by** smaller batches and shorter inputs or outputs, by releasing what earlier steps still hold (caches, gradients:
`torch.inference_mode()`), by weights that take less, or by more memory. Memory that climbs from request to request is a leak.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::OutOfMemory) && s.stage.is_none() {
        return Claim::new(0.6, "memory ran out, and the log does not show at what");
    }
    memory_at(s, &[Stage::Serve, Stage::Decode], "memory ran out in a forward or generate step")
}

fn headline(s: &Situation<'_>) -> String {
    let lead = format!("Device memory ran out{}{}", if s.stage.is_some() { " while the model was running" } else { "" }, on_device(s));
    match refusal_and_deficit(s) {
        Some(refusal) => format!("{lead}: {refusal}"),
        None => lead,
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let text = if s.stage.is_some() {
        "The model was loaded and running; a step of inference needed more than what was left."
    } else {
        "The log does not show what the process was at when memory ran out."
    };
    text.to_owned() + &held(s)
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if is_ggml(s) {
        return vec![
            advice("smaller-batch", "Lower the physical batch (`-ub`) and the context (`-c`, `num_ctx`)", "The compute buffer grows with both.", "Slower prompts, shorter contexts."),
            advice("fewer-layers", "Offload fewer layers to the device (`-ngl`, `num_gpu`)", "What stays on the CPU leaves room for buffers.", "Speed."),
            advice("quantize", "Take a GGUF file with fewer bits for each weight", "It leaves more for everything else.", "Some quality."),
        ];
    }
    vec![
        advice("smaller-batch", "Run smaller batches, shorter inputs, fewer new tokens", "Cache and activations grow with all three.", "Throughput."),
        advice("quantize", "Load the weights quantized", "It leaves more for everything else.", "Some quality."),
        advice("release", "Generate under `torch.inference_mode()` and drop caches and outputs between requests", "What earlier steps still hold is not free for the next.", "None."),
    ]
}
