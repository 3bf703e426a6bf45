//! `meta-tensor-offload`.

use super::*;

/// A tensor without data was used.
pub const CAUSE: Cause = Cause {
    id: "meta-tensor-offload",
    family: "placement-and-offload",
    title: "A tensor without data was used",
    kinds: &[FactKind::MetaTensor],
    phase: Some(Phase::Load),
    doc: "\
Code used a parameter that has no data, because it was offloaded to the CPU or disk or was never materialised: `Cannot copy out
of meta tensor; no data!`, an operation on the meta device, `You can't move a model that has some modules offloaded`.

**Recognised by** those messages of PyTorch and accelerate. The warning `Some parameters are on the meta device because they were
offloaded` alone is a healthy offload; before such a failure it is the context.

**Fixed by** a placement that leaves nothing out: a model that fits (4 bits), `max_memory` that leaves room without forcing an
offload, no `.to(\"cuda\")` after `device_map`, and no `device_map=\"auto\"` where every module must be on the device.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::MetaTensor, "a parameter without data was used")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(s: &Situation<'_>) -> String {
    let mut text = "The model was placed with some modules offloaded, or built without data; then something used a parameter that has none on this device.".to_owned();
    if s.hinted(FactKind::MetaTensor) {
        text += " The log says before that parameters were offloaded, so the model did not fit where it was put.";
    }
    text + &arithmetic::sentences(s)
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("fit-on-device", "Load the model in 4 bits, or take a smaller one, so that nothing is offloaded", "What is not offloaded always has its data.", "Some quality."),
        advice("no-move", "Do not call `.to()` or `.cuda()` on a model that was loaded with `device_map`", "accelerate places the modules and moves data to them as they run.", "None."),
        advice("explicit-map", "Give `max_memory` for each device, or a `device_map` by hand, instead of \"auto\"", "It decides what goes where; `max_memory` has no effect when the map is given by hand.", "It fails at once where it does not fit."),
    ]
}
