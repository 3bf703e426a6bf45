//! The `quantization_config` of a `config.json`, in the forms of GPTQ, AWQ, bitsandbytes, fp8, compressed-tensors,
//! ModelOpt, MXFP4, HQQ, torchao, EETQ, EXL2.

use serde_json::Value;

use super::{ConfigError, text_config};
use crate::memory::format::{Dtype, Method, Quantization, Scales};
use crate::memory::shape::{Class, Classes};

/// The object that says how a model is quantized: in the configuration, in that of its text model, or in ModelOpt's own
/// file (`hf_quant_config.json`).
fn object(config: &Value) -> Option<&Value> {
    let places = [config, text_config(config)];
    let found = places.iter().find_map(|c| c.get("quantization_config").or_else(|| c.get("compression_config")).filter(|q| q.is_object()));
    found.or_else(|| config.get("quantization").filter(|q| q.get("quant_algo").is_some()))
}

/// What a checkpoint asks of its cache, where its quantization covers keys and values: compressed-tensors has a
/// `kv_cache_scheme`, ModelOpt that or a `kv_cache_quant_algo`.
pub fn cache(config: &Value) -> Option<Dtype> {
    let q = object(config)?;
    let scheme = q.get("kv_cache_scheme").filter(|scheme| scheme.get("num_bits").and_then(Value::as_u64) == Some(8));
    let algo = q.get("kv_cache_quant_algo").and_then(Value::as_str).filter(|algo| algo.eq_ignore_ascii_case("fp8"));
    (scheme.is_some() || algo.is_some()).then_some(Dtype::F8)
}

/// How a model is quantized, by its configuration; a method that is not known is an error, for it changes everything.
pub fn quantization(config: &Value) -> Result<Quantization, ConfigError> {
    let Some(q) = object(config) else { return Ok(Quantization::NONE) };
    let layers = text_config(config).get("num_hidden_layers").and_then(Value::as_u64).unwrap_or(1);
    let method = method(q)?;
    let mut out = Quantization::new(method);
    out.kept = kept(q, layers, out.kept);
    Ok(out)
}

fn small(q: &Value, names: &[&str]) -> Option<u8> {
    names.iter().find_map(|name| q.get(name)?.as_u64()).and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=16).contains(n))
}

fn group(q: &Value, names: &[&str]) -> Option<u32> {
    names.iter().find_map(|name| q.get(name)?.as_i64()).and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=1 << 20).contains(n))
}

fn flag(q: &Value, name: &str) -> bool {
    q.get(name).and_then(Value::as_bool) == Some(true)
}

fn method(q: &Value) -> Result<Method, ConfigError> {
    let name = ["quant_method", "quant_algo", "quant_type"].iter().find_map(|key| q.get(key)?.as_str()).unwrap_or_default().to_ascii_lowercase();
    let unknown = || ConfigError::Quantization(name.chars().take(40).collect());
    Ok(match name.as_str() {
        "gptq" | "gptq_marlin" | "auto-round" | "autoround" | "intel/auto-round" => Method::Gptq {
            bits: small(q, &["bits"]).unwrap_or(4),
            group: group(q, &["group_size"]),
            symmetric: q.get("sym").and_then(Value::as_bool).unwrap_or(true),
        },
        "awq" | "awq_marlin" => {
            Method::Awq { bits: small(q, &["bits", "w_bit"]).unwrap_or(4), group: group(q, &["group_size", "q_group_size"]).unwrap_or(128) }
        }
        "bitsandbytes" | "bnb" => {
            if flag(q, "load_in_8bit") || flag(q, "_load_in_8bit") {
                Method::Bnb8
            } else {
                Method::Bnb4 { double: flag(q, "bnb_4bit_use_double_quant") }
            }
        }
        "fp8" | "fbgemm_fp8" | "finegrained_fp8" => Method::Fp8(match q.get("weight_block_size").and_then(Value::as_array).map(Vec::as_slice) {
            Some([rows, columns]) => Scales::Block { rows: block(rows), columns: block(columns) },
            _ if name == "fbgemm_fp8" => Scales::Channel { bits: 32 },
            _ => Scales::Tensor,
        }),
        "compressed-tensors" | "compressed_tensors" => compressed(q).ok_or_else(unknown)?,
        "modelopt" | "modelopt_fp4" | "nvfp4" | "w4a16_nvfp4" | "fp8_pb_wo" | "mixed_precision" => {
            let algo = q.get("quant_algo").and_then(Value::as_str).unwrap_or(&name).to_ascii_uppercase();
            match algo.as_str() {
                a if a.contains("NVFP4") || a == "MODELOPT_FP4" => Method::Nvfp4,
                "FP8_PB_WO" => Method::Fp8(Scales::Block { rows: 128, columns: 128 }),
                a if a.starts_with("FP8") || a == "MODELOPT" => Method::Fp8(Scales::Tensor),
                a if a.contains("W4A16_AWQ") || a.contains("W4A8_AWQ") => Method::Awq { bits: 4, group: group(q, &["group_size"]).unwrap_or(128) },
                "MIXED_PRECISION" => Method::Nvfp4,
                _ => return Err(unknown()),
            }
        }
        "mxfp4" => Method::Mxfp4,
        "mxfp8" => Method::Mxfp8,
        "hqq" | "torchao" | "quanto" => Method::Int {
            bits: small(q, &["bits", "nbits", "weights_bits"]).or_else(|| bits_in(q)).unwrap_or(4),
            group: group(q, &["group_size", "q_group_size"]).unwrap_or(64),
        },
        "eetq" => Method::Eetq,
        "exl2" | "exl3" => {
            let bits = q.get("bits").and_then(Value::as_f64).filter(|b| (1.0..=16.0).contains(b)).ok_or_else(unknown)?;
            Method::Exl2 { hundredths: (bits * 100.0) as u16 }
        }
        _ => return Err(unknown()),
    })
}

