//! Encoders, and decoders that read an encoder: T5, Whisper, BERT.

use super::{ConfigError, Keys, push};
use crate::memory::shape::{Attention, Dense, FeedForward, Heads, Layer, Run, Shape};

fn heads(heads: u64, head_dim: u64, bias: bool) -> Heads {
    Heads {
        heads,
        kv_heads: heads,
        head_dim,
        value_dim: head_dim,
        window: None,
        bias,
        output_bias: bias,
        gated: false,
        shares_cache: false,
        keys_as_values: false,
    }
}

fn runs(count: u64, layer: Layer) -> Vec<Run> {
    let mut out = Vec::new();
    push(&mut out, layer);
    out.iter_mut().for_each(|run| run.count = count);
    out
}

/// T5 and its kin: relative positions, an embedding for both sides.
pub fn t5(keys: Keys) -> Result<Shape, ConfigError> {
    let hidden = keys.hidden()?;
    let count = keys.layers()?;
    let own = heads(keys.heads()?, keys.need(&["d_kv", "head_dim"])?, false);
    let gated = keys.flag("is_gated_act").unwrap_or_else(|| keys.text("feed_forward_proj").is_some_and(|w| w.starts_with("gated")));
    let feed_forward = Some(FeedForward::Dense(Dense { intermediate: keys.need(&["d_ff", "intermediate_size"])?, gated, bias: false }));
    let encoder = Layer { attention: Some(Attention::Heads(own)), feed_forward, norms: 2 * hidden, ..Layer::default() };
    let decoder = Layer { cross: Some(own), norms: 3 * hidden, ..encoder };
    Ok(Shape {
        hidden,
        vocabulary: keys.need(&["vocab_size"])?,
        tied: keys.flag("tie_word_embeddings").unwrap_or(true),
        layers: runs(keys.or(&["num_decoder_layers"], count)?.min(4096), decoder),
        encoder: runs(count, encoder),
        norms: 2 * hidden + 2 * keys.or(&["relative_attention_num_buckets"], 32)? * keys.heads()?,
        ..Shape::default()
    })
}

/// Whisper: keys have no bias; the encoder begins with two convolutions over mel bands.
pub fn whisper(keys: Keys) -> Result<Shape, ConfigError> {
    let hidden = keys.hidden()?;
    let head_count = keys.need(&["encoder_attention_heads", "num_attention_heads"])?;
    let own = heads(head_count, hidden / head_count, true);
    let block = |ff| Some(FeedForward::Dense(Dense { intermediate: ff, gated: false, bias: true }));
    let width = keys.need(&["encoder_ffn_dim", "intermediate_size"])?;
    let layers = keys.need(&["encoder_layers", "num_hidden_layers"])?.min(4096);
    // A key bias is counted with the others; take it off here, from the norms of the same layer.
    let encoder = Layer { attention: Some(Attention::Heads(own)), feed_forward: block(width), norms: 4 * hidden - hidden, ..Layer::default() };
    let decoder = Layer { cross: Some(own), feed_forward: block(keys.or(&["decoder_ffn_dim"], width)?), norms: 6 * hidden - 2 * hidden, ..encoder };
    let bands = keys.or(&["num_mel_bins"], 80)?;
    Ok(Shape {
        hidden,
        vocabulary: keys.need(&["vocab_size"])?,
        tied: true,
        positions: keys.or(&["max_target_positions"], 448)? + keys.or(&["max_source_positions"], 1500)?,
        layers: runs(keys.or(&["decoder_layers"], layers)?.min(4096), decoder),
        encoder: runs(layers, encoder),
        norms: 4 * hidden + 2 * hidden,
        other: 3 * hidden * bands + 3 * hidden * hidden,
        ..Shape::default()
    })
}

/// BERT and its kin: an encoder that keeps no cache.
pub fn bert(keys: Keys) -> Result<Shape, ConfigError> {
    let hidden = keys.hidden()?;
    let own = heads(keys.heads()?, hidden / keys.heads()?, true);
    let feed_forward = Some(FeedForward::Dense(Dense { intermediate: keys.need(&["intermediate_size", "n_inner"])?, gated: false, bias: true }));
    let layer = Layer { attention: Some(Attention::Heads(own)), feed_forward, norms: 4 * hidden, ..Layer::default() };
    // Token types; MPNet has none.
    let types = if keys.family == "mpnet" { 0 } else { keys.or(&["type_vocab_size"], if keys.family == "bert" { 2 } else { 1 })? };
    Ok(Shape {
        hidden,
        vocabulary: keys.need(&["vocab_size"])?,
        headless: true,
        positions: keys.or(&["max_position_embeddings"], 512)? + types,
        encoder: runs(keys.layers()?, layer),
        norms: 2 * hidden,
        // The pooler that most of them carry.
        other: hidden * hidden + hidden,
        ..Shape::default()
    })
}
