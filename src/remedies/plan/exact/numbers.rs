//! Data types and quantizations that do not fit the card, the checkpoint, or the numbers.

use super::{fix, text};
use crate::memory::Model;
use crate::memory::catalogue::UserCatalogue;
use crate::memory::device::Arch;
use crate::memory::estimate::{Engine, Setup, Verdict, formats};
use crate::post_mortem::Remedy;
use crate::remedies::plan::ground::{self, Ground};
use crate::remedies::plan::{Occasion, Words};

/// A data type that runs here.
pub(super) fn dtype(occasion: &Occasion<'_>) -> Vec<Option<Remedy>> {
    vec![half(occasion), whole(occasion), plain_cache(occasion)]
}

/// float16, where the message says that bfloat16 is the trouble.
fn half(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion).to_ascii_lowercase();
    if !text.contains("bfloat16 is only supported") && !text.contains("bfloat16 is not supported") {
        return None;
    }
    let words = Words {
        id: "half",
        title: "Use float16".to_owned(),
        rationale: "bfloat16 is refused here; all CUDA cards that serve language models run float16.".to_owned(),
        tradeoff: "A smaller range of values: watch for nan.",
    };
    match occasion.engine() {
        "vllm" | "sglang" => fix(occasion, words, &[("--dtype", "half")]),
        "tgi" => fix(occasion, words, &[("--dtype", "float16")]),
        _ => None,
    }
}

/// float32 on a processor, which has no kernels for half.
fn whole(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    if occasion.engine() != "transformers" || !(text.contains("not implemented for 'Half'") && text.contains("cpu")) {
        return None;
    }
    let words = Words {
        id: "float32-on-cpu",
        title: "Load the model in float32 on the processor".to_owned(),
        rationale: "PyTorch has no such kernel for float16 there. Newer releases of PyTorch run bfloat16 as well.".to_owned(),
        tradeoff: "Twice the memory.",
    };
    fix(occasion, words, &[("torch_dtype", "float32"), ("device_map", "cpu")])
}

/// TGI: a cache in the model's own type.
fn plain_cache(occasion: &Occasion<'_>) -> Option<Remedy> {
    if !text(occasion).contains("FP8 KV cache is currently only supported") {
        return None;
    }
    occasion.value("--kv-cache-dtype")?;
    let words = Words {
        id: "plain-cache",
        title: "Keep the cache in the model's own type (without --kv-cache-dtype)".to_owned(),
        rationale: "A cache in fp8 needs flashinfer, and another attention is in use here.".to_owned(),
        tradeoff: "The cache holds half as many tokens.",
    };
    fix(occasion, words, &[("--kv-cache-dtype", "")])
}

/// bfloat16, which has float32's range, where the card has it.
pub(super) fn more_range(occasion: &Occasion<'_>) -> Option<Remedy> {
    let device = ground::device(occasion)?;
    if !matches!(device.arch, Arch::Cuda(major, _) if major >= 8) {
        return None;
    }
    let setting = match occasion.engine() {
        "vllm" | "sglang" | "tgi" => "--dtype",
        "transformers" => "torch_dtype",
        _ => return None,
    };
    let now = occasion.value(setting).or_else(|| occasion.deployment.dtype.clone())?;
    if !matches!(now.as_str(), "half" | "float16" | "torch.float16") {
        return None;
    }
    let words = Words {
        id: "more-range",
        title: format!("Compute in bfloat16 ({setting})"),
        rationale: "float16 ends at 65504; bfloat16 has the range of float32 in the same two bytes.".to_owned(),
        tradeoff: "Fewer digits.",
    };
    occasion.changed(words, &[(setting, "bfloat16")], &occasion.circumstances(Some(&device.arch), None))
}

