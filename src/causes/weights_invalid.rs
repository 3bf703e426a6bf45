//! `weights-invalid`.

use super::*;

/// The model's files are wrong.
pub const CAUSE: Cause = Cause {
    id: "weights-invalid",
    family: "model-files-and-hub",
    title: "The model's files are wrong",
    kinds: &[FactKind::WeightsInvalid],
    phase: Some(Phase::Load),
    doc: "\
The files are there but wrong: corrupt, truncated, missing shards or tensors, shapes or names that do not match.

**Recognised by** safetensors' and PyTorch's errors on reading, `size mismatch for`, `weight … does not exist`, GGUF's checks. A header
that is too large is nearly always a git-lfs pointer instead of the file.

**Fixed by** fetching the files again (with git-lfs, whole), by the checkpoint that belongs to the config, or by converting it
once more.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::WeightsInvalid, "the model's files are damaged or do not match")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_s: &Situation<'_>) -> String {
    "The loader found the files, and what is in them is not what the model's config promises.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("fetch-again", "Delete the file and download it again; check its size against the hub's", "An interrupted download or a git-lfs pointer looks like a file.", "Time."),
        advice("matching-config", "Check that config, weights and adapter belong to one another", "Shapes and names come from the config.", "None."),
    ]
}
