//! The shape of a model: its layers and matrices, by the names that a `config.json` has for them.
//!
//! Everything that is counted comes from one list, [`Shape::tensors`]: the number of parameters, what each class of
//! tensors takes, what a quantization leaves alone, and how ranks divide a model. All numbers here are elements, never
//! bytes.

use std::iter;
use std::ops::{Index, IndexMut};

/// What a tensor is for. Quantizations and tensor parallelism treat the classes differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Token embeddings, vocabulary × hidden.
    Embedding,
    /// Learned positions and token types.
    Positions,
    /// The output matrix; absent where it is tied to the embeddings.
    LmHead,
    /// Projections of attention layers: q, k, v, o, and those of the latent form.
    Attention,
    /// Dense feed-forward matrices, shared experts included.
    Mlp,
    /// Routed experts.
    Experts,
    /// Routers, and gates of shared experts.
    Router,
    /// Projections of recurrent layers (Mamba, linear attention, short convolutions).
    Recurrent,
    /// Norms, biases, convolutions, scalars: vectors that no format quantizes.
    Vectors,
    /// Vision and audio towers with their projectors.
    Tower,
    /// What fits none of these.
    Other,
}

impl Class {
    /// Every class, in order.
    pub const ALL: [Class; 11] = [
        Class::Embedding,
        Class::Positions,
        Class::LmHead,
        Class::Attention,
        Class::Mlp,
        Class::Experts,
        Class::Router,
        Class::Recurrent,
        Class::Vectors,
        Class::Tower,
        Class::Other,
    ];
}

/// A value for each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByClass<T>([T; Class::ALL.len()]);

impl<T> Index<Class> for ByClass<T> {
    type Output = T;
    fn index(&self, class: Class) -> &T {
        &self.0[class as usize]
    }
}

impl<T> IndexMut<Class> for ByClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        &mut self.0[class as usize]
    }
}

impl<T: Copy> ByClass<T> {
    /// The values with their classes.
    pub fn iter(&self) -> impl Iterator<Item = (Class, T)> + '_ {
        Class::ALL.iter().map(|&class| (class, self[class]))
    }
}

impl ByClass<u64> {
    /// The sum over all classes; saturates.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// A set of classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Classes(u16);

impl Classes {
    /// No class.
    pub const NONE: Classes = Classes(0);

    /// The set of these.
    pub const fn of(classes: &[Class]) -> Classes {
        let mut set = 0;
        let mut i = 0;
        while i < classes.len() {
            set |= 1 << classes[i] as u16;
            i += 1;
        }
        Classes(set)
    }

    /// This set and `class`.
    #[must_use]
    pub const fn with(self, class: Class) -> Classes {
        Classes(self.0 | 1 << class as u16)
    }

    /// This set without `class`.
    #[must_use]
    pub const fn without(self, class: Class) -> Classes {
        Classes(self.0 & !(1 << class as u16))
    }

    /// Whether `class` is in the set.
    pub const fn has(self, class: Class) -> bool {
        self.0 & 1 << class as u16 != 0
    }
}

/// How ranks of tensor parallelism divide a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Every rank holds all of it.
    Replicated,
    /// Along the outputs (column-parallel): q, gate, up.
    Outputs,
    /// Along the inputs (row-parallel): o, down.
    Inputs,
    /// Along the outputs by key-value heads, with one head for each rank at the least: k, v.
    KvHeads,
    /// Along the vocabulary.
    Vocabulary,
}

/// A matrix or vector of a model, as often as it occurs in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    /// The name that engines have for it: `q`, `k`, `v`, `o`, `gate`, `up`, `down`, `embedding`, `lm_head` …
    pub name: &'static str,
    /// What it is for.
    pub class: Class,
    /// Length of the input side; 1 for vectors.
    pub inputs: u64,
    /// Length of the output side.
    pub outputs: u64,
    /// How many there are: experts, or layers of a run.
    pub count: u64,
    /// How ranks divide it.
    pub split: Split,
}

