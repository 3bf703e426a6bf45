//! The types of tensors in GGUF files, and the mixes that files are made of.
//!
//! Block lengths and bytes are those of `gguf-py` (`GGML_QUANT_SIZES`); the types that only ik_llama.cpp has carry its
//! own nominal rates.

use crate::memory::shape::{ByClass, Class, FeedForward, Shape};
use crate::memory::size::{Bytes, Rate};

macro_rules! types {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $block:literal, $bytes:literal;)*) => {
        /// The type of a tensor in a GGUF file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, missing_docs)]
        pub enum GgufType { $($(#[$doc])* $variant),* }

        impl GgufType {
            /// Every type.
            pub const ALL: &[GgufType] = &[$(GgufType::$variant),*];

            /// The type with this number in a file.
            pub const fn from_id(id: u32) -> Option<GgufType> {
                match id { $($id => Some(GgufType::$variant),)* _ => None }
            }

            /// llama.cpp's name for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(GgufType::$variant => $name),* }
            }

            /// Elements in a block, and the bytes that a block takes.
            pub const fn block(self) -> (u64, u64) {
                match self { $(GgufType::$variant => ($block, $bytes)),* }
            }
        }
    };
}

types! {
    F32 = 0, "F32", 1, 4;
    F16 = 1, "F16", 1, 2;
    Q4_0 = 2, "Q4_0", 32, 18;
    Q4_1 = 3, "Q4_1", 32, 20;
    Q5_0 = 6, "Q5_0", 32, 22;
    Q5_1 = 7, "Q5_1", 32, 24;
    Q8_0 = 8, "Q8_0", 32, 34;
    Q8_1 = 9, "Q8_1", 32, 36;
    Q2_K = 10, "Q2_K", 256, 84;
    Q3_K = 11, "Q3_K", 256, 110;
    Q4_K = 12, "Q4_K", 256, 144;
    Q5_K = 13, "Q5_K", 256, 176;
    Q6_K = 14, "Q6_K", 256, 210;
    Q8_K = 15, "Q8_K", 256, 292;
    IQ2_XXS = 16, "IQ2_XXS", 256, 66;
    IQ2_XS = 17, "IQ2_XS", 256, 74;
    IQ3_XXS = 18, "IQ3_XXS", 256, 98;
    IQ1_S = 19, "IQ1_S", 256, 50;
    IQ4_NL = 20, "IQ4_NL", 32, 18;
    IQ3_S = 21, "IQ3_S", 256, 110;
    IQ2_S = 22, "IQ2_S", 256, 82;
    IQ4_XS = 23, "IQ4_XS", 256, 136;
    I8 = 24, "I8", 1, 1;
    I16 = 25, "I16", 1, 2;
    I32 = 26, "I32", 1, 4;
    I64 = 27, "I64", 1, 8;
    F64 = 28, "F64", 1, 8;
    IQ1_M = 29, "IQ1_M", 256, 56;
    BF16 = 30, "BF16", 1, 2;
    TQ1_0 = 34, "TQ1_0", 256, 54;
    TQ2_0 = 35, "TQ2_0", 256, 66;
    MXFP4 = 39, "MXFP4", 32, 17;
}

impl GgufType {
    /// Bits for each element.
    pub const fn rate(self) -> Rate {
        let (block, bytes) = self.block();
        Rate { bits: 8 * bytes, per: block }
    }

    /// What a tensor takes whose rows are `row` elements long: blocks do not cross rows. None if it is too large for a
    /// number.
    pub fn size(self, row: u64, rows: u64) -> Option<Bytes> {
        let (block, bytes) = self.block();
        row.div_ceil(block).checked_mul(bytes)?.checked_mul(rows).map(Bytes)
    }
}

/// The mix of types of a GGUF file, as its name or its metadata says it (`Q4_K_M`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mix {
    /// The name, in llama.cpp's spelling.
    pub name: &'static str,
    /// Bits for each weight over a whole file, in hundredths: an average over published files, a few percent off for
    /// a model with an unusual vocabulary.
    pub hundredths: u16,
}

impl Mix {
    /// The average rate.
    pub const fn average(self) -> Rate {
        Rate { bits: self.hundredths as u64, per: 100 }
    }
}

