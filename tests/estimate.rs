//! The estimator against arithmetic that people got wrong, and what must hold for every model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use oomdoc::memory::catalogue::{UserCatalogue, rows};
use oomdoc::memory::device::{Arch, Basis, Vendor};
use oomdoc::memory::estimate::cache::Layout;
use oomdoc::memory::estimate::tensor::Occasion;
use oomdoc::memory::estimate::{
    CacheFormat, Engine, Guess, Impossible, Plan, Setup, Verdict, Version, changes, check, estimate, formats, largest, tensor_of, weights,
};
use oomdoc::memory::format::{Dtype, Method, Quantization};
use oomdoc::memory::size::{GIB, MIB};
use oomdoc::memory::{Bytes, Device, Model};
use proptest::prelude::*;

fn model(name: &str) -> Model {
    Model::find(name, &UserCatalogue::default()).unwrap()
}

/// A card that gives `total` to PyTorch.
fn card(name: &str, total: &str, capability: (u8, u8)) -> Device {
    Device {
        name: name.to_owned(),
        vendor: Vendor::Nvidia,
        total: total.parse().unwrap(),
        margin: Bytes::mib(50),
        marketing: None,
        in_use: None,
        arch: Arch::Cuda(capability.0, capability.1),
        unified: false,
        basis: Basis::Given,
    }
}

fn rtx_4060() -> Device {
    card("RTX 4060", "7.62 GiB", (8, 9))
}

fn h100() -> Device {
    card("H100", "79.19 GiB", (9, 0))
}

fn plan(setup: &Setup, model: &Model) -> Plan {
    Plan::new(setup, model, &h100())
}

fn with(engine: Engine, word: &str) -> Setup {
    Setup { quantization: formats::named_for(engine, word), ..Setup::new(engine) }
}

/// 6.74 billion parameters in 16 bit are 13.5 GB, which are 12.55 GiB, not 13.5; 8 GiB are 4.6 GiB short of it, not 5.4.
#[test]
fn gigabytes_are_not_gibibytes() {
    let model = model("deepseek-ai/deepseek-coder-6.7b-instruct");
    assert_eq!(model.parameters, 6_740_512_768);
    let plain = Bytes(model.parameters * 2);
    assert_eq!(plain.0 / 100_000_000, 134);
    assert_eq!(plain.to_string(), "12.56 GiB");
    let missing = plain.checked_sub(Bytes::gib(8)).unwrap();
    assert_eq!(missing.to_string(), "4.56 GiB");
    assert_eq!("13.5GB".parse::<Bytes>().unwrap().to_string(), "12.57 GiB");

    let e = estimate(&model, &rtx_4060(), &Setup { version: Some(Version(2, 4, 1)), ..Setup::new(Engine::Tgi) });
    assert_eq!(e.verdict, Verdict::Exceeds);
    assert!(e.weights.bytes.0.abs_diff(plain.0) < 64 * MIB, "{}", e.weights.bytes);
}

/// "Allocated by PyTorch" is not weights: Phi-3.5-mini has 7.12 GiB of them; the rest of 7.73 GiB is cache and activations.
#[test]
fn allocated_is_not_weights() {
    let model = model("microsoft/Phi-3.5-mini-instruct");
    let setup = Setup { version: Some(Version(2, 4, 1)), max_num_batched_tokens: Some(4096), ..Setup::new(Engine::Tgi) };
    let e = estimate(&model, &rtx_4060(), &setup);
    assert_eq!(Bytes(model.parameters * 2).to_string(), "7.12 GiB");
    assert!(e.weights.bytes >= Bytes(model.parameters * 2) && e.weights.bytes < "7.2 GiB".parse().unwrap(), "{}", e.weights.bytes);
    // 32 layers of 32 heads of 96, keys and values, 2 bytes: 384 KiB for each token.
    assert_eq!(e.token, Some(Bytes(384 * 1024)));
    // It does not fit, because of the prefill and the cache: the weights alone would.
    assert!(e.weights.bytes < e.limit);
    assert_eq!(e.verdict, Verdict::Exceeds);
    // A smaller type for the weights is among what would make it fit.
    let words: Vec<String> = changes(&model, &rtx_4060(), &setup).into_iter().map(|c| c.argument).collect();
    assert!(words.iter().any(|w| w.contains("nf4")), "{words:?}");
}

