//! All components together, the engine's budget, and the verdict.

use super::cache::{Layout, Pool};
use super::engine::{Engine, Plan, Setup, Version};
use super::{activation, margin, overhead, weights};
use crate::memory::{Bytes, Device, Model};

/// How a figure is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FigureBasis {
    /// A log printed it.
    Logged,
    /// Computed from the model, the device and the setup.
    Computed,
    /// A difference of other figures.
    Derived,
}

impl FigureBasis {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            FigureBasis::Logged => "logged",
            FigureBasis::Computed => "computed",
            FigureBasis::Derived => "derived",
        }
    }
}

/// A size, how it is known, and how far off it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// The size.
    pub bytes: Bytes,
    /// How it is known.
    pub basis: FigureBasis,
    /// One standard deviation of its error.
    pub margin: Bytes,
}

impl Figure {
    /// A computed figure.
    pub const fn computed(bytes: Bytes, margin: Bytes) -> Figure {
        Figure { bytes, basis: FigureBasis::Computed, margin }
    }

    /// A figure that a log printed, rounded to hundredths of a GiB.
    pub const fn logged(bytes: Bytes) -> Figure {
        Figure { bytes, basis: FigureBasis::Logged, margin: Bytes::mib(5) }
    }
}

/// What a log said of components. It beats what is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// Weights of one rank.
    pub weights: Option<Bytes>,
    /// The activation peak.
    pub activation: Option<Bytes>,
    /// Memory outside PyTorch.
    pub outside_torch: Option<Bytes>,
    /// CUDA graphs.
    pub graphs: Option<Bytes>,
    /// The driver's context.
    pub context: Option<Bytes>,
}

/// A component beside weights, cache and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: &'static str,
    /// Its size.
    pub figure: Figure,
    /// Whether the engine takes it out of its budget. What it does not must find room beside the budget.
    pub budgeted: bool,
}

/// Whether something fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nine times in ten, by the margins.
    Fits,
    /// More likely than not.
    Tight,
    /// Less likely than not.
    Exceeds,
    /// Not known well enough to say.
    Unknown,
}

impl Verdict {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Fits => "fits",
            Verdict::Tight => "tight",
            Verdict::Exceeds => "exceeds",
            Verdict::Unknown => "unknown",
        }
    }

    /// What a probability means.
    pub fn of(probability: f64) -> Verdict {
        match probability {
            p if p >= 0.9 => Verdict::Fits,
            p if p >= 0.5 => Verdict::Tight,
            _ => Verdict::Exceeds,
        }
    }
}

/// What a setup needs of each device.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The setup with its defaults.
    pub plan: Plan,
    /// The device's usable memory.
    pub total: Bytes,
    /// What the engine may take of it.
    pub limit: Bytes,
    /// Weights.
    pub weights: Figure,
    /// The activation peak; none if the shape is not known.
    pub activation: Option<Figure>,
    /// Everything else.
    pub overheads: Vec<Component>,
    /// What one token takes in all layers together; none if the shape is not known.
    pub token: Option<Bytes>,
    /// Tokens that the cache must hold for the engine to start.
    pub needed_tokens: u64,
    /// What they take; none if the shape is not known.
    pub needed_cache: Option<Figure>,
    /// The pool that it would allocate.
    pub pool: Option<Pool>,
    /// The probability of fitting; none if the cache is not known and the rest fits.
    pub probability: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
}

impl Estimate {
    /// Overheads in the engine's budget.
    pub fn overhead(&self) -> Bytes {
        self.overheads.iter().filter(|c| c.budgeted).map(|c| c.figure.bytes).sum()
    }

    /// What must find room beside the budget.
    pub fn beside(&self) -> Bytes {
        self.overheads.iter().filter(|c| !c.budgeted).map(|c| c.figure.bytes).sum()
    }

    /// The cache in the sum: the pool where it fits, what it would need at least where it does not.
    pub fn cache(&self) -> Bytes {
        let needed = self.needed_cache.map_or(Bytes::ZERO, |f| f.bytes);
        self.pool.map_or(needed, |pool| pool.bytes.max(needed))
    }

