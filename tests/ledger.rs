//! Where the memory went, by the post-mortem: sums that are possible, arithmetic that is right, figures that stay the log's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use oomdoc::analysis::Analyzer;
use oomdoc::post_mortem::{Basis, Component};
use oomdoc::source::Reader;
use oomdoc::{Options, PostMortem};

const GIB: f64 = (1u64 << 30) as f64;

fn analyze(log: &str) -> PostMortem {
    static OPTIONS: LazyLock<Options> = LazyLock::new(Options::default);
    static ANALYZER: LazyLock<Analyzer<'static>> = LazyLock::new(|| Analyzer::new(&OPTIONS));
    ANALYZER.run(Reader::from_read(Box::new(std::io::Cursor::new(log.as_bytes().to_vec()))).unwrap(), "input.log").unwrap()
}

fn log(fixture: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture).join("input.log")).unwrap()
}

fn fixture(name: &str) -> PostMortem {
    analyze(&log(name))
}

fn component<'r>(report: &'r PostMortem, name: &str) -> &'r Component {
    let components = &report.memory.devices[0].components;
    components.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("{name} is not in {components:?}"))
}

#[track_caller]
fn assert_gib(bytes: u64, gib: f64) {
    let got = bytes as f64 / GIB;
    assert!((got - gib).abs() < 0.006, "{got:.3} GiB, not {gib}");
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

/// All fixtures, with their names.
fn all() -> impl Iterator<Item = (String, PostMortem)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect::<Vec<_>>();
    let cases: Vec<_> = folders(&root).iter().flat_map(|cause| folders(cause)).filter(|case| case.join("input.log").exists()).collect();
    cases.into_iter().map(|case| {
        let log = fs::read_to_string(case.join("input.log"));
        (case.display().to_string(), analyze(&log.unwrap_or_default()))
    })
}

