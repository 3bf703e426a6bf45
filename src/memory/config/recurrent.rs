//! Layers with a state of constant size.

use super::{ConfigError, Keys};
use crate::memory::shape::Recurrent;

/// The recurrent block of a layer, by family; none if the family has none that is known.
pub fn of(keys: Keys) -> Result<Option<Recurrent>, ConfigError> {
    Ok(match keys.family {
        "falcon_mamba" | "mamba" | "jamba" => Some(mamba(keys)?),
        "mamba2" | "falcon_h1" | "nemotron_h" | "granitemoehybrid" | "bamba" | "zamba2" => Some(mamba2(keys)?),
        "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "qwen3_5" | "qwen3_5_moe" => Some(delta_net(keys)?),
        "lfm2" | "lfm2_moe" => Some(short_convolution(keys)?),
        "minimax_text_01" | "minimax" | "minimax_m1" => Some(lightning(keys)?),
        "kimi_linear" => Some(kimi_delta(keys)?),
        _ => None,
    })
}

fn mamba(keys: Keys) -> Result<Recurrent, ConfigError> {
    let hidden = keys.hidden()?;
    let inner = hidden * keys.or(&["mamba_expand", "expand"], 2)?.min(16);
    let state = keys.or(&["mamba_d_state", "state_size", "ssm_state_size"], 16)?.min(4096);
    let kernel = keys.or(&["mamba_d_conv", "conv_kernel"], 4)?.min(64);
    let rank = keys.number(&["mamba_dt_rank", "time_step_rank"])?.unwrap_or(hidden.div_ceil(16));
    // Jamba norms the step and both inputs of the state; Falcon Mamba's norms there have no weights.
    let norms = if keys.family == "jamba" { rank + 2 * state } else { 0 };
    Ok(Recurrent {
        input: 2 * inner,
        output: inner,
        between: inner * (rank + 2 * state) + rank * inner,
        vectors: inner * kernel + inner + inner + inner * state + inner + norms,
        convolution_state: inner * kernel.saturating_sub(1),
        state: inner * state,
    })
}

fn mamba2(keys: Keys) -> Result<Recurrent, ConfigError> {
    let hidden = keys.hidden()?;
    let heads = keys.need(&["mamba_num_heads", "mamba_n_heads"])?;
    let given = keys.number(&["mamba_d_ssm"])?;
    let head_dim = keys
        .number(&["mamba_head_dim", "mamba_d_head"])?
        .unwrap_or(given.unwrap_or(hidden * keys.or(&["mamba_expand", "expand"], 2)?.min(16)) / heads.max(1));
    let inner = given.unwrap_or(heads * head_dim);
    let groups = keys.or(&["n_groups", "mamba_n_groups"], 1)?;
    let state = keys.or(&["ssm_state_size", "mamba_d_state"], 128)?.min(4096);
    let kernel = keys.or(&["conv_kernel", "mamba_d_conv"], 4)?.min(64);
    let wide = inner + 2 * groups * state;
    let norm = if keys.flag("mamba_rms_norm") == Some(false) { 0 } else { inner };
    Ok(Recurrent {
        input: inner + wide + heads,
        output: inner,
        between: 0,
        vectors: wide * kernel + wide + 3 * heads + norm,
        convolution_state: wide * kernel.saturating_sub(1),
        state: heads * head_dim * state,
    })
}

/// Gated DeltaNet: queries and keys, values and a gate; two numbers for each value head.
fn delta_net(keys: Keys) -> Result<Recurrent, ConfigError> {
    let (key_heads, value_heads) = (keys.or(&["linear_num_key_heads"], 16)?, keys.or(&["linear_num_value_heads"], 32)?);
    let (key_dim, value_dim) = (keys.or(&["linear_key_head_dim"], 128)?, keys.or(&["linear_value_head_dim"], 128)?);
    let kernel = keys.or(&["linear_conv_kernel_dim"], 4)?.min(64);
    let wide = 2 * key_heads * key_dim + value_heads * value_dim;
    Ok(Recurrent {
        input: wide + value_heads * value_dim + 2 * value_heads,
        output: value_heads * value_dim,
        between: 0,
        vectors: wide * kernel + 2 * value_heads + value_dim,
        convolution_state: wide * kernel.saturating_sub(1),
        state: value_heads * key_dim * value_dim,
    })
}

fn short_convolution(keys: Keys) -> Result<Recurrent, ConfigError> {
    let hidden = keys.hidden()?;
    let kernel = keys.or(&["conv_L_cache"], 3)?.min(64);
    Ok(Recurrent { input: 3 * hidden, output: hidden, between: 0, vectors: hidden * kernel, convolution_state: hidden * kernel, state: 0 })
}

/// Lightning attention: q, k, v in one, a gate, a norm over all heads.
fn lightning(keys: Keys) -> Result<Recurrent, ConfigError> {
    let heads = keys.heads()?;
    let dim = keys.number(&["head_dim"])?.unwrap_or(keys.hidden()? / heads);
    let wide = heads * dim;
    Ok(Recurrent { input: 4 * wide, output: wide, between: 0, vectors: wide, convolution_state: 0, state: heads * dim * dim })
}

/// Kimi's delta attention: q, k, v with convolutions, two gates of low rank, one number for each head.
fn kimi_delta(keys: Keys) -> Result<Recurrent, ConfigError> {
    let inner = keys.inner("linear_attn_config").ok_or(ConfigError::Missing("linear_attn_config"))?;
    let (heads, dim) = (inner.need(&["num_heads"])?, inner.need(&["head_dim"])?);
    let kernel = inner.or(&["short_conv_kernel_size"], 4)?.min(64);
    let wide = heads * dim;
    Ok(Recurrent {
        input: 3 * wide + 2 * dim + heads,
        output: wide,
        between: 2 * dim * wide,
        vectors: 3 * wide * kernel + wide + heads + dim,
        convolution_state: 3 * wide * kernel.saturating_sub(1),
        state: heads * dim * dim,
    })
}
