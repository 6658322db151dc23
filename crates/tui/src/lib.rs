//! `hivewall top`: the terminal view of a running agent, this host's or another's.
//!
//! The view is a pure state ([`app`]) that keys, answers and time change, and a pure drawing of it ([`screens`]);
//! [`run`] puts a terminal, a clock and a thread that asks the agent around them. It knows an agent only through
//! [`Agent`] and the documents of `hivewall_view`: no sockets, no HTTP, no kernel here.
#![forbid(unsafe_code)]

mod agent;
mod app;
mod check;
mod complete;
mod copy;
mod cursor;
mod filter_line;
mod format;
mod history;
mod keys;
mod list;
mod options;
mod paper;
mod prompt;
mod rows;
mod screens;
mod tab;
mod table;
mod terminal;
mod theme;
mod travel;
mod width;
mod worker;

#[cfg(test)]
mod samples;

pub use agent::{Agent, FlowQuestion, PolicyAction, PolicyReply};
pub use options::{Colour, Options};
pub use tab::Tab;
pub use terminal::run;

/// Columns of the terminal behind standard output; `None` when there is no terminal.
pub fn terminal_width() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns))
}
