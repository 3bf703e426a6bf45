//! Python code: `from_pretrained` of transformers, `LLM` of vLLM.

use super::{Argument, Command, Word};
use crate::remedies::flags::Problem;

/// Arguments that go into `BitsAndBytesConfig`.
const QUANTIZATION: [&str; 6] = [
    "load_in_8bit",
    "load_in_4bit",
    "bnb_4bit_quant_type",
    "bnb_4bit_compute_dtype",
    "bnb_4bit_use_double_quant",
    "llm_int8_enable_fp32_cpu_offload",
];

/// Writes the call that loads the model.
pub(super) fn print(command: &Command) -> Result<String, Problem> {
    let model = command.model().ok_or_else(|| Problem::Unreadable("no model is named".to_owned()))?;
    match command.engine.as_deref() {
        Some("vllm") => vllm(command, &model),
        Some("transformers") => transformers(command, &model),
        _ => Err(Problem::NotHere { what: "Python code".to_owned() }),
    }
}

fn vllm(command: &Command, model: &str) -> Result<String, Problem> {
    let mut lines = vec![format!("    model={},", text(model))];
    let others = command.arguments.iter().filter(|argument| argument.name.as_deref() != Some("--model"));
    for argument in others.filter(|argument| argument.name.is_some()) {
        let name = argument.name.as_deref().unwrap_or_default();
        let found = command.table().and_then(|table| table.find(name));
        let key = found.map_or(name, |found| found.flag.name).trim_start_matches('-').replace('-', "_");
        let value = if found.is_some_and(|found| found.negative) { "False".to_owned() } else { value(argument)? };
        lines.push(format!("    {key}={value},"));
    }
    let environment = environment(command)?;
    Ok(format!("{environment}from vllm import LLM\n\nllm = LLM(\n{}\n)", lines.join("\n")))
}

fn transformers(command: &Command, model: &str) -> Result<String, Problem> {
    let mut outer: Vec<String> = Vec::new();
    let mut inner: Vec<String> = Vec::new();
    let mut torch = false;
    let class = if is_seq2seq(model) { "AutoModelForSeq2SeqLM" } else { "AutoModelForCausalLM" };
    for argument in &command.arguments {
        let Some(name) = argument.name.as_deref().filter(|name| *name != "model") else { continue };
        let word = argument.values.first().map(Word::plain).unwrap_or_default();
        let code = if name.ends_with("dtype") && word != "auto" {
            torch = true;
            format!("torch.{word}")
        } else if name == "max_memory" {
            max_memory(&word)?
        } else {
            value(argument)?
        };
        if QUANTIZATION.contains(&name) { inner.push(format!("        {name}={code},")) } else { outer.push(format!("    {name}={code},")) }
    }
    let mut classes = format!("{class}, AutoTokenizer");
    if !inner.is_empty() {
        // On lines of their own: one line would be wider than a terminal.
        classes = format!("(\n    {class},\n    AutoTokenizer,\n    BitsAndBytesConfig,\n)");
        outer.push(format!("    quantization_config=BitsAndBytesConfig(\n{}\n    ),", inner.join("\n")));
    }
    let mut out = environment(command)?;
    if torch {
        out += "import torch\n";
    }
    out += &format!("from transformers import {classes}\n\nmodel_id = {}\ntokenizer = AutoTokenizer.from_pretrained(model_id)\n", text(model));
    outer.insert(0, "    model_id,".to_owned());
    out += &format!("model = {class}.from_pretrained(\n{}\n)", outer.join("\n"));
    Ok(out)
}

/// True for families whose models have an encoder, which another class loads.
fn is_seq2seq(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let families = ["t5", "mt5", "ul2", "bart", "mbart", "pegasus", "nllb", "m2m100", "marian"];
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| families.contains(&word))
}

/// Variables have to be set before the libraries are imported.
fn environment(command: &Command) -> Result<String, Problem> {
    let set: Vec<_> = command.environment.iter().filter_map(|v| Some((v.name.as_str(), v.value.as_ref()?))).collect();
    if set.is_empty() {
        return Ok(String::new());
    }
    let mut out = "import os\n\n".to_owned();
    for (name, value) in set {
        let value = value.literal().ok_or_else(|| Problem::NotHere { what: "a shell's variable".to_owned() })?;
        out += &format!("os.environ[{}] = {}\n", text(name), text(&value));
    }
    Ok(out + "\n")
}

/// The value of an argument as Python writes it.
fn value(argument: &Argument) -> Result<String, Problem> {
    let words: Option<Vec<String>> = argument.values.iter().map(Word::literal).collect();
    let words = words.ok_or_else(|| Problem::NotHere { what: "a shell's variable".to_owned() })?;
    Ok(match words.as_slice() {
        [] => "True".to_owned(),
        [one] => match one.as_str() {
            "true" | "True" => "True".to_owned(),
            "false" | "False" => "False".to_owned(),
            number if is_number(number) => number.to_owned(),
            json if json.starts_with(['{', '[']) => {
                json_value(&serde_json::from_str(json).map_err(|_| Problem::Unsafe { place: "a JSON value".to_owned() })?)
            }
            word => text(word),
        },
        several => format!("[{}]", several.iter().map(|word| if is_number(word) { word.clone() } else { text(word) }).collect::<Vec<_>>().join(", ")),
    })
}

/// `{"0": "20GiB", "cpu": "64GiB"}`: devices are numbers.
fn max_memory(word: &str) -> Result<String, Problem> {
    let map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(word).map_err(|_| Problem::WrongType { flag: "max_memory".to_owned(), value: word.to_owned(), wanted: "JSON" })?;
    let pairs: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{}: {}", if key.parse::<u32>().is_ok() { key.clone() } else { text(key) }, json_value(value)))
        .collect();
    Ok(format!("{{{}}}", pairs.join(", ")))
}

fn json_value(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(word) => text(word),
        Value::Array(values) => format!("[{}]", values.iter().map(json_value).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            format!("{{{}}}", map.iter().map(|(key, value)| format!("{}: {}", text(key), json_value(value))).collect::<Vec<_>>().join(", "))
        }
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.parse::<f64>().is_ok()
        && !(digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."))
}

/// A Python string.
fn text(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
