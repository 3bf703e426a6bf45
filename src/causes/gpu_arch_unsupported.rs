//! `gpu-arch-unsupported`.

use super::*;

/// No code for this GPU.
pub const CAUSE: Cause = Cause {
    id: "gpu-arch-unsupported",
    family: "platform",
    title: "No code for this GPU",
    kinds: &[FactKind::GpuArch],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("No code for this GPU").to_owned(),
    explanation: |_| "No code for this GPU.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::GpuArch, "no code for this gpu")
}
