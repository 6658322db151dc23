//! State of the view and how keys, answers and time change it. Not here: drawing ([`crate::screens`]), I/O and the
//! clock; time is an argument, counted from the start of the view.
//!
//! Invariant: at most one request is out at a time, and what is on the screen is always from the latest answer to the
//! latest question.

use std::time::Duration;

use crossterm::event::KeyEvent;
use hivewall_view::time::parse_rfc3339;
use hivewall_view::{FlowPage, FlowRow, Snapshot, Sort};

use crate::agent::{Answer, FlowQuestion, Request};
use crate::cursor::Cursor;
use crate::filter_line::{FilterLine, Typed};
use crate::history::History;
use crate::keys::{Command, Motion, command, interrupts};
use crate::rows::Rows;
use crate::tab::Tab;
use crate::theme::Theme;

/// Rows asked for at a time: more than anyone scrolls through before narrowing the filter.
pub(crate) const FLOWS_MAX: usize = 1000;
/// Intervals that `+` and `-` step through, in milliseconds.
const INTERVALS_MS: [u64; 8] = [250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];
/// An agent that has not answered for longer is called slow.
const SLOW: Duration = Duration::from_secs(3);
/// Lines that are not rows on a screen with a table: title, tabs, caption, head, footer.
const CHROME_LINES: u16 = 5;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has this many lines now.
    Resized(u16),
    /// Time has passed.
    Tick,
    /// The agent has answered.
    Answered(Box<Answer>),
}

/// What the caller must do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Send this to the worker.
    Ask(Request),
    /// Leave.
    Quit,
}

/// What lies over the screen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The help.
    Help {
        /// First line shown.
        scroll: usize,
    },
    /// A flow with all its fields, the first line shown, and whether the agent still lists it.
    Details {
        /// The flow as it was last seen.
        row: Box<FlowRow>,
        /// First line shown.
        scroll: usize,
        /// Whether the latest page has it.
        listed: bool,
    },
}

/// How the agent is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Link {
    /// When the request that is out was sent.
    pub(crate) asked: Option<Duration>,
    /// When the data on the screen came.
    pub(crate) answered: Option<Duration>,
    /// Why the latest answer was none.
    pub(crate) error: Option<String>,
}

/// The state of the view.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) agent: String,
    pub(crate) theme: Theme,
    pub(crate) tab: Tab,
    pub(crate) overlay: Overlay,
    pub(crate) interval: Duration,
    pub(crate) paused: bool,
    /// The filter in force.
    pub(crate) filter: String,
    /// The filter being typed.
    pub(crate) editing: Option<FilterLine>,
    /// Order of flows.
    pub(crate) sort: Sort,
    /// Order of talkers and protocols.
    pub(crate) table_sort: Sort,
    pub(crate) snapshot: Option<Box<Snapshot>>,
    pub(crate) page: Option<FlowPage>,
    pub(crate) rows: Rows,
    pub(crate) history: History,
    /// Share of one CPU the agent used between the last two snapshots.
    pub(crate) agent_cpu: Option<f64>,
    pub(crate) link: Link,
    pub(crate) now: Duration,
    cursors: [Cursor; Tab::ALL.len()],
    /// The flow the cursor follows through changes of order; none while it rests on the first row.
    followed: Option<u64>,
    lines: u16,
    due: Duration,
    /// The question changed while a request was out.
    ask_again: bool,
}

impl App {
    /// A view of the agent called `agent` on a terminal of `lines` lines.
    pub(crate) fn new(agent: String, theme: Theme, interval: Duration, lines: u16) -> Self {
        Self {
            agent,
            theme,
            tab: Tab::default(),
            overlay: Overlay::None,
            interval,
            paused: false,
            filter: String::new(),
            editing: None,
            sort: Sort::Rate,
            table_sort: Sort::Rate,
            snapshot: None,
            page: None,
            rows: Rows::default(),
            history: History::default(),
            agent_cpu: None,
            link: Link::default(),
            now: Duration::ZERO,
            cursors: [Cursor::default(); Tab::ALL.len()],
            followed: None,
            lines,
            due: Duration::ZERO,
            ask_again: false,
        }
    }

    /// Takes in `event` at `now`.
    pub(crate) fn update(&mut self, event: Event, now: Duration) -> Effect {
        self.now = now;
        let effect = match event {
            Event::Key(key) => self.key(key),
            Event::Resized(lines) => {
                self.lines = lines;
                Effect::None
            }
            Event::Tick => Effect::None,
            Event::Answered(answer) => self.answered(*answer),
        };
        if effect == Effect::None { self.ask_if_due() } else { effect }
    }

    /// When something is to be done next, if no key is pressed and no answer comes.
    pub(crate) fn next_wake(&self) -> Duration {
        // Ages on the screen are in seconds, so it is drawn anew every second whatever the interval.
        let redraw = self.now + Duration::from_secs(1);
        if self.paused || self.link.asked.is_some() { redraw } else { redraw.min(self.due) }
    }

