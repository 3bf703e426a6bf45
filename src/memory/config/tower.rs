//! Vision towers and their projectors, where the configuration says enough to count them.

use super::{ConfigError, Keys};

/// The most that keys of a tower can sensibly be: five of them are multiplied, and the products have to stay numbers.
const LARGEST: &[(&str, u64)] = &[
    ("depth", 1 << 10),
    ("embed_dim", 1 << 16),
    ("hidden_size", 1 << 16),
    ("image_size", 1 << 14),
    ("max_num_tiles", 1 << 6),
    ("mlp_ratio", 1 << 6),
    ("num_global_layers", 1 << 10),
    ("num_hidden_layers", 1 << 10),
    ("patch_size", 1 << 10),
    ("spatial_merge_size", 1 << 5),
    ("spatial_patch_size", 1 << 10),
    ("supported_aspect_ratios", 1 << 6),
    ("temporal_patch_size", 1 << 6),
];

/// Elements of the towers of a model; 0 if it has none, or none that can be counted.
pub fn elements(outer: Keys, text: Keys) -> Result<u64, ConfigError> {
    let Some(vision) = outer.inner("vision_config") else { return Ok(0) };
    for (key, most) in LARGEST {
        if vision.number(&[key])?.is_some_and(|n| n > *most) {
            return Err(ConfigError::Absurd(key));
        }
    }
    let hidden = text.hidden()?;
    Ok(match outer.family {
        "qwen2_vl" => qwen2(vision, hidden)?,
        "qwen2_5_vl" => qwen2_5(vision, hidden)?,
        "qwen3_vl" | "qwen3_vl_moe" | "qwen3_5" | "qwen3_5_moe" => qwen3(vision, hidden)?,
        "gemma3" => siglip(vision)? + vision.need(&["hidden_size"])? * (hidden + 1),
        "llava" | "llava_next" => {
            clip(vision)?
                + vision.or(&["hidden_size"], 1024)? * hidden
                + hidden * hidden
                + 2 * hidden
                + if outer.family == "llava_next" { hidden } else { 0 }
        }
        "mistral3" => pixtral(vision)? + vision.need(&["hidden_size"])? * (1 + 4 * vision.need(&["hidden_size"])? + hidden) + hidden * hidden,
        "llava_onevision" => siglip(vision)? + vision.or(&["hidden_size"], 1152)? * hidden + hidden * hidden + 3 * hidden,
        "gemma4" => gemma4(vision, hidden)?,
        "mllama" => mllama(vision, hidden)?,
        "llama4" => llama4(vision, hidden)?,
        _ => 0,
    })
}

/// A block of a vision transformer with biases everywhere: attention, two matrices, two LayerNorms.
fn block(width: u64, intermediate: u64) -> u64 {
    4 * width * (width + 1) + 2 * width * intermediate + intermediate + width + 4 * width
}

fn qwen2(v: Keys, hidden: u64) -> Result<u64, ConfigError> {
    let (width, depth) = (v.or(&["embed_dim"], 1280)?, v.or(&["depth"], 32)?);
    let patch = v.or(&["patch_size"], 14)?;
    let merged = width * v.or(&["spatial_merge_size"], 2)?.pow(2);
    let patches = 3 * v.or(&["temporal_patch_size"], 2)? * patch * patch * width;
    Ok(patches + depth * block(width, width * v.or(&["mlp_ratio"], 4)?) + 2 * width + merged * (merged + 1) + merged * hidden + hidden)
}

fn qwen2_5(v: Keys, hidden: u64) -> Result<u64, ConfigError> {
    let (width, depth, f) = (v.or(&["hidden_size"], 1280)?, v.or(&["depth"], 32)?, v.or(&["intermediate_size"], 3420)?);
    let patch = v.or(&["patch_size", "spatial_patch_size"], 14)?;
    let merged = width * v.or(&["spatial_merge_size"], 2)?.pow(2);
    let patches = 3 * v.or(&["temporal_patch_size"], 2)? * patch * patch * width;
    let block = 4 * width * (width + 1) + 3 * width * f + 2 * f + width + 2 * width;
    Ok(patches + depth * block + width + merged * (merged + 1) + merged * hidden + hidden)
}

