//! How far off the figures are, and how likely something fits.
//!
//! Margins are standard deviations of the error on the measured set, by component; where nothing was measured they are
//! set wider by hand, and say so. Errors of components are taken as independent and normal, so that the error of a sum is
//! the root of the sum of their squares.

use super::engine::{Engine, Plan, Version};
use crate::memory::format::Method;
use crate::memory::size::GIB;
use crate::memory::{Bytes, Model};

/// A share of a size and a constant, in hundredths of a percent and in MiB.
fn of(size: Bytes, share: f64, mib: u64) -> Bytes {
    size.scaled(share) + Bytes::mib(mib)
}

/// The margin of weights.
pub fn weights(size: Bytes, model: &Model, plan: &Plan) -> Bytes {
    let known = match (&model.stored, &model.shape, plan.quantization.method) {
        (Some(_), _, _) if plan.quantization == model.quantization => of(size, 0.003, 16),
        (_, Some(_), Some(Method::Gguf(_))) => of(size, 0.05, 64),
        // Recipes for 4 bits differ in what they leave in 16, which a name does not say: 2 to 16 % too little.
        (None, Some(_), Some(Method::Nvfp4 | Method::PackedInt { bits: 4, .. })) if model.quantization_is_named => of(size, 0.08, 64),
        (_, Some(_), Some(_)) => of(size, 0.02, 32),
        (_, Some(_), None) => of(size, 0.004, 32),
        // Which tensors stay in 16 bit is not known without a shape.
        (_, None, Some(_)) => of(size, 0.12, 64),
        (_, None, None) => of(size, 0.02, 64),
    };
    // A count read from a name is off by what rounding took away, and a base model may differ in its vocabulary.
    let base = if model.base.is_some() { size.scaled(0.01) } else { Bytes::ZERO };
    root([known, size.scaled(model.uncertainty), base])
}

/// The margin of the activation peak.
pub fn activation(size: Bytes, plan: &Plan) -> Bytes {
    match plan.engine {
        Engine::Vllm if plan.version >= Version(0, 17, 0) => of(size, 0.05, 40),
        Engine::Vllm if plan.version >= Version(0, 8, 0) => of(size, 0.10, 60),
        Engine::Vllm => of(size, 0.30, 100),
        // Not measured.
        Engine::Tgi => of(size, 0.50, 200),
        Engine::Sglang => of(size, 0.40, 150),
        Engine::LlamaCpp => of(size, 0.25, 60),
    }
}

/// The margin of memory outside PyTorch, communication included.
pub fn outside_torch(size: Bytes, plan: &Plan) -> Bytes {
    if plan.tensor_parallel > 1 { of(size, 0.15, 150) } else { of(size, 0.0, 90) }
}

/// The margin of CUDA graphs. Versions around those that the formula was fitted on come near; others took from a fifth to
/// three times as much.
pub fn graphs(size: Bytes, plan: &Plan) -> Bytes {
    let fitted = plan.vllm_from(Version(0, 15, 0)) && plan.version < Version(0, 20, 0);
    if fitted { size.scaled(0.22) } else { of(size, 0.35, 64) }
}

/// The margin of the driver's context: no engine prints it.
pub fn context() -> Bytes {
    Bytes(GIB / 8)
}

/// The margin of what a cache needs: the formula is exact.
pub fn cache(size: Bytes, plan: &Plan) -> Bytes {
    size.scaled(if plan.engine == Engine::Tgi { 0.01 } else { 0.003 })
}

/// The margin of a sum.
pub fn root(margins: impl IntoIterator<Item = Bytes>) -> Bytes {
    let squares: f64 = margins.into_iter().map(|m| (m.0 as f64).powi(2)).sum();
    Bytes(squares.sqrt() as u64)
}

/// The probability that a sum with this margin stays within its limit.
pub fn probability(needed: Bytes, limit: Bytes, margin: Bytes) -> f64 {
    let room = limit.difference(needed) as f64;
    // Nothing is known to the byte.
    let margin = margin.max(Bytes::mib(1)).0 as f64;
    normal(room / margin)
}

/// The distribution function of the normal distribution, to 1e-7 (Abramowitz and Stegun 26.2.17).
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let density = 0.398_942_280_4 * (-z * z / 2.0).exp();
    let tail = density * t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = tail.clamp(0.0, 1.0);
    if z > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_normal() {
        for (z, p) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.0, 0.158_655_3), (1.644_854, 0.95), (-40.0, 0.0), (40.0, 1.0)] {
            assert!((normal(z) - p).abs() < 1e-6, "{z}: {}", normal(z));
        }
    }

    #[test]
    fn a_sum_is_less_uncertain_than_its_parts_together() {
        assert_eq!(root([Bytes(3), Bytes(4)]), Bytes(5));
    }
}
