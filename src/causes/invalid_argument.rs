//! `invalid-argument`.

use super::*;

/// A flag or value is refused.
pub const CAUSE: Cause = Cause {
    id: "invalid-argument",
    family: "configuration",
    title: "A flag or value is refused",
    kinds: &[FactKind::Argument],
    phase: Some(Phase::Load),
    doc: "\
A flag or value is unknown, or was refused for a reason that no other cause names.

**Recognised by** argument parsers (`unrecognized arguments`, `unexpected argument`, `invalid choice`, `invalid value`) and by engines' and
libraries' checks of settings.

**Fixed by** the spelling and values of this version: flags differ between engines and between versions of one engine.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Argument, "a flag or value was refused")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(s: &Situation<'_>) -> String {
    let before = if matches!(s.stage, None | Some(Stage::Load)) { " before it did anything" } else { "" };
    format!("The program refused one of its settings{before}.")
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("check-flag", "Compare the flag with the help of exactly this version (`--help`)", "Flags are renamed, added and dropped between versions.", "None."),
    ]
}
