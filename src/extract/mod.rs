//! Grammars: what is too rich for a pattern is read by a parser of its own.

pub mod allocator;
pub mod arguments;
pub mod payload;
pub mod tables;

use std::sync::Arc;

use crate::extract::arguments::Arguments;
use crate::facts::Fact;

/// Fills a fact's figures from an allocator's out-of-memory message.
pub fn fill_from_allocator(fact: &mut Fact, flat: &str) {
    let Some(allocation) = allocator::parse(flat) else { return };
    let figures = &mut fact.figures;
    let own = allocator::identify_self(&allocation);
    figures.device = allocation.device.map(u64::from).or(figures.device);
    figures.tried_bytes = allocation.tried.or(figures.tried_bytes);
    figures.total_bytes = allocation.total.or(figures.total_bytes);
    figures.free_bytes = allocation.free.or(figures.free_bytes);
    figures.allocated_bytes = allocation.allocated.or(figures.allocated_bytes);
    figures.reserved_bytes = allocation.reserved.or(figures.reserved_bytes);
    figures.reserved_unallocated_bytes = allocation.unallocated.or(figures.reserved_unallocated_bytes);
    figures.private_pools_bytes = allocation.private.or(figures.private_pools_bytes);
    figures.limit_bytes = allocation.limit.or(figures.limit_bytes);
    figures.process_bytes = own.own.or(figures.process_bytes);
    figures.other_processes_bytes = own.others.or(figures.other_processes_bytes);
    let foreign = allocation.others.iter().filter(|(pid, _)| Some(*pid) != own.own_pid);
    if let Some((pid, _)) = foreign.max_by_key(|(_, bytes)| *bytes) {
        fact.attributes.insert("other_pid".into(), pid.to_string());
    }
}

/// Keeps a dump of arguments, and the version that it states.
pub fn fill_from_arguments(fact: &mut Fact, arguments: Arguments) {
    if let Some(version) = &arguments.version {
        fact.attributes.insert("version".into(), version.clone());
    }
    if let Some(engine) = arguments.engine {
        fact.engine = Some(Arc::from(engine));
    }
    fact.arguments = Some(Arc::new(arguments));
}
