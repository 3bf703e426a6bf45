//! `host-oom`.

use super::*;

/// Host memory ran out.
pub const CAUSE: Cause = Cause {
    id: "host-oom",
    family: "host-memory-and-storage",
    title: "Host memory ran out",
    kinds: &[FactKind::HostMemory],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Host memory ran out").to_owned(),
    explanation: |_| "Host memory ran out.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::HostMemory) {
        let weight = if s.fact.word("how") == Some("sigkill") { stated(s).min(0.85) } else { stated(s) };
        return Claim::new(weight, "host memory ran out");
    }
    match exit_signal(s.fact)? {
        9 if s.at(&[Stage::Serve, Stage::Prefill, Stage::Decode]) => Claim::new(0.7, "the process was killed with signal 9"),
        9 => Claim::new(0.85, "the process was killed with signal 9 while it loaded"),
        _ => None,
    }
}
