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
(`HF_ENDPOINT`), by offline mode with a filled cache, or by trying again later. What Ollama says of a failed pull tells which of these it is.",
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
        Some("ollama") => match s.fact.word("fetch") {
            Some("name") => "The registry was reached and has no model or tag of that name.",
            Some("network") => "The machine that runs Ollama did not reach the registry.",
            Some("registry") => "The registry was reached and answered with an error of its own.",
            Some("damaged") => "What came is not what the registry says that it sent.",
            _ => "Ollama has no model of that name, or could not fetch it.",
        },
        _ if s.fact.word("path").is_some() => "There is no such file where the process runs.",
        _ => "The files were neither found in the cache nor fetched from the hub.",
    }
    .to_owned()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if s.engine == Some("ollama") {
        return from_the_registry(s.fact.word("fetch"));
    }
    vec![
        advice("check-name", "Check name, revision and path, inside the container for a local folder", "A folder that does not exist is taken for a name on the hub.", "None."),
        advice("check-network", "Check that the machine reaches the hub, through its proxy", "Clusters often block it.", "None."),
        advice("fill-cache", "Download once where there is network, mount the cache, and set `HF_HUB_OFFLINE=1`", "Start-up then needs no network.", "Storage."),
    ]
}

/// What helps a pull, by what was wrong with it.
fn from_the_registry(wrong: Option<&str>) -> Vec<Remedy> {
    let network = advice(
        "check-network",
        "Check that the machine or container that runs `ollama serve` reaches the registry, through its proxy (`HTTPS_PROXY` in the server's environment)",
        "The server fetches, not the client that asked for it. A proxy that opens encrypted traffic needs its certificate among the server's system certificates.",
        "None.",
    );
    let again = |why: &str| advice("pull-again", "Pull the model again (`ollama pull NAME`)", why, "A download.");
    match wrong {
        Some("name") => vec![
            advice("check-name", "Look up name and tag on the model's page at ollama.com, and pull exactly these", "A tag that does not exist fails like a name that does not.", "None."),
            advice("pull-from-hub", "Pull a repository of GGUF files from the Hugging Face hub (`ollama pull hf.co/OWNER/REPOSITORY`)", "The registry has only what was published there.", "A template may have to be given by hand."),
        ],
        Some("network") => vec![network, again("What has come is kept: it goes on from there.")],
        Some("registry") => vec![
            advice("wait", "Wait some minutes, and pull again", "An error of the registry, or of a proxy that answers for it, is mended there. What has come is kept.", "Time."),
            network,
        ],
        Some("damaged") => vec![again("What does not have its checksum was thrown away and is fetched anew."), network],
        _ => vec![
            advice("pull", "Pull the model under exactly the name that clients send (`ollama pull NAME`); `ollama list` shows what is there", "A server answers 404 for a model that it does not have.", "Storage."),
            network,
        ],
    }
}