/// Another arithmetic than the quantization whose numbers went astray, if it fits.
pub(super) fn other_numerics(occasion: &Occasion<'_>) -> Option<Remedy> {
    if occasion.engine() != "tgi" {
        return None;
    }
    let now = occasion.value("--quantize").filter(|now| now.starts_with("bitsandbytes"))?;
    let ground = Ground::of(occasion)?;
    let candidates = [None, Some("eetq")];
    let (word, e) = candidates.into_iter().find_map(|word| {
        let quantization = word.and_then(|word| formats::named_for(Engine::Tgi, word));
        let e = ground.estimate(&Setup { quantization, ..ground.setup.clone() });
        let runs = crate::memory::estimate::check(&ground.model, &ground.device, &e.plan).is_ok();
        (runs && e.verdict == Verdict::Fits).then_some((word, e))
    })?;
    let fit = crate::remedies::plan::memory::fit_of(&e, e.probability?);
    let words = Words {
        id: "other-numerics",
        title: match word {
            Some(word) => format!("Quantize with {word} instead of {now}"),
            None => format!("Load it without {now}"),
        },
        rationale: format!("{} The failure came up in what its kernels computed.", crate::remedies::plan::sentence(&fit)),
        tradeoff: "More memory for the weights, less for the cache.",
    };
    let mut remedy = occasion.changed(words, &[("--quantize", word.unwrap_or_default())], &ground.circumstances)?;
    remedy.fit = Some(fit);
    Some(remedy)
}

/// A quantization that checkpoint and engine agree on.
pub(super) fn quantization(occasion: &Occasion<'_>) -> Vec<Option<Remedy>> {
    vec![checkpoints_own(occasion), load_format(occasion), while_loading(occasion), deprecated(occasion)]
}

/// What the checkpoint says of itself.
fn checkpoints_own(occasion: &Occasion<'_>) -> Option<Remedy> {
    let text = text(occasion);
    if !text.contains("does not match the quantization method specified in the `quantization` argument") {
        return None;
    }
    let stored = text.split("model config (").nth(1).and_then(|rest| rest.split(')').next()).filter(|word| super::is_plain_name(word))?;
    let words = Words {
        id: "matching-checkpoint",
        title: "Leave --quantization out".to_owned(),
        rationale: format!("The checkpoint is quantized by {stored}; the engine reads that from its configuration."),
        tradeoff: "None.",
    };
    let flag = if matches!(occasion.engine(), "vllm" | "sglang") { "--quantization" } else { return None };
    fix(occasion, words, &[(flag, "")])
}

/// bitsandbytes in the releases that want to be told twice.
fn load_format(occasion: &Occasion<'_>) -> Option<Remedy> {
    if !text(occasion).contains("only support 'bitsandbytes' load format") {
        return None;
    }
    let words = Words {
        id: "load-format",
        title: "Say it twice: --quantization bitsandbytes --load-format bitsandbytes".to_owned(),
        rationale: "This release does not choose the loader by the quantization.".to_owned(),
        tradeoff: "None.",
    };
    fix(occasion, words, &[("--quantization", "bitsandbytes"), ("--load-format", "bitsandbytes")])
}

/// TGI: a quantization that is made while loading, for weights that are stored plain.
fn while_loading(occasion: &Occasion<'_>) -> Option<Remedy> {
    let now = occasion.value("--quantize").filter(|now| matches!(now.as_str(), "awq" | "gptq" | "exl2" | "marlin"))?;
    let model = occasion.deployment.model.as_deref().and_then(|name| Model::find(name, &UserCatalogue::default()).ok());
    // What is stored quantized has another trouble.
    if occasion.engine() != "tgi" || model.is_some_and(|model| model.quantization.is_some()) {
        return None;
    }
    let words = Words {
        id: "while-loading",
        title: "Quantize while loading (--quantize bitsandbytes-nf4)".to_owned(),
        rationale: format!("{now} needs a checkpoint that is stored so, and this one is not; this makes 4 bits of any."),
        tradeoff: "Slower than prepared weights, and some quality.",
    };
    fix(occasion, words, &[("--quantize", "bitsandbytes-nf4")])
}

fn deprecated(occasion: &Occasion<'_>) -> Option<Remedy> {
    if !text(occasion).contains("--allow-deprecated-quantization") {
        return None;
    }
    let words = Words {
        id: "allow-deprecated",
        title: "Allow it while it is still there (--allow-deprecated-quantization)".to_owned(),
        rationale: "The release has the code and asks for consent.".to_owned(),
        tradeoff: "A coming release will not have it: plan for another checkpoint.",
    };
    fix(occasion, words, &[("--allow-deprecated-quantization", "true")])
}
