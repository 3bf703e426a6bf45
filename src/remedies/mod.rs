//! Remedies: what the engines' command lines take ([`flags`]), and the user's own command, rebuilt, changed and printed
//! ([`command`]). Neither knows why something is changed.

pub mod command;
pub mod flags;
