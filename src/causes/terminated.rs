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

/// True when it had come up, or was at what it was started for.
fn was_at_work(s: &Situation<'_>) -> bool {
    s.run.ready.is_some() || s.at(&[Stage::Serve, Stage::Prefill, Stage::Decode, Stage::Train])
}

fn headline(s: &Situation<'_>) -> String {
    if !was_at_work(s) {
        return "Told to stop from outside before it was up".to_owned();
    }
    "Told to stop from outside".to_owned()
}

fn explanation(s: &Situation<'_>) -> String {
    let text = "No failure stands before the stop: it came from outside.";
    if was_at_work(s) {
        return format!("{text} The program was at work until then.");
    }
    format!("{text} The server was not up yet. Loading a large model takes minutes; a liveness probe or a time-out that is shorter ends it each time.")
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let who = advice("who-stopped", "Find out who stopped it: the orchestrator's events, the scheduler, a person", "The log of the process does not say.", "None.");
    if s.at(&[Stage::Train]) {
        return vec![who, advice("resume", "Start it again from its last checkpoint", "What was done before that need not be done again.", "The steps since then.")];
    }
    if was_at_work(s) {
        return vec![who];
    }
    vec![advice("startup-probe", "Give start-up its own probe and enough time", "Liveness is checked only after it has succeeded.", "A hanging start is noticed later."), who]
}
