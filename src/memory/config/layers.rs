//! The layers of decoders, by family.

use serde_json::Value;

use super::{ConfigError, Keys, recurrent};
use crate::memory::shape::{Attention, Dense, Experts, FeedForward, Heads, Latent, Layer, Shape};

/// What a family does that its configuration does not say.
pub struct Habits {
    /// The output matrix is the embedding, unless the configuration says otherwise.
    pub tied: bool,
    /// Norms have a bias (LayerNorm rather than RMSNorm).
    pub norm_bias: bool,
    /// Norms of each layer as wide as the hidden state.
    norms: u64,
    /// Norms outside the layers.
    pub norms_outside: u64,
    /// Biases on q, k, v.
    qkv_bias: bool,
    /// A bias on o.
    output_bias: bool,
    /// Three feed-forward matrices rather than two.
    gated: bool,
    /// Biases on feed-forward matrices.
    feed_forward_bias: bool,
    /// Norms of queries and keys.
    qk_norm: QkNorm,
    /// One more than the rows that a table of learned positions has above the length of the context; 0 if there is none.
    pub learned_positions: u64,
    /// The output matrix has a bias.
    pub head_bias: bool,
}

/// How queries and keys are normed.
#[derive(Clone, Copy, PartialEq)]
enum QkNorm {
    None,
    /// One vector as long as a head for queries, one for keys.
    Head,
    /// Vectors over all heads.
    Full,
    /// A norm of its own for each head (StableLM 2 12B).
    EachHead,
}

