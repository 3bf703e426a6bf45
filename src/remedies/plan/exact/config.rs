//! Settings that contradict the model, the devices or one another.

use std::cmp::Reverse;

use super::{digits_after, fix, text};
use crate::memory::Model;
use crate::memory::catalogue::UserCatalogue;
use crate::memory::estimate::{Setup, Verdict};
use crate::post_mortem::{Change, Remedy};
use crate::remedies::command::Command;
use crate::remedies::flags::{Table, Version};
use crate::remedies::plan::ground::Ground;
use crate::remedies::plan::{Occasion, Words};

// ------------------------------------------------------------------------------------------------------------- context

/// Lengths and budgets that satisfy the check that refused them.
pub(super) fn context(occasion: &Occasion<'_>) -> Vec<Option<Remedy>> {
    match occasion.engine() {
        "tgi" => vec![budgets(occasion)],
        "vllm" => {
            vec![models_own_length(occasion), batch_holds_a_prompt(occasion), threshold(occasion), draft_tokens(occasion), longer_requests(occasion)]
        }
        "sglang" => vec![whole_pages(occasion)],
        _ => Vec::new(),
    }
}

/// Budgets of TGI that satisfy one another, changed as little as can be.
fn budgets(occasion: &Occasion<'_>) -> Option<Remedy> {
    if !text(occasion).contains("ArgumentValidation") {
        return None;
    }
    let input_flag = if occasion.value("--max-input-length").is_some() && occasion.value("--max-input-tokens").is_none() {
        "--max-input-length"
    } else {
        "--max-input-tokens"
    };
    let total = occasion.number("--max-total-tokens")?;
    let prefill = occasion.number("--max-batch-prefill-tokens");
    let batch = occasion.number("--max-batch-total-tokens");
    let total = batch.map_or(total, |batch| total.min(batch));
    let input = occasion.number(input_flag)?;
    let input = if input >= total { total - total / 4 } else { input };
    // Prompts are not split in all versions.
    let wanted_prefill = prefill.map(|prefill| batch.map_or(prefill.max(input), |batch| prefill.max(input).min(batch)));
    let (total, input) = (total.to_string(), input.to_string());
    let mut changes = vec![("--max-total-tokens", total.as_str()), (input_flag, input.as_str())];
    let prefill = wanted_prefill.map(|prefill| prefill.to_string());
    if let Some(prefill) = prefill.as_deref() {
        changes.push(("--max-batch-prefill-tokens", prefill));
    }
    let words = Words {
        id: "consistent-budgets",
        title: "Give token budgets that satisfy one another".to_owned(),
        rationale: "A prompt must be shorter than prompt and answer together, a prefill must hold a prompt, and both must be within the batch."
            .to_owned(),
        tradeoff: "Shorter prompts.",
    };
    fix(occasion, words, &changes)
}

/// The longest context that the model was made for.
fn models_own_length(occasion: &Occasion<'_>) -> Option<Remedy> {
    let length = digits_after(text(occasion), "derived max_model_len (")?.to_string();
    let words = Words {
        id: "models-length",
        title: format!("Ask for the model's own length (--max-model-len {length})"),
        rationale: format!("Its configuration says {length}; positions beyond it were never trained."),
        tradeoff: "Longer prompts are refused. Where the model's card names a RoPE scaling for more, set that instead.",
    };
    fix(occasion, words, &[("--max-model-len", &length)])
}

/// Without chunked prefill a batch must hold the longest prompt.
fn batch_holds_a_prompt(occasion: &Occasion<'_>) -> Option<Remedy> {
    let length = digits_after(text(occasion), "smaller than max_model_len (")?.to_string();
    let words = Words {
        id: "larger-prefill-budget",
        title: format!("Let a batch hold the longest prompt (--max-num-batched-tokens {length})"),
        rationale: "Prompts are not split here, so one of full length must fit into one batch.".to_owned(),
        tradeoff: "Activations grow with the budget, and leave less for the cache.",
    };
    fix(occasion, words, &[("--max-num-batched-tokens", &length)])
}