impl Tensor {
    /// Elements in all copies; saturates.
    pub fn elements(&self) -> u64 {
        self.inputs.saturating_mul(self.outputs).saturating_mul(self.count)
    }

    /// Elements of all copies that one of `ranks` holds. A [`Split::KvHeads`] tensor with fewer than `ranks` heads is
    /// held `ranks / kv_heads` times, one head on each rank.
    pub fn elements_of_rank(&self, ranks: u64, kv_heads: u64) -> u64 {
        let ranks = ranks.max(1);
        match self.split {
            Split::Replicated => self.elements(),
            Split::KvHeads => self.elements().div_ceil(ranks.min(kv_heads.max(1))),
            Split::Outputs | Split::Inputs | Split::Vocabulary => self.elements().div_ceil(ranks),
        }
    }
}

/// Attention that keeps a key and a value for each head of its own: multi-head, grouped (fewer key-value heads), or
/// multi-query (one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub heads: u64,
    /// Key-value heads.
    pub kv_heads: u64,
    /// Length of a query or key.
    pub head_dim: u64,
    /// Length of a value; mostly as long as a key.
    pub value_dim: u64,
    /// How many tokens back a query sees; all of them if none. Chunked attention (Llama 4) counts as a window.
    pub window: Option<u64>,
    /// Biases on q, k, v.
    pub bias: bool,
    /// A bias on o.
    pub output_bias: bool,
    /// q also gives a gate of the same length (Qwen3-Next).
    pub gated: bool,
    /// The layer reads the cache of an earlier one and keeps none (Gemma 3n and 4). Its k and v are stored all the same.
    pub shares_cache: bool,
    /// Keys serve as values too, so that there is no v matrix; the cache still holds both (Gemma 4, full layers).
    pub keys_as_values: bool,
}

/// Multi-head latent attention (DeepSeek V2 and later, Kimi K2, MiniCPM3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latent {
    /// Query heads.
    pub heads: u64,
    /// Rank of the query's compression (`q_lora_rank`); not compressed if none.
    pub q_rank: Option<u64>,
    /// Rank of the common compression of keys and values (`kv_lora_rank`): what the cache holds, with `rope`.
    pub kv_rank: u64,
    /// Part of a head's key without positions (`qk_nope_head_dim`).
    pub nope: u64,
    /// Part of a key with positions (`qk_rope_head_dim`), common to all heads.
    pub rope: u64,
    /// Length of a head's value (`v_head_dim`).
    pub value: u64,
    /// The indexer of sparse attention (DeepSeek V3.2): its heads and their length. It has a cache of its own, one key
    /// for each token.
    pub indexer: Option<(u64, u64)>,
}

/// The attention of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Keys and values by head.
    Heads(Heads),
    /// One compressed vector for all heads.
    Latent(Latent),
}

impl Attention {
    /// Query heads.
    pub fn heads(&self) -> u64 {
        match self {
            Attention::Heads(a) => a.heads,
            Attention::Latent(a) => a.heads,
        }
    }

    /// Key-value heads that ranks can divide; the latent form has one for all.
    pub fn kv_heads(&self) -> u64 {
        match self {
            Attention::Heads(a) => a.kv_heads,
            Attention::Latent(_) => 1,
        }
    }

    /// The window, if the layer has one.
    pub fn window(&self) -> Option<u64> {
        match self {
            Attention::Heads(a) => a.window,
            Attention::Latent(_) => None,
        }
    }

    /// Elements that the cache of this layer holds for each token, over all heads; none if it reads another's.
    pub fn cache_elements(&self) -> u64 {
        match self {
            Attention::Heads(a) if a.shares_cache => 0,
            Attention::Heads(a) => a.kv_heads.saturating_mul(a.head_dim.saturating_add(a.value_dim)),
            Attention::Latent(a) => a.kv_rank + a.rope,
        }
    }
}

