//! `parallelism-config`.

use super::*;

/// Parallel sizes do not fit.
pub const CAUSE: Cause = Cause {
    id: "parallelism-config",
    family: "configuration",
    title: "Parallel sizes do not fit",
    kinds: &[FactKind::Parallelism],
    phase: Some(Phase::Load),
    doc: "\
Tensor, pipeline or data parallel sizes do not divide the model, or exceed the devices there are.

**Recognised by** `must be divisible by tensor parallel size`, `World size … is larger than the number of available GPUs`, TGI's
`` `sharded` is true but `num_shard` <= 1``, `invalid device ordinal` with more ranks than devices.

**Fixed by** a size that divides the attention heads (and, for quantized weights, leaves whole groups), and that the machine has
devices for; a container sees only those that it was given.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::DeviceMismatch) && s.fact.word("how") == Some("ordinal") && s.has_several_ranks() {
        // A rank asks for the device of its own number; there is none.
        return Claim::new(0.99, "a rank asked for a device that there is not");
    }
    direct(s, FactKind::Parallelism, "parallel sizes do not fit the model or the devices")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_s: &Situation<'_>) -> String {
    "The model's heads or layers cannot be split that way, or there are fewer devices than ranks.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("dividing-size", "Choose a tensor-parallel size that divides the attention heads and that there are devices for", "Each rank takes whole heads.", "Fewer devices are used."),
        advice("show-devices", "Check what the container sees: `nvidia-smi -L` inside it", "`--gpus`, `CUDA_VISIBLE_DEVICES` and the scheduler limit it.", "None."),
    ]
}