fn threshold(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    let length = text.contains("long_prefill_token_threshold").then(|| digits_after(text, "greater than the max_model_len (")).flatten()?.to_string();
    let words = Words {
        id: "smaller-threshold",
        title: format!("Lower the threshold to the context length (--long-prefill-token-threshold {length})"),
        rationale: "No prompt can be longer than the context.".to_owned(),
        tradeoff: "None.",
    };
    fix(occasion, words, &[("--long-prefill-token-threshold", &length)])
}

/// Room in a step for the tokens of a draft.
fn draft_tokens(occasion: &Occasion<'_>) -> Option<Remedy> {
    const USUAL: u64 = 2048;
    let is_it = text(occasion).contains("increasing max_num_batched_tokens or decreasing num_speculative_tokens");
    let now = occasion.number("--max-num-batched-tokens").filter(|now| is_it && *now < USUAL)?;
    let words = Words {
        id: "larger-prefill-budget",
        title: format!("Give a step {USUAL} tokens instead of {now} (--max-num-batched-tokens {USUAL})"),
        rationale: "Each sequence takes a token and its draft tokens of a step's budget; these take all of it.".to_owned(),
        tradeoff: "Activations grow with the budget.",
    };
    fix(occasion, words, &[("--max-num-batched-tokens", &USUAL.to_string())])
}

/// A longer context for requests that exceed the one that was set, where the model has it and the cache holds it.
fn longer_requests(occasion: &Occasion<'_>) -> Option<Remedy> {
    let asked = digits_after(text(occasion), "However, you requested ")?;
    let now = occasion.number("--max-model-len")?;
    let length = asked.max(now).next_multiple_of(1024);
    let ground = Ground::of(occasion)?;
    let setup = Setup { max_model_len: Some(length), ..ground.setup.clone() };
    let e = ground.estimate(&setup);
    let possible = crate::memory::estimate::check(&ground.model, &ground.device, &e.plan).is_ok();
    let longest = ground.model.shape.as_ref()?.max_positions?;
    if !possible || length > longest || e.verdict != Verdict::Fits {
        return None;
    }
    let value = length.to_string();
    let words = Words {
        id: "longer-context",
        title: format!("Raise the context to {length} tokens (--max-model-len {value})"),
        rationale: format!("Requests ask for {asked} tokens; the model was made for {longest}, and one context of {length} fits."),
        tradeoff: "Fewer long requests at a time.",
    };
    fix(occasion, words, &[("--max-model-len", &value)])
}

/// A chunk of whole pages.
fn whole_pages(occasion: &Occasion<'_>) -> Option<Remedy> {
    if !text(occasion).contains("divisible by page_size") {
        return None;
    }
    let (chunk, page) = (occasion.number("--chunked-prefill-size")?, occasion.number("--page-size").filter(|page| *page > 0)?);
    let whole = (chunk / page * page).max(page).to_string();
    let words = Words {
        id: "whole-pages",
        title: format!("Prefill in whole pages (--chunked-prefill-size {whole})"),
        rationale: format!("A chunk must be a multiple of the page size, {page}."),
        tradeoff: "None.",
    };
    fix(occasion, words, &[("--chunked-prefill-size", &whole)])
}

// --------------------------------------------------------------------------------------------------------- parallelism