/// A layer that carries a state of constant size: Mamba, linear attention, a short convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recurrent {
    /// Outputs of the projection from the hidden state.
    pub input: u64,
    /// Inputs of the projection back to it.
    pub output: u64,
    /// Elements of matrices in between (Mamba 1: `x_proj`, `dt_proj`).
    pub between: u64,
    /// Elements of convolutions, decays, biases and norms.
    pub vectors: u64,
    /// Elements of the convolution's state for one sequence (engines keep it in the model's dtype).
    pub convolution_state: u64,
    /// Elements of the recurrent state for one sequence (often kept in float32).
    pub state: u64,
}

/// What follows attention in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForward {
    /// One block for all tokens.
    Dense(Dense),
    /// Experts that a router picks from.
    Experts(Experts),
}

/// A dense feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dense {
    /// Width in the middle.
    pub intermediate: u64,
    /// Three matrices (gate, up, down) rather than two.
    pub gated: bool,
    /// Biases on all of them.
    pub bias: bool,
}

/// A mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// How many are stored. All of them take memory.
    pub count: u64,
    /// How many each token goes through.
    pub active: u64,
    /// Width of one.
    pub intermediate: u64,
    /// Three matrices rather than two.
    pub gated: bool,
    /// Biases on the experts.
    pub bias: bool,
    /// Width of all shared experts together, which every token goes through; 0 if there are none.
    pub shared: u64,
    /// The shared experts have a gate of their own (Qwen2-MoE, Qwen3-Next).
    pub shared_gate: bool,
    /// The router has a bias or a correction for each expert (DeepSeek V3, gpt-oss).
    pub router_bias: bool,
    /// Width of a dense block beside the experts (Arctic, Gemma 4); 0 if there is none.
    pub beside: u64,
}

/// One layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// Attention over what came before.
    pub attention: Option<Attention>,
    /// Attention over another sequence: an encoder's or a vision tower's.
    pub cross: Option<Heads>,
    /// A recurrent block, instead of attention or beside it.
    pub recurrent: Option<Recurrent>,
    /// Feed-forward.
    pub feed_forward: Option<FeedForward>,
    /// Elements of its norms, those of queries and keys included.
    pub norms: u64,
    /// Elements of matrices that fit nothing above.
    pub other: u64,
    /// Elements of vectors that fit nothing above (sinks, scales).
    pub vectors: u64,
}

/// Layers that are the same, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub count: u64,
    /// Each of them.
    pub layer: Layer,
}

/// The shape of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Width of the hidden state.
    pub hidden: u64,
    /// Width of the embedding where it differs from the hidden state (OPT-350m); 0 elsewhere.
    pub embedding_width: u64,
    /// Rows of the embedding and of the output matrix.
    pub vocabulary: u64,
    /// The output matrix is the embedding itself.
    pub tied: bool,
    /// There is no output matrix at all (embedders, encoders).
    pub headless: bool,
    /// Rows of learned positions and token types; 0 with rotary or relative positions.
    pub positions: u64,
    /// The layers that tokens are generated with, in order.
    pub layers: Vec<Run>,
    /// The layers of an encoder before them (T5, Whisper), in order. They keep no cache.
    pub encoder: Vec<Run>,
    /// Elements of norms outside the layers.
    pub norms: u64,
    /// Elements of vision and audio towers and of their projectors.
    pub tower: u64,
    /// Elements of matrices that fit nothing above.
    pub other: u64,
    /// Elements of layers for multi-token prediction. Files hold them, engines load them only for speculative decoding,
    /// so they are in no sum here.
    pub draft: u64,
    /// The longest context that the model was made for, in tokens.
    pub max_positions: Option<u64>,
}

impl Shape {
    /// How many layers there are, without those of an encoder.
    pub fn layer_count(&self) -> u64 {
        self.layers.iter().map(|run| run.count).sum()
    }

    /// Every tensor, with how often it occurs. The one list that all counts come from.
    pub fn tensors(&self) -> Vec<Tensor> {
        let mut out = self.edges();
        for run in self.encoder.iter().chain(&self.layers) {
            out.extend(run.layer.tensors(self.hidden).into_iter().map(|t| Tensor { count: t.count.saturating_mul(run.count), ..t }));
        }
        out
    }