/// Mixtral 8x7B has 46.7 billion parameters: 8 bits are about 47 GB, never 18 to 20 on a card of 24; 4 bits are 24 to 26.
#[test]
fn all_experts_count() {
    let model = model("mistralai/Mixtral-8x7B-Instruct-v0.1");
    assert_eq!(model.parameters / 100_000_000, 467);
    let of = |method| {
        let setup = Setup { quantization: Some(Quantization::new(method)), ..Setup::new(Engine::Vllm) };
        weights::of_rank(&model, &plan(&setup, &model)).0 as f64 / 1e9
    };
    assert!((46.5..48.5).contains(&of(Method::Bnb8)), "{}", of(Method::Bnb8));
    assert!((23.5..27.0).contains(&of(Method::Bnb4 { double: false })), "{}", of(Method::Bnb4 { double: false }));
    let card = card("RTX 4090", "23.52 GiB", (8, 9));
    for word in ["bitsandbytes-nf4", "none"] {
        assert_eq!(estimate(&model, &card, &with(Engine::Tgi, word)).verdict, Verdict::Exceeds, "{word}");
    }
}

/// A merged 14B checkpoint of 9.3 GB is already 4-bit: 16 bits would be three times as much.
#[test]
fn what_is_on_disk_is_evidence() {
    let model = model("Qwen/Qwen2.5-14B-Instruct");
    let bits = |size: f64| size * 1e9 * 8.0 / model.parameters as f64;
    assert!((4.0..6.0).contains(&bits(9.3)));
    let full = weights::of_rank(&model, &plan(&Setup::new(Engine::Vllm), &model)).0 as f64 / 1e9;
    let quarter = weights::of_rank(&model, &plan(&with(Engine::Vllm, "bitsandbytes"), &model)).0 as f64 / 1e9;
    assert!((29.0..31.0).contains(&full), "{full}");
    assert!((9.0..11.0).contains(&quarter), "{quarter}");
    let card = card("RTX 3090", "23.6 GiB", (8, 6));
    let setup = Setup { fraction: Some(0.5), max_model_len: Some(4096), version: Some(Version(0, 10, 2)), ..Setup::new(Engine::Vllm) };
    assert_eq!(estimate(&model, &card, &setup).verdict, Verdict::Exceeds);
}

#[test]
fn a_token_of_cache() {
    let token = |name: &str, setup: &Setup| {
        let model = model(name);
        Layout::new(model.shape.as_ref().unwrap(), &plan(setup, &model)).token().0
    };
    let plain = Setup::new(Engine::Vllm);
    for (name, kib) in [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", 128),
        ("meta-llama/Llama-2-7b-hf", 512),
        ("meta-llama/Llama-2-13b-hf", 800),
        ("meta-llama/Llama-3.3-70B-Instruct", 320),
        ("Qwen/Qwen2.5-7B-Instruct", 56),
        ("Qwen/Qwen2.5-32B-Instruct", 256),
    ] {
        assert_eq!(token(name, &plain), kib * 1024, "{name}");
    }
    // One latent vector for all heads, on every rank.
    assert_eq!(token("deepseek-ai/DeepSeek-V3", &plain), 61 * 1152);
    assert_eq!(token("deepseek-ai/DeepSeek-V3", &Setup { tensor_parallel: 8, ..plain.clone() }), 61 * 1152);
    // Ranks beyond the key-value heads hold copies.
    assert_eq!(token("Qwen/Qwen2.5-7B-Instruct", &Setup { tensor_parallel: 4, ..plain.clone() }), 14 * 1024);
    assert_eq!(token("meta-llama/Llama-3.3-70B-Instruct", &Setup { tensor_parallel: 16, ..plain.clone() }), 40 * 1024);
    let fp8 = Setup { cache: Some(CacheFormat::FP8), ..plain };
    assert_eq!(token("meta-llama/Meta-Llama-3.1-8B-Instruct", &fp8), 64 * 1024);
    let q8 = Setup { cache: CacheFormat::parse("q8_0"), ..Setup::new(Engine::LlamaCpp) };
    assert_eq!(token("meta-llama/Meta-Llama-3.1-8B-Instruct", &q8), 64 * 1024 * 34 / 32);
}

/// Gemma 3 27B has 52 layers with a window and 10 without: groups of 10 make 70 of 62.
#[test]
fn groups_of_layers_are_padded() {
    let model = model("google/gemma-3-27b-it");
    let setup = Setup { version: Some(Version(0, 19, 0)), max_model_len: Some(8192), ..Setup::new(Engine::Vllm) };
    let plan = plan(&setup, &model);
    let layout = Layout::new(model.shape.as_ref().unwrap(), &plan);
    let pool = layout.pool("19.53 GiB".parse().unwrap(), &plan);
    assert!(pool.tokens.abs_diff(36_560) < 32, "{}", pool.tokens);
    // Early versions give every layer the whole length.
    let early = Plan { version: Version(0, 9, 0), ..plan };
    assert!(layout.pool("19.53 GiB".parse().unwrap(), &early).tokens > pool.tokens);
    assert!(layout.need(8192, &early) > Bytes::ZERO);
}