fn block(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=1 << 16).contains(n)).unwrap_or(128)
}

/// torchao and quanto name a type (`int4_weight_only`, `qint8`).
fn bits_in(q: &Value) -> Option<u8> {
    let text = ["quant_type", "weights"].iter().find_map(|key| Some(q.get(key)?.to_string()))?;
    if text.contains("int8") || text.contains("float8") { Some(8) } else { text.contains("int4").then_some(4) }
}

/// The scheme of the weights of the first group; of several groups, that with the fewest bits, which the bulk has.
fn compressed(q: &Value) -> Option<Method> {
    let groups = q.get("config_groups")?.as_object()?;
    let weights =
        groups.values().filter_map(|g| g.get("weights").filter(|w| w.is_object())).min_by_key(|w| w.get("num_bits").and_then(Value::as_u64))?;
    let bits = small(weights, &["num_bits"])?;
    let group_size = group(weights, &["group_size"]);
    let strategy = weights.get("strategy").and_then(Value::as_str).unwrap_or("tensor");
    let float = weights.get("type").and_then(Value::as_str) == Some("float");
    Some(match (float, bits, strategy) {
        (true, 4, _) if group_size == Some(32) => Method::Mxfp4,
        (true, 4, _) => Method::Nvfp4,
        (true, 8, "block") => match weights.get("block_structure").and_then(Value::as_array).map(Vec::as_slice) {
            Some([rows, columns]) => Method::Fp8(Scales::Block { rows: block(rows), columns: block(columns) }),
            _ => Method::Fp8(Scales::Block { rows: 128, columns: 128 }),
        },
        (true, 8, "channel") => Method::Fp8(Scales::Channel { bits: 16 }),
        (true, 8, "group") if group_size == Some(32) => Method::Mxfp8,
        (true, 8, _) => Method::Fp8(Scales::Tensor),
        (false, 8, "channel" | "tensor") => Method::Int8 { scale: 16 },
        (false, _, _) => Method::PackedInt { bits, group: group_size, symmetric: weights.get("symmetric").and_then(Value::as_bool).unwrap_or(true) },
        _ => return None,
    })
}

/// What stays unquantized: what usually does, less an output matrix that the configuration says is quantized, and the
/// classes that its list of exceptions names in all layers.
fn kept(q: &Value, layers: u64, usual: Classes) -> Classes {
    let mut out = usual;
    if flag(q, "lm_head") {
        out = out.without(Class::LmHead);
    }
    let lists = ["ignore", "modules_to_not_convert", "llm_int8_skip_modules", "exclude_modules", "ignored_layers", "exclude"];
    let names: Vec<String> = lists
        .iter()
        .filter_map(|key| q.get(key)?.as_array())
        .flatten()
        .take(100_000)
        .filter_map(|v| Some(v.as_str()?.to_ascii_lowercase()))
        .collect();
    for (class, words) in WORDS {
        let of_class = |name: &&String| words.iter().any(|w| name.contains(w)) && !(*class == Class::Attention && name.contains("linear_attn"));
        let hits: Vec<&String> = names.iter().filter(of_class).collect();
        let general = hits.iter().any(|name| name.contains('*') || name.starts_with("re:") || !name.bytes().any(|b| b.is_ascii_digit()));
        if general || hits.len() as u64 * 2 >= layers.max(2) {
            out = out.with(*class);
        }
    }
    out
}

/// Words for the modules of a class in lists of exceptions.
const WORDS: &[(Class, &[&str])] = &[
    (Class::Attention, &["self_attn", "attention", ".attn"]),
    (Class::Recurrent, &["linear_attn", "mamba", ".mixer.in_proj", ".conv"]),
    (Class::Mlp, &["shared_expert", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "feed_forward"]),
    (Class::Experts, &["mlp.experts", "block_sparse_moe.experts"]),
];
