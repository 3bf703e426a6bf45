//! From a cause to remedies: what would help, as changes of the user's own command.
//!
//! Memory causes are planned: a server that did not come up with the estimator (`memory`), what ran out beside a server's
//! cache by the figures of the message (`pressure`), llama.cpp and Ollama by their buffers (`gguf`), Python code by what it
//! held (`script`). The others have exact fixes (`exact`). What none of them knows stays in the words of the cause. Every command passes [`check`](crate::remedies::flags::check()); one that does not is
//! left out, with its remedy.

mod elsewhere;
mod exact;
mod follow;
mod gguf;
mod ground;
mod memory;
mod moves;
mod pressure;
mod script;

use crate::case::Situation;
use crate::memory::catalogue::UserCatalogue;
use crate::memory::device::Arch;
use crate::memory::estimate::{Engine, Verdict, margin};
use crate::memory::{Bytes, Model};
use crate::post_mortem::{Change, Deployment, Fit, Remedy};
use crate::remedies::command::{Command, Shell, Trust};
use crate::remedies::flags::{Circumstances, Problem};
use crate::units::size;

/// Remedies of one incident at most.
const MOST: usize = 6;
/// Those that anybody looks at.
const LOOKED_AT: usize = 3;

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

/// What a planner found, and the ids of words that it makes superfluous.
struct Plan {
    remedies: Vec<Remedy>,
    settled: Vec<&'static str>,
}

/// The remedies, the best first: planned ones, then those words that add to them.
pub fn remedies(occasion: &Occasion<'_>, words: Vec<Remedy>) -> Vec<Remedy> {
    let planners = [memory::plan, elsewhere::by_size, pressure::plan, gguf::plan, script::plan];
    let plan = planners.iter().find_map(|plan| plan(occasion));
    let (mut planned, mut settled) = plan.map_or_else(Default::default, |plan| (plan.remedies, plan.settled));
    settled.extend(exact::useless(occasion));
    if is_quantized(occasion.deployment) {
        settled.push("quantize");
    }
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
    // Alone on the device, it needs what it always does.
    if let Some(free) = planned.iter_mut().find(|remedy| remedy.id == "free-device" && remedy.fit.is_none()) {
        free.fit = memory::alone(occasion).or_else(|| script::alone(occasion));
    }
    let mut planned = varied(planned);
    planned.truncate(MOST);
    follow::follow_up(occasion, &mut planned);
    planned
}

/// Whether the weights are quantized already, by what was asked for or by their name.
fn is_quantized(deployment: &Deployment) -> bool {
    let asked = deployment.quantization.as_deref().is_some_and(|word| !word.eq_ignore_ascii_case("none"));
    let model = || Model::find(deployment.model.as_deref()?, &UserCatalogue::default()).ok();
    asked || model().is_some_and(|model| model.quantization.is_some())
}

/// Those that change something else than the ones before them come first, as long as there are fewer than a reader looks at:
/// three variants of one change are one piece of advice.
fn varied(mut remedies: Vec<Remedy>) -> Vec<Remedy> {
    let mut chosen: Vec<Remedy> = Vec::new();
    while chosen.len() < LOOKED_AT {
        let new = |remedy: &Remedy| chosen.iter().all(|one| components(&one.id) != components(&remedy.id));
        let Some(at) = remedies.iter().position(new) else { break };
        chosen.push(remedies.remove(at));
    }
    chosen.extend(remedies);
    chosen
}

/// What a remedy changes, by its id.
fn components(id: &str) -> Vec<&str> {
    let mut all: Vec<&str> = id
        .split("-and-")
        .map(|id| match id {
            id if id.starts_with("quanti") || id == "smaller-file" => "weights",
            "larger-share" | "smaller-share" | "overhead" => "share",
            "split" | "pipeline" | "bigger-device" => "devices",
            "fewer-layers" | "let-it-fit" | "experts-on-host" | "cpu-offload" => "placement",
            id => id,
        })
        .collect();
    // A shorter context that comes with another change is that change.
    if all.len() > 1 {
        all.retain(|component| *component != "shorter-context");
    }
    all.sort_unstable();
    all
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

    fn engine(&self) -> &str {
        self.deployment.engine.as_deref().unwrap_or_default()
    }

    /// The server, where it is one that divides its device beforehand.
    fn server(&self) -> Option<Engine> {
        matches!(self.engine(), "vllm" | "tgi" | "sglang").then(|| self.engine().parse().ok()).flatten()
    }

    /// The engine's version: a dump's names may tell it where no line does.
    fn version(&self) -> Option<&str> {
        self.deployment.engine_version.as_deref().or_else(|| self.command?.version.as_deref())
    }

    /// Whether the server runs without CUDA graphs.
    fn is_eager(&self) -> bool {
        let is_set = |flag: &&str| self.value(flag).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        ["--enforce-eager", "--disable-cuda-graph"].iter().any(is_set)
            || self.engine() == "tgi" && self.value("--cuda-graphs").is_some_and(|value| matches!(value.as_str(), "0" | "[0]"))
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
            "llama.cpp" => "llama-server --model model.gguf",
            "ollama" => "ollama serve",
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

/// Whether so much fits into a limit, by a margin.
fn fit(needed: Bytes, limit: Bytes, margin: Bytes) -> Fit {
    let probability = margin::probability(needed, limit, margin);
    Fit {
        verdict: Verdict::of(probability).as_str(),
        predicted_bytes: needed.0,
        limit_bytes: limit.0,
        // No estimate is certain.
        probability: (probability.clamp(0.0, 0.99) * 100.0).round() / 100.0,
    }
}

/// The text with a capital at its front.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What a fit says, in a sentence.
fn sentence(fit: &Fit) -> String {
    let margin = match fit.limit_bytes.checked_sub(fit.predicted_bytes) {
        Some(left) => format!("{} to spare", size(left)),
        None => format!("{} too much", size(fit.predicted_bytes - fit.limit_bytes)),
    };
    let (predicted, limit) = (size(fit.predicted_bytes), size(fit.limit_bytes));
    format!("Predicted: {predicted} of {limit}, {margin}; {:.0} % likely to fit.", (fit.probability * 100.0).clamp(0.0, 99.0))
}