impl Habits {
    /// The habits of the family of a configuration; an unknown one is taken as like Llama, as most are.
    pub fn of(keys: Keys) -> Habits {
        let set = |name: &str, otherwise: bool| keys.flag(name).unwrap_or(otherwise);
        let attention_bias = set("attention_bias", set("use_bias", false)) || set("bias", false) && keys.family != "phi3";
        let mut h = Habits {
            tied: false,
            norm_bias: false,
            norms: 2,
            norms_outside: 1,
            qkv_bias: attention_bias || set("qkv_bias", false) || set("add_qkv_bias", false) || set("use_qkv_bias", false),
            output_bias: attention_bias,
            gated: true,
            feed_forward_bias: set("mlp_bias", false),
            qk_norm: if set("use_qk_norm", false) { QkNorm::Head } else { QkNorm::None },
            learned_positions: 0,
            head_bias: false,
        };
        match keys.family {
            "qwen" => (h.qkv_bias, h.output_bias) = (true, false),
            "qwen2" | "qwen2_moe" | "qwen2_vl" | "qwen2_vl_text" | "qwen2_5_vl" | "qwen2_5_vl_text" | "mimo" | "qwen2_5_omni_text" => {
                (h.qkv_bias, h.output_bias) = (true, false)
            }
            "seed_oss" => (h.qkv_bias, h.output_bias) = (true, set("attention_out_bias", false)),
            "qwen3" | "qwen3_moe" | "qwen3_vl_text" | "qwen3_vl_moe_text" | "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "qwen3_5"
            | "qwen3_5_moe" | "exaone4" | "hunyuan_v1_dense" | "hunyuan_v1_moe" | "lfm2" | "lfm2_moe" => h.qk_norm = QkNorm::Head,
            "gemma" => h.tied = true,
            "gemma2" => (h.tied, h.norms) = (true, 4),
            "gemma3" | "gemma3_text" | "gemma4" | "gemma4_text" => (h.tied, h.norms, h.qk_norm) = (true, 4, QkNorm::Head),
            "phi" => {
                h.all_biases();
                (h.norms, h.gated, h.head_bias) = (1, false, true);
            }
            "phimoe" => {
                (h.norm_bias, h.head_bias) = (true, set("lm_head_bias", true));
            }
            "falcon" => {
                let new = set("new_decoder_architecture", false);
                let parallel_norms = keys.object.get("num_ln_in_parallel_attn").and_then(Value::as_u64).unwrap_or(2);
                (h.norm_bias, h.gated, h.tied) = (true, false, true);
                h.norms = if new && parallel_norms == 2 || !new && !set("parallel_attn", true) { 2 } else { 1 };
                h.feed_forward_bias = set("bias", false);
            }
            "gpt2" | "gpt_bigcode" => {
                h.all_biases();
                (h.gated, h.tied, h.learned_positions) = (false, true, 1);
            }
            "gpt_neo" => {
                h.all_biases();
                (h.qkv_bias, h.gated, h.tied, h.learned_positions) = (false, false, true, 1);
            }
            "gptj" => {
                h.all_biases();
                (h.qkv_bias, h.output_bias, h.gated, h.norms, h.head_bias) = (false, false, false, 1, true);
            }
            "gpt_neox" => {
                h.all_biases();
                h.gated = false;
            }
            "starcoder2" => {
                let bias = set("use_bias", true);
                (h.norm_bias, h.gated, h.tied) = (true, false, true);
                (h.qkv_bias, h.output_bias, h.feed_forward_bias) = (bias, bias, bias);
            }
            "opt" => {
                h.all_biases();
                (h.gated, h.tied, h.learned_positions) = (false, true, 3);
                h.norms_outside = u64::from(set("do_layer_norm_before", true));
            }
            "bloom" => {
                h.all_biases();
                (h.gated, h.tied, h.norms_outside) = (false, true, 2);
            }
            "mpt" => (h.gated, h.tied) = (false, true),
            "stablelm" | "stablelm_epoch" => {
                h.norm_bias = true;
                h.output_bias = false;
                h.norms = if set("use_parallel_residual", false) { 1 } else { 2 };
                h.qk_norm = if set("qk_layernorm", false) { QkNorm::EachHead } else { QkNorm::None };
            }
            "chatglm" => (h.qkv_bias, h.output_bias) = (true, false),
            "glm" | "glm4v_text" => (h.qkv_bias, h.output_bias) = (set("attention_bias", true), false),
            "glm4" => {
                (h.qkv_bias, h.output_bias, h.norms) = (set("attention_bias", false), false, 4);
            }
            "glm4_moe" | "glm4v_moe_text" => (h.qkv_bias, h.output_bias) = (set("attention_bias", false), false),
            "internlm" => {
                let bias = set("bias", true);
                (h.qkv_bias, h.output_bias) = (bias, bias);
            }
            "cohere" | "cohere2" => {
                (h.tied, h.norms) = (true, 1);
                h.qk_norm = if set("use_qk_norm", false) { QkNorm::Full } else { QkNorm::None };
            }
            "olmo" => (h.norms, h.norms_outside) = (0, 0),
            "olmo2" | "olmo3" | "olmoe" | "minimax_m2" | "flex_olmo" => h.qk_norm = QkNorm::Full,
            "gpt_oss" => (h.qkv_bias, h.output_bias) = (true, true),
            "ernie4_5" | "ernie4_5_moe" => h.tied = true,
            "minicpm" => h.tied = set("tie_word_embeddings", true),
            "nemotron_h" | "nemotron" => h.gated = false,
            "arcee" => h.gated = false,
            // Its norm of queries and keys has no weights.
            "llama4_text" => h.qk_norm = QkNorm::None,
            "phi3small" => {
                (h.norm_bias, h.qkv_bias, h.output_bias, h.feed_forward_bias, h.tied) = (true, true, true, true, true);
            }
            "arctic" => h.norms = 3,
            "falcon_mamba" | "mamba" | "mamba2" => h.norms = 1,
            _ => {}
        }
        h
    }

    fn all_biases(&mut self) {
        (self.norm_bias, self.qkv_bias, self.output_bias, self.feed_forward_bias) = (true, true, true, true);
    }
}

