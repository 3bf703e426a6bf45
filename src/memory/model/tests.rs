//! Names of models as people, servers and file systems write them, and names that must stay unknown.

#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn find(name: &str) -> Model {
    Model::find(name, &UserCatalogue::default()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn method(name: &str) -> Option<Method> {
    find(name).quantization.method
}

fn mix(name: &str) -> String {
    match method(name) {
        Some(Method::Gguf(mix)) => mix.name.to_owned(),
        other => panic!("{name}: {other:?}"),
    }
}

const LLAMA_8B: u64 = 8_030_261_248;

#[test]
fn one_model_under_its_many_names() {
    for name in [
        "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/llama-3.1-8b-instruct",
        "Meta-Llama-3.1-8B-Instruct",
        "Llama_3_1_8B_Instruct",
        "llama3.1:8b",
        "llama3.1:8b-instruct-q4_K_M",
        "llama3.1",
        "library/llama3.1:latest",
        "hf.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M",
        "https://huggingface.co/meta-llama/Llama-3.1-8B",
        "/models/Meta-Llama-3.1-8B-Instruct.Q5_K_M.gguf",
        "C:\\models\\Meta-Llama-3.1-8B-Instruct-Q8_0.gguf",
        "/root/.cache/huggingface/hub/models--meta-llama--Llama-3.1-8B-Instruct/snapshots/0e9e39f249a16976918f6564b8830bc894c89659",
        "/data/models--unsloth--Meta-Llama-3.1-8B-Instruct-bnb-4bit",
        "/mnt/models/meta-llama/Llama-3.1-8B-Instruct/",
        "/ckpt/llama-3.1-8b/checkpoint-1200",
        "/kaggle/input/models/metaresearch/llama-3.1/transformers/8b-instruct/2",
        "/kaggle/input/llama-3.1/pytorch/meta-llama-3.1-8b-instruct/1",
        "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
        "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16",
        "neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8",
    ] {
        let model = find(name);
        assert_eq!((model.parameters, model.origin), (LLAMA_8B, Origin::Catalogue), "{name}");
        assert!(model.shape.is_some() && model.base.is_none(), "{name}");
    }
}

#[test]
fn padded_files_can_be_split() {
    // 29696 is a multiple of 8 groups of 128; the 29568 of the unquantized model is not even of two.
    for name in ["Qwen/Qwen2.5-72B-Instruct-AWQ", "/models/Qwen2.5-72B-Instruct-AWQ", "Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int4"] {
        let model = find(name);
        let widest = model.shape.unwrap().layers[0].layer.tensors(8192).iter().map(|t| t.outputs).max();
        assert_eq!(widest, Some(29696), "{name}");
        assert!(model.quantization.is_some() && !model.quantization_is_named, "{name}");
    }
}

#[test]
fn recipes_for_nvfp4_differ_in_the_cache() {
    assert_eq!(find("nvidia/Llama-3.1-8B-Instruct-FP4").cache, Some(Dtype::F8));
    assert_eq!(find("someone/Qwen3-32B-NVFP4").cache, Some(Dtype::F8));
    assert_eq!(find("RedHatAI/Qwen3-32B-NVFP4").cache, None);
    assert_eq!(find("Qwen/Qwen3-32B-AWQ").cache, None);
}

#[test]
fn the_quantization_is_in_the_name() {
    let gptq = |bits, group| Some(Method::Gptq { bits, group: Some(group), symmetric: true });
    for (name, is) in [
        ("Qwen/Qwen2.5-7B-Instruct", None),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", Some(Method::Awq { bits: 4, group: 128 })),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", gptq(4, 128)),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", gptq(8, 128)),
        ("TheBloke/Llama-2-13B-chat-GPTQ", gptq(4, 128)),
        ("someone/Llama-2-7B-GPTQ-4bit-32g", gptq(4, 32)),
        ("unsloth/Qwen2.5-7B-Instruct-bnb-4bit", Some(Method::Bnb4 { double: true })),
        ("unsloth/Qwen2.5-7B-Instruct-unsloth-bnb-4bit", Some(Method::Bnb4 { double: true })),
        ("Qwen/Qwen3-8B-FP8", Some(Method::Fp8(Scales::Block { rows: 128, columns: 128 }))),
        ("neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8", Some(Method::Fp8(Scales::Tensor))),
        ("RedHatAI/Qwen2.5-7B-Instruct-FP8-dynamic", Some(Method::Fp8(Scales::Channel { bits: 16 }))),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", Some(Method::Int8 { scale: 16 })),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", Some(Method::Nvfp4)),
        ("turboderp/Llama-3-8B-Instruct-exl2-4.25bpw", Some(Method::Exl2 { hundredths: 425 })),
        ("openai/gpt-oss-20b", Some(Method::Mxfp4)),
        ("unsloth/gpt-oss-20b-BF16", None),
        ("deepseek-ai/DeepSeek-V3", Some(Method::Fp8(Scales::Block { rows: 128, columns: 128 }))),
        ("unsloth/DeepSeek-V3-bf16", None),
    ] {
        assert_eq!(method(name), is, "{name}");
    }
    assert_eq!(mix("qwen2.5:14b"), "Q4_K_M");
    assert_eq!(mix("qwen2.5:14b-instruct-q8_0"), "Q8_0");
    assert_eq!(mix("Qwen_Qwen3-8B-IQ4_XS.gguf"), "IQ4_XS");
    assert_eq!(mix("Qwen3-235B-A22B-UD-Q4_K_XL-00001-of-00003.gguf"), "Q4_K_XL");
    assert_eq!(mix("gemma-3-4b-it-Q4_0.gguf"), "Q4_0");
    assert_eq!(mix("unsloth/Qwen3-14B-GGUF"), "Q4_K_M");
    assert_eq!(method("/data/Qwen3-14B-GGUF/model.gguf"), None);
}

