//! `nan-logits`.

use super::*;

/// Values are not finite.
pub const CAUSE: Cause = Cause {
    id: "nan-logits",
    family: "numbers",
    title: "Values are not finite",
    kinds: &[FactKind::NonFinite],
    phase: Some(Phase::Serve),
    doc: "\
Values that are not finite reached sampling or the loss: inf, nan or negative probabilities.

**Recognised by** ``probability tensor contains either `inf`, `nan` or element < 0`` (the device-side assert that follows is a symptom),
losses that are nan, and engines' own checks.

**Fixed by** a data type with more range (bfloat16 or float32 instead of float16), another quantization or attention kernel,
sane sampling parameters, checked weights; in training a lower learning rate and clipped gradients.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::NonFinite, "values were not finite")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(s: &Situation<'_>) -> String {
    let mostly = if is_ggml(s) { "" } else { "by overflow of float16, " };
    format!("The forward pass produced inf or nan, mostly {mostly}by a broken quantization, or by bad weights.")
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if is_ggml(s) {
        return vec![
            advice("other-file", "Take another file of the model, or another quantization of it", "A damaged file or a quantization too coarse gives values that are no numbers.", "Storage."),
            advice("other-kernel", "Switch flash attention off (`-fa off`; for Ollama `OLLAMA_FLASH_ATTENTION=0`)", "Some combinations overflow.", "Memory and speed."),
            advice("other-device", "Run it once on the CPU alone (`-ngl 0`, `num_gpu` 0)", "Where it then works, the device's kernels are at fault: another version may have them repaired.", "Speed; for diagnosis only."),
        ];
    }
    vec![
        advice("more-range", "Use bfloat16 where the card has it, else float32", "float16 ends at 65,504; models trained in bfloat16 exceed it.", "Memory and speed for float32."),
        advice("other-kernel", "Try another attention implementation or quantization", "Some combinations overflow.", "Speed."),
        advice("check-weights", "Load the weights unquantized once and look for nan in them", "A damaged file is not repaired by settings.", "Time."),
    ]
}
