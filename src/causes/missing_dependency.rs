//! `missing-dependency`.

use super::*;

/// A dependency is missing.
pub const CAUSE: Cause = Cause {
    id: "missing-dependency",
    family: "platform",
    title: "A dependency is missing",
    kinds: &[FactKind::Dependency],
    phase: Some(Phase::Load),
    doc: "\
A module, shared library or compiler is missing, or two versions do not fit together.

**Recognised by** `No module named`, `cannot open shared object file`, `undefined symbol`, `cannot import name`, version checks, bitsandbytes'
set-up errors, Triton's search for a compiler.

**Fixed by** installing what is named, in the environment that the server uses, in versions that fit together; the engines'
own images have such a set.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.fact.word("scope") == Some("kernel") && s.hinted(FactKind::GpuArch) {
        return None;
    }
    direct(s, FactKind::Dependency, "a module, library or compiler is missing or does not fit")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "What the program needs beside itself is not installed, or in a version that does not fit.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("install", "Install what is named into the environment that runs the server", "Another environment's packages are not seen.", "None."),
        advice("matching-set", "Use the engine's own image, or the versions that its release names", "Compiled packages must be built for the same PyTorch and CUDA.", "Less freedom of versions."),
    ]
}
