//! `model-unsupported`.

use super::*;

/// The architecture is not known.
pub const CAUSE: Cause = Cause {
    id: "model-unsupported",
    family: "configuration",
    title: "The architecture is not known",
    kinds: &[FactKind::Architecture],
    phase: Some(Phase::Load),
    doc: "\
This version of the engine or library does not know the architecture or model type.

**Recognised by** `Model architectures [...] are not supported`, `does not recognize this architecture`, `Unsupported model type`,
`unknown model architecture`. Where an architecture `failed to be inspected`, the reason stands above it.

**Fixed by** a newer engine and transformers, by another engine, or by a conversion of the model.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Architecture, "the architecture is not known")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "The model's config names an architecture, or a feature of one, that this version has no code for.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("upgrade", "Upgrade the engine, and transformers with it", "New architectures come with new releases.", "Other changes of the release."),
        advice("other-engine", "Use an engine that supports the architecture", "Their lists differ.", "Another set of flags."),
    ]
}
