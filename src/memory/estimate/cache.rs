//! The cache of keys and values on one rank: what a token takes, how engines lay layers of different kinds out, and how
//! many tokens a pool holds.

use super::engine::{CacheFormat, Engine, Plan, Version};
use crate::memory::Bytes;
use crate::memory::shape::{Attention, Heads, Latent, Recurrent, Shape};

/// Tokens of a block in vLLM and most others.
pub const BLOCK: u64 = 16;

/// Layers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// How many of them a rank has.
    pub layers: u64,
    /// What one token takes in one of them; nothing in recurrent layers.
    pub token: Bytes,
    /// How far back they see, if not over everything.
    pub window: Option<u64>,
    /// What one sequence takes in one of them whatever its length; nothing in attention layers.
    pub state: Bytes,
}

/// The kinds of layers that a rank keeps a cache for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The kinds, those that see everything first.
    pub kinds: Vec<Kind>,
}

/// A pool and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// What is allocated.
    pub bytes: Bytes,
    /// Tokens that the engine says it holds.
    pub tokens: u64,
}

impl Layout {
    /// The layout of a shape under a plan.
    pub fn new(shape: &Shape, plan: &Plan) -> Layout {
        let mut kinds: Vec<Kind> = Vec::new();
        for run in &shape.layers {
            let attention = run.layer.attention.map(|attention| Kind {
                layers: run.count,
                token: token(&attention, plan),
                window: attention.window(),
                state: Bytes::ZERO,
            });
            let recurrent =
                run.layer.recurrent.map(|recurrent| Kind { layers: run.count, token: Bytes::ZERO, window: None, state: state(&recurrent, plan) });
            for kind in attention.into_iter().chain(recurrent).filter(|k| k.token > Bytes::ZERO || k.state > Bytes::ZERO) {
                match kinds.iter_mut().find(|k| (k.token, k.window, k.state) == (kind.token, kind.window, kind.state)) {
                    Some(known) => known.layers += kind.layers,
                    None => kinds.push(kind),
                }
            }
        }
        for kind in &mut kinds {
            kind.layers = kind.layers.div_ceil(plan.pipeline_parallel);
        }
        kinds.sort_by_key(|k| (k.state > Bytes::ZERO, k.window.is_some()));
        Layout { kinds }
    }

    /// What a token takes over all layers, windows counted like the rest.
    pub fn token(&self) -> Bytes {
        self.kinds.iter().map(|k| k.token * k.layers).sum()
    }

    /// What a sequence takes in recurrent layers.
    pub fn states(&self) -> Bytes {
        self.kinds.iter().map(|k| k.state * k.layers).sum()
    }

    fn is_mixed(&self) -> bool {
        self.kinds.len() > 1
    }

    /// What one sequence of `length` tokens takes of the pool.
    pub fn need(&self, length: u64, plan: &Plan) -> Bytes {
        match plan.engine {
            Engine::Vllm if self.is_mixed() && groups_layers(plan) => {
                let groups = Groups::new(self);
                groups.block * groups.blocks_of_sequence(length, plan)
            }
            Engine::LlamaCpp => self.of_llama_cpp(length, plan),
            Engine::Vllm => {
                let blocks = |k: &Kind| match k.window.filter(|_| !self.is_mixed()) {
                    Some(window) => blocks_of_window(window, length, plan),
                    None => length.div_ceil(BLOCK),
                };
                self.kinds.iter().map(|k| (k.token * BLOCK * blocks(k) + k.state) * k.layers).sum()
            }
            Engine::Sglang | Engine::Tgi => self.token() * length + self.states(),
        }
    }

    /// What a pool of this size holds. Blocks are whole; what is left over is not allocated.
    pub fn pool(&self, available: Bytes, plan: &Plan) -> Pool {
        match plan.engine {
            Engine::Vllm if self.is_mixed() && groups_layers(plan) => {
                let groups = Groups::new(self);
                let blocks = available.count_of(groups.block);
                // Later versions say how much context fits, not how many blocks there are.
                let tokens = if plan.version >= Version(0, 21, 0) {
                    let one = groups.blocks_of_sequence(plan.length, plan).max(1);
                    u128::from(blocks) * u128::from(plan.length) / u128::from(one)
                } else {
                    u128::from(blocks / groups.count().max(1) * groups.tokens_of_block())
                };
                Pool { bytes: groups.block * blocks, tokens: u64::try_from(tokens).unwrap_or(u64::MAX) }
            }
            Engine::Sglang if self.kinds.iter().any(|k| k.window.is_some()) && self.is_mixed() => self.two_pools(available),
            Engine::Sglang if self.states() > Bytes::ZERO => {
                // Nine tenths as much for states as for tokens.
                let bytes = available.fraction(1.0 / 1.9);
                let tokens = bytes.count_of(self.token());
                Pool { bytes: self.token() * tokens, tokens }
            }
            _ => {
                let block = self.token() * BLOCK;
                let usable = available.saturating_sub(self.states() * plan.sequences);
                let blocks = usable.count_of(block);
                Pool { bytes: block * blocks, tokens: blocks.saturating_mul(BLOCK) }
            }
        }
    }

    /// SGLang keeps layers with a window in a pool of their own, with room for four fifths of the tokens.
    fn two_pools(&self, available: Bytes) -> Pool {
        let of = |windowed: bool| self.kinds.iter().filter(|k| k.window.is_some() == windowed).map(|k| k.token * k.layers).sum::<Bytes>();
        let token = of(false) + of(true).scaled(0.8);
        let tokens = available.count_of(token);
        Pool { bytes: token * tokens, tokens }
    }