#[test]
fn a_published_run_is_predicted() {
    let model = model("Qwen/Qwen3-8B");
    let setup = Setup { version: Some(Version(0, 19, 0)), fraction: Some(0.95), max_model_len: Some(8192), ..Setup::new(Engine::Vllm) };
    let e = estimate(&model, &h100(), &setup);
    let near = |bytes: Bytes, gib: f64, within: f64| (bytes.as_gib() - gib).abs() < within;
    assert!(near(e.weights.bytes, 15.27, 0.05), "{}", e.weights.bytes);
    assert!(near(e.activation.unwrap().bytes, 2.21, 0.05), "{}", e.activation.unwrap().bytes);
    assert!(e.pool.unwrap().tokens.abs_diff(418_688) < 4_000, "{}", e.pool.unwrap().tokens);
    assert_eq!(e.verdict, Verdict::Fits);
    assert!(e.sum() <= e.limit);
}

#[test]
fn impossible_combinations_say_why() {
    let qwen = model("Qwen/Qwen2.5-7B-Instruct");
    let refused = |setup: &Setup, device: &Device| check(&qwen, device, &Plan::new(setup, &qwen, device)).unwrap_err();
    let over = Setup { tensor_parallel: 8, ..Setup::new(Engine::Vllm) };
    assert_eq!(refused(&over, &h100()), Impossible::Heads { heads: 28, ranks: 8 });
    assert!(refused(&over, &h100()).help().contains("4, 7"));
    // Ten key-value heads neither divide by four nor into it.
    let phi = model("microsoft/phi-4");
    let four = Setup { tensor_parallel: 4, ..Setup::new(Engine::Vllm) };
    assert_eq!(check(&phi, &h100(), &Plan::new(&four, &phi, &h100())), Err(Impossible::KvHeads { heads: 10, ranks: 4 }));
    let t4 = card("T4", "14.6 GiB", (7, 5));
    assert!(matches!(refused(&with(Engine::Vllm, "fp8"), &t4), Impossible::Kernels { .. }));
    let bf16 = Setup { dtype: Some(Dtype::BF16), ..Setup::new(Engine::Vllm) };
    assert!(matches!(refused(&bf16, &t4), Impossible::Kernels { what: "bfloat16", .. }));
    assert!(check(&qwen, &t4, &Plan::new(&Setup::new(Engine::Vllm), &qwen, &t4)).is_ok(), "the checkpoint's own dtype is cast");
    assert!(matches!(refused(&with(Engine::LlamaCpp, "awq"), &h100()), Impossible::Format { .. }));
    // 29568 inputs over 2 ranks are 14784, which is 115.5 groups of 128; in groups of 32 they are 462.
    let large = model("Qwen/Qwen2.5-72B-Instruct");
    let grouped = |group| Setup {
        tensor_parallel: 2,
        quantization: Some(Quantization::new(Method::Gptq { bits: 4, group: Some(group), symmetric: true })),
        ..Setup::new(Engine::Vllm)
    };
    let verdict = |group| check(&large, &h100(), &Plan::new(&grouped(group), &large, &h100()));
    assert!(matches!(verdict(128), Err(Impossible::Groups { inputs: 29568, each: 14784, .. })));
    assert_eq!(verdict(32), Ok(()));
}

#[test]
fn nothing_is_said_of_what_is_not_known() {
    let unknown = Model::given("6.7B").unwrap();
    let e = estimate(&unknown, &h100(), &Setup::new(Engine::Vllm));
    assert_eq!((e.verdict, e.token, e.pool, e.activation), (Verdict::Unknown, None, None, None));
    // Too much is too much, whatever the rest.
    assert_eq!(estimate(&unknown, &rtx_4060(), &Setup::new(Engine::Vllm)).verdict, Verdict::Exceeds);
    assert_eq!(largest(&unknown, &h100(), &Setup::new(Engine::Vllm)).context, None);
}

#[test]
fn what_beats_what_is_logged() {
    use oomdoc::memory::estimate::fit::{FigureBasis, Known, estimate_with};
    let known = Known { weights: Some(Bytes::gib(20)), ..Known::default() };
    let e = estimate_with(&model("Qwen/Qwen3-8B"), &h100(), &Setup::new(Engine::Vllm), &known);
    assert_eq!((e.weights.bytes, e.weights.basis), (Bytes::gib(20), FigureBasis::Logged));
}

