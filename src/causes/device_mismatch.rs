//! `device-mismatch`.

use super::*;

/// Tensors are on different devices.
pub const CAUSE: Cause = Cause {
    id: "device-mismatch",
    family: "placement-and-offload",
    title: "Tensors are on different devices",
    kinds: &[FactKind::DeviceMismatch],
    phase: Some(Phase::Serve),
    doc: "\
Tensors that meet in one operation are on different devices, or a device string is not valid.

**Recognised by** `Expected all tensors to be on the same device`, `Invalid device string`, `Attempting to deserialize object on CUDA
device`, a `max_memory` key or device map entry that names no device (`disk` where PyTorch must use it).

**Fixed by** moving the inputs to the model's device (`model.device`), by letting one tool place modules, and by device names
that PyTorch knows: `cpu`, `cuda:0`.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::DeviceMismatch, "tensors on different devices met, or a device name is not valid")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "Inputs, or some modules, are on another device than the rest; or a name was used that is no device of PyTorch.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("move-inputs", "Move the inputs to `model.device` before the call", "The first module's device decides.", "None."),
        advice("one-placement", "Let `device_map` place all modules, and do not move any by hand", "Hooks move activations between devices only for modules that they know.", "None."),
    ]
}
