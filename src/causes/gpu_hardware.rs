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

fn explanation(s: &Situation<'_>) -> String {
    let text = "The driver reports a fault of the device or of its connection; no setting of the server causes it.";
    match s.fact.number("value").and_then(xid) {
        Some(meaning) => format!("{text} This Xid means: {meaning}."),
        None => text.to_owned(),
    }
}

/// What the driver means by an Xid (NVIDIA, "Xid errors").
fn xid(number: i64) -> Option<&'static str> {
    Some(match number {
        48 => "a double-bit ECC error, which memory could not correct",
        54 => "the auxiliary power of the card is not connected",
        61 | 62 => "a microcontroller on the card halted",
        63 => "a faulty row or page of memory was taken out of use",
        64 => "a faulty row or page of memory could not be taken out of use",
        74 => "an error on NVLink",
        79 => "the GPU has fallen off the bus: power, heat, the slot or its cable",
        92 => "single-bit ECC errors at a high rate",
        94 => "a memory error that was contained: only the program that met it had to end",
        95 => "a memory error that was not contained: the GPU has to be reset",
        119 | 120 => "the GPU's system processor (GSP) does not answer",
        140 => "an ECC error that could not be recovered from",
        _ => return None,
    })
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("drain", "Take the node out of service and reset the GPU or restart the machine", "Work on a failing device fails again.", "Downtime of the node."),
        advice("replace", "Have the card checked where the fault comes back", "Repeated faults are wear, heat, power or seating.", "Hardware."),
    ]
}
