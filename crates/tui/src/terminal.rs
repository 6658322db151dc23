//! The loop around the view: terminal, keys, worker, clock. Not here: any decision, which is [`App`]'s.
//!
//! Invariant: the terminal is given back as it was, on return, on error and on panic of any thread.

use std::io::{self, IsTerminal as _, Write as _};
use std::panic;
use std::time::{Duration, Instant, SystemTime};

use crossterm::event::{self, DisableMouseCapture, EnableMouseCapture, KeyEventKind, MouseEventKind};
use crossterm::execute;
use hivewall_model::Timestamp;
use ratatui::DefaultTerminal;

use crate::agent::{Agent, Answer};
use crate::app::{App, Effect, Event};
use crate::copy;
use crate::options::{Options, Surroundings};
use crate::paper::Spots;
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
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let many_colours = crossterm::style::available_color_count() > 16;
    let mut app = options.app(agent.name(), Surroundings { no_color, many_colours, now: now() })?;
    let worker = Worker::start(agent)?;
    // Also hooks into panics, so that the message is seen on a terminal that works.
    let mut terminal = ratatui::try_init()?;
    let result = take_mouse().and_then(|()| follow(&mut app, &worker, &mut terminal));
    // A terminal that cannot be told to keep the mouse is not told anything else either.
    let _ = execute!(io::stdout(), DisableMouseCapture);
    ratatui::restore();
    result
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(0) + since
}

/// Asks the terminal for the mouse, and has it given back on panic before the rest of the terminal is.
fn take_mouse() -> io::Result<()> {
    let rest = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        let _ = execute!(io::stdout(), DisableMouseCapture);
        rest(what);
    }));
    execute!(io::stdout(), EnableMouseCapture)
}

fn follow(app: &mut App, worker: &Worker, terminal: &mut DefaultTerminal) -> io::Result<()> {
    let start = Instant::now();
    let mut happened = Some(Event::Resized(terminal.size()?.height));
    loop {
        match app.update(happened.take().unwrap_or(Event::Tick), start.elapsed()) {
            Effect::None => {}
            Effect::Ask(request) => worker.ask(request)?,
            Effect::Copy(text) => copy(&text)?,
            Effect::Mouse(true) => execute!(io::stdout(), EnableMouseCapture)?,
            Effect::Mouse(false) => execute!(io::stdout(), DisableMouseCapture)?,
            Effect::Quit => return Ok(()),
        }
        let mut spots = Spots::default();
        terminal.draw(|frame| spots = screens::draw(app, frame))?;
        app.spots = spots;
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

fn copy(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(copy::sequence(text).unwrap_or_default().as_bytes())?;
    out.flush()
}

fn answered(answer: Answer) -> Event {
    Event::Answered(Box::new(answer))
}

fn read() -> io::Result<Option<Event>> {
    Ok(match event::read()? {
        // Some terminals also report releases; a key would count twice.
        event::Event::Key(key) if key.kind != KeyEventKind::Release => Some(Event::Key(key)),
        // Every movement of the pointer is reported too; drawing for each of them would be felt on a slow line.
        event::Event::Mouse(mouse) if !matches!(mouse.kind, MouseEventKind::Moved | MouseEventKind::Drag(_)) => {
            Some(Event::Mouse(mouse))
        }
        event::Event::Resize(_, lines) => Some(Event::Resized(lines)),
        _ => None,
    })
}
