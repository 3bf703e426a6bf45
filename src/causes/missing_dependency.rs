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

**Fixed by** installing what is named, in the environment that the server uses. What is there and does not fit (a name, a symbol or an
attribute that a package lacks) is no matter of installing: the versions that the engine's release names fit together, and its
own image has such a set.",
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

/// True where a package is there, in a version that another one was not written or built for.
fn does_not_fit(s: &Situation<'_>) -> bool {
    s.fact.word("mismatch").is_some()
}

fn explanation(s: &Situation<'_>) -> String {
    if does_not_fit(s) {
        "What the program needs beside itself is there, but not in a version that it was written or built for."
    } else {
        "What the program needs beside itself is not installed, or in a version that does not fit."
    }
    .to_owned()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let title = "Use the engine's own image, or the versions that its release names";
    if does_not_fit(s) {
        return vec![
            advice("matching-set", title, "One package looks for what another one has no more, or not yet. Such a set was tested together.", "Less freedom of versions."),
            advice("fitting-release", "Change the release of one of the two packages that the message or its traceback names", "The one that changed last is the likeliest; `python3 -m pip check` lists requirements that are not met.", "Other packages may want the release that is there."),
        ];
    }
    vec![
        advice("install", "Install what is named into the environment that runs the server", "Another environment's packages are not seen.", "None."),
        advice("matching-set", title, "Compiled packages must be built for the same PyTorch and CUDA.", "Less freedom of versions."),
    ]
}
