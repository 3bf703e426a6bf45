//! `quantization-unsupported`.

use super::*;

/// The quantization does not match.
pub const CAUSE: Cause = Cause {
    id: "quantization-unsupported",
    family: "configuration",
    title: "The quantization does not match",
    kinds: &[FactKind::Quantization],
    phase: Some(Phase::Load),
    doc: "\
The quantization that was asked for does not match the checkpoint, the engine, the layer shapes or the GPU.

**Recognised by** the engines' refusals: an unknown method, a method that differs from the checkpoint's, a minimum compute
capability, shapes that do not align with groups or tiles, a load format that the method needs.

**Fixed by** leaving the flag out where the checkpoint says its method itself, by a checkpoint made for the method, by a format
that this card can run, or by a smaller tensor-parallel size where shards are no whole groups.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Quantization, "the quantization does not match")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "The quantization named in the flags, the one in the checkpoint and what this engine and card can run do not fit together.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("matching-checkpoint", "Take a checkpoint that was made for the method, and leave the flag to the engine", "Most engines read the method from the checkpoint.", "Another download."),
        advice("other-format", "Choose a format that this card's generation supports", "fp8 and Marlin kernels need newer cards; bitsandbytes and GPTQ run on older ones.", "Speed."),
    ]
}
