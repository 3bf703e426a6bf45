//! `gpu-hardware`.

use super::*;

/// The GPU failed.
pub const CAUSE: Cause = Cause {
    id: "gpu-hardware",
    family: "platform",
    title: "The GPU failed",
    kinds: &[FactKind::Hardware],
    phase: None,
    doc: "\
The device itself failed: an Xid of the driver, uncorrectable ECC errors, a GPU that fell off the bus.

**Recognised by** `uncorrectable ECC error`, `GPU has fallen off the bus`, Xid 48, 63, 64, 74, 79, 94, 95 and their kin.

**Fixed by** draining the node, resetting the GPU or the machine, and replacing the card where it comes back.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Hardware, "the device failed")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "The driver reports a fault of the device or of its connection; no setting of the server causes it.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("drain", "Take the node out of service and reset the GPU or restart the machine", "Work on a failing device fails again.", "Downtime of the node."),
        advice("replace", "Have the card checked where the fault comes back", "Repeated faults are wear, heat, power or seating.", "Hardware."),
    ]
}