/// As many ranks as there are devices, and as divide the heads.
pub(super) fn ranks(occasion: &Occasion<'_>) -> Option<Remedy> {
    let flag = match occasion.engine() {
        "vllm" => "--tensor-parallel-size",
        "tgi" => "--num-shard",
        "sglang" => "--tp-size",
        _ => return None,
    };
    let text = text(occasion);
    let asked = occasion.number(flag).or(occasion.deployment.tensor_parallel).filter(|asked| *asked > 1)?;
    let listed = occasion.deployment.devices.len() as u64;
    let devices = digits_after(text, "available GPUs (").or_else(|| digits_after(text, "only found ")).or((listed > 0).then_some(listed));
    let model = occasion.deployment.model.as_deref().and_then(|name| Model::find(name, &UserCatalogue::default()).ok());
    let circumstances = occasion.circumstances(None, model.as_ref());
    let named = digits_after(text, "attention heads (").or_else(|| digits_after(text, "(got `num_heads`: "));
    let heads = named.or(circumstances.heads);
    // Without a count that the message or the log gives, there is nothing to go by.
    if devices.is_none() && named.is_none() {
        return None;
    }
    let most = devices.map_or(asked - 1, |devices| devices.min(asked));
    let divides = |n: &u64| *n != asked && heads.is_none_or(|heads| heads.is_multiple_of(*n));
    let ranks = [1, 2, 4, 8, 16].into_iter().filter(|n| *n <= most).filter(divides).max()?;
    if let Some(ground) = Ground::of(occasion) {
        let e = ground.estimate(&Setup { tensor_parallel: ranks, ..ground.setup.clone() });
        if e.verdict == Verdict::Exceeds || crate::memory::estimate::check(&ground.model, &ground.device, &e.plan).is_err() {
            return None;
        }
    }
    let value = ranks.to_string();
    let why = match (devices, heads) {
        (Some(devices), Some(heads)) => format!("The log shows {devices} devices, and {ranks} divides the model's {heads} attention heads."),
        (Some(devices), None) => format!("The log shows {devices} devices. The attention heads of the model must divide by {ranks} too."),
        (None, Some(heads)) => format!("{ranks} divides the model's {heads} attention heads, and {asked} does not."),
        (None, None) => return None,
    };
    let words = Words {
        id: "dividing-size",
        title: match ranks {
            1 => format!("Run the model on one device ({flag} 1)"),
            _ => format!("Split the model over {ranks} ({flag} {value})"),
        },
        rationale: why,
        tradeoff: "Each device holds a larger share of the weights.",
    };
    let mut changes = vec![(flag, value.as_str())];
    if flag == "--num-shard" && occasion.value("--sharded").is_some() {
        changes.push(("--sharded", if ranks > 1 { "true" } else { "false" }));
    }
    occasion.changed(words, &changes, &circumstances)
}

// -------------------------------------------------------------------------------------------------------- architecture

/// Architectures, and the first of the releases that were read which has each.
const ARCHITECTURES: &str = include_str!("architectures.csv");

/// The release of vLLM that has an architecture, by its name or by the type in the model's configuration.
fn release_with(architecture: Option<&str>, model_type: Option<&str>) -> Option<(&'static str, &'static str)> {
    let mut rows = ARCHITECTURES.lines().skip(1).filter_map(|line| line.split_once(','));
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match (architecture, model_type.map(plain)) {
        (Some(architecture), _) => rows.find(|(name, _)| *name == architecture),
        (None, Some(kind)) => rows.find(|(name, _)| {
            let name = name.to_ascii_lowercase();
            ["forcausallm", "forconditionalgeneration"].iter().any(|end| name.strip_suffix(end) == Some(kind.as_str()))
        }),
        (None, None) => None,
    }
}

/// A release of vLLM that has the architecture.
pub(super) fn newer_engine(occasion: &Occasion<'_>) -> Option<Remedy> {
    if occasion.engine() != "vllm" {
        return None;
    }
    let fact = occasion.situation.fact;
    let kind = text(occasion).split("model type `").nth(1).and_then(|rest| rest.split('`').next());
    let (name, since) = release_with(fact.word("architecture"), fact.word("model_type").or(kind))?;
    let now = occasion.version()?;
    if Version::parse(now)? >= Version::parse(since)? {
        return None;
    }
    let words = Words {
        id: "upgrade",
        title: format!("Upgrade vLLM from {now} to {since}"),
        rationale: format!("{name} is among its architectures; it is not in {now}."),
        tradeoff: "Other changes of the releases between them.",
    };
    upgrade(occasion, words, since)
}

/// The engine in another release: its image, or its package.
fn upgrade(occasion: &Occasion<'_>, words: Words, to: &str) -> Option<Remedy> {
    let official = "vllm/vllm-openai";
    match occasion.command.map(|command| command.container.as_ref().map(|own| own.image.plain())) {
        // An image of one's own is to be built anew.
        Some(Some(image)) if crate::remedies::flags::repository(&image) == official => {
            fix(occasion, words, &[("image", &format!("{official}:v{to}"))])
        }
        Some(Some(_)) => None,
        Some(None) | None => Some(super::aid(words, Some(format!("python3 -m pip install --upgrade 'vllm=={to}'")))),
    }
}

