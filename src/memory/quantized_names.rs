//! The quantization that a name speaks of: `-AWQ`, `-GPTQ-Int4`, `-FP8-dynamic`, `bnb-4bit`, `Q4_K_M` …

use super::format::{Method, Mix, Quantization, Scales};

/// A name, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// The words before the first that speaks of a quantization.
    pub base: Vec<String>,
    /// What the rest says; none if the name says nothing.
    pub quantization: Option<Quantization>,
}

/// Words that come with quantizations and mean nothing by themselves here.
const NOISE: &[&str] =
    &["unsloth", "quantized", "ud", "gguf", "dynamic", "imatrix", "imat", "i", "1", "autoround", "auto", "round", "mlx", "torchao", "marlin", "sym"];

/// Splits the words of a name. A quantization is never the first word, for nothing would be left.
pub fn split(words: &[String]) -> Parts {
    // Re-uploads that are named after their maker.
    let words = if words.len() > 2 && words[0] == "unsloth" { &words[1..] } else { words };
    for at in 1..words.len() {
        let rest: Vec<&str> = words[at..].iter().map(String::as_str).collect();
        if let Some(quantization) = read(&rest) {
            let mut base = words[..at].to_vec();
            while base.len() > 1 && base.last().is_some_and(|w| NOISE.contains(&w.as_str())) && !is_version(&base) {
                base.pop();
            }
            return Parts { base, quantization };
        }
    }
    let mut base = words.to_vec();
    while base.len() > 1 && base.last().is_some_and(|w| w == "gguf" || w == "unsloth" || w == "mlx") {
        base.pop();
    }
    Parts { base, quantization: None }
}

/// A trailing `1` is noise only in `i1`.
fn is_version(words: &[String]) -> bool {
    words.last().is_some_and(|w| w == "1") && words.len().checked_sub(2).and_then(|i| words.get(i)).is_none_or(|w| w != "i")
}

/// What words say that begin with a quantization: outer none if they do not, inner none if it is none by name only
/// (`GGUF` without a type).
fn read(rest: &[&str]) -> Option<Option<Quantization>> {
    let has = |word: &str| rest.contains(&word);
    let pair = |a: &str, b: &str| rest.windows(2).any(|w| w == [a, b]);
    let bits = || {
        if has("8bit") || pair("int", "8") || has("8bits") || pair("w", "8a") {
            8
        } else if has("3bit") || pair("int", "3") {
            3
        } else if has("2bit") || pair("int", "2") {
            2
        } else {
            4
        }
    };
    let group = || {
        rest.iter()
            .find_map(|w| w.strip_suffix('g')?.parse::<u32>().ok())
            .or_else(|| rest.windows(2).find(|w| w[0] == "g").and_then(|w| w[1].parse().ok()))
            .filter(|g| (8..=4096).contains(g))
    };
    let some = |method| Some(Some(Quantization::new(method)));
    if let Some(mix) = mix(rest) {
        return some(Method::Gguf(mix));
    }
    match rest {
        ["awq", ..] => some(Method::Awq { bits: 4, group: group().unwrap_or(128) }),
        ["int" | "w", "4" | "4a", ..] if has("awq") => some(Method::Awq { bits: 4, group: group().unwrap_or(128) }),
        ["int", "4" | "8" | "2" | "3", ..] if has("awq") || has("gptq") || has("autoround") => {
            some(Method::Gptq { bits: bits(), group: group().or(Some(128)), symmetric: true })
        }
        ["gptq" | "gptqmodel", ..] => some(Method::Gptq { bits: bits(), group: group().or(Some(128)), symmetric: true }),
        ["w", "4a", "16", ..] => some(Method::PackedInt { bits: 4, group: Some(group().unwrap_or(128)), symmetric: true }),
        ["w", "8a", "16", ..] => some(Method::PackedInt { bits: 8, group: group(), symmetric: true }),
        ["w", "8a", "8", ..] => some(Method::Int8 { scale: 16 }),
        ["bnb", ..] | ["bitsandbytes", ..] => some(if bits() == 8 { Method::Bnb8 } else { Method::Bnb4 { double: true } }),
        ["nf", "4", ..] => some(Method::Bnb4 { double: has("dq") || has("double") }),
        ["fp", "8", ..] | ["float", "8", ..] if pair("kv", "fp") => None,
        ["fp", "8", ..] | ["float", "8", ..] => some(Method::Fp8(if has("dynamic") {
            Scales::Channel { bits: 16 }
        } else if has("block") {
            Scales::Block { rows: 128, columns: 128 }
        } else {
            Scales::Tensor
        })),
        ["nvfp", "4", ..] => some(Method::Nvfp4),
        ["fp", "4", ..] => some(Method::Nvfp4),
        ["mxfp", "4", ..] => some(Method::Mxfp4),
        ["mxfp", "8", ..] => some(Method::Mxfp8),
        ["eetq", ..] => some(Method::Eetq),
        ["hqq", ..] => some(Method::Int { bits: bits(), group: group().unwrap_or(64) }),
        ["exl", "2" | "3", rest @ ..] => some(Method::Exl2 { hundredths: bpw(rest)? }),
        ["4bit" | "8bit" | "3bit" | "6bit" | "5bit", ..] => {
            let bits = rest[0].bytes().next().map_or(4, |b| b - b'0');
            some(Method::Int { bits, group: group().unwrap_or(64) })
        }
        ["int", "4" | "8"] => some(Method::Int { bits: bits(), group: group().unwrap_or(128) }),
        ["bf" | "fp" | "f", "16", ..] => Some(Some(Quantization::NONE)),
        _ => None,
    }
}

/// `4.0bpw` is split into `4`, `0bpw`.
fn bpw(rest: &[&str]) -> Option<u16> {
    let at = rest.iter().position(|w| w.ends_with("bpw"))?;
    let text = rest[at].strip_suffix("bpw")?;
    let joined = match at.checked_sub(1).map(|i| rest[i]) {
        Some(whole) if whole.parse::<u8>().is_ok() => format!("{whole}.{text}"),
        _ => text.to_owned(),
    };
    joined.parse::<f64>().ok().filter(|b| (1.0..=16.0).contains(b)).map(|b| (b * 100.0).round() as u16)
}

/// A GGUF mix at the start of these words: the longest that fits, `iq4_xs` being the words `iq`, `4`, `xs`.
fn mix(rest: &[&str]) -> Option<Mix> {
    let first = rest.first()?;
    if !matches!(*first, "q" | "iq" | "tq" | "mxfp") || *first == "mxfp" && rest.get(2) != Some(&"moe") {
        return None;
    }
    (2..=4usize.min(rest.len())).rev().find_map(|n| {
        let joined = format!("{}{}", rest[0], rest[1..n].join("_"));
        Mix::all().find(|mix| mix.name.eq_ignore_ascii_case(&joined))
    })
}
