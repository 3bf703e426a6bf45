//! `collective-failure`.

use super::*;

/// Communication between ranks failed.
pub const CAUSE: Cause = Cause {
    id: "collective-failure",
    family: "platform",
    title: "Communication between ranks failed",
    kinds: &[FactKind::Collective],
    phase: Some(Phase::Load),
    doc: "\
Communication between ranks failed: NCCL, RCCL or Gloo errors, time-outs, the death of a peer that no other cause in the log
explains.

**Recognised by** `NCCL error`, `Watchdog caught collective operation timeout`, `DistBackendError`, connection resets between ranks. Where
a rank failed for another reason first, that is the cause and this follows.

**Fixed by** looking at the rank that stopped first (`NCCL_DEBUG=INFO`), by enough shared memory, by the right network interface
(`NCCL_SOCKET_IFNAME`), or by switching off peer-to-peer where the machine does not support it.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    let claim = direct(s, FactKind::Collective, "communication between ranks failed")?;
    if s.fact.word("how") != Some("hang") {
        return Some(claim);
    }
    // A step that does not end waits for another rank as a rule; where there is none, nothing says why.
    let ranks = crate::case::deployment::deployment(s.case, Some(s.run)).tensor_parallel;
    let has_others = ranks != Some(1);
    Claim::new(if has_others { 0.6 } else { 0.3 }, "a step of the engine did not end")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "The ranks lost one another: one of them stopped, hangs, or cannot be reached.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("nccl-debug", "Run once with `NCCL_DEBUG=INFO` and look for the first rank that stops", "The time-out names who waited, not who failed.", "A long log."),
        advice("transport", "Try without peer-to-peer (`NCCL_P2P_DISABLE=1`), and with enough shared memory", "Virtual machines and containers often lack one of them.", "Speed."),
    ]
}