// ------------------------------------------------------------------------------------------------------------ arguments

/// Settings that are called otherwise elsewhere: TGI, vLLM, SGLang.
const ELSEWHERE: [[&str; 3]; 7] = [
    ["--model-id", "--model", "--model-path"],
    ["--quantize", "--quantization", "--quantization"],
    ["--num-shard", "--tensor-parallel-size", "--tp-size"],
    ["--cuda-memory-fraction", "--gpu-memory-utilization", "--mem-fraction-static"],
    ["--max-total-tokens", "--max-model-len", "--context-length"],
    ["--max-batch-prefill-tokens", "--max-num-batched-tokens", "--chunked-prefill-size"],
    ["--max-concurrent-requests", "--max-num-seqs", "--max-running-requests"],
];

/// Names that are written for another of the same engine.
const MISTAKEN: [(&str, &str, &str); 2] = [("vllm", "--max-seq-len", "--max-model-len"), ("sglang", "--max-model-len", "--context-length")];

/// The flag that was meant.
pub(super) fn meant_flag(occasion: &Occasion<'_>) -> Option<Remedy> {
    let said = occasion.situation.fact.said();
    if !["unrecognized argument", "unexpected argument", "invalid argument", "unknown argument"].iter().any(|words| said.contains(words)) {
        return None;
    }
    let wrong = said.split([' ', '\'', '=', ':', '`']).find(|word| word.starts_with("--") && word.len() > 3)?;
    let table = Table::of(occasion.engine())?;
    let version = occasion.version().and_then(Version::parse).or(table.newest().map(|(version, _)| version))?;
    let (meant, why) = meant(table, version, wrong)?;
    let words = Words { id: "meant-flag", title: format!("Write {meant} instead of {wrong}"), rationale: why, tradeoff: "None." };
    let value = occasion.command.and_then(|command| command.value_of_word(wrong));
    let changes = value.map(|value| {
        let change = |flag: &str, from: Option<&String>, to: Option<&String>| Change { flag: flag.to_owned(), from: from.cloned(), to: to.cloned() };
        vec![change(wrong, Some(&value), None), change(meant, None, Some(&value))]
    });
    let renamed = |command: &Command| command.renamed(wrong, meant)?.print(occasion.shell, &occasion.circumstances(None, None)).ok();
    Some(Remedy { changes: changes.unwrap_or_default(), ..super::aid(words, occasion.command.and_then(renamed)) })
}

fn meant(table: &'static Table, version: Version, wrong: &str) -> Option<(&'static str, String)> {
    let is_in = |name: &str| table.find(name).is_some_and(|found| found.flag.is_in(version));
    let column = ["tgi", "vllm", "sglang"].iter().position(|engine| *engine == table.engine);
    let other = column.and_then(|column| {
        let row = ELSEWHERE.iter().find(|row| row.contains(&wrong))?;
        row.get(column).copied().filter(|name| *name != wrong && is_in(name))
    });
    if let Some(name) = other {
        return Some((name, format!("{wrong} is another engine's name for it.")));
    }
    if let Some((_, _, name)) = MISTAKEN.iter().find(|(engine, name, _)| *engine == table.engine && *name == wrong) {
        return Some((name, format!("{wrong} is no flag; this one sets it.")));
    }
    let names = table.flags.iter().filter(|flag| flag.name.starts_with("--") && flag.is_in(version)).map(|flag| flag.name);
    let (distance, name) = names.map(|name| (edits(wrong, name), name)).min_by_key(|(distance, name)| (*distance, Reverse(name.len())))?;
    (distance > 0 && distance <= 2.max(wrong.len() / 8)).then(|| (name, format!("No flag is called {wrong}; this is the one that is nearest to it.")))
}

