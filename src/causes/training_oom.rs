//! `training-oom`.

use super::*;

/// Training ran out of device memory.
pub const CAUSE: Cause = Cause {
    id: "training-oom",
    family: "device-memory",
    title: "Training ran out of device memory",
    kinds: &[],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Training ran out of device memory").to_owned(),
    explanation: |_| "Training ran out of device memory.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    memory_at(s, &[Stage::Train], "memory ran out in a training step")
}
