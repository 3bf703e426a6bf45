//! `context-limit-config`.

use super::*;

/// Context length or token budgets contradict.
pub const CAUSE: Cause = Cause {
    id: "context-limit-config",
    family: "configuration",
    title: "Context length or token budgets contradict",
    kinds: &[FactKind::ContextLimit],
    phase: Some(Phase::Load),
    doc: "\
The context length or token budgets that were asked for contradict the model or one another, or a request exceeds the limits
that were configured.

**Recognised by** the engines' checks: vLLM's `User-specified max_model_len … is greater than the derived max_model_len`, TGI's
``ArgumentValidation(\"`max_input_tokens` must be < `max_total_tokens`\")``, `maximum context length is N tokens`. Refused requests
count only where nothing worse is in the log.

**Fixed by** budgets that satisfy one another: input < total, prefill budget ≥ input where prefill is not chunked, total ≤ what
the model and the cache hold; or by shorter requests.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::ContextLimit, "lengths or token budgets contradict")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(s: &Situation<'_>) -> String {
    if s.fact.word("scope") == Some("request") {
        return "A request asked for more tokens than the server is configured to take. The server itself works.".to_owned();
    }
    "The limits given at start contradict the model or one another, so the engine refused to start.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("consistent-budgets", "Change the limits together: input < total, and both within the model's positions", "The engine checks them against one another.", "Shorter contexts."),
        advice("shorter-requests", "Shorten or split what clients send", "The limit also protects the memory.", "A change in the client."),
    ]
}