#[test]
fn no_bar_is_longer_than_its_device_and_nothing_is_hidden() {
    let mut wrong = Vec::new();
    for (name, report) in all() {
        for device in &report.memory.devices {
            let sum: u64 = device.components.iter().map(|c| c.bytes).sum();
            let Some(total) = device.total_bytes.filter(|_| !device.components.is_empty()) else { continue };
            if sum.abs_diff(total) > total / 200 {
                wrong.push(format!("{name}: {:.2} of {:.2} GiB", sum as f64 / GIB, total as f64 / GIB));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_logged_parts_have_lines() {
    for (name, report) in all() {
        for part in report.memory.devices.iter().flat_map(|d| d.components.iter().chain(&d.needed)) {
            assert!(part.line.is_none() || part.basis == Basis::Logged, "{name}: {part:?}");
            assert!(report.incidents.is_empty() || part.basis != Basis::Logged || part.line.is_some(), "{name}: {part:?}");
        }
    }
}

/// 13.5 GB are 12.56 GiB; against 8.00 GiB that is 4.56 GiB short, not 5.4.
#[test]
fn units_are_not_mixed() {
    let report = fixture("weight-oom/seed-000-tgi-2.4.1-load");
    let incident = &report.incidents[0];
    assert_says(&incident.headline, &["12.56 GiB in 16 bit (computed)", "8.00 GiB", "4.56 GiB short"]);
    assert_says(&incident.explanation, &["6.56 GiB in 8 bit", "in 4 bit"]);
    assert!(incident.figures.weights_bytes.is_none(), "what is computed is no figure of the log");
    let needed = &report.memory.devices[0].needed[0];
    assert_eq!((needed.name, needed.basis), ("weights", Basis::Computed));
    assert_gib(needed.bytes, 12.56);
    // What was loaded is not what is needed.
    assert_gib(component(&report, "allocated-by-pytorch").bytes, 7.92);
    assert!(report.memory.devices[0].components.iter().all(|c| c.name != "weights"));
}

/// 3.82 billion parameters are 7.12 GiB in 16 bit; what PyTorch had beyond them was something else.
#[test]
fn what_pytorch_allocated_is_not_the_weights() {
    let report = fixture("prefill-oom/tgi-2.4.1-warmup");
    let (weights, other) = (component(&report, "weights"), component(&report, "other-allocations"));
    assert_eq!((weights.basis, other.basis), (Basis::Computed, Basis::Derived));
    assert_gib(weights.bytes, 7.12);
    assert_eq!(Some(weights.bytes + other.bytes), report.figures.allocated_bytes);
    assert!(report.figures.weights_bytes.is_none());
    assert_says(&report.incidents[0].explanation, &["7.12 GiB in 16 bit (computed)", "0.56 GiB in tensors are cache, activations and workspace"]);
}

/// Mixtral has 46.7 billion parameters, all of which are loaded.
#[test]
fn a_mixture_is_as_large_as_all_its_experts() {
    let report = fixture("inference-oom/seed-004-transformers-mixtral-generate");
    assert_says(&report.incidents[0].explanation, &["46,702,792,704 parameters", "43.77 GiB in 8", "23.64 GiB", "only 4 bit fits"]);
    let report = fixture("meta-tensor-offload/seed-004-transformers-mixtral");
    assert_says(&report.incidents[0].explanation, &["43.77 GiB in 8", "20.94 GiB were in tensors", "not all of it was on this GPU"]);
}

/// A checkpoint of one's own may be quantized already, which its files would tell.
#[test]
fn files_are_surer_than_a_name() {
    let report = fixture("weight-oom/seed-002-vllm-0.11.0-unquantized-linear");
    let incident = &report.incidents[0];
    assert_says(&incident.headline, &["27.52 GiB in 16 bit (computed)", "23.57 GiB", "3.95 GiB short"]);
    assert_says(&incident.explanation, &["9.27 GiB in 4 bit", "less on disk", "quantized already"]);
    // A published checkpoint is what its name says.
    let report = fixture("weight-oom/sglang-0.4.6-create-weights");
    assert!(!report.incidents[0].explanation.contains("on disk"));
}

#[test]
fn an_unknown_model_is_no_claim() {
    let known = log("weight-oom/seed-000-tgi-2.4.1-load");
    let report = analyze(&known.replace("deepseek-ai/deepseek-coder-6.7b-instruct", "acme/finch"));
    assert_eq!(report.cause, "weight-oom");
    assert!(report.memory.devices.iter().all(|d| d.needed.is_empty() && d.components.iter().all(|c| c.basis != Basis::Computed)));
    assert!(!report.incidents[0].explanation.contains("computed"));
}

#[test]
fn the_refused_tensor_is_named_only_where_its_size_is_exact() {
    for (name, words) in [
        ("weight-oom/seed-000-tgi-2.4.1-load", "the gate and up weights of one layer"),
        ("weight-oom/tgi-1.4.0-crash-loop", "a feed-forward matrix of one layer"),
        ("prefill-oom/tgi-1.4.4-json-output", "the gate and up projection of 12288 tokens"),
        ("prefill-oom/vllm-0.5.0-v0-profile-run", "the gate and up projection of 32768 tokens"),
        ("sampler-oom/vllm-0.8.5-1024-seqs", "a float32 copy of the logits of 1024 positions"),
    ] {
        assert_says(&fixture(name).incidents[0].explanation, &[words]);
    }
    let seed = log("weight-oom/seed-000-tgi-2.4.1-load");
    let refused = |tried: &str| analyze(&seed.replace("allocate 172.00 MiB", tried)).incidents[0].explanation.clone();
    // 32,256 words of 4,096 numbers are 252 MiB.
    assert_says(&refused("allocate 252.00 MiB"), &["the embedding or the output matrix"]);
    assert_says(&refused("allocate 12.56 GiB"), &["the whole model in one piece"]);
    assert!(!refused("allocate 174.00 MiB").contains("By its size"));
    assert!(!refused("allocate 20.00 MiB").contains("By its size"), "the allocator asks for that much for anything smaller");
}

/// Scores of attention without a flash kernel: 32 heads × 4096 × 4096 × 2 bytes are exactly 1 GiB.
#[test]
fn attention_scores_are_named() {
    let seed = log("prefill-oom/tgi-2.4.1-warmup");
    let report = analyze(&seed.replace("allocate 24.00 MiB", "allocate 1.00 GiB"));
    assert_says(&report.incidents[0].explanation, &["attention scores of 4096 tokens"]);
}

#[test]
fn what_no_empty_device_holds_is_not_its_neighbours_fault() {
    for (name, other) in
        [("weight-oom/sglang-0.4.6-beside-another-process", "gpu-occupied"), ("weight-oom/sglang-0.4.6-holes-while-loading", "fragmentation-oom")]
    {
        let report = fixture(name);
        assert_eq!(report.cause, "weight-oom");
        assert_eq!(report.incidents[0].contributing[0].cause, other);
        // A smaller one would have fitted: then it is the neighbour, or the holes.
        let smaller = log(name).replace("Qwen/Qwen2.5-32B-Instruct", "Qwen/Qwen2.5-14B-Instruct");
        assert_eq!(analyze(&smaller).cause, other);
        let unknown = log(name).replace("Qwen/Qwen2.5-32B-Instruct", "acme/finch");
        assert_eq!(analyze(&unknown).cause, other);
    }
}

#[test]
fn what_was_free_at_the_start_is_not_free_at_the_failure() {
    for name in ["weight-oom/llama.cpp-b5327-cuda0-buffer", "weight-oom/ollama-0.12.0-num-gpu", "inference-oom/llama.cpp-b6210-run-time"] {
        let report = fixture(name);
        assert!(report.memory.devices.iter().flat_map(|d| &d.components).all(|c| c.name != "free"), "{name}");
    }
}