/// Section 10 of the memory model: sizes that give a tensor away.
#[test]
fn an_allocation_is_recognised() {
    let llama = model("meta-llama/Meta-Llama-3.1-8B-Instruct");
    let serving = Occasion { loading: Some(false), tokens: Some(4096), sequences: Some(256), ..Occasion::default() };
    let guess = |tried: Bytes, occasion: &Occasion| tensor_of(tried, &llama, occasion);
    // A float32 copy of the logits of all prompt tokens: 4096 × 128256 × 4.
    assert_eq!(guess(Bytes(4096 * 128_256 * 4), &serving), Some(Guess::Logits { rows: 4096, bytes: 4 }));
    // As printed: 1.96 GiB.
    assert_eq!(guess("1.96 GiB".parse().unwrap(), &serving), Some(Guess::Logits { rows: 4096, bytes: 4 }));
    assert_eq!(guess(Bytes(256 * 128_256 * 2), &serving), Some(Guess::Logits { rows: 256, bytes: 2 }));
    // Gate and up of 4096 tokens: 4096 × 2 × 14336 × 2 = 224 MiB.
    assert_eq!(guess(Bytes::mib(224), &serving), Some(Guess::GateUp { tokens: 4096 }));
    let split = Occasion { ranks: 2, ..serving };
    assert_eq!(guess(Bytes::mib(112), &split), Some(Guess::GateUp { tokens: 4096 }));
    // Scores of 32 heads over 4096 × 4096 in float32: 2 GiB.
    assert_eq!(guess(Bytes::gib(2), &serving), Some(Guess::Scores { batch: 1, tokens: 4096, bytes: 4 }));
    // Weights.
    let loading = Occasion { loading: Some(true), ..Occasion::default() };
    assert_eq!(guess(Bytes(128_256 * 4096 * 2), &loading), Some(Guess::Vocabulary));
    assert_eq!(guess("1002.00 MiB".parse().unwrap(), &loading), Some(Guess::Vocabulary));
    assert_eq!(guess(Bytes::mib(224), &loading), Some(Guess::Matrix("gate_up")));
    assert_eq!(guess(Bytes::mib(112), &loading), Some(Guess::Matrix("down")));
    assert_eq!(guess(Bytes(llama.parameters * 2), &loading), Some(Guess::WholeModel));
    // Counts that are not known are solved for, where only one answer is left.
    let blind = Occasion { loading: Some(false), ..Occasion::default() };
    assert_eq!(guess(Bytes(1024 * 128_256 * 4), &blind), Some(Guess::Logits { rows: 1024, bytes: 4 }));
    // A size that says nothing.
    assert_eq!(guess(Bytes(123_456_789), &serving), None);
    assert_eq!(guess(Bytes::mib(20), &loading), None);
}

/// Models with a shape, from the catalogue.
#[test]
fn numbers_that_nothing_can_hold_are_computed_with() {
    let most = Some(u64::MAX);
    for name in ["Qwen/Qwen2.5-7B-Instruct", "deepseek-ai/DeepSeek-V3", "google/gemma-2-9b-it", "mistralai/Mixtral-8x7B-v0.1"] {
        let model = model(name);
        for engine in Engine::ALL {
            let setup = Setup { max_model_len: most, max_num_seqs: most, max_num_batched_tokens: most, ..Setup::new(engine) };
            assert_eq!(estimate(&model, &rtx_4060(), &setup).verdict, Verdict::Exceeds, "{name} {engine}");
            let setup = Setup { tensor_parallel: u64::MAX, pipeline_parallel: u64::MAX, ..setup };
            estimate(&model, &rtx_4060(), &setup);
        }
    }
}

fn any_model() -> impl Strategy<Value = Model> {
    (0..rows().len()).prop_map(|at| {
        let row = &rows()[at];
        row.model(row.ids[0])
    })
}

fn any_engine() -> impl Strategy<Value = Engine> {
    proptest::sample::select(Engine::ALL.to_vec())
}

