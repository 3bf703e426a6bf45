//! `terminated`.

use super::*;

/// Told to stop from outside.
pub const CAUSE: Cause = Cause {
    id: "terminated",
    family: "operation",
    title: "Told to stop from outside",
    kinds: &[FactKind::StopSignal],
    phase: None,
    doc: "\
Something outside told the process to stop (SIGTERM, SIGINT, a failed liveness probe, scale-down, a scheduler) and cut off
start-up or work in progress, with no failure before it. An orderly stop after serving is healthy.

**Recognised by** the signal or its exit code (143, 130), `KeyboardInterrupt`, probes that failed, a scheduler's cancellation.

**Fixed by** giving start-up the time that it needs (a start-up probe instead of a short liveness probe), or by what decided to
stop it.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::StopSignal) {
        return Claim::new(stated(s).min(0.9), "something outside told the process to stop");
    }
    match exit_signal(s.fact)? {
        2 | 15 => Claim::new(0.8, "the process ended on a signal to stop"),
        _ => None,
    }
}

fn headline(s: &Situation<'_>) -> String {
    if s.run.ready.is_none() && !s.at(&[Stage::Serve, Stage::Prefill, Stage::Decode, Stage::Train]) {
        return "Told to stop from outside before it was up".to_owned();
    }
    "Told to stop from outside".to_owned()
}

fn explanation(s: &Situation<'_>) -> String {
    let text = "No failure stands before the stop: it came from outside.";
    if s.run.ready.is_some() || s.at(&[Stage::Serve, Stage::Prefill, Stage::Decode, Stage::Train]) {
        return format!("{text} The program was at work until then.");
    }
    format!("{text} The server was not up yet. Loading a large model takes minutes; a liveness probe or a time-out that is shorter ends it each time.")
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("startup-probe", "Give start-up its own probe and enough time", "Liveness is checked only after it has succeeded.", "A hanging start is noticed later."),
        advice("who-stopped", "Find out who stopped it: the orchestrator's events, the scheduler, a person", "The log of the process does not say.", "None."),
    ]
}
