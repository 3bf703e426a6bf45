//! `quantized-offload-refused`.

use super::*;

/// Quantized modules cannot be offloaded.
pub const CAUSE: Cause = Cause {
    id: "quantized-offload-refused",
    family: "placement-and-offload",
    title: "Quantized modules cannot be offloaded",
    kinds: &[FactKind::OffloadRefused],
    phase: Some(Phase::Load),
    doc: "\
A quantizer refused a device map that puts modules on the CPU or the disk: the model, even quantized, did not fit into what the
map could use on the device.

**Recognised by** `Some modules are dispatched on the CPU or the disk. Make sure you have enough GPU RAM to fit the quantized model`
and its kin for AWQ, EETQ, FP8 and GGUF.

**Fixed by** making it fit: 4 instead of 8 bits, a smaller model, more of the device (`max_memory`), other processes off it; or by
an explicit `device_map` with `llm_int8_enable_fp32_cpu_offload=True`, which keeps what is on the CPU in 32 bits and is slow.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::OffloadRefused, "the quantizer refused modules on the CPU or disk")
}

/// Who refused: bitsandbytes, something else than a quantizer, or another quantizer, which bitsandbytes has no settings for.
fn quantizer<'s>(s: &'s Situation<'_>) -> Option<&'s str> {
    s.fact.word("quantizer")
}

fn headline(s: &Situation<'_>) -> String {
    match quantizer(s) {
        Some("none") => "Part of the model lies on the CPU or disk, where flash attention has no kernels".to_owned(),
        _ => "Even quantized, the model does not fit on the device, and the quantizer refuses to offload the rest".to_owned(),
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let what = if quantizer(s) == Some("none") { "flash attention" } else { "quantized modules" };
    format!("accelerate found that not all modules fit into the memory it may use, and put some on the CPU or disk; {what} cannot run there.")
        + &arithmetic::sentences(s)
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let more = advice("more-device", "Free the device of other processes, and raise `max_memory` for it", "The map is made from what is free when loading begins.", "None.");
    match quantizer(s) {
        Some("bitsandbytes") => vec![
            advice("fewer-bits", "Load it in 4 bits instead of 8", "Half the bytes may fit whole.", "Some quality."),
            more,
            advice("cpu-offload", "Give a `device_map` by hand and set `llm_int8_enable_fp32_cpu_offload=True`", "What is on the CPU then stays in 32 bits.", "Much slower; four times the RAM for those modules."),
        ],
        Some("none") => vec![
            more,
            advice("attention", "Leave flash attention out: attn_implementation sdpa", "That runs on the CPU as well.", "Some speed."),
        ],
        _ => vec![more],
    }
}