/// One layer.
pub fn layer(keys: Keys, habits: &Habits, index: u64) -> Result<Layer, ConfigError> {
    if let Some(block) = keys.list("block_configs").and_then(|blocks| blocks.get(usize::try_from(index).ok()?)) {
        return nas_block(keys, Keys { object: block, family: keys.family });
    }
    if keys.family == "nemotron_h" {
        return nemotron(keys, habits, index);
    }
    let hidden = keys.hidden()?;
    let norm = if habits.norm_bias { 2 * hidden } else { hidden };
    let mut layer = Layer { norms: norm * habits.norms, ..Layer::default() };
    if !matches!(keys.family, "falcon_mamba" | "mamba" | "mamba2") {
        layer.feed_forward = Some(feed_forward(keys, habits, index)?);
    }
    let kind = kind(keys, index)?;
    if kind != Kind::Attention {
        layer.recurrent = recurrent::of(keys)?;
    }
    if matches!(kind, Kind::Attention | Kind::Both) {
        let attention = attention(keys, habits, index)?;
        layer.norms += qk_norms(habits.qk_norm, &attention);
        layer.attention = Some(attention);
    }
    if keys.family == "mllama_text_model" && contains(keys.list("cross_attention_layers"), index) {
        // Gates of attention and feed-forward are scalars; queries and keys are normed here, unlike in the other layers.
        if let Some(Attention::Heads(heads)) = layer.attention.take() {
            layer.norms += 2 * heads.head_dim;
            layer.vectors += 2;
            layer.cross = Some(heads);
        }
    }
    if keys.family == "gpt_oss" {
        layer.vectors += keys.heads()?;
    }
    if keys.family == "mimo_v2_flash"
        && layer.attention.is_some_and(|a| a.window().is_some())
        && keys.flag("add_swa_attention_sink_bias") == Some(true)
    {
        layer.vectors += keys.heads()?;
    }
    if matches!(keys.family, "gemma4" | "gemma4_text") {
        gemma4(keys, &mut layer, hidden)?;
    }
    Ok(layer)
}

/// What a layer mixes tokens with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Attention.
    Attention,
    /// A recurrent block.
    Recurrent,
    /// Both, side by side.
    Both,
}

fn kind(keys: Keys, index: u64) -> Result<Kind, ConfigError> {
    let types = keys.list("layer_types").or_else(|| keys.list("layers_block_type"));
    if let Some(word) = types.and_then(|types| types.get(usize::try_from(index).ok()?)?.as_str()) {
        return Ok(if matches!(word, "linear_attention" | "mamba" | "conv" | "recurrent" | "lightning_attention") {
            Kind::Recurrent
        } else {
            Kind::Attention
        });
    }
    let recurrent = |is: bool| if is { Kind::Recurrent } else { Kind::Attention };
    Ok(match keys.family {
        "falcon_mamba" | "mamba" | "mamba2" => Kind::Recurrent,
        "falcon_h1" => Kind::Both,
        "qwen3_next" | "qwen3_5_text" | "qwen3_5_moe_text" | "qwen3_5" | "qwen3_5_moe" => {
            recurrent(!(index + 1).is_multiple_of(keys.or(&["full_attention_interval"], 4)?.max(1)))
        }
        "jamba" => {
            let period = keys.or(&["attn_layer_period"], 8)?.max(1);
            recurrent(index % period != keys.or(&["attn_layer_offset"], 4)?)
        }
        "lfm2" | "lfm2_moe" => recurrent(keys.list("full_attn_idxs").is_some_and(|_| !contains(keys.list("full_attn_idxs"), index))),
        "minimax_text_01" | "minimax" | "minimax_m1" => {
            let word = keys.list("attn_type_list").and_then(|types| types.get(usize::try_from(index).ok()?)?.as_u64());
            recurrent(word.map_or(!(index + 1).is_multiple_of(8), |w| w == 0))
        }
        "kimi_linear" => {
            let full = keys.inner("linear_attn_config").and_then(|c| c.list("full_attn_layers"));
            // Counted from one.
            recurrent(!contains(full, index + 1))
        }
        _ => Kind::Attention,
    })
}

fn contains(list: Option<&[Value]>, index: u64) -> bool {
    list.is_some_and(|list| list.iter().any(|value| value.as_u64() == Some(index)))
}

