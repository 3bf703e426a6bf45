//! Templates, load, and what to look at when nothing else is known.

use super::{fix, text};
use crate::post_mortem::Remedy;
use crate::remedies::flags::Table;
use crate::remedies::plan::{Occasion, Words};

/// ChatML, the format of Qwen and of many others: written out, so that no file has to be there.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/// Roles as plain words, for models that were trained on no format.
const PLAIN: &str = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";

/// A template that is there, or none where the one that was given is not.
pub(super) fn template(occasion: &Occasion<'_>) -> Vec<Option<Remedy>> {
    vec![own_template(occasion), written_out(occasion), built_in(occasion)]
}

/// The model's own template, where a file was named that cannot be opened.
fn own_template(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    let is_missing = text.contains("looks like a file path, but it failed to be opened") || text.contains("appears path-like, but doesn't exist");
    let path = occasion.value("--chat-template").filter(|_| is_missing)?;
    let words = Words {
        id: "own-template",
        title: "Leave --chat-template out: the model's own template is used".to_owned(),
        rationale: format!(
            "{path} cannot be opened where the server runs. If you need that one, make the file readable there: in a container, mount its folder."
        ),
        tradeoff: "What your template added, such as tools, is missing.",
    };
    fix(occasion, words, &[("--chat-template", "")])
}

/// A template in the command itself.
fn written_out(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    let is_missing = text.contains("must provide a chat template") || text.contains("default chat template is no longer allowed");
    if occasion.engine() != "vllm" || !is_missing {
        return None;
    }
    let name = occasion.deployment.model.as_deref().unwrap_or_default().to_ascii_lowercase();
    let speaks_chatml = name.contains("qwen") || name.contains("chatml");
    let (template, why) = match speaks_chatml {
        true => (CHATML, "The model's family writes chats in ChatML, which this spells out."),
        false => (
            PLAIN,
            "The model brings no format of chats. This writes the roles as plain words, which any model can continue; take its own format where its card names one.",
        ),
    };
    let words = Words {
        id: "give-template",
        title: if speaks_chatml {
            "Give the template with the command (--chat-template)"
        } else {
            "Give a stand-in with the command (--chat-template)"
        }
        .to_owned(),
        rationale: format!("{why} It needs no file."),
        tradeoff: "Answers are only as good as the template is like what the model was trained on.",
    };
    fix(occasion, words, &[("--chat-template", template)])
}

/// llama.cpp: a template that it has, in the place of a name that it does not know.
fn built_in(occasion: &Occasion<'_>) -> Option<Remedy> {
    if occasion.engine() != "llama.cpp" || !text(occasion).contains("chat template is not supported") {
        return None;
    }
    let words = Words {
        id: "own-template",
        title: "Leave --chat-template out: the model's own template is used".to_owned(),
        rationale: "The name is none of those that are built in; most GGUF files bring a template. `llama-server --help` lists the names; a file goes with --chat-template-file and --jinja.".to_owned(),
        tradeoff: "None, if the file has one.",
    };
    fix(occasion, words, &[("--chat-template", "")])
}

/// Limits that fit the load.
pub(super) fn load(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    let default = |flag: &str| {
        let table = Table::of(occasion.engine())?;
        table.find(flag)?.flag.default(crate::remedies::flags::Version::LATEST)?.parse::<u64>().ok()
    };
    let doubled = |flag: &str| occasion.number(flag).or_else(|| default(flag)).map(|now| (now * 2).to_string());
    match occasion.engine() {
        "tgi" if text.contains("no permits available") => {
            let to = doubled("--max-concurrent-requests")?;
            fix(occasion, queue(format!("--max-concurrent-requests {to}")), &[("--max-concurrent-requests", &to)])
        }
        "ollama" if text.contains("maximum pending requests exceeded") => {
            let to = doubled("OLLAMA_MAX_QUEUE")?;
            fix(occasion, queue(format!("OLLAMA_MAX_QUEUE={to}")), &[("OLLAMA_MAX_QUEUE", &to)])
        }
        "sglang" if text.contains("queue is full") => {
            let to = doubled("--max-queued-requests")?;
            fix(occasion, queue(format!("--max-queued-requests {to}")), &[("--max-queued-requests", &to)])
        }
        "vllm" if text.contains("preempted") => {
            let now = occasion.number("--max-num-seqs").unwrap_or(256);
            let to = (now / 2).max(1).to_string();
            let words = Words {
                id: "fewer-sequences",
                title: format!("Take fewer requests at a time (--max-num-seqs {to})"),
                rationale: format!("With {now} at a time their caches do not fit, and work is done twice; those that wait outside cost nothing."),
                tradeoff: "Requests wait before they begin.",
            };
            fix(occasion, words, &[("--max-num-seqs", &to)])
        }
        _ => None,
    }
}

fn queue(setting: String) -> Words {
    Words {
        id: "longer-queue",
        title: format!("Let twice as many requests wait ({setting})"),
        rationale: "Requests beyond it are refused at once. A longer queue serves peaks; against a load that stays, only more servers help."
            .to_owned(),
        tradeoff: "Those at its end wait longer, perhaps beyond their own time limit.",
    }
}

/// The same run with more logging.
pub(super) fn more_log(occasion: &Occasion<'_>) -> Option<Remedy> {
    let setting = match occasion.engine() {
        "vllm" => ("VLLM_LOGGING_LEVEL", "DEBUG"),
        "tgi" => ("LOG_LEVEL", "debug"),
        "sglang" => ("--log-level", "debug"),
        "llama.cpp" => ("--verbose", "true"),
        "ollama" => ("OLLAMA_DEBUG", "1"),
        _ => return None,
    };
    occasion.command?;
    let words = Words {
        id: "more-log",
        title: format!("Run it once more with {}={}", setting.0, setting.1)
            .replace("--verbose=true", "--verbose")
            .replace("--log-level=", "--log-level "),
        rationale: "The log says that it failed, not why. Then read the new log with this tool.".to_owned(),
        tradeoff: "A long log; for diagnosis only.",
    };
    fix(occasion, words, &[setting])
}