#[test]
fn a_model_that_names_its_base_is_taken_as_that_and_marked() {
    for (name, base) in [
        ("tokyotech-llm/Llama-3.1-Swallow-8B-Instruct-v0.9", "meta-llama/Llama-3.1-8B"),
        ("acme/Qwen2.5-7B-support-tickets-v3", "Qwen/Qwen2.5-7B"),
        ("acme/invoices-gemma-2-9b", "google/gemma-2-9b"),
    ] {
        let model = find(name);
        assert_eq!((model.base.as_deref(), model.id.as_str()), (Some(base), name));
        assert!(model.shape.is_some());
    }
}

#[test]
fn a_size_in_the_name_is_used_as_such_and_marked() {
    for (name, parameters) in [
        ("acme/foo-7B", 7_000_000_000),
        ("acme/foo-1.5b-chat-AWQ", 1_500_000_000),
        ("acme/foo-350M", 350_000_000),
        ("Qwen/Qwen2.5-8B-Instruct", 8_000_000_000),
        ("meta-llama/Llama-3.1-9B", 9_000_000_000),
        ("acme/Llama-3.1-Minitron-8B", 8_000_000_000),
        ("acme/foo-8x7B", 56_000_000_000),
    ] {
        let model = find(name);
        assert_eq!((model.parameters, model.origin), (parameters, Origin::Name), "{name}");
        assert!(model.uncertainty >= 0.1 && model.shape.is_none() && model.base.is_none(), "{name}");
    }
}

#[test]
fn what_only_looks_like_a_model_is_unknown() {
    for name in [
        "",
        "/",
        "model",
        "models",
        "llama",
        "gpt-4",
        "gpt-oss",
        "my-org/my-secret-model",
        "/data/checkpoint-1200",
        "Llama-3.1",
        "Qwen2.5",
        "acme/merge-7B-13B",
        "acme/context-128k",
        "acme/length-1M",
        "acme/foo-0B",
        "acme/foo-99999999B",
        "Q4_K_M.gguf",
        "AWQ",
        "....",
        "日本語",
    ] {
        if name == "gpt-oss" {
            // A tag of Ollama's library.
            assert_eq!(find(name).id, "openai/gpt-oss-20b");
            continue;
        }
        let found = Model::find(name, &UserCatalogue::default());
        assert!(found.is_err(), "{name}: {found:?}");
    }
}

#[test]
fn a_name_near_a_model_is_answered_with_it() {
    let error = Model::find("Phi-3.5-mini-instruckt", &UserCatalogue::default()).unwrap_err();
    assert!(error.near.iter().any(|id| id == "microsoft/Phi-3.5-mini-instruct"), "{error:?}");
}

#[test]
fn another_version_is_another_model() {
    let shape = |name: &str| find(name).parameters;
    assert_ne!(shape("mistralai/Mistral-7B-Instruct-v0.2"), shape("mistralai/Mistral-7B-Instruct-v0.3"));
    assert_ne!(shape("Qwen/Qwen2-57B-A14B-Instruct"), shape("Qwen/Qwen2.5-7B"));
    assert_eq!(find("meta-llama/Llama-3-8B").shape.unwrap().max_positions, Some(8192));
    assert_eq!(find("meta-llama/Llama-3.1-8B").shape.unwrap().max_positions, Some(131_072));
    // Mistral 7B slides in its first version only.
    let window = |name: &str| find(name).shape.unwrap().cached().next().unwrap().1.window();
    assert_eq!(window("mistralai/Mistral-7B-Instruct-v0.1"), Some(4096));
    assert_eq!(window("mistralai/Mistral-7B-Instruct-v0.2"), None);
}

#[test]
fn caches_of_known_models() {
    // Bytes for each token at 16 bits, as the engines' logs have them.
    for (name, kib) in [
        ("meta-llama/Meta-Llama-3-8B", 128.0),
        ("meta-llama/Llama-2-7b-hf", 512.0),
        ("meta-llama/Llama-2-13b-hf", 800.0),
        ("meta-llama/Meta-Llama-3-70B", 320.0),
        ("Qwen/Qwen2.5-7B-Instruct", 56.0),
        ("Qwen/Qwen2.5-32B-Instruct", 256.0),
        ("deepseek-ai/DeepSeek-V3", 61.0 * 1152.0 / 1024.0),
    ] {
        let elements = find(name).shape.unwrap().cache_elements_of_full_layers();
        assert_eq!(elements as f64 * 2.0 / 1024.0, kib, "{name}");
    }
}