/// How many of the layer's neighbours slide, by its family; none if the layer sees everything.
fn window(keys: Keys, index: u64) -> Result<Option<u64>, ConfigError> {
    if matches!(keys.family, "llama4_text" | "llama4") {
        // Layers with rotary positions attend within chunks; every fourth has none and sees all.
        let chunk = keys.number(&["attention_chunk_size"])?.unwrap_or(8192);
        let full = match keys.list("no_rope_layers").filter(|l| !l.is_empty()) {
            Some(list) => usize::try_from(index).ok().and_then(|i| list.get(i)?.as_u64()) == Some(0),
            None => (index + 1).is_multiple_of(4),
        };
        return Ok((!full).then_some(chunk));
    }
    if keys.family == "gpt_neo" {
        let global = keys.list("attention_layers").and_then(|l| l.get(usize::try_from(index).ok()?)?.as_str().map(|w| w == "global"));
        return Ok((!global.unwrap_or(index.is_multiple_of(2))).then_some(keys.or(&["window_size"], 256)?));
    }
    let Some(window) = keys.number(&["sliding_window", "sliding_window_size"])?.filter(|&w| w > 0) else { return Ok(None) };
    if keys.flag("use_sliding_window") == Some(false) {
        return Ok(None);
    }
    let every = |pattern: u64| pattern > 0 && !(index + 1).is_multiple_of(pattern);
    let slides = if let Some(word) = keys.list("layer_types").and_then(|l| l.get(usize::try_from(index).ok()?)?.as_str()) {
        matches!(word, "sliding_attention" | "chunked_attention")
    } else if let Some(list) = keys.list("hybrid_layer_pattern") {
        usize::try_from(index).ok().and_then(|i| list.get(i)?.as_u64()) == Some(1)
    } else {
        match keys.family {
            "gemma2" | "gpt_oss" => index.is_multiple_of(2),
            "gemma3" | "gemma3_text" | "gemma4" | "gemma4_text" => every(keys.or(&["sliding_window_pattern", "_sliding_window_pattern"], 6)?),
            "cohere2" | "olmo3" => every(keys.or(&["sliding_window_pattern"], 4)?),
            "exaone4" => every(keys.text("sliding_window_pattern").map_or(4, |p| p.chars().count() as u64)),
            "qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe" | "qwen2_vl" | "qwen2_5_vl" | "qwen2_5_vl_text" | "qwen2_vl_text" => {
                keys.flag("use_sliding_window") == Some(true) && index >= keys.or(&["max_window_layers"], 28)?
            }
            // Phi-3 declares its window in every layer, as Mistral and StarCoder 2 do.
            _ => true,
        }
    };
    Ok(slides.then_some(window))
}

fn attention(keys: Keys, habits: &Habits, index: u64) -> Result<Attention, ConfigError> {
    let hidden = keys.hidden()?;
    let heads = keys.heads()?;
    if let Some(kv_rank) = keys.number(&["kv_lora_rank"])? {
        return Ok(Attention::Latent(Latent {
            heads,
            q_rank: keys.number(&["q_lora_rank"])?.filter(|&r| r > 0),
            kv_rank,
            nope: keys.or(&["qk_nope_head_dim"], 128)?,
            rope: keys.or(&["qk_rope_head_dim"], 64)?,
            value: keys.or(&["v_head_dim"], 128)?,
            indexer: match (keys.number(&["index_n_heads"])?, keys.number(&["index_head_dim"])?) {
                (Some(n), Some(dim)) => Some((n, dim)),
                _ => None,
            },
        }));
    }
    let multi_query = keys.flag("multi_query") == Some(true) && keys.flag("new_decoder_architecture") != Some(true)
        || keys.family == "gpt_bigcode" && !keys.has("multi_query");
    let groups = if keys.flag("multi_query_attention") == Some(true) { keys.number(&["multi_query_group_num"])? } else { None };
    let mut kv_heads = keys.inner("attn_config").and_then(|c| c.number(&["kv_n_heads"]).ok().flatten()).or(groups);
    if kv_heads.is_none() && !multi_query {
        kv_heads = keys.number(&["num_key_value_heads", "num_kv_heads", "n_head_kv"])?;
    }
    let kv_heads = kv_heads.unwrap_or(if multi_query { 1 } else { heads }).max(1);
    let head_dim = keys.number(&["head_dim", "kv_channels", "attention_head_dim", "d_kv"])?.filter(|&d| d > 0).unwrap_or(hidden / heads).max(1);
    let window = window(keys, index)?;
    let mut out = Heads {
        heads,
        kv_heads,
        head_dim,
        value_dim: keys.number(&["v_head_dim"])?.filter(|&d| d > 0).unwrap_or(head_dim),
        window,
        bias: habits.qkv_bias,
        output_bias: habits.output_bias,
        gated: matches!(keys.family, "qwen3_next") || keys.family.starts_with("qwen3_5"),
        shares_cache: false,
        keys_as_values: false,
    };
    if window.is_some() && keys.family == "mimo_v2_flash" {
        out.heads = keys.or(&["swa_num_attention_heads"], heads)?;
        out.kv_heads = keys.or(&["swa_num_key_value_heads"], kv_heads)?;
        out.head_dim = keys.or(&["swa_head_dim"], head_dim)?;
        out.value_dim = keys.or(&["swa_v_head_dim"], out.value_dim)?;
    }
    if matches!(keys.family, "gemma4" | "gemma4_text") {
        if window.is_none() {
            out.head_dim = keys.or(&["global_head_dim"], head_dim)?;
            out.value_dim = out.head_dim;
            if keys.flag("attention_k_eq_v") == Some(true) {
                out.keys_as_values = true;
                out.kv_heads = keys.or(&["num_global_key_value_heads"], kv_heads)?;
            }
        }
        out.shares_cache = index + keys.or(&["num_kv_shared_layers"], 0)? >= keys.layers()?;
    }
    Ok(Attention::Heads(out))
}

