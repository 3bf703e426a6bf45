//! `model-download`.

use super::*;

/// The model was not found or not fetched.
pub const CAUSE: Cause = Cause {
    id: "model-download",
    family: "model-files-and-hub",
    title: "The model was not found or not fetched",
    kinds: &[FactKind::HubFetch],
    phase: Some(Phase::Download),
    doc: "\
The model or a file was not found, or could not be fetched: name, revision, network, time-out, rate limit.

**Recognised by** 404 and 429 answers, `is not a local folder and is not a valid model identifier`, `We couldn't connect to`, connection
errors and time-outs while fetching, a path that does not exist.

**Fixed by** the exact name (and for a local folder its path inside the container), by network access to the hub or a mirror
(`HF_ENDPOINT`), by offline mode with a filled cache, or by trying again later.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::HubFetch, "the model or a file could not be found or fetched")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(s: &Situation<'_>) -> String {
    match s.engine {
        Some("ollama") => "Ollama has no model of that name, or could not fetch it.",
        _ if s.fact.word("path").is_some() => "There is no such file where the process runs.",
        _ => "The files were neither found in the cache nor fetched from the hub.",
    }
    .to_owned()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if s.engine == Some("ollama") {
        return vec![
            advice("pull", "Pull the model under exactly the name that clients send (`ollama pull NAME`); `ollama list` shows what is there", "A server answers 404 for a model that it does not have.", "Storage."),
            advice("check-network", "Check that the machine reaches the registry, through its proxy", "Clusters often block it.", "None."),
        ];
    }
    vec![
        advice("check-name", "Check name, revision and path, inside the container for a local folder", "A folder that does not exist is taken for a name on the hub.", "None."),
        advice("check-network", "Check that the machine reaches the hub, through its proxy", "Clusters often block it.", "None."),
        advice("fill-cache", "Download once where there is network, mount the cache, and set `HF_HUB_OFFLINE=1`", "Start-up then needs no network.", "Storage."),
    ]
}
