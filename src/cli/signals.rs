//! The signals that ask a program to end.

use std::io;

/// Acts once when the process is asked to end: by Ctrl-C, by what manages it, or because its terminal is gone.
#[cfg(unix)]
pub fn at_end(act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut asks = vec![SIGINT, SIGTERM];
    // What was started by `nohup` is to go on without its terminal.
    if !is_ignored(SIGHUP) {
        asks.push(SIGHUP);
    }
    let mut signals = Signals::new(asks)?;
    std::thread::spawn(move || signals.forever().next().map(|_| act()));
    Ok(())
}

/// The same, as far as such a system has it.
#[cfg(not(unix))]
pub fn at_end(act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut act = Some(act);
    ctrlc::set_handler(move || act.take().into_iter().for_each(|act| act())).map_err(io::Error::other)
}

/// True for a signal that whoever started the process had ignored; where the system does not tell, none is.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored >> (signal - 1) & 1 == 1)
}
