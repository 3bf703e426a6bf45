//! `weight-oom`.

use super::*;

/// The weights do not fit.
pub const CAUSE: Cause = Cause {
    id: "weight-oom",
    family: "device-memory",
    title: "The weights do not fit",
    kinds: &[FactKind::WeightsTooLarge],
    phase: Some(Phase::Load),
    doc: "\
Device memory ran out while the weights were created, loaded, quantized, cast or moved to the device: the model itself
does not fit in what it was given.

**Recognised by** an out-of-memory message whose traceback is in the loader (`load_model`, `create_weights`,
`from_pretrained`, `.to(\"cuda\")`), or that stands between the mark that loading began and the mark that the weights are
in; or by the engine's own words (`Failed to load model - not enough GPU memory`, `unable to allocate CUDA0 buffer`,
`Not enough VRAM to run the model`). What PyTorch calls allocated is not the size of the weights: it is how far loading got.

**Fixed by** fewer bytes for each weight (a checkpoint quantized to 8 or 4 bits, or quantization while loading), by a
smaller model, by splitting it over more devices, or by a bigger device. Context length, batch size and the fraction of
memory do not change the size of the weights: lowering them does not help, unless another process is on the device.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    if s.is(FactKind::WeightsTooLarge) {
        return Claim::new(stated(s), "the engine says that the weights do not fit");
    }
    memory_at(s, &[Stage::Weights, Stage::Load, Stage::Download], "memory ran out while weights were loaded")
}

fn headline(s: &Situation<'_>) -> String {
    let lead = format!("The weights of {} do not fit{}", the_model(s), on_device(s));
    if let Some(shortfall) = arithmetic::shortfall(s) {
        return format!("{lead}: {shortfall}");
    }
    // llama.cpp asks for a device's share of the weights at once.
    match if is_ggml(s) { refusal_and_deficit(s) } else { refusal(s) } {
        Some(refusal) => format!("{lead}: {refusal}"),
        None => match (s.figures.weights_bytes, s.figures.free_bytes, s.figures.total_bytes) {
            (Some(weights), Some(free), _) if weights > free => format!("{lead}: they take {}, and {} are free for them", size(weights), size(free)),
            (_, _, Some(total)) => format!("{lead}: it has {}", size(total)),
            _ => lead,
        },
    }
}

fn explanation(s: &Situation<'_>) -> String {
    let mut text = "Device memory ran out while the weights were being loaded, before any request.".to_owned();
    if let (Some(_), Some(refusal)) = (arithmetic::shortfall(s), refusal(s)) {
        text += &format!(" {refusal}.");
    }
    text += &held_alone(s);
    if s.figures.allocated_bytes.is_some() {
        text += " That is how far loading got, not what the whole model needs.";
    }
    text += &arithmetic::sentences(s);
    text += " Batch size and context length do not change the size of the weights.";
    text
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    let quantize = match s.engine {
        Some("tgi") => "Load it quantized: `--quantize` with a format that this checkpoint and card support",
        Some("vllm") => "Load it quantized: a quantized checkpoint, or `--quantization` with a format that works while loading",
        Some("llama.cpp" | "ollama") => "Take a GGUF file with fewer bits for each weight, or offload fewer layers",
        _ => "Load it quantized to 8 or 4 bits, or take a checkpoint that is quantized already",
    };
    vec![
        advice("quantize", quantize, "The weights are what does not fit; half or a quarter of the bytes for each of them is what helps.", "Some quality, little at 8 bits, more at 4."),
        advice("smaller-model", "Take a smaller model of the same family", "It needs fewer weights.", "Quality."),
        advice("split", "Split it over more devices, or take one with more memory", "Each device then holds its share of the weights.", "Hardware; communication between the devices."),
    ]
}
