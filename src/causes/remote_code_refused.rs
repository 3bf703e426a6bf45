//! `remote-code-refused`.

use super::*;

/// The model's own code is not trusted.
pub const CAUSE: Cause = Cause {
    id: "remote-code-refused",
    family: "configuration",
    title: "The model's own code is not trusted",
    kinds: &[FactKind::RemoteCode],
    phase: Some(Phase::Load),
    doc: "\
The model needs its own code to be run, and that was not allowed.

**Recognised by** `requires you to execute the configuration file in that repo`, `contains custom code which must be executed`.

**Fixed by** `--trust-remote-code` (`trust_remote_code=True`), after reading that code and pinning the revision: it runs with all
rights of the server. Where the library has the architecture by now, a newer version needs no such code.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::RemoteCode, "the model's own code was refused")
}

fn headline(s: &Situation<'_>) -> String {
    format!("{} brings its own code, which the engine was not allowed to run", s.model.unwrap_or("The model's repository"))
}

fn explanation(_: &Situation<'_>) -> String {
    "The repository brings Python code that would run inside the server; the engine does not run it unasked.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("trust", "Read the repository's code, pin its revision, then allow it (`--trust-remote-code`)", "The model cannot be loaded without it.", "That code runs with all rights of the server."),
        advice("native", "Check whether a newer engine has the architecture built in", "It then needs no foreign code.", "An upgrade."),
    ]
}