macro_rules! mixes {
    ($($name:literal $hundredths:literal $base:ident;)*) => {
        /// Every mix that is known by name: its bits for each weight in hundredths over a Llama 3.1 8B file, and the type
        /// that most of its tensors have.
        const MIXES: &[(Mix, GgufType)] = &[$((Mix { name: $name, hundredths: $hundredths }, GgufType::$base)),*];
    };
}

mixes! {
    "F32" 3200 F32;
    "F16" 1600 F16;
    "BF16" 1600 BF16;
    "Q8_0" 850 Q8_0;
    "Q6_K" 656 Q6_K;
    "Q6_K_L" 672 Q6_K;
    "Q5_K_M" 570 Q5_K;
    "Q5_K_L" 587 Q5_K;
    "Q5_K_S" 557 Q5_K;
    "Q5_0" 557 Q5_0;
    "Q5_1" 602 Q5_1;
    "Q4_K_M" 489 Q4_K;
    "Q4_K_L" 510 Q4_K;
    "Q4_K_S" 467 Q4_K;
    "Q4_0" 464 Q4_0;
    "Q4_1" 510 Q4_1;
    "IQ4_NL" 468 IQ4_NL;
    "IQ4_XS" 446 IQ4_XS;
    "Q3_K_XL" 450 Q3_K;
    "Q3_K_L" 430 Q3_K;
    "Q3_K_M" 400 Q3_K;
    "Q3_K_S" 364 Q3_K;
    "IQ3_M" 376 IQ3_S;
    "IQ3_S" 366 IQ3_S;
    "IQ3_XS" 350 IQ3_S;
    "IQ3_XXS" 325 IQ3_XXS;
    "Q2_K_L" 340 Q2_K;
    "Q2_K" 316 Q2_K;
    "Q2_K_S" 297 Q2_K;
    "IQ2_M" 293 IQ2_S;
    "IQ2_S" 274 IQ2_XS;
    "IQ2_XS" 259 IQ2_XS;
    "IQ2_XXS" 238 IQ2_XXS;
    "IQ1_M" 215 IQ1_M;
    "IQ1_S" 200 IQ1_S;
    "TQ1_0" 169 TQ1_0;
    "TQ2_0" 206 TQ2_0;
    "MXFP4_MOE" 450 MXFP4;
    "MXFP4" 450 MXFP4;
    "Q4_K_XL" 490 Q4_K;
    "Q5_K_XL" 572 Q5_K;
    "Q6_K_XL" 690 Q6_K;
    "Q8_K_XL" 1050 Q8_0;
    "Q2_K_XL" 340 Q2_K;
    // Only in ik_llama.cpp: the nominal rates that it prints.
    "IQ6_K" 660 Q6_K;
    "IQ5_KS" 525 Q5_K;
    "IQ5_K" 550 Q5_K;
    "IQ4_K" 450 Q4_K;
    "IQ4_KS" 425 IQ4_XS;
    "IQ4_KSS" 400 IQ4_XS;
    "IQ3_KS" 319 IQ3_XXS;
    "IQ3_K" 344 Q3_K;
    "IQ2_KS" 219 IQ2_XS;
    "IQ2_K" 238 IQ2_S;
    "IQ2_KL" 269 Q2_K;
    "IQ1_KT" 175 IQ1_M;
    "IQ2_BN" 200 TQ2_0;
    "IQ1_BN" 162 TQ1_0;
}

impl Mix {
    /// Every mix.
    pub fn all() -> impl Iterator<Item = Mix> {
        MIXES.iter().map(|(mix, _)| *mix)
    }

    /// The mix of this name: `Q4_K_M`, also as llama.cpp prints it (`Q4_K - Medium`, `IQ4_XS - 4.25 bpw`) and repacked by
    /// rows (`IQ4_K_R4`).
    pub fn parse(text: &str) -> Option<Mix> {
        let (name, rest) = text.trim().split_once(" - ").unwrap_or((text.trim(), ""));
        let mut name = name.to_ascii_uppercase().replace(['-', ' '], "_");
        for (word, letter) in [("small", "_S"), ("medium", "_M"), ("large", "_L")] {
            if rest.to_ascii_lowercase().starts_with(word) {
                name += letter;
            }
        }
        for rows in ["_R4", "_R8", "_R16"] {
            name = name.strip_suffix(rows).map_or(name.clone(), str::to_owned);
        }
        // llama.cpp prints Q2_K as "Q2_K - Medium", and means by a bare Q4_K or Q5_K the medium mix.
        let name = match name.as_str() {
            "Q2_K_M" => "Q2_K",
            "Q4_K" => "Q4_K_M",
            "Q5_K" => "Q5_K_M",
            "Q3_K" => "Q3_K_M",
            "FP16" => "F16",
            "Q8_K_M" => "Q8_0",
            other => other,
        };
        Mix::all().find(|mix| mix.name == name)
    }