fn any_version() -> impl Strategy<Value = Option<Version>> {
    let versions = [
        None,
        Some(Version(0, 2, 7)),
        Some(Version(0, 6, 3)),
        Some(Version(0, 8, 5)),
        Some(Version(0, 10, 2)),
        Some(Version(0, 19, 0)),
        Some(Version(0, 24, 0)),
    ];
    proptest::sample::select(versions.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// At the same prefill step: by default vLLM's first engine splits prompts only if contexts are longer than 32,768, and
    /// so takes less for such than for shorter ones. TGI before 3.0 is left out: its trial batch is of whole prompts, and so
    /// many that together they reach the prefill step; few long ones may overshoot it by less than many short ones.
    #[test]
    fn more_context_never_needs_less(
        model in any_model(), engine in any_engine(), version in any_version(), batch in 256u64..20_000, length in 1u64..200_000, more in 1u64..100_000
    ) {
        let version = version.filter(|_| engine != Engine::Tgi);
        let at = |length| {
            let setup = Setup { version, max_model_len: Some(length), max_num_batched_tokens: Some(batch), ..Setup::new(engine) };
            let e = estimate(&model, &h100(), &setup);
            (e.fixed() + e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes), e.probability.unwrap_or(1.0))
        };
        let (short, long) = (at(length), at(length + more));
        prop_assert!(short.0 <= long.0, "{} {engine} {length}+{more}: {} > {}", model.id, short.0, long.0);
    }

    #[test]
    fn quantizing_never_needs_more_weights(model in any_model(), engine in any_engine(), ranks in 0u32..3) {
        let plain = Setup { quantization: Some(Quantization::NONE), tensor_parallel: 1 << ranks, ..Setup::new(engine) };
        let full = weights::of_rank(&Model { stored: None, ..model.clone() }, &Plan::new(&plain, &model, &h100()));
        for word in ["fp8", "awq", "gptq", "gptq-int8", "bitsandbytes-nf4", "bitsandbytes", "eetq", "w8a8", "w4a16", "nvfp4", "Q8_0", "Q6_K", "Q4_K_M", "Q2_K"] {
            let setup = Setup { quantization: formats::named(word), ..plain.clone() };
            let less = weights::of_rank(&model, &Plan::new(&setup, &model, &h100()));
            prop_assert!(less <= full, "{} {engine} {word}: {less} > {full}", model.id);
        }
    }

    #[test]
    fn splitting_never_needs_more_on_each(model in any_model(), engine in any_engine(), ranks in 1u32..5, stages in 0u32..3) {
        let of = |tensor_parallel, pipeline_parallel| {
            let setup = Setup { tensor_parallel, pipeline_parallel, max_model_len: Some(4096), max_num_seqs: Some(256), version: Some(Version(0, 19, 0)), ..Setup::new(engine) };
            let e = estimate(&model, &h100(), &setup);
            (e.weights.bytes, e.token, e.needed_cache.map(|f| f.bytes), e.activation.map(|f| f.bytes))
        };
        let (whole, part) = (of(1, 1), of(1 << ranks, 1 << stages));
        prop_assert!(part.0 <= whole.0, "{}: weights {} > {}", model.id, part.0, whole.0);
        prop_assert!(part.1 <= whole.1 && part.2 <= whole.2, "{}: cache {:?} > {:?}", model.id, part, whole);
        prop_assert!(part.3 <= whole.3, "{}: activations", model.id);
    }

    #[test]
    fn a_larger_card_is_never_worse(model in any_model(), engine in any_engine(), mib in 2_000u64..200_000, more in 1u64..100_000) {
        let at = |mib| {
            let device = Device { total: Bytes::mib(mib), ..card("card", "8 GiB", (8, 6)) };
            let setup = Setup { max_model_len: Some(2048), max_num_batched_tokens: Some(2048), max_num_seqs: Some(128), version: Some(Version(0, 6, 3)), ..Setup::new(engine) };
            estimate(&model, &device, &setup).probability
        };
        let (small, large) = (at(mib), at(mib + more));
        prop_assert!(small <= large.or(Some(1.0)), "{small:?} {large:?}");
    }

    #[test]
    fn sums_are_never_contradictory(model in any_model(), engine in any_engine(), gib in 1u64..200, fraction in 0.01f64..1.0) {
        let device = Device { total: Bytes(gib * GIB), ..card("card", "8 GiB", (9, 0)) };
        let e = estimate(&model, &device, &Setup { fraction: Some(fraction), ..Setup::new(engine) });
        prop_assert!(e.limit <= e.total);
        if let (Some(pool), Some(token)) = (e.pool, e.token) {
            prop_assert!(pool.bytes >= token || pool.tokens <= 256);
        }
        if e.verdict == Verdict::Fits && engine != Engine::Sglang {
            prop_assert!(e.margin() >= 0, "{} {engine}: {}", model.id, e.margin());
        }
    }
}
