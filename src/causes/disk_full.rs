//! `disk-full`.

use super::*;

/// A file system is full.
pub const CAUSE: Cause = Cause {
    id: "disk-full",
    family: "host-memory-and-storage",
    title: "A file system is full",
    kinds: &[FactKind::DiskFull],
    phase: Some(Phase::Download),
    doc: "\
A file system ran out of space: the download cache, the compile cache, an offload folder, logs.

**Recognised by** `No space left on device` (errno 28), `Disk quota exceeded`, or a tool's own words, where the path is not in shared
memory.

**Fixed by** space: remove old revisions from the hub's cache, mount a larger volume at the cache's place, or point the cache
there.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::DiskFull, "a file system ran out of space")
}

fn headline(s: &Situation<'_>) -> String {
    match s.fact.word("path") {
        Some(path) => format!("No space is left on the file system of {path}"),
        None if s.at(&[Stage::Download]) => "No space is left for the download".to_owned(),
        None => "No space is left on a file system".to_owned(),
    }
}

fn explanation(_: &Situation<'_>) -> String {
    "A write failed because the file system that holds it is full. What was downloaded in part takes space too.".to_owned()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if s.engine == Some("ollama") {
        return vec![
            advice("free-space", "Remove models that you do not use (`ollama list`, `ollama rm NAME`)", "A model is downloaded whole, next to what is there.", "They are downloaded again when needed."),
            advice("larger-volume", "Mount a larger volume at Ollama's folder of models", "It then has room for this model.", "Storage."),
            advice("other-cache", "Point Ollama at a larger file system (`OLLAMA_MODELS` in the server's environment)", "It need not be where it is.", "None."),
        ];
    }
    vec![
        advice("free-space", "Remove old models and revisions from the cache", "A checkpoint is downloaded whole, next to what is there.", "They are downloaded again when needed."),
        advice("larger-volume", "Mount a larger volume at the cache folder", "The cache then has room for this model.", "Storage."),
        advice("other-cache", "Point the cache at a larger file system (`HF_HOME`, `--download-dir`, `--huggingface-hub-cache`)", "It need not be where it is.", "None."),
    ]
}