    /// The cursor of the screen shown.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursors.get(self.tab.index()).copied().unwrap_or_default()
    }

    /// Seconds since the data on the screen came.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.link.answered.map(|at| self.now.saturating_sub(at))
    }

    /// Since when the agent has let us wait, if that is long.
    pub(crate) fn waiting(&self) -> Option<Duration> {
        let waited = self.now.saturating_sub(self.link.asked?);
        (waited >= SLOW).then_some(waited)
    }

    fn key(&mut self, key: KeyEvent) -> Effect {
        if interrupts(key) {
            return Effect::Quit;
        }
        if self.editing.is_some() {
            return self.type_filter(key);
        }
        command(key).map_or(Effect::None, |command| self.command(command))
    }

    fn type_filter(&mut self, key: KeyEvent) -> Effect {
        match self.editing.as_mut().map(|line| line.key(key)) {
            Some(Typed::Apply(text)) => self.set_filter(text),
            Some(Typed::Clear) => self.set_filter(String::new()),
            Some(Typed::Editing) | None => Effect::None,
        }
    }

    fn set_filter(&mut self, text: String) -> Effect {
        self.editing = None;
        if self.filter == text {
            return Effect::None;
        }
        self.filter = text;
        self.followed = None;
        self.set_cursor(Cursor::default());
        self.ask_flows()
    }

    fn command(&mut self, command: Command) -> Effect {
        match command {
            Command::Quit => return Effect::Quit,
            Command::Help => self.toggle_help(),
            Command::Pause => self.paused = !self.paused,
            Command::Slower => self.interval = step_interval(self.interval, true),
            Command::Faster => self.interval = step_interval(self.interval, false),
            Command::Show(tab) => return self.show(tab),
            Command::NextTab => return self.show(self.tab.turn(1)),
            Command::PreviousTab => return self.show(self.tab.turn(Tab::ALL.len() - 1)),
            Command::Move(motion) => self.move_cursor(motion),
            Command::Open => self.open(),
            Command::Back => return self.back(),
            Command::EditFilter => {
                self.editing = Some(FilterLine::new(&self.filter));
                return self.show(Tab::Flows);
            }
            Command::Order(sort) => return self.order(sort),
        }
        self.due = self.due.min(self.now + self.interval);
        Effect::None
    }

    fn toggle_help(&mut self) {
        let open = matches!(self.overlay, Overlay::Help { .. });
        self.overlay = if open { Overlay::None } else { Overlay::Help { scroll: 0 } };
    }

    pub(crate) fn show(&mut self, tab: Tab) -> Effect {
        self.overlay = Overlay::None;
        let entered = self.tab != tab;
        self.tab = tab;
        if entered && tab == Tab::Flows { self.ask_flows() } else { Effect::None }
    }

    fn back(&mut self) -> Effect {
        if self.overlay != Overlay::None {
            self.overlay = Overlay::None;
            return Effect::None;
        }
        self.set_filter(String::new())
    }

    fn open(&mut self) {
        if self.overlay != Overlay::None {
            self.overlay = Overlay::None;
        } else if self.tab == Tab::Flows
            && let Some(row) = self.selected_flow()
        {
            self.overlay = Overlay::Details { row: Box::new(row.clone()), scroll: 0, listed: true };
        }
    }

    fn order(&mut self, sort: Sort) -> Effect {
        if self.tab == Tab::Flows {
            let changed = self.sort != sort;
            self.sort = sort;
            return if changed { self.ask_flows() } else { Effect::None };
        }
        if matches!(self.tab, Tab::Talkers | Tab::Protocols) && matches!(sort, Sort::Bytes | Sort::Packets | Sort::Rate)
        {
            self.table_sort = sort;
            self.prepare();
        }
        Effect::None
    }

    fn move_cursor(&mut self, motion: Motion) {
        let visible = self.visible_rows();
        if let Overlay::Details { scroll, .. } | Overlay::Help { scroll } = &mut self.overlay {
            // How many lines there are is known when they are drawn; drawing stops at the last one.
            let cursor = Cursor { selected: *scroll, offset: *scroll };
            *scroll = cursor.moved(motion, crate::screens::OVERLAY_LINES_MAX, visible).selected;
            return;
        }
        let cursor = self.cursor().moved(motion, self.row_count(), visible);
        self.set_cursor(cursor);
        if self.tab == Tab::Flows {
            self.followed = self.selected_flow().map(|row| row.flow_id).filter(|_| cursor.selected > 0);
        }
    }

    fn set_cursor(&mut self, cursor: Cursor) {
        if let Some(slot) = self.cursors.get_mut(self.tab.index()) {
            *slot = cursor;
        }
    }

    fn visible_rows(&self) -> usize {
        usize::from(self.lines.saturating_sub(CHROME_LINES))
    }

    fn row_count(&self) -> usize {
        match self.tab {
            Tab::Overview => 0,
            Tab::Flows => self.page.as_ref().map_or(0, |page| page.flows.len()),
            Tab::Talkers => self.rows.talkers.len(),
            Tab::Protocols => self.rows.protocols.len(),
            Tab::Interfaces => self.rows.interfaces.len(),
            Tab::Losses => self.rows.losses.len(),
        }
    }

    fn selected_flow(&self) -> Option<&FlowRow> {
        let cursor = self.cursors.get(Tab::Flows.index())?;
        self.page.as_ref()?.flows.get(cursor.selected)
    }

    fn question(&self) -> FlowQuestion {
        FlowQuestion { filter: self.filter.clone(), sort: self.sort, limit: FLOWS_MAX }
    }

    /// Asks for flows at once, even when paused: a new question needs an answer.
    fn ask_flows(&mut self) -> Effect {
        if self.link.asked.is_some() {
            self.ask_again = true;
            return Effect::None;
        }
        self.link.asked = Some(self.now);
        Effect::Ask(Request { snapshot: false, flows: Some(self.question()) })
    }

    fn ask_if_due(&mut self) -> Effect {
        if self.link.asked.is_some() || self.paused || self.now < self.due {
            return Effect::None;
        }
        self.link.asked = Some(self.now);
        self.due = self.now + self.interval;
        let flows = (self.tab == Tab::Flows).then(|| self.question());
        Effect::Ask(Request { snapshot: true, flows })
    }

    fn answered(&mut self, answer: Answer) -> Effect {
        self.link.asked = None;
        self.link.error = None;
        if let Some(snapshot) = answer.snapshot {
            self.take_snapshot(snapshot);
        }
        if let Some((question, page)) = answer.flows
            && question == self.question()
        {
            self.take_page(page);
        }
        if std::mem::take(&mut self.ask_again) && self.tab == Tab::Flows {
            return self.ask_flows();
        }
        Effect::None
    }

    fn take_snapshot(&mut self, answer: Result<Snapshot, String>) {
        match answer {
            Ok(snapshot) => {
                self.link.answered = Some(self.now);
                let rate: f64 = snapshot.protocols.values().map(|traffic| traffic.bits_per_second).sum();
                self.history.push(self.now, rate.max(0.0) as u64);
                self.agent_cpu = self.snapshot.as_deref().and_then(|before| cpu_share(before, &snapshot));
                self.snapshot = Some(Box::new(snapshot));
                self.prepare();
            }
            Err(error) => self.link.error = Some(error),
        }
    }

    fn take_page(&mut self, answer: Result<FlowPage, String>) {
        match answer {
            Ok(page) => self.page = Some(page),
            Err(error) => {
                self.link.error = Some(error);
                return;
            }
        }
        self.follow();
        let flows = self.page.as_ref().map_or(&[][..], |page| &page.flows);
        if let Overlay::Details { row, listed, .. } = &mut self.overlay {
            let latest = flows.iter().find(|flow| flow.flow_id == row.flow_id);
            *listed = latest.is_some();
            if let Some(latest) = latest {
                row.clone_from(&Box::new(latest.clone()));
            }
        }
    }

    /// Puts the cursor back on the flow it was on, wherever the new order has it.
    fn follow(&mut self) {
        let flows = self.page.as_ref().map_or(&[][..], |page| &page.flows);
        let place = self.followed.and_then(|id| flows.iter().position(|flow| flow.flow_id == id));
        let rows = flows.len();
        let visible = self.visible_rows();
        if let Some(cursor) = self.cursors.get_mut(Tab::Flows.index()) {
            cursor.selected = place.unwrap_or(cursor.selected);
            *cursor = cursor.fit(rows, visible);
        }
    }

    fn prepare(&mut self) {
        self.rows = self.snapshot.as_deref().map(|snapshot| Rows::new(snapshot, self.table_sort)).unwrap_or_default();
    }
}

/// CPU seconds used per second between two snapshots of the same agent.
fn cpu_share(before: &Snapshot, after: &Snapshot) -> Option<f64> {
    let (from, to) = (parse_rfc3339(&before.time)?, parse_rfc3339(&after.time)?);
    let seconds = to.0.checked_sub(from.0)? as f64 / 1e9;
    let used = after.host.agent_cpu_seconds - before.host.agent_cpu_seconds;
    (seconds > 0.0 && used >= 0.0).then_some(used / seconds)
}

fn step_interval(interval: Duration, longer: bool) -> Duration {
    let mut steps = INTERVALS_MS.into_iter().map(Duration::from_millis);
    let step = if longer { steps.find(|step| *step > interval) } else { steps.rev().find(|step| *step < interval) };
    step.unwrap_or(interval)
}

#[cfg(test)]
mod tests;
