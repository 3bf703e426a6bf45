//! `gpu-arch-unsupported`.

use super::*;

/// No code for this GPU.
pub const CAUSE: Cause = Cause {
    id: "gpu-arch-unsupported",
    family: "platform",
    title: "No code for this GPU",
    kinds: &[FactKind::GpuArch],
    phase: Some(Phase::Load),
    doc: "\
The binary or a kernel has no code for this GPU: no kernel image, PTX of a newer compiler, a compute capability that is too low.

**Recognised by** `no kernel image is available for execution on the device`, `the provided PTX was compiled with an unsupported
toolchain`, `is not compatible with the current PyTorch installation`, kernels' minimum capabilities.

**Fixed by** a build for this card's generation (a newer PyTorch or image for new cards, an older one for old cards), or by a
kernel that runs on it.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    // A kernel that the log has said this GPU cannot run is not missing: it was left out.
    if s.is(FactKind::Dependency) && s.fact.word("scope") == Some("kernel") && s.hinted(FactKind::GpuArch) {
        return Claim::new(stated(s), "the kernel that is asked for does not run on this GPU");
    }
    direct(s, FactKind::GpuArch, "there is no code for this GPU")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "The program was compiled for other generations of GPUs than this one.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("matching-build", "Use a build that names this card's compute capability", "Each build has code for a list of generations.", "Another version."),
        advice("other-kernel", "Choose an attention or quantization kernel that supports the card", "Some need Ampere, Ada or Hopper.", "Speed."),
    ]
}
