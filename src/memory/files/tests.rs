//! Files as models come in, and files that lie.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::memory::format::{Method, Scales};

/// A safetensors file with these tensors, as sparse as the format allows: the data are not there.
fn safetensors(folder: &Path, name: &str, tensors: &[(&str, &str, &[u64], u64)]) {
    let mut at = 0;
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    for (name, dtype, shape, bytes) in tensors {
        header.insert((*name).into(), json!({"dtype": dtype, "shape": shape, "data_offsets": [at, at + bytes]}));
        at += bytes;
    }
    let text = serde_json::to_vec(&header).unwrap();
    let mut file = File::create(folder.join(name)).unwrap();
    file.write_all(&(text.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&text).unwrap();
}

const TINY: &str = r#"{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "vocab_size": 100, "torch_dtype": "bfloat16", "max_position_embeddings": 2048}"#;

#[test]
fn a_folder_is_read_from_its_headers() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("config.json"), TINY).unwrap();
    fs::write(
        dir.path().join("model.safetensors.index.json"),
        r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "../3.safetensors"}}"#,
    )
    .unwrap();
    safetensors(
        dir.path(),
        "1.safetensors",
        &[("model.embed_tokens.weight", "BF16", &[100, 64], 12800), ("lm_head.weight", "BF16", &[100, 64], 12800)],
    );
    let model = Model::open(dir.path()).unwrap();
    let stored = model.stored.clone().unwrap();
    assert_eq!(stored.files, (1, 3));
    assert!(!stored.is_whole());
    assert_eq!(stored.total(), Bytes(25600));
    assert_eq!(stored.bytes[Class::Embedding], 12800);
    assert_eq!(stored.bytes[Class::LmHead], 12800);
    assert_eq!(stored.by_type, [("BF16".to_owned(), Bytes(25600))]);
    // Not all files are there, so the count is that of the configuration.
    assert_eq!(model.parameters, 2 * 6400 + (64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 128 + 128) + 64);
    assert_eq!(model.shape.unwrap().max_positions, Some(2048));
    assert_eq!(model.origin, Origin::File);
}

#[test]
fn a_configuration_alone_is_enough() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("config.json");
    fs::write(&path, TINY).unwrap();
    assert!(Model::open(&path).unwrap().stored.is_none());
    assert!(resolve(path.to_str().unwrap(), &UserCatalogue::default()).is_ok());
}

#[test]
fn nothing_of_a_model_is_said_so() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(Model::open(dir.path()), Err(FilesError::NoModel { .. })));
    assert!(matches!(Model::open(&dir.path().join("nowhere")), Err(FilesError::Read { .. })));
    fs::write(dir.path().join("config.json"), r#"{"hidden_size": 64}"#).unwrap();
    assert!(matches!(Model::open(dir.path()), Err(FilesError::Config { .. })));
    fs::write(dir.path().join("config.json"), "{").unwrap();
    assert!(matches!(Model::open(dir.path()), Err(FilesError::Damaged { reason: Damage::Json, .. })));
}

#[test]
fn headers_that_lie_are_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("model.safetensors");
    let mut tally = Tally::default();
    fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert!(matches!(Model::open(&path), Err(FilesError::Damaged { reason: Damage::Large(_), .. })));
    fs::write(&path, 1000u64.to_le_bytes()).unwrap();
    assert!(matches!(Model::open(&path), Err(FilesError::Damaged { reason: Damage::Short, .. })));
    for header in [
        r#"{"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [8, 0]}}"#,
        r#"{"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 800000000000]}}"#,
        r#"{"a": {"dtype": "F32", "shape": [18446744073709551615, 4], "data_offsets": [0, 8]}}"#,
        r#"{"a": 7}"#,
        "[]",
    ] {
        assert_eq!(super::safetensors::parse(header.as_bytes(), &mut tally), Err(Damage::Json), "{header}");
    }
}

