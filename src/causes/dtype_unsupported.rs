//! `dtype-unsupported`.

use super::*;

/// The data type is not supported.
pub const CAUSE: Cause = Cause {
    id: "dtype-unsupported",
    family: "configuration",
    title: "The data type is not supported",
    kinds: &[FactKind::Dtype],
    phase: Some(Phase::Load),
    doc: "\
The GPU or a kernel cannot run the data type that was asked for, or two data types met.

**Recognised by** `Bfloat16 is only supported on GPUs with compute capability of at least 8.0`, `not implemented for 'Half'`, `expected
scalar type`, refusals of fp8 caches.

**Fixed by** `--dtype half` on cards before Ampere, float32 on the CPU, one data type for all parts.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Dtype, "the data type cannot be run")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "This card, or the kernel that was chosen, has no code for that data type.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("half", "Use float16 (`--dtype half`, `--dtype float16`)", "All CUDA cards that serve language models run it.", "A smaller range of values: watch for nan."),
        advice("one-type", "Load all parts in one data type", "Operations do not mix them.", "None."),
    ]
}
