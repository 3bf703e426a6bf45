//! `model-auth`.

use super::*;

/// The hub refused access.
pub const CAUSE: Cause = Cause {
    id: "model-auth",
    family: "model-files-and-hub",
    title: "The hub refused access",
    kinds: &[FactKind::HubAuth],
    phase: Some(Phase::Download),
    doc: "\
The hub refused: the model is gated, or a token is missing or wrong.

**Recognised by** 401 and 403 answers, `You are trying to access a gated repo`, `Access to model … is restricted`. A 401 for a name
that does not exist looks the same to somebody who is not logged in.

**Fixed by** accepting the model's terms on its page and giving the process a token that may read it (`HF_TOKEN`); a container
needs it passed in.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::HubAuth, "the hub refused access")
}

fn headline(s: &Situation<'_>) -> String {
    match s.model {
        Some(model) => format!("The hub refused access to {model}"),
        None => "The hub refused access to the model".to_owned(),
    }
}

fn explanation(s: &Situation<'_>) -> String {
    if s.engine == Some("ollama") {
        return "The model is private or gated, and the server's key is not that of an account that may read it.".to_owned();
    }
    "The model is gated or private, and the process had no token that may read it.".to_owned()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if s.engine == Some("ollama") {
        return vec![advice(
            "add-key",
            "Add the public key of the machine that runs `ollama serve` (`.ollama/id_ed25519.pub` in its user's home) to the account that may read the model",
            "Ollama signs with this key, and reads no token. For its own registry it is added at ollama.com/settings/keys, for `hf.co/…` to the SSH keys of the hub's account.",
            "None.",
        )];
    }
    vec![
        advice("accept-terms", "Accept the model's terms on its page with the account that owns the token", "Gated models are given to accounts that agreed.", "None."),
        advice("pass-token", "Pass the token into the process (`HF_TOKEN`; for a container `-e HF_TOKEN`)", "The login of the host is not seen inside a container.", "The token is a secret: keep it out of the command line."),
    ]
}