/// A GGUF file of these keys and tensors.
fn gguf(keys: &[(&str, u32, Vec<u8>)], tensors: &[(&str, &[u64], u32)]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((keys.len() as u64).to_le_bytes());
    let text = |out: &mut Vec<u8>, t: &str| {
        out.extend((t.len() as u64).to_le_bytes());
        out.extend(t.as_bytes());
    };
    for (key, kind, value) in keys {
        text(&mut out, key);
        out.extend(kind.to_le_bytes());
        out.extend(value);
    }
    for (name, shape, kind) in tensors {
        text(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(kind.to_le_bytes());
        out.extend(0u64.to_le_bytes());
    }
    out
}

fn string(t: &str) -> Vec<u8> {
    [&(t.len() as u64).to_le_bytes()[..], t.as_bytes()].concat()
}

fn tiny_gguf() -> Vec<u8> {
    let number = |key, n: u32| (key, 4, n.to_le_bytes().to_vec());
    let tokens = [&8u32.to_le_bytes()[..], &2u64.to_le_bytes(), &string("a"), &string("b")].concat();
    gguf(
        &[
            ("general.architecture", 8, string("llama")),
            ("general.name", 8, string("Tiny")),
            number("general.file_type", 15),
            number("llama.block_count", 1),
            number("llama.embedding_length", 256),
            number("llama.feed_forward_length", 512),
            number("llama.attention.head_count", 4),
            number("llama.attention.head_count_kv", 2),
            number("llama.context_length", 4096),
            ("tokenizer.ggml.tokens", 9, tokens),
        ],
        &[("token_embd.weight", &[256, 2], 12), ("blk.0.attn_v.weight", &[256, 128], 14), ("blk.0.attn_norm.weight", &[256], 0)],
    )
}

#[test]
fn a_gguf_file_is_read_tensor_by_tensor() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tiny-Q4_K_M.gguf");
    fs::write(&path, tiny_gguf()).unwrap();
    let model = Model::open(dir.path()).unwrap();
    let stored = model.stored.unwrap();
    assert_eq!(stored.total(), Bytes(2 * 144 + 128 * 210 + 1024));
    assert_eq!(stored.bytes[Class::Attention], 128 * 210);
    assert_eq!(model.id, "Tiny");
    let shape = model.shape.unwrap();
    assert_eq!((shape.hidden, shape.vocabulary, shape.tied), (256, 2, true));
    assert!(matches!(model.quantization.method, Some(Method::Gguf(mix)) if mix.name == "Q4_K_M"));
}

#[test]
fn a_split_file_is_read_as_one_and_a_missing_part_is_seen() {
    let dir = TempDir::new().unwrap();
    let name = |n| dir.path().join(format!("m-Q8_0-0000{n}-of-00003.gguf"));
    fs::write(name(1), tiny_gguf()).unwrap();
    fs::write(name(3), gguf(&[], &[("blk.1.ffn_up.weight", &[256, 512], 8)])).unwrap();
    let stored = Model::open(&name(1)).unwrap().stored.unwrap();
    assert_eq!(stored.files, (2, 3));
    assert_eq!(stored.bytes[Class::Mlp], 512 * 8 * 34);
}

