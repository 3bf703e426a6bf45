//! `port-in-use`.

use super::*;

/// The port is taken.
pub const CAUSE: Cause = Cause {
    id: "port-in-use",
    family: "platform",
    title: "The port is taken",
    kinds: &[FactKind::Port],
    phase: Some(Phase::Load),
    doc: "\
The address to listen on is taken, by another server or by an earlier run of this one.

**Recognised by** `Address already in use` (errno 98), `port is already allocated`, `couldn't bind HTTP server socket`. TGI also has a
metrics port, and ranks meet at a master port.

**Fixed by** ending what listens there, or by another port.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Port, "the address to listen on is taken")
}

fn headline(s: &Situation<'_>) -> String {
    match s.fact.word("port") {
        Some(port) => format!("Port {port} is taken"),
        None => said(s),
    }
}

fn explanation(_: &Situation<'_>) -> String {
    "Another process listens on that address; often an earlier run that has not ended.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("find-listener", "Find what listens there (`ss -ltnp`) and end it, if it is yours", "Two processes cannot listen on one address.", "Whatever it did stops."),
        advice("other-port", "Choose another port", "Any free one will do.", "Clients must know it."),
    ]
}