    /// The type that most tensors have.
    pub fn base(self) -> GgufType {
        MIXES.iter().find(|(mix, _)| mix.name == self.name).map_or(GgufType::Q8_0, |(_, base)| *base)
    }

    /// The type that llama.cpp's quantizer gives a tensor of a plain decoder, by the name of the tensor here (`q`, `v`,
    /// `down`, `lm_head` …), the layer (`index` of `count`), the queries that share a key, and the number of experts.
    ///
    /// Source: `llama_tensor_get_type` of llama.cpp, the parts without importance matrix. Mixes that are made by
    /// hand (`UD-`, `_XL`, ik_llama.cpp) have no such rule; they get their base type, and their average should be used.
    pub fn type_of(self, tensor: &str, index: u64, count: u64, sharing: u64, experts: u64) -> GgufType {
        use GgufType::*;
        let base = self.base();
        if matches!(base, F32 | F16 | BF16) {
            return base;
        }
        let more = index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2;
        let first = index < count / 8;
        let few = matches!(self.name, "IQ1_S" | "IQ1_M" | "IQ2_XXS" | "IQ2_XS" | "IQ2_S" | "IQ2_M");
        match (tensor, self.name) {
            ("router" | "shared_gate", _) => F32,
            ("lm_head" | "tied", "Q8_0") => Q8_0,
            ("lm_head" | "tied", "IQ3_XXS") => Q5_K,
            ("lm_head" | "tied", _) if few => Q5_K,
            ("lm_head" | "tied", "Q6_K_L" | "Q5_K_L" | "Q4_K_L" | "Q3_K_XL" | "Q2_K_L") => Q8_0,
            ("lm_head" | "tied", _) => Q6_K,
            ("embedding", "Q6_K_L" | "Q5_K_L" | "Q4_K_L" | "Q3_K_XL" | "Q2_K_L") => Q8_0,
            ("embedding", "IQ1_S" | "IQ1_M" | "IQ2_XXS" | "IQ2_XS") => Q2_K,
            ("embedding", "IQ2_S" | "IQ2_M" | "IQ3_XXS") => IQ3_S,
            ("v", _) if experts == 8 => Q8_0,
            ("k", _) if experts == 8 => Q8_0,
            ("v", _) if few => {
                if sharing >= 4 || experts >= 4 {
                    Q4_K
                } else {
                    Q2_K
                }
            }
            ("v", "Q2_K" | "Q2_K_L") => {
                if sharing >= 4 {
                    Q4_K
                } else {
                    Q3_K
                }
            }
            ("v", "Q2_K_S") if sharing >= 4 => Q4_K,
            ("v", "IQ3_XXS" | "IQ3_XS" | "IQ3_S") => {
                if sharing >= 4 {
                    Q4_K
                } else {
                    IQ3_S
                }
            }
            ("v", "IQ3_M") => Q4_K,
            ("v", "Q3_K_M") => {
                if index < 2 || count == 80 {
                    Q5_K
                } else {
                    Q4_K
                }
            }
            ("v", "Q3_K_L" | "Q3_K_XL") => Q5_K,
            ("v", "IQ4_NL" | "IQ4_XS") if sharing >= 4 => Q5_K,
            ("v", "Q4_K_M" | "Q5_K_M" | "Q4_K_L" | "Q5_K_L") if more => Q6_K,
            ("v", "Q4_K_S") if index < 4 => Q5_K,
            ("v", _) if count == 80 && matches!(base, Q3_K | Q4_K) => Q5_K,
            ("k", "IQ3_XS") => IQ3_XXS,
            ("q", "IQ3_XS") => IQ3_XXS,
            ("o", "Q2_K" | "Q2_K_L") => Q3_K,
            ("o", "IQ3_XXS") => IQ3_S,
            ("o", "Q3_K_M" | "IQ3_M") => Q4_K,
            ("o", "Q3_K_L" | "Q3_K_XL") => Q5_K,
            ("o", _) if few => IQ3_XXS,
            ("down", "Q2_K" | "Q2_K_L") => Q3_K,
            ("down", "Q2_K_S") if first => Q4_K,
            ("down", "IQ3_XXS") => {
                if first {
                    Q4_K
                } else {
                    Q3_K
                }
            }
            ("down", "Q3_K_M") => {
                if index < count / 16 {
                    Q5_K
                } else {
                    Q4_K
                }
            }
            ("down", "Q3_K_L" | "Q3_K_XL") => Q5_K,
            ("down", "IQ3_M") if first => Q4_K,
            ("down", "Q4_K_M" | "Q5_K_M" | "Q4_K_L" | "Q5_K_L") if more => Q6_K,
            ("down", "Q4_K_S") if first => Q5_K,
            ("down", "IQ4_NL" | "IQ4_XS") if first => Q5_K,
            ("down", _) if few && first => Q2_K,
            ("up" | "gate", "IQ3_XS") if !more => IQ3_XXS,
            _ => base,
        }
    }
}