#[test]
fn a_gguf_file_that_lies_is_refused() {
    let mut tally = Tally::default();
    let mut read = |bytes: &[u8]| match super::gguf::parse(&mut &bytes[..], &mut tally) {
        Err(super::gguf::Failure::Damage(reason)) => Some(reason),
        Err(super::gguf::Failure::Io(_)) => Some(Damage::Short),
        Ok(_) => None,
    };
    assert_eq!(read(b"GGML"), Some(Damage::Magic("GGUF")));
    assert_eq!(read(b"GGUF\x09\0\0\0"), Some(Damage::Version(9)));
    let huge = [&b"GGUF\x03\0\0\0"[..], &u64::MAX.to_le_bytes(), &0u64.to_le_bytes()].concat();
    assert!(matches!(read(&huge), Some(Damage::Large(_))));
    assert_eq!(read(&gguf(&[("k", 99, Vec::new())], &[])), Some(Damage::Type(99)));
    assert_eq!(read(&gguf(&[], &[("t", &[256, 1], 77)])), Some(Damage::Type(77)));
    assert!(matches!(read(&gguf(&[], &[("t", &[1 << 40, 1 << 40], 0)])), Some(Damage::Large(_))));
    assert!(matches!(read(&gguf(&[("k", 8, u64::MAX.to_le_bytes().to_vec())], &[])), Some(Damage::Large(_))));
    let nested: Vec<u8> = (0..5).flat_map(|_| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat()).collect();
    assert!(read(&gguf(&[("k", 9, nested)], &[])).is_some());
}

