//! Which tensor a failed allocation was for, where its size gives it away.

use std::fmt;

use crate::memory::format::Dtype;
use crate::memory::shape::{Attention, FeedForward, Shape};
use crate::memory::size::{GIB, MIB};
use crate::memory::{Bytes, Model};

/// What is known of the moment in which the allocation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion {
    /// Whether weights were being loaded: then it is a weight, otherwise not.
    pub loading: Option<bool>,
    /// Tokens of the prefill step or of the prompt.
    pub tokens: Option<u64>,
    /// Sequences at a time.
    pub sequences: Option<u64>,
    /// Ranks that split each layer.
    pub ranks: u64,
    /// The dtype of weights and activations.
    pub dtype: Dtype,
}

impl Default for Occasion {
    fn default() -> Self {
        Occasion { loading: None, tokens: None, sequences: None, ranks: 1, dtype: Dtype::BF16 }
    }
}

/// What an allocation was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// Logits, or a copy of them: rows × vocabulary × bytes.
    Logits {
        /// Rows.
        rows: u64,
        /// Bytes of an element: 2 as computed, 4 for the float32 copy, 8 for indices of a sort.
        bytes: u64,
    },
    /// The product with gate and up of so many prefill tokens.
    GateUp {
        /// Tokens.
        tokens: u64,
    },
    /// Scores of attention that are written out, one for each pair of tokens and each head.
    Scores {
        /// Sequences.
        batch: u64,
        /// Tokens of each.
        tokens: u64,
        /// Bytes of an element.
        bytes: u64,
    },
    /// The embedding or the output matrix.
    Vocabulary,
    /// One matrix of a layer, by its name in the shape.
    Matrix(&'static str),
    /// All weights of the rank in one piece.
    WholeModel,
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Guess::Logits { rows, bytes: 4 } => write!(f, "a float32 copy of the logits of {rows} positions (positions × vocabulary × 4 bytes)"),
            Guess::Logits { rows, bytes: 8 } => write!(f, "the indices of sorting the logits of {rows} positions (positions × vocabulary × 8 bytes)"),
            Guess::Logits { rows, bytes } => write!(f, "the logits of {rows} positions (positions × vocabulary × {bytes} bytes)"),
            Guess::GateUp { tokens } => write!(f, "the gate and up projection of {tokens} tokens in one layer"),
            Guess::Scores { batch: 1, tokens, bytes } => {
                write!(
                    f,
                    "attention scores of {tokens} tokens, each with each (heads × tokens × tokens × {bytes} bytes): attention runs without a flash kernel"
                )
            }
            Guess::Scores { batch, tokens, bytes } => write!(
                f,
                "attention scores of {batch} sequences of {tokens} tokens, each with each (heads × tokens × tokens × {bytes} bytes): attention runs without a flash kernel"
            ),
            Guess::Vocabulary => f.write_str("the embedding or the output matrix (vocabulary × hidden size)"),
            Guess::Matrix("gate_up") => f.write_str("the gate and up weights of one layer"),
            Guess::Matrix("qkv") => f.write_str("the query, key and value weights of one layer"),
            Guess::Matrix("down") => f.write_str("a feed-forward matrix of one layer (intermediate × hidden size)"),
            Guess::Matrix("o") => f.write_str("an attention matrix of one layer (heads × head length × hidden size)"),
            Guess::Matrix(name) => write!(f, "the {name} weights of one layer"),
            Guess::WholeModel => f.write_str("the whole model in one piece"),
        }
    }
}

/// What an allocation of this size was for, if one tensor of the model has just this size. Figures of logs are rounded
/// to hundredths of their unit, and the allocator asks for multiples of 2 MiB.
pub fn tensor_of(tried: Bytes, model: &Model, occasion: &Occasion) -> Option<Guess> {
    let shape = model.shape.as_ref()?;
    let probe = Probe { tried, shape, occasion };
    let mut found = Vec::new();
    if occasion.loading != Some(false) {
        found.extend(probe.weights(model));
    }
    if occasion.loading != Some(true) {
        found.extend(probe.of_known_counts());
        if found.is_empty() {
            // Counts that are not known are solved for; two answers are none.
            let solved = probe.solved();
            return if let [only] = solved[..] { Some(only) } else { None };
        }
    }
    found.into_iter().next()
}

struct Probe<'a> {
    tried: Bytes,
    shape: &'a Shape,
    occasion: &'a Occasion,
}

