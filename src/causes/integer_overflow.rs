//! `integer-overflow`.

use super::*;

/// An integer left its range.
pub const CAUSE: Cause = Cause {
    id: "integer-overflow",
    family: "numbers",
    title: "An integer left its range",
    kinds: &[FactKind::IntegerRange],
    phase: Some(Phase::Serve),
    doc: "\
An integer left its range: token ids, offsets, sizes, 32-bit indexing.

**Recognised by** `Value out of range: N` (protobuf's words when TGI puts a garbage token id into a message), `Token id N is out of
vocabulary`, `index out of range in self`, indexing assertions of embedding kernels, `out of range integral type conversion`, sizes
that no memory has (`Tried to allocate more than 1EB`). A garbage token id mostly comes from logits that are not finite, or from
weights that were quantized or read wrongly.

**Fixed by** what made the number: another quantization or data type where the output degenerated, the tokenizer that belongs to
the model, inputs within the context length, a fixed version.",
    claim,
    headline,
    explanation,
    remedies,
};

fn claim(s: &Situation<'_>) -> Option<Claim> {
    let f = &s.fact.figures;
    if s.is(FactKind::OutOfMemory)
        && let (Some(tried), Some(total)) = (f.tried_bytes, f.total_bytes)
        && tried / 100 > total
    {
        // No model asks for a hundred times the device: the size was computed from a wrong number.
        return Claim::new(0.97, "more than a hundred times the device was asked for");
    }
    direct(s, FactKind::IntegerRange, "an integer left its range")
}

fn headline(s: &Situation<'_>) -> String {
    said(s)
}

fn explanation(_: &Situation<'_>) -> String {
    "A number that must be a token id, a size or an offset was outside what its place can hold. It is a wrong value, not a lack of memory.".to_owned()
}

fn remedies(_: &Situation<'_>) -> Vec<Remedy> {
    vec![
        advice("other-numerics", "Run it once without quantization, or in another data type", "A garbage id mostly comes from degenerate logits; if it goes away, the quantization is the cause.", "Memory."),
        advice("matching-tokenizer", "Check that tokenizer, model and vocabulary belong together", "Ids beyond the embedding have no row.", "None."),
        advice("limit-length", "Keep inputs and outputs within the model's positions", "Positions beyond the table index outside it.", "Shorter contexts."),
    ]
}