impl Mix {
    /// Bytes by class of a model of this shape in a file of this mix: tensor by tensor by llama.cpp's rules, or by the
    /// average where a mix has no rule.
    pub fn bytes(self, shape: &Shape) -> ByClass<u64> {
        let mut out = ByClass::default();
        let by_rule = self.has_rule();
        let mut add = |class: Class, name: &str, inputs: u64, outputs: u64, count: u64, (index, layers, sharing, experts): (u64, u64, u64, u64)| {
            let elements = inputs.saturating_mul(outputs).saturating_mul(count);
            let bytes = match class {
                // Vectors stay in 32 bits; a tower is a file of its own, in 16.
                Class::Vectors => Bytes::of(elements, Rate::bits(32)),
                Class::Tower => Bytes::of(elements, Rate::bits(16)),
                _ if by_rule => {
                    let kind = self.type_of(name, index, layers, sharing, experts);
                    // A row that is no whole number of blocks falls back to blocks of 32.
                    let kind = if inputs.is_multiple_of(kind.block().0) { kind } else { kind.fallback() };
                    Bytes::of(elements, kind.rate())
                }
                _ => Bytes::of(elements, self.average()),
            };
            out[class] = bytes.0.saturating_add(out[class]);
        };
        let layers = shape.layer_count();
        for t in shape.edges() {
            let name = if t.name == "embedding" && shape.tied { "tied" } else { t.name };
            add(t.class, name, t.inputs, t.outputs, t.count, (0, layers, 1, 0));
        }
        let mut index = 0;
        for run in shape.encoder.iter().chain(&shape.layers) {
            let sharing = run.layer.attention.map_or(1, |a| a.heads() / a.kv_heads().max(1));
            let experts = match run.layer.feed_forward {
                Some(FeedForward::Experts(e)) => e.count,
                _ => 0,
            };
            let tensors = run.layer.tensors(shape.hidden);
            for _ in 0..run.count {
                for t in &tensors {
                    add(t.class, t.name, t.inputs, t.outputs, t.count, (index, layers, sharing, experts));
                }
                index += 1;
            }
        }
        out
    }

    /// Whether the quantizer's rule is known; mixes made by hand have none.
    fn has_rule(self) -> bool {
        let by_hand = self.name.ends_with("_XL") && self.name != "Q3_K_XL"
            || self.name.starts_with("IQ") && (self.name.ends_with('K') || self.name.contains("_K") || self.name.ends_with("BN"));
        !by_hand
    }
}

impl GgufType {
    /// What llama.cpp takes where rows are no multiple of 256.
    const fn fallback(self) -> GgufType {
        match self {
            GgufType::Q2_K | GgufType::Q3_K | GgufType::IQ1_S | GgufType::IQ1_M | GgufType::IQ2_XXS | GgufType::IQ2_XS | GgufType::IQ2_S => {
                GgufType::IQ4_NL
            }
            GgufType::IQ3_XXS | GgufType::IQ3_S | GgufType::IQ4_XS => GgufType::IQ4_NL,
            GgufType::Q4_K => GgufType::Q5_0,
            GgufType::Q5_K => GgufType::Q5_1,
            GgufType::Q6_K => GgufType::Q8_0,
            other => other,
        }
    }
}
