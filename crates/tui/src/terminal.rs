//! The loop around the view: terminal, keys, worker, clock. Not here: any decision, which is [`App`]'s.
//!
//! Invariant: the terminal is given back as it was, on return, on error and on panic of any thread.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use crossterm::event::{self, KeyEventKind};
use ratatui::DefaultTerminal;

use crate::agent::{Agent, Answer};
use crate::app::{App, Effect, Event};
use crate::options::Options;
use crate::screens;
use crate::worker::Worker;

/// How soon an answer is looked for while a request is out.
const ANSWER_POLL: Duration = Duration::from_millis(20);

/// Shows `agent` until the user leaves. Fails when there is no terminal, when a filter given in `options` is wrong, or
/// when the terminal can no longer be written to.
pub fn run(agent: Box<dyn Agent + Send>, options: &Options) -> io::Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let text = "`top` needs a terminal; use `hivewall top --once` to print the same as text";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let mut app = options.app(agent.name(), std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()))?;
    let worker = Worker::start(agent)?;
    // Also hooks into panics, so that the message is seen on a terminal that works.
    let mut terminal = ratatui::try_init()?;
    let result = follow(&mut app, &worker, &mut terminal);
    ratatui::restore();
    result
}

fn follow(app: &mut App, worker: &Worker, terminal: &mut DefaultTerminal) -> io::Result<()> {
    let start = Instant::now();
    let mut happened = Some(Event::Resized(terminal.size()?.height));
    loop {
        match app.update(happened.take().unwrap_or(Event::Tick), start.elapsed()) {
            Effect::None => {}
            Effect::Ask(request) => worker.ask(request)?,
            Effect::Quit => return Ok(()),
        }
        terminal.draw(|frame| screens::draw(app, frame))?;
        happened = next(app, worker, start)?;
    }
}

/// Waits for a key, a new size, an answer, or the time that the view wants to be woken at.
fn next(app: &App, worker: &Worker, start: Instant) -> io::Result<Option<Event>> {
    let wake = app.next_wake();
    loop {
        if let Some(answer) = worker.answer()? {
            return Ok(Some(answered(answer)));
        }
        let left = wake.saturating_sub(start.elapsed());
        let patience = if app.link.asked.is_some() { left.min(ANSWER_POLL) } else { left };
        if event::poll(patience)? {
            if let Some(event) = read()? {
                return Ok(Some(event));
            }
        } else if patience == left {
            return Ok(None);
        }
    }
}

fn answered(answer: Answer) -> Event {
    Event::Answered(Box::new(answer))
}

fn read() -> io::Result<Option<Event>> {
    Ok(match event::read()? {
        // Some terminals also report releases; a key would count twice.
        event::Event::Key(key) if key.kind != KeyEventKind::Release => Some(Event::Key(key)),
        event::Event::Resize(_, lines) => Some(Event::Resized(lines)),
        _ => None,
    })
}
