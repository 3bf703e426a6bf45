//! The types of tensors in GGUF files, and the mixes that files are made of.
//!
//! Block lengths and bytes are those of `gguf-py` (`GGML_QUANT_SIZES`); the types that only ik_llama.cpp has carry its
//! own nominal rates.

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
