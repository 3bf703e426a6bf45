//! `overload`.

use super::*;

/// The server was saturated.
pub const CAUSE: Cause = Cause {
    id: "overload",
    family: "operation",
    title: "The server was saturated",
    kinds: &[FactKind::Overload],
    phase: Some(Phase::Serve),
    doc: "\
The server was up and refused, timed out or starved requests because it was saturated: the queue was full, the cache pinned at
its limit with preemptions, too many requests at once.

**Recognised by** `Model is overloaded`, `no permits available`, 429 and 503 answers in numbers, queue time-outs.

**Fixed by** fewer requests at once for each server, more servers, a longer queue, or more room for the cache.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Overload, "the server was saturated")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "The server works; more requests came than it can take.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("scale", "Add servers, or send each fewer requests at once", "One device serves so many tokens a second.", "Hardware."),
        advice("limits", "Raise the limit of concurrent requests only if latency allows", "A longer queue answers later, not more.", "Latency."),
    ]
}