    /// The tensors outside the layers: embeddings, positions, output matrix, norms, towers.
    pub fn edges(&self) -> Vec<Tensor> {
        let width = if self.embedding_width > 0 { self.embedding_width } else { self.hidden };
        let vocabulary = |name, class| Tensor { name, class, inputs: width, outputs: self.vocabulary, count: 1, split: Split::Vocabulary };
        let mut out = vec![vocabulary("embedding", Class::Embedding)];
        if !self.tied && !self.headless {
            out.push(vocabulary("lm_head", Class::LmHead));
        }
        let flat = |name, class, outputs| Tensor { name, class, inputs: 1, outputs, count: 1, split: Split::Replicated };
        out.push(Tensor { inputs: self.hidden, ..flat("positions", Class::Positions, self.positions) });
        out.push(flat("norms", Class::Vectors, self.norms));
        out.push(flat("tower", Class::Tower, self.tower));
        out.push(flat("other", Class::Other, self.other));
        out.retain(|t| t.elements() > 0);
        out
    }

    /// Elements by class.
    pub fn parameters(&self) -> ByClass<u64> {
        let mut sum = ByClass::default();
        for t in self.tensors() {
            sum[t.class] = t.elements().saturating_add(sum[t.class]);
        }
        sum
    }

    /// Elements that a token goes through: all but the experts that the router leaves out.
    pub fn active_parameters(&self) -> u64 {
        let idle = self.layers.iter().map(|run| match run.layer.feed_forward {
            Some(FeedForward::Experts(e)) => {
                let routed: u64 =
                    e.tensors(self.hidden).iter().filter(|t| t.class == Class::Experts).map(Tensor::elements).fold(0, u64::saturating_add);
                let each = routed / e.count.max(1);
                each.saturating_mul(e.count.saturating_sub(e.active)).saturating_mul(run.count)
            }
            _ => 0,
        });
        self.parameters().total().saturating_sub(idle.fold(0, u64::saturating_add))
    }

    /// Elements of the cache for each token of context, over all layers that see the whole context.
    pub fn cache_elements_of_full_layers(&self) -> u64 {
        self.cached().filter(|(_, a)| a.window().is_none()).map(|(n, a)| n.saturating_mul(a.cache_elements())).fold(0, u64::saturating_add)
    }

    /// The layers with a cache that grows, with how often each occurs in a row.
    pub fn cached(&self) -> impl Iterator<Item = (u64, Attention)> + '_ {
        self.layers.iter().filter_map(|run| Some((run.count, run.layer.attention?))).filter(|(_, a)| a.cache_elements() > 0)
    }
}

fn matrix(name: &'static str, class: Class, inputs: u64, outputs: u64, split: Split) -> Tensor {
    Tensor { name, class, inputs, outputs, count: 1, split }
}

fn vector(name: &'static str, outputs: u64, split: Split) -> Tensor {
    matrix(name, Class::Vectors, 1, outputs, split)
}

impl Layer {
    /// The tensors of one such layer in a model `hidden` wide.
    pub fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let mut out = Vec::with_capacity(16);
        match self.attention {
            Some(Attention::Heads(a)) => out.extend(a.tensors(hidden)),
            Some(Attention::Latent(a)) => out.extend(a.tensors(hidden)),
            None => {}
        }
        out.extend(self.cross.iter().flat_map(|a| a.tensors(hidden)));
        if let Some(r) = self.recurrent {
            out.push(matrix("in_proj", Class::Recurrent, hidden, r.input, Split::Outputs));
            out.push(matrix("between", Class::Recurrent, 1, r.between, Split::Outputs));
            out.push(matrix("out_proj", Class::Recurrent, r.output, hidden, Split::Inputs));
            out.push(vector("recurrent_vectors", r.vectors, Split::Outputs));
        }
        match self.feed_forward {
            Some(FeedForward::Dense(d)) => out.extend(d.tensors(hidden)),
            Some(FeedForward::Experts(e)) => out.extend(e.tensors(hidden)),
            None => {}
        }
        out.push(vector("norms", self.norms, Split::Replicated));
        out.push(matrix("other", Class::Other, 1, self.other, Split::Replicated));
        out.push(vector("vectors", self.vectors, Split::Replicated));
        out.retain(|t| t.elements() > 0);
        out
    }
}

