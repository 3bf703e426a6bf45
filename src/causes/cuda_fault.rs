//! `cuda-fault`.

use super::*;

/// A GPU kernel faulted.
pub const CAUSE: Cause = Cause {
    id: "cuda-fault",
    family: "platform",
    title: "A GPU kernel faulted",
    kinds: &[FactKind::KernelFault],
    phase: Some(Phase::Serve),
    doc: "\
A kernel faulted: illegal memory access, device-side assert, launch failure, misaligned address.

**Recognised by** `CUDA error: an illegal memory access was encountered` and its kin, Xid 13, 31, 43 and 45, a device
that was lost to a reset (`ErrorDeviceLost`). The line that reports it is seldom the one that did it: kernels run asynchronously. Where
an assertion or out-of-memory stands before it, that is the cause.

**Fixed by** finding the kernel (`CUDA_LAUNCH_BLOCKING=1`, under ROCm `AMD_SERIALIZE_KERNEL=3`), by checking inputs against
vocabulary and context, by another attention or quantization kernel, and by reporting it where it is the engine's.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::KernelFault, "a kernel faulted")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(s: &Situation<'_>) -> String {
    if was_reset(s) {
        return "The driver took the device from the program: what was submitted to it hung or faulted, and it was reset.".to_owned();
    }
    "A kernel read or wrote where it must not, or failed a check. The traceback shows where it was noticed, not where it happened.".to_owned()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let other = advice("other-kernel", "Switch off what is special: custom kernels, graphs, quantization, one at a time", "What makes it go away names the kernel.", "Speed.");
    if was_reset(s) {
        // What was reset runs on an API that has no such variable.
        return vec![other];
    }
    let blocking = advice("blocking", "Run once with `CUDA_LAUNCH_BLOCKING=1`, under ROCm with `AMD_SERIALIZE_KERNEL=3`, and read the traceback again", "Each kernel is then waited for, so that the right line fails.", "Slow; for diagnosis only.");
    vec![blocking, other]
}

/// True for a device that the driver took from the program.
fn was_reset(s: &Situation<'_>) -> bool {
    s.fact.word("how") == Some("reset")
}
