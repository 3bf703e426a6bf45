//! `training-oom`.

use super::*;

/// Training ran out of device memory.
pub const CAUSE: Cause = Cause {
    id: "training-oom",
    family: "device-memory",
    title: "Training ran out of device memory",
    kinds: &[],
    phase: Some(Phase::Train),
    doc: "\
Memory ran out in a training step: forward of training, backward, optimizer state, gradient buffers.

**Recognised by** an out-of-memory message whose traceback is in the trainer, the backward pass or the optimizer
(`training_step`, `backward`, `optimizer.step`), or that follows the mark that training began.

**Fixed by** smaller batches with gradient accumulation, gradient checkpointing, shorter sequences, an 8-bit or paged
optimizer, LoRA or QLoRA instead of full weights, or sharding over devices (FSDP, ZeRO).",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if let Some(claim) = kept_for_backward(s) {
        return Some(claim);
    }
    memory_at(s, &[Stage::Train], "memory ran out in a training step")
}

fn headline(s: &Situation<'_>) -> String {
    let lead = format!("Device memory ran out in a training step{}", on_device(s));
    match refusal_and_deficit(s) {
        Some(refusal) => format!("{lead}: {refusal}"),
        None => lead,
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let text = "Training holds weights, gradients, optimizer state and the activations of the backward pass at once.";
    text.to_owned() + &held(s)
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("smaller-batch", "Halve the batch for each device and double gradient accumulation", "Activations grow with the batch; the effective batch stays.", "Some speed."),
        advice("checkpointing", "Switch gradient checkpointing on", "Activations are computed again instead of kept.", "About a third more time."),
        advice("lighter-optimizer", "Train adapters (LoRA, QLoRA), or use an 8-bit or paged optimizer", "Gradients and optimizer state are several times the weights.", "Some capacity of the fine-tune."),
    ]
}

/// Inference frees each layer's activations; a plain forward pass that holds several times the weights keeps them for
/// the backward pass.
fn kept_for_backward(s: &Situation<'_>) -> Option<Claim> {
    let plain_forward = s.is(FactKind::OutOfMemory) && !s.fact.stage_is_proven && matches!(s.engine, Some("transformers" | "pytorch"));
    let f = &s.figures;
    let (allocated, weights) = (f.allocated_bytes?, f.weights_bytes?);
    let several = weights > 0 && allocated / 3 >= weights && f.tried_bytes? < allocated;
    if plain_forward && several && s.at(&[Stage::Serve]) { Claim::new(0.87, "a forward pass held several times the weights") } else { None }
}