    /// What one token takes of the pool, as the engine counts tokens: with layers of several kinds that is more than their
    /// sum, for blocks are padded to one size.
    pub fn kv_per_token(&self) -> Option<Bytes> {
        self.pool.filter(|pool| pool.tokens > 0).map(|pool| Bytes(pool.bytes.0 / pool.tokens)).or(self.token)
    }

    /// Everything in the budget.
    pub fn sum(&self) -> Bytes {
        self.fixed() + self.cache()
    }

    /// Everything in the budget but the cache.
    pub fn fixed(&self) -> Bytes {
        self.weights.bytes + self.activation.map_or(Bytes::ZERO, |f| f.bytes) + self.overhead()
    }

    /// The probability that the engine's share and what lies beside it find room on the device together.
    pub fn room_beside(&self) -> f64 {
        let needed = self.needed_cache.map_or(Bytes::ZERO, |f| f.bytes);
        match self.plan.engine {
            // If graphs do not fit, the server dies all the same.
            Engine::Vllm => margin::probability(self.limit + self.beside(), self.total, margin::root([margin::context(), beside_margin(self)])),
            Engine::Sglang => {
                margin::probability(self.weights.bytes + needed, static_share(self), margin::root([self.weights.margin, margin::context()]))
            }
            Engine::Tgi | Engine::LlamaCpp => 1.0,
        }
    }

    /// What is left of the budget; negative if it does not suffice.
    pub fn margin(&self) -> i128 {
        self.limit.difference(self.sum())
    }
}

/// What a model needs of each device under a setup, and whether that fits.
pub fn estimate(model: &Model, device: &Device, setup: &Setup) -> Estimate {
    estimate_with(model, device, setup, &Known::default())
}

/// The same, with figures that a log printed.
pub fn estimate_with(model: &Model, device: &Device, setup: &Setup, known: &Known) -> Estimate {
    let plan = Plan::new(setup, model, device);
    let shape = model.shape.as_ref();
    let computed = |bytes: Bytes, margin: Bytes, logged: Option<Bytes>| logged.map_or(Figure::computed(bytes, margin), Figure::logged);

    let bytes = weights::of_rank(model, &plan).saturating_sub(plan.offloaded);
    let weights = computed(bytes, margin::weights(bytes, model, &plan), known.weights);
    let activation = match (shape, known.activation) {
        (_, Some(bytes)) => Some(Figure::logged(bytes)),
        (Some(shape), None) => {
            let bytes = activation::peak(model, shape, &plan, device).total();
            Some(Figure::computed(bytes, margin::activation(bytes, &plan)))
        }
        (None, None) => None,
    };
    let layout = shape.map(|shape| Layout::new(shape, &plan));
    let needed_cache = layout.as_ref().map(|layout| {
        let bytes = layout.need(least_tokens(&plan), &plan);
        Figure::computed(bytes, margin::cache(bytes, &plan))
    });

    let mut estimate = Estimate {
        limit: device.total.fraction(plan.fraction),
        total: device.total,
        weights,
        activation,
        overheads: overheads(model, device, &plan, known),
        token: layout.as_ref().map(Layout::token),
        needed_tokens: least_tokens(&plan),
        needed_cache,
        pool: None,
        probability: None,
        verdict: Verdict::Unknown,
        plan,
    };
    estimate.pool = layout.map(|layout| pool(&layout, &estimate));
    let probability = probability(&estimate, device);
    // Without a shape the cache and the activations are missing from the sum: it can only be too much already.
    if shape.is_some() || probability < 0.1 {
        estimate.probability = Some(probability);
        estimate.verdict = Verdict::of(probability);
    }
    estimate
}

/// Tokens that the cache must hold for the engine to start.
fn least_tokens(plan: &Plan) -> u64 {
    match plan.engine {
        Engine::Vllm | Engine::LlamaCpp => plan.length,
        Engine::Tgi if plan.version < Version(3, 0, 0) => {
            // The warm-up batch: as many of the longest prompts as the batch holds, each with room for its answer.
            let prompt = plan.length.saturating_sub(1).max(1);
            plan.batch.div_ceil(prompt).saturating_mul(plan.length)
        }
        Engine::Tgi if plan.length_given => plan.batch.max(plan.length),
        Engine::Tgi => plan.batch,
        // It starts with whatever is left; a length that was asked for should fit all the same.
        Engine::Sglang if plan.length_given => plan.length,
        Engine::Sglang => plan.batch,
    }
}