/// Letters to be added, removed or changed to make one word of another.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (at, y) in b.iter().enumerate() {
            let up = row.get(at + 1).copied().unwrap_or(usize::MAX);
            let new = (before + usize::from(x != *y)).min(left + 1).min(up.saturating_add(1));
            if let Some(slot) = row.get_mut(at) {
                *slot = left;
            }
            before = up;
            left = new;
        }
        if let Some(slot) = row.last_mut() {
            *slot = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Two settings that exclude each other, and the value that is none of those allowed.
pub(super) fn excluded(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    if occasion.engine() == "tgi" && text.contains("Only 1 can be set between `dtype` and `quantize`") {
        let words = Words {
            id: "one-of-both",
            title: "Leave --dtype out".to_owned(),
            rationale: "The quantization decides the data type.".to_owned(),
            tradeoff: "None.",
        };
        return fix(occasion, words, &[("--dtype", "")]);
    }
    if occasion.engine() == "transformers" && text.contains("provide an `offload_folder`") {
        let words = Words {
            id: "offload-folder",
            title: "Name a folder for what goes to disk (offload_folder)".to_owned(),
            rationale: "The device map puts weights on disk, and nothing says where.".to_owned(),
            tradeoff: "Layers on disk make each token take seconds.",
        };
        return fix(occasion, words, &[("device_map", "auto"), ("offload_folder", "offload")]);
    }
    None
}

/// The value that was meant, or none.
pub(super) fn meant_value(occasion: &Occasion<'_>) -> Option<Remedy> {
    let said = occasion.situation.fact.said();
    let flag = said.split("argument ").nth(1)?.split([':', '/', ' ']).next().filter(|flag| flag.starts_with("--"))?;
    let wrong = said.split("invalid choice: '").nth(1)?.split('\'').next().filter(|word| super::is_plain_name(word))?;
    let found = Table::of(occasion.engine())?.find(flag)?.flag;
    // The parser lists what it takes.
    let listed = said.split("choose from ").nth(1)?;
    let values: Vec<&str> = listed.split(['\'', ',', ' ', ')']).filter(|word| super::is_plain_name(word)).collect();
    let plain = |text: &str| text.to_ascii_lowercase().replace("fp16", "float16").replace("bf16", "bfloat16").replace(['-', '_'], "");
    let near = || values.iter().filter(|value| edits(value, wrong) == 1).max_by_key(|value| value.len());
    let meant = values.iter().find(|value| plain(value) == plain(wrong)).or_else(near)?;
    let words = Words {
        id: "meant-value",
        title: format!("Write {} {meant}", found.name),
        rationale: format!("{wrong} is none of its values; this one is nearest to it."),
        tradeoff: "None.",
    };
    let change = Change { flag: found.name.to_owned(), from: Some(wrong.to_owned()), to: Some((*meant).to_owned()) };
    let circumstances = occasion.circumstances(None, None);
    let write = |command: &Command| command.write(std::slice::from_ref(&change), occasion.shell, &circumstances).ok();
    let command = occasion.command.and_then(write).map(|printed| printed.text);
    Some(Remedy { changes: vec![change], ..super::aid(words, command) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_by_edits() {
        assert_eq!((edits("kitten", "sitting"), edits("", "abc"), edits("abc", ""), edits("same", "same")), (3, 3, 3, 0));
        let of = |engine, wrong| {
            let table = Table::of(engine).unwrap();
            meant(table, table.newest().unwrap().0, wrong).map(|(name, _)| name)
        };
        assert_eq!(of("tgi", "--max-input-lenght"), Some("--max-input-length"));
        assert_eq!(of("sglang", "--gpu-memory-utilization"), Some("--mem-fraction-static"));
        assert_eq!(of("vllm", "--quantize"), Some("--quantization"));
        assert_eq!(of("llama.cpp", "--gpu-layer"), Some("--gpu-layers"));
        assert_eq!(of("vllm", "--no-such-thing-at-all"), None);
    }

    #[test]
    fn architectures_tell_the_release() {
        assert_eq!(release_with(Some("Qwen3NextForCausalLM"), None), Some(("Qwen3NextForCausalLM", "0.10.2")));
        assert_eq!(release_with(None, Some("qwen3_next")), Some(("Qwen3NextForCausalLM", "0.10.2")));
        assert_eq!((release_with(Some("HeronForCausalLM"), None), release_with(None, Some("heron"))), (None, None));
        assert!(ARCHITECTURES.lines().skip(1).all(|line| line.split_once(',').is_some_and(|(_, since)| Version::parse(since).is_some())));
    }
}
