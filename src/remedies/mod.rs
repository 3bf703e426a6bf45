//! Remedies: what the engines' command lines take ([`flags`]), and the user's own command, rebuilt, changed and printed
//! ([`command`]), and what has to change for a cause ([`plan`]). The first two know of no cause.

pub mod command;
pub mod flags;
pub mod plan;