#[test]
fn quantization_configurations_are_understood() {
    let read = |q: Value| config::quantization(&json!({"quantization_config": q, "num_hidden_layers": 2})).map(|q| q.method);
    assert_eq!(
        read(json!({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": false})),
        Ok(Some(Method::Gptq { bits: 4, group: Some(32), symmetric: false }))
    );
    assert_eq!(read(json!({"quant_method": "awq", "bits": 4, "group_size": 64})), Ok(Some(Method::Awq { bits: 4, group: 64 })));
    assert_eq!(
        read(json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_use_double_quant": true})),
        Ok(Some(Method::Bnb4 { double: true }))
    );
    assert_eq!(read(json!({"quant_method": "bitsandbytes", "load_in_8bit": true})), Ok(Some(Method::Bnb8)));
    assert_eq!(
        read(json!({"quant_method": "fp8", "weight_block_size": [128, 128]})),
        Ok(Some(Method::Fp8(Scales::Block { rows: 128, columns: 128 })))
    );
    assert_eq!(
        read(
            json!({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": true}}}})
        ),
        Ok(Some(Method::PackedInt { bits: 4, group: Some(128), symmetric: true }))
    );
    assert_eq!(
        read(
            json!({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "int", "strategy": "channel"}}}})
        ),
        Ok(Some(Method::Int8 { scale: 16 }))
    );
    assert_eq!(read(json!({"quant_method": "mxfp4"})), Ok(Some(Method::Mxfp4)));
    assert_eq!(read(json!({"quant_method": "quip#"})), Err(ConfigError::Quantization("quip#".into())));
    let kept = config::quantization(&json!({"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}, "num_hidden_layers": 2})).unwrap();
    assert!(kept.of(Class::Attention).is_none() && kept.of(Class::Experts).is_some());
}

#[test]
fn absurd_configurations_are_refused() {
    for (config, is) in [
        (json!([]), ConfigError::NotAnObject),
        (json!({}), ConfigError::Missing("hidden_size")),
        (json!({"hidden_size": 1u64 << 40}), ConfigError::Absurd("hidden_size")),
        (json!({"hidden_size": 64, "num_hidden_layers": 1 << 19}), ConfigError::Absurd("num_hidden_layers")),
        (
            json!({"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 0, "intermediate_size": 64}),
            ConfigError::Absurd("num_attention_heads"),
        ),
    ] {
        assert_eq!(config::shape(&config), Err(is));
    }
}

/// Of towers too: whatever their numbers are, they are counted without overflow or refused.
#[test]
fn absurd_towers_are_refused() {
    let keys = [
        "depth",
        "embed_dim",
        "hidden_size",
        "image_size",
        "intermediate_size",
        "max_num_tiles",
        "mlp_ratio",
        "num_global_layers",
        "num_hidden_layers",
        "patch_size",
        "spatial_merge_size",
        "temporal_patch_size",
        "num_position_embeddings",
        "out_hidden_size",
        "projector_input_dim",
        "projector_output_dim",
        "vision_output_dim",
        "position_embedding_size",
        "head_dim",
        "supported_aspect_ratios",
        "spatial_patch_size",
    ];
    for family in ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3", "llava", "llava_next", "mistral3", "llava_onevision", "gemma4", "mllama", "llama4"]
    {
        for bits in 0..21 {
            let vision: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), json!(1u64 << bits))).collect();
            let text = json!({"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100});
            let mut config = text.clone();
            config["model_type"] = family.into();
            config["text_config"] = text;
            config["vision_config"] = vision.into();
            let read = config::shape(&config).map(|shape| shape.parameters().total());
            assert!(bits < 17 || read.is_err(), "{family} {bits}: {read:?}");
            // Each key at the most that is taken, and the others small.
            for key in keys {
                let mut config = config.clone();
                config["vision_config"] = json!({"hidden_size": 64, "num_hidden_layers": 2, "depth": 2, "intermediate_size": 64});
                config["vision_config"][key] = json!(1u64 << bits);
                let _ = config::shape(&config).map(|shape| shape.parameters().total());
            }
        }
        let most = json!({"depth": 1024, "embed_dim": 65536, "hidden_size": 65536, "image_size": 16384, "intermediate_size": 1 << 20, "max_num_tiles": 64,
            "mlp_ratio": 64, "num_global_layers": 1024, "num_hidden_layers": 1024, "patch_size": 1, "spatial_merge_size": 32, "temporal_patch_size": 64,
            "num_position_embeddings": 1 << 20, "out_hidden_size": 1 << 20, "projector_input_dim": 1 << 20, "projector_output_dim": 1 << 20,
            "vision_output_dim": 1 << 20, "position_embedding_size": 1 << 20, "head_dim": 1 << 20, "supported_aspect_ratios": 64,
            "deepstack_visual_indexes": [1, 2, 3]});
        let text = json!({"hidden_size": 1 << 20, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100});
        let _ = config::shape(&json!({"model_type": family, "text_config": text, "vision_config": most})).map(|shape| shape.parameters().total());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..600) {
        let mut tally = Tally::default();
        let _ = super::gguf::parse(&mut &bytes[..], &mut tally);
        let _ = super::safetensors::parse(&bytes, &mut tally);
        // A good file with damage in the middle.
        let mut file = tiny_gguf();
        let at = cut % file.len();
        file.splice(at.., bytes);
        let _ = super::gguf::parse(&mut &file[..], &mut tally);
    }

    #[test]
    fn any_numbers_in_a_configuration_are_read_or_refused(
        family in prop::sample::select(vec!["llama", "gemma4_text", "jamba", "nemotron_h", "qwen3_next", "deepseek_v3", "gpt_oss", "falcon_h1", "t5", "whisper", "bert", "lfm2", "minimax", "kimi_linear", "mllama"]),
        keys in prop::collection::vec((prop::sample::select(vec![
            "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "vocab_size", "num_experts", "moe_intermediate_size",
            "kv_lora_rank", "q_lora_rank", "sliding_window", "n_shared_experts", "mamba_num_heads", "linear_num_value_heads", "d_kv", "d_ff", "max_position_embeddings", "attn_layer_period",
            "num_nextn_predict_layers", "hidden_size_per_layer_input", "block_ff_dim",
        ]), prop::sample::select(vec![0u64, 1, 2, 7, 64, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, u64::MAX])), 0..22),
    ) {
        let mut object = json!({"model_type": family, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100, "hybrid_override_pattern": "ME*-",
            "linear_attn_config": {"num_heads": 4, "head_dim": 16}, "mamba_n_heads": 4});
        for (key, value) in keys {
            object[key] = json!(value);
        }
        if let Ok(shape) = config::shape(&object) {
            let _ = shape.parameters().total();
            prop_assert!(shape.active_parameters() <= shape.parameters().total());
            let _ = shape.cache_elements_of_full_layers();
        }
    }
}
