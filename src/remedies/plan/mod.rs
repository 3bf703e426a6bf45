//! From a cause to remedies: what would help, as changes of the user's own command.
//!
//! Memory causes are planned with the estimator (`memory`), the others have exact fixes (`exact`). What neither knows
//! stays in the words of the cause. Every command passes [`check`](crate::remedies::flags::check()); one that does not is
//! left out, with its remedy.

mod exact;
mod follow;
mod ground;
mod memory;

use crate::case::Situation;
use crate::memory::Model;
use crate::memory::device::Arch;
use crate::post_mortem::{Change, Deployment, Fit, Remedy};
use crate::remedies::command::{Command, Shell, Trust};
use crate::remedies::flags::{Circumstances, Problem};

/// Remedies of one incident at most.
const MOST: usize = 6;

/// An incident that wants remedies.
pub struct Occasion<'a> {
    /// Id of the cause.
    pub cause: &'static str,
    /// What happened.
    pub situation: &'a Situation<'a>,
    /// What was running.
    pub deployment: &'a Deployment,
    /// The command that was run, if it is known.
    pub command: Option<&'a Command>,
    /// The shell that commands are for.
    pub shell: Shell,
}

/// The remedies, the best first: planned ones, then those words that add to them.
pub fn remedies(occasion: &Occasion<'_>, words: Vec<Remedy>) -> Vec<Remedy> {
    let (mut planned, mut settled) = memory::plan(occasion).unwrap_or_default();
    settled.extend(exact::useless(occasion));
    for remedy in exact::plan(occasion) {
        settled.extend(exact::replaces(&remedy.id));
        if !planned.iter().any(|other| other.id == remedy.id || other.command.is_some() && other.command == remedy.command) {
            planned.push(remedy);
        }
    }
    for remedy in words {
        if !settled.contains(&remedy.id.as_str()) && !planned.iter().any(|other| other.id == remedy.id) {
            planned.push(remedy);
        }
    }
    planned.truncate(MOST);
    follow::follow_up(occasion, &mut planned);
    planned
}

impl Occasion<'_> {
    /// What a flag is set to: by the command, else by what the log prints of the arguments.
    fn value(&self, flag: &str) -> Option<String> {
        let printed = || {
            let name = flag.trim_start_matches('-').replace('-', "_");
            match self.deployment.arguments.get(&name)? {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Number(number) => Some(number.to_string()),
                serde_json::Value::Bool(is_set) => Some(is_set.to_string()),
                _ => None,
            }
        };
        // What a variable holds, only the log can tell.
        self.command
            .and_then(|command| command.value_of(flag))
            .filter(|value| !value.contains('$'))
            .or_else(printed)
            .filter(|value| !matches!(value.as_str(), "None" | "null" | ""))
    }

    fn number(&self, flag: &str) -> Option<u64> {
        self.value(flag)?.parse().ok()
    }

    /// A remedy of these changes. None if the engine would refuse the result.
    fn changed(&self, words: Words, changes: &[(&str, &str)], circumstances: &Circumstances) -> Option<Remedy> {
        let changes: Vec<Change> = changes
            .iter()
            .map(|(flag, to)| Change { flag: (*flag).to_owned(), from: None, to: (!to.is_empty()).then(|| (*to).to_owned()) })
            .collect();
        let (command, changes) = match self.command {
            Some(command) => match command.write(&changes, self.shell, circumstances) {
                Ok(printed) if printed.changes.is_empty() => return None,
                Ok(printed) => (Some(printed.text), printed.changes),
                // The form has no place for it, or the command has a fault of its own: the change is right all the same.
                Err(Problem::NotHere { .. }) => (None, self.as_logged(changes, circumstances)?),
                Err(_) if command.print(self.shell, circumstances).is_err() => (None, self.as_logged(changes, circumstances)?),
                Err(_) => return None,
            },
            None => (None, self.as_logged(changes, circumstances)?),
        };
        let Words { id, title, rationale, tradeoff } = words;
        Some(Remedy {
            id: id.to_owned(),
            title,
            rationale,
            tradeoff: tradeoff.to_owned(),
            command,
            changes,
            verify: String::new(),
            otherwise: String::new(),
            fit: None,
        })
    }

    /// Changes with the values that the log shows, if the engine takes them on a plain command.
    fn as_logged(&self, changes: Vec<Change>, circumstances: &Circumstances) -> Option<Vec<Change>> {
        let plain = match self.deployment.engine.as_deref()? {
            "vllm" => "vllm serve model",
            "tgi" => "text-generation-launcher --model-id model",
            "sglang" => "python3 -m sglang.launch_server --model-path model",
            _ => return None,
        };
        let mut plain = Command::read(plain, Trust::User).ok()?;
        plain.version.clone_from(&self.deployment.engine_version);
        let of_engine: Vec<Change> =
            changes.iter().filter(|change| plain.table().is_some_and(|table| table.find(&change.flag).is_some())).cloned().collect();
        plain.write(&of_engine, self.shell, circumstances).ok()?;
        Some(changes.into_iter().map(|change| Change { from: self.value(&change.flag), ..change }).collect())
    }

    /// What the checker can know of card and model.
    fn circumstances(&self, arch: Option<&Arch>, model: Option<&Model>) -> Circumstances {
        Circumstances {
            capability: match arch {
                Some(Arch::Cuda(major, minor)) => Some((u32::from(*major), u32::from(*minor))),
                _ => None,
            },
            heads: model
                .and_then(|model| model.shape.as_ref())
                .and_then(|shape| shape.layers.iter().find_map(|run| run.layer.attention))
                .map(|attention| attention.heads()),
            max_model_len: self.deployment.max_model_len,
        }
    }
}

/// The words of a remedy.
struct Words {
    id: &'static str,
    title: String,
    rationale: String,
    tradeoff: &'static str,
}

/// What a fit says, in a sentence.
fn sentence(fit: &Fit) -> String {
    use crate::units::size;
    format!(
        "Predicted: {} of {} ({}, {:.0} % likely to fit).",
        size(fit.predicted_bytes),
        size(fit.limit_bytes),
        fit.verdict,
        (fit.probability * 100.0).clamp(0.0, 99.0)
    )
}