fn qwen3(v: Keys, hidden: u64) -> Result<u64, ConfigError> {
    let (width, depth, f) = (v.need(&["hidden_size"])?, v.need(&["depth"])?, v.need(&["intermediate_size"])?);
    let patch = v.or(&["patch_size"], 16)?;
    let merged = width * v.or(&["spatial_merge_size"], 2)?.pow(2);
    let out = v.or(&["out_hidden_size"], hidden)?;
    let patches = 3 * v.or(&["temporal_patch_size"], 2)? * patch * patch * width + width;
    let positions = v.or(&["num_position_embeddings"], 2304)? * width;
    let merger = |norm: u64| 2 * norm + merged * (merged + 1) + merged * out + out;
    let deep = v.list("deepstack_visual_indexes").map_or(0, <[_]>::len) as u64;
    Ok(patches + positions + depth * block(width, f) + merger(width) + deep.min(64) * merger(merged))
}

fn siglip(v: Keys) -> Result<u64, ConfigError> {
    let (width, depth, f) = (v.need(&["hidden_size"])?, v.need(&["num_hidden_layers"])?, v.need(&["intermediate_size"])?);
    let (patch, image) = (v.or(&["patch_size"], 14)?.max(1), v.or(&["image_size"], 896)?);
    Ok(3 * patch * patch * width + width + (image / patch).pow(2) * width + depth * block(width, f) + 2 * width)
}

fn clip(v: Keys) -> Result<u64, ConfigError> {
    let (width, depth, f) = (v.or(&["hidden_size"], 1024)?, v.or(&["num_hidden_layers"], 24)?, v.or(&["intermediate_size"], 4096)?);
    let (patch, image) = (v.or(&["patch_size"], 14)?.max(1), v.or(&["image_size"], 336)?);
    Ok(width + 3 * patch * patch * width + ((image / patch).pow(2) + 1) * width + depth * block(width, f) + 4 * width)
}

fn pixtral(v: Keys) -> Result<u64, ConfigError> {
    let (width, depth, f) = (v.need(&["hidden_size"])?, v.need(&["num_hidden_layers"])?, v.need(&["intermediate_size"])?);
    let patch = v.or(&["patch_size"], 14)?;
    Ok(3 * patch * patch * width + width + depth * (4 * width * width + 3 * width * f + 2 * width))
}

/// Llama 3.2 Vision: local and global layers without biases on attention, embeddings for tiles by aspect ratio.
fn mllama(v: Keys, hidden: u64) -> Result<u64, ConfigError> {
    let (width, f) = (v.or(&["hidden_size"], 1280)?, v.or(&["intermediate_size"], 5120)?);
    let (patch, image, tiles) = (v.or(&["patch_size"], 14)?.max(1), v.or(&["image_size"], 448)?, v.or(&["max_num_tiles"], 4)?);
    let local = 4 * width * width + 2 * width * f + f + width + 4 * width;
    let global = v.or(&["num_global_layers"], 8)?;
    let layers = (v.or(&["num_hidden_layers"], 32)? + global) * local + 2 * global;
    let patches = (image / patch).pow(2) + 1;
    let ratios = v.or(&["supported_aspect_ratios"], 8)? + 1;
    let positions = patches * width + ratios * tiles * patches * width + 1;
    let per_tile = 2 * (ratios * tiles * width + 1);
    let projector = v.or(&["vision_output_dim"], 7680)? * hidden + hidden;
    Ok(layers + 3 * patch * patch * width + width + positions + per_tile + 4 * width + projector)
}

fn llama4(v: Keys, hidden: u64) -> Result<u64, ConfigError> {
    let (width, depth, f) = (v.or(&["hidden_size"], 1408)?, v.or(&["num_hidden_layers"], 34)?, v.or(&["intermediate_size"], 5632)?);
    let (patch, image) = (v.or(&["patch_size"], 14)?.max(1), v.or(&["image_size"], 336)?);
    let (middle, out) = (v.or(&["projector_input_dim"], 4096)?, v.or(&["projector_output_dim"], 4096)?);
    let positions = ((image / patch).pow(2) + 1) * width;
    Ok(3 * patch * patch * width + width + positions + 4 * width + depth * block(width, f) + f * middle + middle * out + out * hidden)
}

fn gemma4(v: Keys, hidden: u64) -> Result<u64, ConfigError> {
    let (width, depth, f) = (v.need(&["hidden_size"])?, v.need(&["num_hidden_layers"])?, v.need(&["intermediate_size"])?);
    let patch = v.or(&["patch_size"], 16)?;
    let positions = 2 * v.or(&["position_embedding_size"], 10240)? * width;
    let head_dim = v.or(&["head_dim"], 72)?;
    let standards = if v.flag("standardize") == Some(true) { 2 * width } else { 0 };
    Ok(3 * patch * patch * width + positions + depth * (4 * width * width + 2 * head_dim + 3 * width * f + 4 * width) + standards + width * hidden)
}
