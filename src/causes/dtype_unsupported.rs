//! `dtype-unsupported`.

use super::*;

/// Data type is not supported.
pub const CAUSE: Cause = Cause {
    id: "dtype-unsupported",
    family: "configuration",
    title: "Data type is not supported",
    kinds: &[FactKind::Dtype],
    doc: "",
    claim,
    headline: |s| s.fact.place.text.lines().next().unwrap_or("Data type is not supported").to_owned(),
    explanation: |_| "Data type is not supported.".to_owned(),
    remedies: |_| Vec::new(),
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    direct(s, FactKind::Dtype, "data type is not supported")
}
