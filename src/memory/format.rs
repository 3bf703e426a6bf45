//! How numbers are stored: dtypes, GGUF types and mixes, and the quantization methods of the engines, with what each
//! leaves unquantized.
//!
//! Sources: the tables of `docs/memory-model.md`. Formats are given as exact [`Rate`]s; the bytes of scales and zero
//! points are counted with the weights that they belong to.

use super::shape::{Class, Classes};
use super::size::{Bytes, Rate};

pub mod gguf_type;

pub use gguf_type::{GgufType, Mix};

/// The type of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    BF16,
    /// 8-bit float, e4m3 or e5m2.
    F8,
    /// A power of two in 8 bits (scales of MX formats).
    E8M0,
    /// 6-bit float.
    F6,
    /// 4-bit float.
    F4,
    /// 64-bit integer.
    I64,
    /// 32-bit integer; four-bit weights are packed into these.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// 4-bit integer.
    I4,
    /// A truth value in a byte.
    Bool,
}

impl Dtype {
    /// Bits for each element.
    pub const fn bits(self) -> u64 {
        match self {
            Dtype::F64 | Dtype::I64 => 64,
            Dtype::F32 | Dtype::I32 => 32,
            Dtype::F16 | Dtype::BF16 | Dtype::I16 => 16,
            Dtype::F8 | Dtype::E8M0 | Dtype::I8 | Dtype::Bool => 8,
            Dtype::F6 => 6,
            Dtype::F4 | Dtype::I4 => 4,
        }
    }

    /// The rate.
    pub const fn rate(self) -> Rate {
        Rate::bits(self.bits())
    }

    /// What so many elements take.
    pub fn size(self, elements: u64) -> Bytes {
        Bytes::of(elements, self.rate())
    }

    /// Reads the names of PyTorch (`torch.bfloat16`, `half`), of safetensors (`BF16`, `F8_E4M3`) and of the engines'
    /// arguments (`fp8_e5m2`, `float32`). `auto` is none.
    pub fn parse(text: &str) -> Option<Dtype> {
        let lower = text.trim().to_ascii_lowercase();
        Some(match lower.strip_prefix("torch.").unwrap_or(&lower) {
            "f64" | "float64" | "double" | "fp64" => Dtype::F64,
            "f32" | "float32" | "float" | "fp32" => Dtype::F32,
            "f16" | "float16" | "half" | "fp16" => Dtype::F16,
            "bf16" | "bfloat16" => Dtype::BF16,
            "f8_e4m3" | "f8_e5m2" | "float8_e4m3fn" | "float8_e5m2" | "float8_e4m3fnuz" | "float8_e5m2fnuz" | "fp8" | "fp8_e4m3" | "fp8_e5m2"
            | "fp8_e4m3fn" | "fp8_e4m3fnuz" | "f8_e4m3fnuz" | "f8_e5m2fnuz" | "float8" => Dtype::F8,
            "f8_e8m0" | "float8_e8m0fnu" => Dtype::E8M0,
            "f6_e2m3" | "f6_e3m2" => Dtype::F6,
            "f4" | "fp4" | "float4_e2m1fn_x2" => Dtype::F4,
            "i64" | "int64" | "u64" | "uint64" | "long" => Dtype::I64,
            "i32" | "int32" | "u32" | "uint32" | "int" => Dtype::I32,
            "i16" | "int16" | "u16" | "uint16" | "short" => Dtype::I16,
            "i8" | "int8" | "u8" | "uint8" => Dtype::I8,
            "i4" | "int4" | "u4" | "uint4" => Dtype::I4,
            "bool" => Dtype::Bool,
            _ => return None,
        })
    }

    /// PyTorch's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dtype::F64 => "float64",
            Dtype::F32 => "float32",
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            Dtype::F8 => "float8",
            Dtype::E8M0 => "float8_e8m0",
            Dtype::F6 => "float6",
            Dtype::F4 => "float4",
            Dtype::I64 => "int64",
            Dtype::I32 => "int32",
            Dtype::I16 => "int16",
            Dtype::I8 => "int8",
            Dtype::I4 => "int4",
            Dtype::Bool => "bool",
        }
    }
}

/// How finely fp8 and int8 weights are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scales {
    /// One float32 scale for a matrix.
    Tensor,
    /// One scale for each output; `bits` wide (compressed-tensors stores bfloat16, 16; others float32).
    Channel {
        /// Bits of a scale.
        bits: u8,
    },
    /// One float32 scale for each block of `rows` × `columns`.
    Block {
        /// Outputs in a block.
        rows: u32,
        /// Inputs in a block.
        columns: u32,
    },
}