impl Probe<'_> {
    /// Whether the size that was tried is this one, as printed and as rounded by the allocator.
    fn is(&self, size: Bytes) -> bool {
        size > Bytes::ZERO && (self.is_printed(size) || self.is_printed(size.round_up(Bytes::mib(2))))
    }

    fn is_printed(&self, size: Bytes) -> bool {
        self.tried.difference(size).unsigned_abs() <= u128::from(self.resolution())
    }

    /// Half of the last digit that is printed for such a size, and a byte.
    fn resolution(&self) -> u64 {
        match self.tried.0 {
            t if t >= GIB => GIB / 200 + 1,
            t if t >= MIB => MIB / 200 + 1,
            _ => 6,
        }
    }

    fn width(&self) -> u64 {
        self.occasion.dtype.bits() / 8
    }

    fn weights(&self, model: &Model) -> Option<Guess> {
        let (ranks, width) = (self.occasion.ranks.max(1), self.width());
        let vocabulary = Bytes(self.shape.vocabulary.saturating_mul(self.shape.hidden).saturating_mul(width));
        if self.is(vocabulary) || self.is(vocabulary.div_ceil(ranks)) {
            return Some(Guess::Vocabulary);
        }
        let whole = Bytes(model.parameters.saturating_mul(width)).div_ceil(ranks);
        // One allocation for everything is a few percent more or less than the parameters.
        if self.tried >= whole.scaled(0.97) && self.tried <= whole.scaled(1.03) {
            return Some(Guess::WholeModel);
        }
        for run in &self.shape.layers {
            let tensors = run.layer.tensors(self.shape.hidden);
            let size = |names: &[&str]| {
                let elements: u64 = tensors.iter().filter(|t| names.contains(&t.name) && t.inputs > 1).map(|t| t.elements()).sum();
                Bytes(elements.saturating_mul(width)).div_ceil(ranks)
            };
            for (name, parts) in [("gate_up", &["gate", "up"][..]), ("qkv", &["q", "k", "v"]), ("down", &["down"]), ("o", &["o"])] {
                if self.is(size(parts)) {
                    return Some(Guess::Matrix(name));
                }
            }
        }
        None
    }

    fn of_known_counts(&self) -> Option<Guess> {
        let rows = [self.occasion.sequences, self.occasion.tokens];
        for rows in rows.into_iter().flatten() {
            for bytes in [4, 2, 8] {
                if self.is(self.logits(rows, bytes)) {
                    return Some(Guess::Logits { rows, bytes });
                }
            }
        }
        let tokens = self.occasion.tokens?;
        if self.gate_up().is_some_and(|each| self.is(each * tokens)) {
            return Some(Guess::GateUp { tokens });
        }
        for batch in [1, self.occasion.sequences.unwrap_or(1)] {
            for bytes in [2, 4] {
                if self.is(self.scores(batch, tokens, bytes)) {
                    return Some(Guess::Scores { batch, tokens, bytes });
                }
            }
        }
        None
    }

    /// Guesses with a count that is solved for. A count is believed if it is a multiple of 16 and the size tells it from
    /// its neighbours.
    fn solved(&self) -> Vec<Guess> {
        let mut found = Vec::new();
        let count = |each: Bytes| {
            let n = (self.tried.0 + each.0 / 2).checked_div(each.0).filter(|n| (16..=1 << 18).contains(n) && n.is_multiple_of(16))?;
            (self.resolution().saturating_mul(8) < each.0 * 16 && self.is(each * n)).then_some(n)
        };
        if let Some(rows) = count(self.logits(1, 4)) {
            found.push(Guess::Logits { rows, bytes: 4 });
        }
        if let Some(tokens) = self.gate_up().and_then(count) {
            found.push(Guess::GateUp { tokens });
        }
        let square = Bytes(self.heads().saturating_mul(2));
        let tokens = ((self.tried.0 as f64 / square.0.max(1) as f64).sqrt()).round() as u64;
        if tokens >= 512 && tokens.is_multiple_of(16) && self.is(self.scores(1, tokens, 2)) {
            found.push(Guess::Scores { batch: 1, tokens, bytes: 2 });
        }
        found
    }

    fn logits(&self, rows: u64, bytes: u64) -> Bytes {
        Bytes(rows.saturating_mul(self.shape.vocabulary).saturating_mul(bytes))
    }

    /// Gate and up of one token.
    fn gate_up(&self) -> Option<Bytes> {
        let dense = self.shape.layers.iter().find_map(|run| match run.layer.feed_forward {
            Some(FeedForward::Dense(d)) => Some(d),
            _ => None,
        })?;
        let width = if dense.gated { 2 * dense.intermediate } else { dense.intermediate };
        Some(Bytes(width.div_ceil(self.occasion.ranks.max(1)).saturating_mul(self.width())))
    }

    fn heads(&self) -> u64 {
        let heads = self.shape.layers.iter().find_map(|run| run.layer.attention).map_or(0, |a| Attention::heads(&a));
        heads.div_ceil(self.occasion.ranks.max(1))
    }

    fn scores(&self, batch: u64, tokens: u64, bytes: u64) -> Bytes {
        Bytes(batch.saturating_mul(self.heads()).saturating_mul(tokens).saturating_mul(tokens).saturating_mul(bytes))
    }
}