impl Heads {
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let (q, k, v) = (self.heads * self.head_dim, self.kv_heads * self.head_dim, self.kv_heads * self.value_dim);
        let q_out = if self.gated { 2 * q } else { q };
        let o = self.heads * self.value_dim;
        let mut out = vec![matrix("q", Class::Attention, hidden, q_out, Split::Outputs), matrix("o", Class::Attention, o, hidden, Split::Inputs)];
        out.push(matrix("k", Class::Attention, hidden, k, Split::KvHeads));
        if !self.keys_as_values {
            out.push(matrix("v", Class::Attention, hidden, v, Split::KvHeads));
        }
        if self.bias {
            out.push(vector("q_bias", q_out, Split::Outputs));
            out.push(vector("kv_bias", k + v, Split::KvHeads));
        }
        if self.output_bias {
            out.push(vector("o_bias", hidden, Split::Replicated));
        }
        out
    }
}

impl Latent {
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let q = self.heads * (self.nope + self.rope);
        let mut out = match self.q_rank {
            Some(rank) => vec![
                matrix("q_a", Class::Attention, hidden, rank, Split::Replicated),
                matrix("q_b", Class::Attention, rank, q, Split::Outputs),
                vector("q_a_norm", rank, Split::Replicated),
            ],
            None => vec![matrix("q", Class::Attention, hidden, q, Split::Outputs)],
        };
        out.push(matrix("kv_a", Class::Attention, hidden, self.kv_rank + self.rope, Split::Replicated));
        out.push(vector("kv_a_norm", self.kv_rank, Split::Replicated));
        out.push(matrix("kv_b", Class::Attention, self.kv_rank, self.heads * (self.nope + self.value), Split::Outputs));
        out.push(matrix("o", Class::Attention, self.heads * self.value, hidden, Split::Inputs));
        if let Some((heads, dim)) = self.indexer {
            out.push(matrix("indexer_q", Class::Attention, self.q_rank.unwrap_or(hidden), heads * dim, Split::Replicated));
            out.push(matrix("indexer_k", Class::Attention, hidden, dim, Split::Replicated));
            out.push(matrix("indexer_weights", Class::Attention, hidden, heads, Split::Replicated));
            out.push(vector("indexer_norm", 2 * dim, Split::Replicated));
        }
        out
    }
}

impl Dense {
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let f = self.intermediate;
        let mut out = vec![matrix("up", Class::Mlp, hidden, f, Split::Outputs), matrix("down", Class::Mlp, f, hidden, Split::Inputs)];
        if self.gated {
            out.push(matrix("gate", Class::Mlp, hidden, f, Split::Outputs));
        }
        if self.bias {
            out.push(vector("up_bias", if self.gated { 2 * f } else { f }, Split::Outputs));
            out.push(vector("down_bias", hidden, Split::Replicated));
        }
        out
    }
}

impl Experts {
    fn tensors(&self, hidden: u64) -> Vec<Tensor> {
        let one = Dense { intermediate: self.intermediate, gated: self.gated, bias: self.bias };
        let routed = one.tensors(hidden).into_iter().map(|t| Tensor {
            class: if t.class == Class::Mlp { Class::Experts } else { t.class },
            count: self.count,
            ..t
        });
        let dense = |intermediate| Dense { intermediate, gated: self.gated, bias: false }.tensors(hidden);
        routed
            .chain(dense(self.shared))
            .chain(dense(self.beside))
            .chain(iter::once(matrix("router", Class::Router, hidden, self.count, Split::Replicated)))
            .chain(self.shared_gate.then(|| matrix("shared_gate", Class::Router, hidden, 1, Split::Replicated)))
            .chain(self.router_bias.then(|| vector("router_bias", self.count, Split::Replicated)))
            .collect()
    }
}