/// A way to store weights in fewer bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GPTQ: packed integers, a float16 scale and a packed zero point for each group, a 32-bit group index for each
    /// input. 4 bits and group 128: 4 + 16/128 + 4/128 = 4.156 bits.
    Gptq {
        /// Bits of a weight: 2, 3, 4, 8.
        bits: u8,
        /// Inputs that share a scale; none: all of a row (`group_size: -1`).
        group: Option<u32>,
        /// Zero points are constant; they are stored all the same, but Marlin kernels drop them.
        symmetric: bool,
    },
    /// AWQ: packed 4-bit integers, a float16 scale and a packed zero point for each group: 4.156 bits for 128.
    Awq {
        /// Bits of a weight.
        bits: u8,
        /// Inputs that share a scale.
        group: u32,
    },
    /// compressed-tensors `pack-quantized` integers with a 16-bit scale for each group, zero points only if asymmetric:
    /// W4A16 with group 128 is 4.125 bits.
    PackedInt {
        /// Bits of a weight: 4 or 8.
        bits: u8,
        /// Inputs that share a scale; none: one for each output.
        group: Option<u32>,
        /// Whether there are no zero points.
        symmetric: bool,
    },
    /// 8-bit integer weights with a scale for each output (compressed-tensors W8A8, SmoothQuant).
    Int8 {
        /// Bits of a scale.
        scale: u8,
    },
    /// bitsandbytes 4 bit (nf4 or fp4), blocks of 64: 4 + 32/64 = 4.5 bits; with double quantization
    /// 4 + 8/64 + 32/(64·256) = 4.127.
    Bnb4 {
        /// Double quantization of the scales (`bnb_4bit_use_double_quant`). vLLM and TGI use it when they quantize
        /// themselves; the default of transformers is without.
        double: bool,
    },
    /// bitsandbytes `LLM.int8()`: 8 bits and a float32 for each output.
    Bnb8,
    /// EETQ int8: 8 bits and a float16 for each output.
    Eetq,
    /// 8-bit floats.
    Fp8(Scales),
    /// MXFP4: 4 bits and an 8-bit exponent for each 32: 4.25 bits. gpt-oss stores its experts so.
    Mxfp4,
    /// MXFP8: 8 bits and an 8-bit exponent for each 32: 8.25 bits.
    Mxfp8,
    /// NVFP4: 4 bits, an fp8 scale for each 16, a float32 for a matrix: 4.5 bits.
    Nvfp4,
    /// HQQ, torchao, quanto integers: a 16-bit scale and a 16-bit zero point for each group; 4 bits in groups of 64 are
    /// 4.5 bits.
    Int {
        /// Bits of a weight.
        bits: u8,
        /// Inputs that share a scale.
        group: u32,
    },
    /// EXL2 and EXL3: the advertised average, in hundredths of a bit.
    Exl2 {
        /// Hundredths of a bit for each weight.
        hundredths: u16,
    },
    /// A GGUF file: a mix of types.
    Gguf(Mix),
}

/// How a model is quantized: the method and what it leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Quantization {
    /// The method, if any.
    pub method: Option<Method>,
    /// Classes that stay in the model's dtype.
    pub kept: Classes,
}

/// What nearly every method leaves alone: embeddings, the output matrix, routers, vectors, towers, and what is unknown.
pub const USUALLY_KEPT: Classes =
    Classes::of(&[Class::Embedding, Class::Positions, Class::LmHead, Class::Router, Class::Vectors, Class::Tower, Class::Other]);

impl Quantization {
    /// Nothing is quantized.
    pub const NONE: Quantization = Quantization { method: None, kept: Classes::NONE };

    /// A method with what it usually leaves alone: gpt-oss has MXFP4 in its experts only; a GGUF file quantizes all
    /// matrices, in types of their own.
    pub const fn new(method: Method) -> Quantization {
        let kept = match method {
            Method::Mxfp4 => USUALLY_KEPT.with(Class::Attention).with(Class::Mlp).with(Class::Recurrent),
            Method::Gguf(_) => Classes::of(&[Class::Vectors, Class::Router, Class::Tower, Class::Positions]),
            _ => USUALLY_KEPT,
        };
        Quantization { method: Some(method), kept }
    }

    /// The same, leaving these classes alone.
    #[must_use]
    pub const fn keeping(self, kept: Classes) -> Quantization {
        Quantization { method: self.method, kept }
    }

    /// The method that a class of tensors is stored with; none if it stays as it is.
    pub fn of(&self, class: Class) -> Option<Method> {
        self.method.filter(|_| !self.kept.has(class))
    }

    /// Whether anything is quantized.
    pub const fn is_some(&self) -> bool {
        self.method.is_some()
    }
}