    /// llama.cpp allocates everything at the start: `length` tokens in steps of 256, and in layers with a window that plus
    /// a batch, for each sequence.
    fn of_llama_cpp(&self, length: u64, plan: &Plan) -> Bytes {
        let cells = |tokens: u64| tokens.next_multiple_of(256);
        self.kinds
            .iter()
            .map(|k| {
                let kept = match k.window.filter(|_| !plan.full_cache) {
                    Some(window) => cells(length).min(cells(window.saturating_add(plan.batch)) * plan.sequences),
                    None => cells(length),
                };
                (k.token * kept + k.state * plan.sequences) * k.layers
            })
            .sum()
    }
}

/// What one token takes in one layer on one rank.
fn token(attention: &Attention, plan: &Plan) -> Bytes {
    let sized = |keys: u64, values: u64| Bytes::of(keys, plan.cache.keys) + Bytes::of(values, plan.cache.values);
    match attention {
        Attention::Heads(Heads { shares_cache: true, .. }) => Bytes::ZERO,
        Attention::Heads(a) => {
            // A rank holds a head at the least, however many ranks there are.
            let heads = a.kv_heads.div_ceil(plan.tensor_parallel).max(1);
            sized(heads.saturating_mul(a.head_dim), heads.saturating_mul(a.value_dim))
        }
        Attention::Latent(a) => latent_token(a, plan.cache, plan, sized),
    }
}

fn latent_token(a: &Latent, format: CacheFormat, plan: &Plan, sized: impl Fn(u64, u64) -> Bytes) -> Bytes {
    let heads = a.heads.div_ceil(plan.tensor_parallel);
    match plan.engine {
        // Written out as keys and values for each head; TGI pads both to the same length.
        Engine::Tgi => {
            let padded = (a.nope + a.rope).next_multiple_of(128);
            sized(heads.saturating_mul(padded), heads.saturating_mul(padded))
        }
        Engine::LlamaCpp if plan.full_cache => sized(heads.saturating_mul(a.nope + a.rope), heads.saturating_mul(a.value)),
        // One vector for all heads, which every rank holds.
        _ => {
            let indexer = a.indexer.map_or(Bytes::ZERO, |(_, dim)| Bytes(dim + dim / 32));
            indexer + format.latent.map_or_else(|| sized(a.kv_rank + a.rope, 0), Bytes)
        }
    }
}

/// What one sequence takes in one recurrent layer: the convolution's window in the model's dtype, and the state.
fn state(recurrent: &Recurrent, plan: &Plan) -> Bytes {
    (plan.dtype.size(recurrent.convolution_state) + plan.state.size(recurrent.state)).div_ceil(plan.tensor_parallel)
}

/// Blocks of a sequence in a layer with a window: the window and what is in flight, and one more.
fn blocks_of_window(window: u64, length: u64, plan: &Plan) -> u64 {
    length.min(window.saturating_sub(1).saturating_add(plan.batch)).div_ceil(BLOCK) + 1
}

/// Whether vLLM groups layers of different kinds, rather than giving each the whole length.
fn groups_layers(plan: &Plan) -> bool {
    plan.version >= Version(0, 10, 0)
}

/// vLLM's groups of layers: a block is the same for all groups, so each group has as many layers, and pages as large, as
/// the others.
struct Groups {
    /// Bytes of a block over the layers of a group.
    block: Bytes,
    groups: Vec<Group>,
}

struct Group {
    count: u64,
    tokens_of_block: u64,
    window: Option<u64>,
    recurrent: bool,
}

impl Groups {
    fn new(layout: &Layout) -> Groups {
        let kinds = &layout.kinds;
        let largest_token = kinds.iter().map(|k| k.token).max().unwrap_or_default();
        let state = kinds.iter().map(|k| k.state).max().unwrap_or_default();
        // Attention pages are made as large as the state of a recurrent layer.
        let tokens = state.0.div_ceil(largest_token.0.max(1)).next_multiple_of(BLOCK).max(BLOCK);
        let page = if largest_token == Bytes::ZERO { state } else { largest_token * tokens };
        let (least, most) = (kinds.iter().map(|k| k.layers).min().unwrap_or(1).max(1), kinds.iter().map(|k| k.layers).max().unwrap_or(1));
        // A little more than the least is padded to the most; otherwise the most is split into groups of the least.
        let size = if most * 2 < least * 3 { most } else { least };
        let groups = kinds
            .iter()
            .map(|k| Group {
                count: k.layers.div_ceil(size),
                tokens_of_block: if k.token == Bytes::ZERO { tokens } else { page.count_of(k.token).max(1) },
                window: k.window,
                recurrent: k.state > Bytes::ZERO,
            })
            .collect();
        Groups { block: page * size, groups }
    }

    fn count(&self) -> u64 {
        self.groups.iter().map(|g| g.count).sum()
    }

    fn tokens_of_block(&self) -> u64 {
        self.groups.iter().map(|g| g.tokens_of_block).min().unwrap_or(BLOCK)
    }

    fn blocks_of_sequence(&self, length: u64, plan: &Plan) -> u64 {
        let of = |g: &Group| match (g.recurrent, g.window) {
            // From 0.15 on a state has a second block, so that it can be shared at a block's end.
            (true, _) => {
                if plan.version >= Version(0, 15, 0) {
                    2
                } else {
                    1
                }
            }
            (_, Some(window)) => length.min(window.saturating_sub(1).saturating_add(plan.batch)).div_ceil(g.tokens_of_block) + 1,
            _ => length.div_ceil(g.tokens_of_block),
        };
        self.groups.iter().map(|g| of(g) * g.count).sum()
    }
}
