//! `cuda-unavailable`.

use super::*;

/// No usable GPU.
pub const CAUSE: Cause = Cause {
    id: "cuda-unavailable",
    family: "platform",
    title: "No usable GPU",
    kinds: &[FactKind::NoGpu],
    phase: Some(Phase::Load),
    doc: "\
No usable GPU or driver: none is visible, none is left to be scheduled on, the driver is too old, the container was started
without it, library and driver do not match.

**Recognised by** `Found no NVIDIA driver`, `No CUDA GPUs are available`, `Torch not compiled with CUDA enabled`, driver and runtime
version errors, Docker's `could not select device driver`, Kubernetes' `Insufficient nvidia.com/gpu`.

**Fixed by** giving the container the device (`--gpus all`, the container toolkit), a driver that is new enough for the image's
CUDA, a PyTorch build with CUDA, or a node that has one free.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::NoGpu, "no usable GPU was found")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "The process saw no device that it could use, though it needs one.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("give-device", "Start the container with the GPU (`--gpus all`) and check with `nvidia-smi` inside it", "Without the container toolkit a container sees none.", "None."),
        advice("match-driver", "Use a driver that is new enough for the image's CUDA, or an older image", "A driver runs CUDA versions up to its own.", "An upgrade of the host."),
    ]
}
