//! `unknown`.

use super::*;

/// The log does not say why.
pub const CAUSE: Cause = Cause {
    id: "unknown",
    family: "no-cause",
    title: "The log does not say why",
    kinds: &[],
    phase: None,
    doc: "\
Something failed and the log does not say why. The report quotes what shows the failure, and says what would settle it.

**Recognised by** symptoms without a cause: a dead engine loop, `ShardCannotStart`, an exit code, an error that no signature
knows.

**Settled by** the log from the start of the process, its standard error, the kernel's log of that minute, the exit code, or the
same run with more logging.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    match s.fact.kind {
        FactKind::Collective if s.fact.word("how") == Some("hang") => Claim::new(0.45, "a step of the engine did not end"),
        FactKind::Failure => Claim::new(0.45, "a failure that does not say why"),
        FactKind::Symptom | FactKind::ProcessExit => Claim::new(0.4, "only what followed from the failure is in the log"),
        FactKind::Hint => Claim::new(0.2, "only hints are in the log"),
        _ => None,
    }
}

fn headline(s: &Situation<'_>) -> String {
    format!("Something failed, and the log does not say why: {}", said(s))
}

fn explanation(s: &Situation<'_>) -> String {
    match s.fact.kind {
        FactKind::Failure => "This message is not known to oomdoc, and nothing else in the log explains the failure.",
        FactKind::Collective => "A step of the engine did not end; the log does not say what it waited for.",
        _ => "What is in the log follows from a failure that is not in it.",
    }
    .to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("more-log", "Get the whole log from the start, standard error included", "The cause mostly stands before its consequences.", "None."),
        advice("exit-code", "Look up the exit code (`docker inspect`, `kubectl describe pod`) and the kernel's log (`dmesg -T`)", "A kill leaves no word in the process's own log.", "None."),
    ]
}
