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

/// Whether the files are whole and of another model than the one that was built.
fn is_of_another_model(s: &Situation<'_>) -> bool {
    s.fact.word("mismatch").is_some()
}

fn remedies(s: &Situation<'_>) -> Vec<Remedy> {
    if is_of_another_model(s) {
        return vec![
            advice("matching-config", "Take configuration, weights and adapter of one model in one revision", "The files can be read; the names or shapes in them are those of another size, another revision, an adapter for another base, or a vocabulary that was extended.", "None."),
            advice("other-release", "Load it with the release of the library that saved it", "Modules are renamed between releases.", "Another version is to be tested with what else you run."),
        ];
    }
    vec![
        advice("fetch-again", "Delete the file and download it again; check its size against the hub's", "An interrupted download or a git-lfs pointer looks like a file.", "Time."),
        advice("matching-config", "Check that config, weights and adapter belong to one another", "Shapes and names come from the config.", "None."),
    ]
}
