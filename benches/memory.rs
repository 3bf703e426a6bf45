//! What it costs to look a model up, and to estimate its memory: `cargo bench --bench memory`.

#![allow(missing_docs, clippy::unwrap_used)]

use divan::{Bencher, black_box};
use oomdoc::memory::catalogue::UserCatalogue;
use oomdoc::memory::estimate::{Engine, Setup, estimate};
use oomdoc::memory::{Device, Model};

fn main() {
    divan::main();
}

/// A hub id, a file, a folder of the hub's cache, a fine-tune that states its base, and a name that is not known.
const NAMES: [&str; 5] = [
    "meta-llama/Llama-3.1-8B-Instruct",
    "/models/Qwen2.5-32B-Instruct-Q4_K_M.gguf",
    "/data/models--mistralai--Mistral-7B-Instruct-v0.3/snapshots/0123abc",
    "someone/llama-3.1-8b-support-assistant-v2",
    "someone/our-own-assistant",
];

#[divan::bench(args = NAMES)]
fn lookup(bencher: Bencher<'_, '_>, name: &str) {
    let user = UserCatalogue::default();
    bencher.bench(|| black_box(Model::find(black_box(name), &user).is_ok()));
}

#[divan::bench(args = ["meta-llama/Llama-3.1-8B-Instruct", "deepseek-ai/DeepSeek-V3", "google/gemma-3-27b-it"])]
fn estimated(bencher: Bencher<'_, '_>, name: &str) {
    let model = Model::find(name, &UserCatalogue::default()).unwrap();
    let device = Device::find("H100").unwrap();
    let setup = Setup::new(Engine::Vllm);
    bencher.bench(|| black_box(estimate(black_box(&model), &device, &setup).verdict));
}