fn overheads(model: &Model, device: &Device, plan: &Plan, known: &Known) -> Vec<Component> {
    let shape = model.shape.as_ref();
    let component = |name, bytes: Bytes, margin: Bytes, logged: Option<Bytes>, budgeted| Component {
        name,
        figure: logged.map_or(Figure::computed(bytes, margin), Figure::logged),
        budgeted,
    };
    let context = overhead::context(plan);
    let outside = overhead::outside_torch(shape, plan, device);
    let graphs = overhead::graphs(shape, plan);
    let mut all = vec![
        component("context", context, margin::context(), known.context, overhead::context_is_budgeted(plan)),
        component("communication", outside, margin::outside_torch(outside, plan), known.outside_torch, true),
        component("cuda-graphs", graphs, margin::graphs(graphs, plan), known.graphs, graphs_are_budgeted(plan)),
    ];
    if let Some(bytes) = device.in_use {
        // vLLM does not count what others hold against its budget, but refuses to start without all of it.
        all.push(Component { name: "other-processes", figure: Figure::computed(bytes, Bytes::mib(64)), budgeted: plan.engine != Engine::Vllm });
    }
    all.retain(|c| c.figure.bytes > Bytes::ZERO);
    all
}

fn graphs_are_budgeted(plan: &Plan) -> bool {
    match plan.engine {
        Engine::Vllm => overhead::graphs_are_budgeted(plan),
        // Captured after the cache was sized; a failure is got over.
        Engine::Tgi => false,
        Engine::Sglang | Engine::LlamaCpp => true,
    }
}

/// The pool that the engine allocates: by its own rule, what is left.
fn pool(layout: &Layout, e: &Estimate) -> Pool {
    let plan = &e.plan;
    let left = e.limit.saturating_sub(e.fixed());
    match plan.engine {
        Engine::Vllm => layout.pool(left, plan),
        Engine::LlamaCpp => Pool { bytes: layout.need(plan.length, plan), tokens: plan.length.next_multiple_of(256) },
        Engine::Tgi => {
            let warmed = layout.need(least_tokens(plan), plan);
            let free = left.saturating_sub(warmed);
            let spare = match plan.version {
                v if v >= Version(3, 0, 0) => free.saturating_sub(e.limit.fraction(0.1)),
                v if v >= Version(2, 0, 0) => free.fraction(0.95),
                _ => free,
            };
            layout.pool(if left < warmed { left } else { warmed + spare }, plan)
        }
        Engine::Sglang => layout.pool(static_share(e).saturating_sub(e.weights.bytes), plan),
    }
}

/// What SGLang's fraction is a fraction of: the memory that is free before the weights are loaded.
fn static_share(e: &Estimate) -> Bytes {
    let before: Bytes = e.overheads.iter().filter(|c| c.name != "cuda-graphs").map(|c| c.figure.bytes).sum();
    e.total.saturating_sub(before).fraction(e.plan.fraction)
}

/// The least likely of all that has to hold.
fn probability(e: &Estimate, device: &Device) -> f64 {
    let needed = e.needed_cache.map_or(Bytes::ZERO, |f| f.bytes);
    let parts = |budgeted_only: bool| {
        let overheads = e.overheads.iter().filter(move |c| c.budgeted || !budgeted_only).map(|c| c.figure.margin);
        margin::root([e.weights.margin].into_iter().chain(e.activation.map(|f| f.margin)).chain(e.needed_cache.map(|f| f.margin)).chain(overheads))
    };
    let in_budget = {
        let margin = margin::root([parts(true), device.margin.fraction(e.plan.fraction)]);
        let limit = if e.plan.engine == Engine::Sglang { e.total } else { e.limit };
        margin::probability(e.fixed() + needed, limit, margin)
    };
    in_budget.min(e.room_beside())
}

fn beside_margin(e: &Estimate) -> Bytes {
    margin::root(e.overheads.iter().filter(|c| !c.budgeted).map(|c| c.figure.margin))
}