impl Method {
    /// What a matrix of `outputs` × `inputs` takes with scales and zero points, as it is stored in files.
    pub fn size(self, inputs: u64, outputs: u64) -> Bytes {
        let elements = inputs.saturating_mul(outputs);
        let weights = |bits: u8| Bytes::of(elements, Rate::bits(bits.into()));
        let groups = |group: Option<u32>| inputs.div_ceil(group.map_or(inputs.max(1), |g| u64::from(g.max(1)))).saturating_mul(outputs);
        match self {
            Method::Gptq { bits, group, .. } => {
                weights(bits) + Bytes::of(groups(group), Rate::bits(16 + u64::from(bits))) + Bytes::of(inputs, Rate::bits(32))
            }
            Method::Awq { bits, group } => weights(bits) + Bytes::of(groups(Some(group)), Rate::bits(16 + u64::from(bits))),
            Method::PackedInt { bits, group, symmetric } => {
                weights(bits) + Bytes::of(groups(group), Rate::bits(if symmetric { 16 } else { 16 + u64::from(bits) }))
            }
            Method::Int8 { scale } => weights(8) + Bytes::of(outputs, Rate::bits(scale.into())),
            Method::Bnb4 { .. } | Method::Mxfp4 | Method::Mxfp8 | Method::Nvfp4 | Method::Int { .. } | Method::Exl2 { .. } => {
                Bytes::of(elements, self.rate())
            }
            Method::Bnb8 => weights(8) + Bytes::of(outputs, Rate::bits(32)),
            Method::Eetq => weights(8) + Bytes::of(outputs, Rate::bits(16)),
            Method::Fp8(Scales::Tensor) => weights(8) + Bytes(4),
            Method::Fp8(Scales::Channel { bits }) => weights(8) + Bytes::of(outputs, Rate::bits(bits.into())),
            Method::Fp8(Scales::Block { rows, columns }) => {
                let blocks = outputs.div_ceil(u64::from(rows.max(1))).saturating_mul(inputs.div_ceil(u64::from(columns.max(1))));
                weights(8) + Bytes::of(blocks, Rate::bits(32))
            }
            Method::Gguf(mix) => Bytes::of(elements, mix.average()),
        }
    }

    /// Bits for each weight of a large matrix, where scales of whole rows or matrices do not count.
    pub const fn rate(self) -> Rate {
        match self {
            Method::Gptq { bits, group: Some(group), .. } => Rate::grouped(bits as u64, 16 + bits as u64, group as u64),
            Method::Awq { bits, group } => Rate::grouped(bits as u64, 16 + bits as u64, group as u64),
            Method::PackedInt { bits, group: Some(group), symmetric } => {
                Rate::grouped(bits as u64, if symmetric { 16 } else { 16 + bits as u64 }, group as u64)
            }
            Method::Gptq { bits, group: None, .. } | Method::PackedInt { bits, group: None, .. } => Rate::bits(bits as u64),
            Method::Bnb4 { double: false } => Rate::grouped(4, 32, 64),
            Method::Bnb4 { double: true } => Rate::grouped(4, 8 * 256 + 32, 64 * 256),
            Method::Int8 { .. } | Method::Bnb8 | Method::Eetq | Method::Fp8(Scales::Tensor | Scales::Channel { .. }) => Rate::bits(8),
            Method::Fp8(Scales::Block { rows, columns }) => Rate::grouped(8, 32, rows as u64 * columns as u64),
            Method::Mxfp4 => Rate::grouped(4, 8, 32),
            Method::Mxfp8 => Rate::grouped(8, 8, 32),
            Method::Nvfp4 => Rate::grouped(4, 8, 16),
            Method::Int { bits, group } => Rate::grouped(bits as u64, 32, group as u64),
            Method::Exl2 { hundredths } => Rate { bits: hundredths as u64, per: 100 },
            Method::Gguf(mix) => mix.average(),
        }
    }

    /// The word that engines have for it: `gptq`, `awq`, `bitsandbytes`, `fp8` …
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Gptq { .. } => "gptq",
            Method::Awq { .. } => "awq",
            Method::PackedInt { .. } | Method::Int8 { .. } => "compressed-tensors",
            Method::Bnb4 { .. } | Method::Bnb8 => "bitsandbytes",
            Method::Eetq => "eetq",
            Method::Fp8(_) => "fp8",
            Method::Mxfp4 => "mxfp4",
            Method::Mxfp8 => "mxfp8",
            Method::Nvfp4 => "nvfp4",
            Method::Int { .. } => "torchao",
            Method::Exl2 { .. } => "exl2",
            Method::Gguf(_) => "gguf",
        }
    }
}