#[test]
fn layers_of_hybrid_models_are_told_apart() {
    let count = |name: &str, what: fn(&crate::memory::shape::Layer) -> bool| {
        find(name).shape.unwrap().layers.iter().filter(|r| what(&r.layer)).map(|r| r.count).sum::<u64>()
    };
    let slides = |l: &crate::memory::shape::Layer| l.attention.is_some_and(|a| a.window().is_some());
    assert_eq!(count("google/gemma-2-9b", slides), 21);
    assert_eq!(count("google/gemma-3-27b-it", slides), 52);
    assert_eq!(count("openai/gpt-oss-20b", slides), 12);
    assert_eq!(count("meta-llama/Llama-4-Scout-17B-16E-Instruct", slides), 36);
    assert_eq!(count("Qwen/Qwen3-Next-80B-A3B-Instruct", |l| l.recurrent.is_some()), 36);
    assert_eq!(count("ai21labs/AI21-Jamba-Mini-1.5", |l| l.attention.is_some()), 4);
    assert_eq!(count("meta-llama/Llama-3.2-11B-Vision-Instruct", |l| l.cross.is_some()), 8);
    assert_eq!(count("deepseek-ai/DeepSeek-V3", |l| matches!(l.feed_forward, Some(crate::memory::shape::FeedForward::Dense(_)))), 3);
}

#[test]
fn active_parameters_of_mixtures() {
    for (name, billions) in [
        ("Qwen/Qwen3-30B-A3B", 3.3),
        ("Qwen/Qwen3-235B-A22B", 22.2),
        ("deepseek-ai/DeepSeek-V3", 37.5),
        ("openai/gpt-oss-120b", 5.7),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 12.9),
    ] {
        let active = find(name).active.unwrap() as f64 / 1e9;
        assert!((active - billions).abs() < 0.1, "{name}: {active}");
    }
}

#[test]
fn given_sizes_carry_their_uncertainty() {
    let given = |text: &str| Model::given(text).map(|m| (m.parameters, m.uncertainty));
    assert_eq!(given("6.7B"), Some((6_700_000_000, 0.03)));
    assert_eq!(given("7B"), Some((7_000_000_000, 0.5 / 7.0)));
    assert_eq!(given("350M"), Some((350_000_000, 0.03)));
    assert_eq!(given("1.1T"), Some((1_100_000_000_000, 0.5 / 11.0)));
    assert_eq!(given("6738415616"), Some((6_738_415_616, 0.0)));
    for text in ["", "B", "-7B", "7", "7Q", "0B", "NaN", "1e9", "7.B", "99999999B"] {
        assert_eq!(given(text), None, "{text}");
    }
}

#[test]
fn a_users_entry_beats_the_catalogue() {
    let user = UserCatalogue::parse("[[model]]\nid = [\"Qwen/Qwen3-8B\", \"acme/thing\"]\nparameters = 5\n", std::path::Path::new("m.toml")).unwrap();
    for name in ["Qwen/Qwen3-8B", "qwen3-8b", "acme/thing-AWQ"] {
        let model = Model::find(name, &user).unwrap();
        assert_eq!((model.parameters, model.origin), (5, Origin::UserFile), "{name}");
    }
}

#[test]
fn a_mixed_file_is_as_large_as_published() {
    // Llama 3.1 8B as llama.cpp's own table has it, in bits for each weight.
    let shape = find("meta-llama/Llama-3.1-8B").shape.unwrap();
    for mix in Mix::all().filter(|mix| ["Q4_K_M", "Q4_K_S", "Q5_K_M", "Q6_K", "Q8_0", "Q3_K_M", "Q3_K_L", "Q2_K", "Q4_0", "F16"].contains(&mix.name))
    {
        let bits = mix.bytes(&shape).total() as f64 * 8.0 / shape.parameters().total() as f64;
        let published = mix.average().as_bits();
        assert!((bits - published).abs() / published < 0.015, "{}: {bits:.3} against {published}", mix.name);
    }
}

proptest! {
    #[test]
    fn any_name_is_known_or_not(name in "\\PC{0,60}") {
        let _ = Model::find(&name, &UserCatalogue::default());
    }

    /// Names made of the words that names are made of.
    #[test]
    fn any_words_are_known_or_not(words in prop::collection::vec(prop::sample::select(vec![
        "llama", "Qwen", "2.5", "3", ".1", "-", "_", ":", "/", "7b", "8x", "AWQ", "GPTQ", "Int4", "Q4_K_M", ".gguf", "-00001-of-00002", "models--", "--", "instruct", "bnb", "4bit", "exl2", "bpw", "g", "128",
    ]), 0..12)) {
        let _ = Model::find(&words.concat(), &UserCatalogue::default());
    }
}