fn qk_norms(norm: QkNorm, attention: &Attention) -> u64 {
    let Attention::Heads(a) = attention else { return 0 };
    match norm {
        QkNorm::None => 0,
        QkNorm::Head => 2 * a.head_dim,
        QkNorm::Full | QkNorm::EachHead => (a.heads + a.kv_heads) * a.head_dim,
    }
}

fn feed_forward(keys: Keys, habits: &Habits, index: u64) -> Result<FeedForward, ConfigError> {
    let hidden = keys.hidden()?;
    if let Some(experts) = experts(keys, index)? {
        return Ok(FeedForward::Experts(experts));
    }
    let mut intermediate = match keys.family {
        "falcon" | "bloom" | "gptj" | "gpt_neo" | "gpt2" | "gpt_bigcode" => {
            keys.or(&["intermediate_size", "ffn_hidden_size", "n_inner"], 4 * hidden)?
        }
        "mpt" => hidden * keys.or(&["expansion_ratio"], 4)?,
        "llama4_text" => keys.or(&["intermediate_size_mlp"], 4 * hidden)?,
        "granitemoehybrid" => keys.need(&["shared_intermediate_size", "intermediate_size"])?,
        "phi3small" => keys.need(&["ff_intermediate_size"])?,
        "chatglm" => keys.need(&["ffn_hidden_size", "intermediate_size"])?,
        "lfm2" => lfm2_width(keys)?,
        _ => keys.need(&["intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "d_ff"])?,
    };
    if keys.family == "qwen" {
        // The first Qwen counts gate and up together.
        intermediate /= 2;
    }
    if matches!(keys.family, "gemma4_text")
        && keys.flag("use_double_wide_mlp") == Some(true)
        && index + keys.or(&["num_kv_shared_layers"], 0)? >= keys.layers()?
    {
        intermediate *= 2;
    }
    Ok(FeedForward::Dense(Dense { intermediate, gated: habits.gated, bias: habits.feed_forward_bias }))
}

/// LFM2 states a width and then takes two thirds of it, scaled and rounded up.
fn lfm2_width(keys: Keys) -> Result<u64, ConfigError> {
    let mut width = keys.need(&["block_ff_dim", "intermediate_size"])?;
    if keys.flag("block_auto_adjust_ff_dim") == Some(true) {
        width = 2 * width / 3;
        let scale = keys.object.get("block_ffn_dim_multiplier").and_then(Value::as_f64).unwrap_or(1.0).clamp(0.0, 16.0);
        width = (width as f64 * scale) as u64;
        width = width.next_multiple_of(keys.or(&["block_multiple_of"], 256)?.max(1));
    }
    Ok(width)
}

fn experts(keys: Keys, index: u64) -> Result<Option<Experts>, ConfigError> {
    let inner = keys.inner("ffn_config");
    let from_inner = |name: &'static str| inner.and_then(|c| c.number(&[name]).ok().flatten());
    let count = keys
        .number(&["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"])?
        .or(from_inner("moe_num_experts"))
        .filter(|&n| n > 1 || keys.family == "minimax_text_01");
    let Some(count) = count else { return Ok(None) };
    let first_dense = keys.or(&["first_k_dense_replace", "moe_layer_start_index", "num_dense_layers"], 0)?;
    let at = |list: &[Value]| usize::try_from(index).ok().and_then(|i| list.get(i)?.as_u64());
    let sparse = match keys.family {
        "llama4_text" => {
            let step = keys.or(&["interleave_moe_layer_step"], 1)?.max(1);
            keys.list("moe_layers").map_or((index + 1).is_multiple_of(step), |l| contains(Some(l), index))
        }
        "jamba" => index % keys.or(&["expert_layer_period"], 2)?.max(1) == keys.or(&["expert_layer_offset"], 1)?,
        "arctic" => (index + 1).is_multiple_of(keys.or(&["moe_layer_frequency"], 1)?.max(1)),
        _ if keys.list("moe_layer_freq").is_some() => keys.list("moe_layer_freq").and_then(at) == Some(1),
        _ => {
            let step = keys.or(&["decoder_sparse_step", "moe_layer_freq", "moe_layer_interval"], 1)?.max(1);
            let last = keys.number(&["moe_layer_end_index"])?.unwrap_or(u64::MAX);
            let by_step = if keys.has("decoder_sparse_step") { (index + 1).is_multiple_of(step) } else { index.is_multiple_of(step) };
            index >= first_dense && index <= last && by_step && !contains(keys.list("mlp_only_layers"), index)
        }
    };
    if !sparse {
        return Ok(None);
    }
    let width = keys
        .need(&["moe_intermediate_size", "expert_intermediate_size", "intermediate_size", "ffn_hidden_size"])
        .or_else(|e| from_inner("ffn_hidden_size").ok_or(e))?;
    let shared = keys
        .number(&["n_shared_experts", "moe_num_shared_experts", "num_shared_experts"])?
        .or_else(|| list_first(keys, "num_shared_expert"))
        .unwrap_or(0);
    let beside_own = keys.number(&["shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size"])?;
    let shared = match keys.family {
        "llama4_text" => width,
        _ => beside_own.unwrap_or(shared * width),
    };
    Ok(Some(Experts {
        count,
        active: keys
            .number(&["num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k", "moe_k", "num_selected_experts"])?
            .or_else(|| list_first(keys, "moe_topk"))
            .or(from_inner("moe_top_k"))
            .unwrap_or(1)
            .min(count),
        intermediate: list_first(keys, "moe_intermediate_size").unwrap_or(width),
        gated: keys.family != "nemotron_h",
        bias: keys.family == "gpt_oss",
        shared,
        shared_gate: matches!(keys.family, "qwen2_moe" | "qwen3_next") || keys.family.starts_with("qwen3_5"),
        router_bias: matches!(
            keys.family,
            "deepseek_v3"
                | "deepseek_v32"
                | "kimi_k2"
                | "glm4_moe"
                | "glm4v_moe_text"
                | "glm4_moe_lite"
                | "glm_moe_dsa"
                | "gpt_oss"
                | "minimax_m2"
                | "mimo_v2_flash"
                | "nemotron_h"
                | "kimi_linear"
                | "ernie4_5_moe"
        ) || keys.text("topk_method") == Some("noaux_tc")
            || keys.flag("use_expert_bias") == Some(true),
        beside: match keys.family {
            "arctic" if keys.flag("parallel_attn_mlp_res") != Some(false) => keys.hidden()?,
            "gemma4" | "gemma4_text" => keys.need(&["intermediate_size"])?,
            _ => 0,
        },
    }))
}

/// Hunyuan states a list for all layers.
fn list_first(keys: Keys, name: &str) -> Option<u64> {
    keys.list(name)?.first()?.as_u64().filter(|&n| n <= super::LARGEST)
}

/// What Gemma 4 adds to a layer: gates for embeddings of its own, norms for experts, a scalar.
fn gemma4(keys: Keys, layer: &mut Layer, hidden: u64) -> Result<(), ConfigError> {
    let width = keys.or(&["hidden_size_per_layer_input"], 0)?;
    layer.other += 2 * hidden * width;
    layer.norms += if width > 0 { hidden } else { 0 };
    layer.vectors += 1;
    if let Some(FeedForward::Experts(experts)) = layer.feed_forward {
        layer.norms += 3 * hidden;
        layer.vectors += hidden + experts.count;
    }
    Ok(())
}

/// Embeddings for each layer (Gemma 3n and 4): one table as wide as all layers, and a projection.
pub fn per_layer_embeddings(keys: Keys, shape: &mut Shape) -> Result<(), ConfigError> {
    let width = keys.or(&["hidden_size_per_layer_input"], 0)?;
    if width > 0 && keys.family.starts_with("gemma") {
        let all = width * keys.layers()?;
        shape.other += keys.or(&["vocab_size_per_layer_input"], shape.vocabulary)? * all + shape.hidden * all;
        shape.norms += width;
    }
    Ok(())
}

/// A block of a network found by search (Nemotron Super and Ultra): attention or feed-forward may be missing.
fn nas_block(keys: Keys, block: Keys) -> Result<Layer, ConfigError> {
    let hidden = keys.hidden()?;
    let mut layer = Layer::default();
    if let Some(a) = block.inner("attention") {
        let absent = a.flag("no_op") == Some(true) || a.flag("replace_with_linear") == Some(true);
        if a.flag("replace_with_linear") == Some(true) {
            layer.other += hidden * hidden;
            layer.norms += hidden;
        }
        if !absent {
            let heads = keys.heads()?;
            let head_dim = hidden / heads.max(1);
            let kv_heads = (heads / a.need(&["n_heads_in_group"])?).max(1);
            layer.norms += hidden;
            layer.attention = Some(Attention::Heads(Heads {
                heads,
                kv_heads,
                head_dim,
                value_dim: head_dim,
                window: None,
                bias: false,
                output_bias: false,
                gated: false,
                shares_cache: false,
                keys_as_values: false,
            }));
        }
    }
    if let Some(f) = block.inner("ffn") {
        if f.flag("replace_with_linear") == Some(true) {
            layer.other += hidden * hidden;
            layer.norms += hidden;
        } else if f.flag("no_op") != Some(true) {
            let multiple =
                f.object.get("ffn_mult").and_then(Value::as_f64).filter(|m| (0.0..64.0).contains(m)).ok_or(ConfigError::Missing("ffn_mult"))?;
            // As the model code has it: two thirds of the multiple, rounded up to 256.
            let intermediate = ((2.0 * multiple * hidden as f64 / 3.0) as u64).next_multiple_of(256);
            layer.norms += hidden;
            layer.feed_forward = Some(FeedForward::Dense(Dense { intermediate, gated: true, bias: false }));
        }
    }
    Ok(layer)
}

/// A layer of Nemotron-H does one thing: `M` a Mamba block, `*` attention, `-` feed-forward, `E` experts.
fn nemotron(keys: Keys, habits: &Habits, index: u64) -> Result<Layer, ConfigError> {
    let mut layer = Layer { norms: keys.hidden()?, ..Layer::default() };
    let pattern = keys.text("hybrid_override_pattern").ok_or(ConfigError::Missing("hybrid_override_pattern"))?;
    match usize::try_from(index).ok().and_then(|i| pattern.as_bytes().get(i)) {
        Some(b'M') => layer.recurrent = recurrent::of(keys)?,
        Some(b'*') => layer.attention = Some(attention(keys, habits, index)?),
        Some(b'E') => {
            layer.feed_forward = experts(keys, index)?.map(FeedForward::Experts);
            if let (Some(latent), Some(FeedForward::Experts(e))) = (keys.number(&["moe_latent_size"])?, &mut layer.feed_forward) {
                // Experts work on a narrower state, so their matrices are narrower: counted apart.
                layer.other += 2 * layer.norms * latent;
                e.intermediate = e.intermediate * latent / layer.norms.max(1);
            }
        }
        Some(b'-') => {
            let intermediate = keys.need(&["intermediate_size"])?;
            layer.feed_forward = Some(FeedForward::Dense(Dense { intermediate, gated: false, bias: habits.feed_forward_bias }));
        }
        _ => return Err(ConfigError::Absurd("hybrid_override_pattern")),
    }
    Ok(layer)
}

/// Layers for multi-token prediction: each is a layer like the last, with a projection of two states into one, and two
/// or three norms. DeepSeek's files repeat the embedding and the output matrix there.
pub fn draft(keys: Keys, habits: &Habits, shape: &Shape) -> Result<u64, ConfigError> {
    let count = keys.number(&["num_nextn_predict_layers", "mtp_num_hidden_layers"])?.unwrap_or(0).min(8);
    if count == 0 || keys.family == "nemotron_h" {
        return Ok(0);
    }
    let last = layer(keys, habits, keys.layers()?.saturating_sub(1))?;
    let one: u64 = last.tensors(shape.hidden).iter().map(|t| t.elements()).fold(0, u64::saturating_add);
    let h = shape.hidden;
    let repeated = match keys.family {
        "deepseek_v3" | "deepseek_v32" | "glm4_moe" | "glm4_moe_lite" if keys.flag("mtp_repeats_embeddings") != Some(false) => {
            2 * shape.vocabulary * h
        }
        _ => 0,
    };
    Ok(count.saturating_mul(one + 2 * h * h + 3 * h + repeated))
}
