//! Quantizations by the words of the engines' arguments, and which of them an engine has.

use super::engine::Engine;
use crate::memory::format::{Method, Mix, Quantization, Scales};

/// The quantization that a word of a command line means: `awq`, `gptq`, `bitsandbytes-nf4`, `fp8`, `Q4_K_M`. None for a
/// word that is not known; `none` means that nothing is quantized.
pub fn named(word: &str) -> Option<Quantization> {
    let lower = word.trim().to_ascii_lowercase().replace('_', "-");
    let gptq = |bits| Method::Gptq { bits, group: Some(128), symmetric: true };
    Some(Quantization::new(match lower.as_str() {
        "none" | "no" | "auto" => return Some(Quantization::NONE),
        "gptq" | "gptq-marlin" | "gptq-int4" | "int4" | "4bit" => gptq(4),
        "gptq-int8" => gptq(8),
        "awq" | "awq-marlin" => Method::Awq { bits: 4, group: 128 },
        "w4a16" | "compressed-tensors" => Method::PackedInt { bits: 4, group: Some(128), symmetric: true },
        "w8a8" | "int8" | "smoothquant" => Method::Int8 { scale: 16 },
        "fp8" | "w8a8-fp8" | "fbgemm-fp8" | "fp8-dynamic" => Method::Fp8(Scales::Channel { bits: 32 }),
        "bitsandbytes-nf4" | "bitsandbytes-fp4" | "nf4" | "bnb" | "bnb-4bit" | "bitsandbytes-4bit" => Method::Bnb4 { double: true },
        // TGI means 8 bits by it, and vLLM 4: see `named_for`.
        "bitsandbytes" | "llm.int8" | "bnb-8bit" | "8bit" => Method::Bnb8,
        "eetq" => Method::Eetq,
        "mxfp4" => Method::Mxfp4,
        "mxfp8" => Method::Mxfp8,
        "nvfp4" | "modelopt" | "modelopt-fp4" | "modelopt nvfp4" => Method::Nvfp4,
        "torchao" | "hqq" | "int4wo-64" => Method::Int { bits: 4, group: 64 },
        "exl2" => Method::Exl2 { hundredths: 400 },
        _ => Method::Gguf(Mix::parse(word)?),
    }))
}

/// The same, by what an engine means by the word.
pub fn named_for(engine: Engine, word: &str) -> Option<Quantization> {
    match (engine, word.trim().to_ascii_lowercase().as_str()) {
        (Engine::Vllm | Engine::Sglang, "bitsandbytes") => Some(Quantization::new(Method::Bnb4 { double: true })),
        _ => named(word),
    }
}

/// Words for a way of writing files down, not for what is in them: 4-bit integers and 8-bit floats alike.
const CONTAINERS: &[&str] = &["compressed-tensors", "modelopt", "modelopt-fp4", "quark"];

/// What a word asks for. If the model is stored in that format already, its own details (groups, what is left alone) are
/// surer than the usual ones.
pub fn asked(engine: Engine, word: &str, stored: Quantization) -> Option<Quantization> {
    let container = CONTAINERS.contains(&word.trim().to_ascii_lowercase().replace('_', "-").as_str());
    if container && stored.is_some() {
        return Some(stored);
    }
    let asked = named_for(engine, word)?;
    match (asked.method, stored.method) {
        (Some(a), Some(s)) if a.as_str() == s.as_str() && !matches!(a, Method::Gguf(_)) => Some(stored),
        _ => Some(asked),
    }
}

/// The quantizations that are worth trying on an engine, from the mildest on, by its own words.
pub const fn usual(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Vllm => &["none", "fp8", "awq", "bitsandbytes"],
        Engine::Tgi => &["none", "fp8", "eetq", "awq", "bitsandbytes-nf4"],
        Engine::Sglang => &["none", "fp8", "awq"],
        Engine::LlamaCpp => &["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_says_nothing_of_what_is_in_it() {
        let stored = Quantization::new(Method::Fp8(Scales::Channel { bits: 16 }));
        for word in ["compressed-tensors", "compressed_tensors", "modelopt"] {
            assert_eq!(asked(Engine::Vllm, word, stored), Some(stored), "{word}");
        }
        // Of a model that says nothing either, the usual content.
        let usual = asked(Engine::Vllm, "compressed-tensors", Quantization::NONE).and_then(|q| q.method);
        assert_eq!(usual, Some(Method::PackedInt { bits: 4, group: Some(128), symmetric: true }));
        // A format is what it says.
        let awq = asked(Engine::Vllm, "awq", stored).and_then(|q| q.method);
        assert_eq!(awq, Some(Method::Awq { bits: 4, group: 128 }));
    }
}
