//! Model files: who may have them, where they come from, whether they are whole.

use super::{aid, digits_after, environment, fix, is_plain_name, text};
use crate::post_mortem::Remedy;
use crate::remedies::command::Form;
use crate::remedies::plan::{Occasion, Words};

/// True for a name that the hub could have: `owner/name`.
fn is_repository(name: &str) -> bool {
    is_plain_name(name) && name.matches('/').count() == 1 && !name.starts_with(['/', '.', '~']) && !name.ends_with('/')
}

/// The token, handed through from the environment; it is never printed.
pub(super) fn token(occasion: &Occasion<'_>) -> Option<Remedy> {
    // Ollama signs with a key and reads no token.
    if occasion.engine() == "ollama" {
        return None;
    }
    // Code takes the token of the shell that runs it.
    let command = occasion.command.filter(|command| command.form != Form::Python)?;
    let with_token = command.with_token()?;
    let variable = with_token.token()?.to_owned();
    let text = with_token.print(occasion.shell, &occasion.circumstances(None, None)).ok()?;
    let into = if command.container.is_some() { " into the container" } else { "" };
    let terms = match occasion.deployment.model.as_deref().filter(|name| is_repository(name)) {
        Some(model) => format!("Accept the terms at https://huggingface.co/{model} first; they count for an account."),
        None => "Accept the model's terms on the hub first; they count for an account.".to_owned(),
    };
    let words = Words {
        id: "pass-token",
        title: format!("Pass a token of the account that accepted the terms{into} ({variable})"),
        rationale: format!("{terms} Then set {variable} in the shell to a token of that account that may read."),
        tradeoff: "The token is a secret: keep it out of the command line.",
    };
    Some(aid(words, Some(text)))
}

/// What was not found, or did not come.
pub(super) fn fetch(occasion: &Occasion<'_>) -> Vec<Option<Remedy>> {
    // Ollama has a registry of its own, for which the hub's settings do nothing.
    if occasion.engine() == "ollama" {
        return Vec::new();
    }
    vec![main_revision(occasion), mounted(occasion), patience(occasion), allowance(occasion)]
}

/// The repository's main branch, where the revision is not there.
fn main_revision(occasion: &Occasion<'_>) -> Option<Remedy> {
    let is_it = text(occasion).contains("is not a valid git identifier") || text(occasion).contains("RevisionNotFound");
    let revision = occasion.value("--revision").filter(|_| is_it)?;
    let words = Words {
        id: "main-revision",
        title: "Leave --revision out: the repository's main branch is used".to_owned(),
        rationale: format!("The repository has no branch, tag or commit named {revision}. Its page lists those that it has."),
        tradeoff: "Main may change: pin a commit once you know which.",
    };
    fix(occasion, words, &[("--revision", "")])
}

/// A folder of the host that the container does not see.
fn mounted(occasion: &Occasion<'_>) -> Option<Remedy> {
    let model = occasion.deployment.model.as_deref().filter(|name| name.starts_with('/') && is_plain_name(name))?;
    let command = occasion.command?;
    command.container.as_ref()?;
    let folder = model.trim_end_matches('/').rsplit_once('/').map(|(folder, _)| folder).filter(|folder| folder.len() > 1)?;
    if command.mounts(folder) {
        return None;
    }
    let words = Words {
        id: "mount-models",
        title: format!("Mount {folder} into the container"),
        rationale: format!(
            "{model} is no folder inside it, so the engine takes it for a name on the hub. This takes the host's folder of the same name."
        ),
        tradeoff: "None, if that is where the model is.",
    };
    fix(occasion, words, &[("--volume", &format!("{folder}:{folder}:ro"))])
}

/// More time for each read.
fn patience(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion).to_ascii_lowercase();
    if !text.contains("timed out") && !text.contains("timeout") {
        return None;
    }
    let words = Words {
        id: "patience",
        title: "Wait longer for each answer of the hub (HF_HUB_DOWNLOAD_TIMEOUT=60)".to_owned(),
        rationale: "Ten seconds without a byte end a download; what has come stays in the cache.".to_owned(),
        tradeoff: "A dead connection is noticed later.",
    };
    environment(occasion, words, ("HF_HUB_DOWNLOAD_TIMEOUT", "60"))
}

/// A token, where the hub counts requests.
fn allowance(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    if !text.contains("429") {
        return None;
    }
    let wait = digits_after(text, "Retry after ").map_or(String::new(), |seconds| format!(" It asks for {seconds} seconds of patience."));
    let words = Words {
        id: "log-in",
        title: "Ask the hub with a token".to_owned(),
        rationale: format!(
            "It counts requests for an account, or else for an address that others share.{wait} `hf auth whoami` says whether a token is used."
        ),
        tradeoff: "The token is a secret: keep it out of the command line.",
    };
    let command = token(occasion).and_then(|remedy| remedy.command);
    Some(aid(words, command))
}

/// The files anew.
pub(super) fn fetch_again(occasion: &Occasion<'_>) -> Option<Remedy> {
    // Files that can be read and are of another model come again as they are.
    if occasion.situation.fact.word("mismatch").is_some() {
        return None;
    }
    let model = occasion.deployment.model.as_deref()?;
    let words = |how: &str| Words {
        id: "fetch-again",
        title: format!("Fetch the files of {model} again"),
        rationale: format!("A download that was cut off leaves a file that looks whole. {how}"),
        tradeoff: "The whole download.",
    };
    match occasion.engine() {
        "ollama" if is_plain_name(model) && !model.starts_with('/') => {
            Some(aid(words("Ollama compares checksums and fetches what differs."), Some(format!("ollama rm {model} && ollama pull {model}"))))
        }
        "vllm" | "sglang" | "transformers" if is_repository(model) && occasion.command.is_none_or(|command| command.container.is_none()) => {
            Some(aid(
                words("`hf` comes with huggingface_hub 0.34 and later; before it is `huggingface-cli`."),
                Some(format!("hf download {model} --force-download")),
            ))
        }
        _ => None,
    }
}

/// The model that has taken the place of an old one.
pub(super) fn pull_again(occasion: &Occasion<'_>) -> Option<Remedy> {
    let model = text(occasion).split("Error: '").nth(1)?.split('\'').next().filter(|name| is_plain_name(name))?;
    if occasion.engine() != "ollama" || !text(occasion).contains("replaced by a newer version") {
        return None;
    }
    let words = Words {
        id: "pull-again",
        title: format!("Pull {model} again"),
        rationale: "Its files were made anew for the present engine.".to_owned(),
        tradeoff: "A download.",
    };
    Some(aid(words, Some(format!("ollama pull {model}"))))
}

/// Room for the download: how much it takes, where that is known.
pub(super) fn room(occasion: &Occasion<'_>) -> Option<Remedy> {
    let needed = super::weights_on_disk(occasion)?;
    let there = occasion.situation.fact.figures.free_bytes;
    let held = if occasion.engine() == "ollama" { "`ollama list`" } else { "`du -xsh ~/.cache/huggingface/hub/*`" };
    let words = Words {
        id: "free-space",
        title: format!("Free at least {} on the file system of the cache", crate::units::size(needed)),
        rationale: format!(
            "The files take that much{}. `df -h` shows what is there, {held} what old models hold; remove those that you do not serve.",
            there.map_or(String::new(), |there| format!(", and {} was free", crate::units::size(there)))
        ),
        tradeoff: "What is removed is downloaded again when it is needed.",
    };
    Some(aid(words, None))
}
