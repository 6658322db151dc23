//! State of the view and how keys, mouse, answers and time change it: what is asked in [`data`], what is selected and
//! where it leads in [`browse`]. Not here: drawing ([`crate::screens`]), I/O and the clock; time is an argument, counted
//! from the start of the view.
//!
//! Invariant: at most one request is out at a time, and what is on the screen is always from the latest answer to the
//! latest question.

mod browse;
mod data;
mod policy;

use std::time::Duration;

use crossterm::event::{KeyEvent, MouseEvent};
use hivewall_view::fleet::FleetView;
use hivewall_view::policy::Explanation;
use hivewall_view::{FlowPage, FlowRow, Snapshot, Sort};

use crate::agent::{Answer, PolicyAction, Request};
use crate::cursor::Cursor;
use crate::filter_line::{FilterLine, Typed};
use crate::history::{History, Trends};
use crate::keys::{Command, command, interrupts};
use crate::list::{List, Orders};
use crate::paper::Spots;
use crate::prompt::Prompt;
use crate::rows::Rows;
use crate::tab::Tab;
use crate::theme::Theme;
use crate::travel::{Moment, names_time};

/// Rows asked for at a time: more than anyone scrolls through before narrowing the filter.
pub(crate) const FLOWS_MAX: usize = 1000;
/// Intervals that `+` and `-` step through, in milliseconds.
const INTERVALS_MS: [u64; 8] = [250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];
/// An agent that has not answered for longer is called slow.
const SLOW: Duration = Duration::from_secs(3);
/// How long a notice stays.
const NOTICE: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// A button of the mouse was pressed, or its wheel turned.
    Mouse(MouseEvent),
    /// The terminal has this many lines now.
    Resized(u16),
    /// Time has passed.
    Tick,
    /// The agent has answered.
    Answered(Box<Answer>),
}

/// What the caller must do.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Send this to the worker.
    Ask(Request),
    /// Put this onto the clipboard of the terminal.
    Copy(String),
    /// Take the mouse, or leave it to the terminal.
    Mouse(bool),
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
    /// What becomes of a packet.
    Explained {
        /// The verdict and the way to it.
        explanation: Box<Explanation>,
        /// First line shown.
        scroll: usize,
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

/// Something to say once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// One line.
    pub(crate) text: String,
    /// Whether something did not go as asked.
    pub(crate) bad: bool,
    /// Until when it stays.
    until: Duration,
}

/// Where one was before `Open` led elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    tab: Tab,
    filter: String,
    grouped: bool,
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
    /// The command being typed or waiting for a yes.
    pub(crate) prompt: Option<Prompt>,
    /// The command that is to be sent next.
    action: Option<PolicyAction>,
    /// Order of flows.
    pub(crate) sort: Sort,
    /// Order of everything else.
    pub(crate) orders: Orders,
    /// Whether flows are shown by process.
    pub(crate) grouped: bool,
    /// The moment in the past that is looked at; none for now.
    pub(crate) moment: Option<Moment>,
    pub(crate) snapshot: Option<Box<Snapshot>>,
    /// The fleet, where the agent is in one.
    pub(crate) fleet: Option<Box<FleetView>>,
    /// Whether the agent has said what fleet it is in, if any.
    pub(crate) fleet_asked: bool,
    pub(crate) page: Option<FlowPage>,
    pub(crate) rows: Rows,
    /// Bits per second received and sent by all captured interfaces.
    pub(crate) rates: [History; 2],
    pub(crate) trends: Trends,
    /// Share of one CPU the agent used between the last two snapshots.
    pub(crate) agent_cpu: Option<f64>,
    pub(crate) link: Link,
    pub(crate) now: Duration,
    /// What lies where on the screen; set by whoever has drawn it.
    pub(crate) spots: Spots,
    /// Whether the mouse is ours.
    pub(crate) mouse: bool,
    notice: Option<Notice>,
    cursors: [Cursor; List::ALL.len()],
    /// The rows the cursors follow through changes of order; none while they rest on the first row.
    followed: [Option<String>; List::ALL.len()],
    /// Which of its lists has the cursor, for each screen.
    focus: [usize; Tab::ALL.len()],
    trail: Vec<Place>,
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
            prompt: None,
            action: None,
            sort: Sort::Rate,
            orders: Orders::default(),
            grouped: false,
            moment: None,
            snapshot: None,
            fleet: None,
            fleet_asked: false,
            page: None,
            rows: Rows::default(),
            rates: Default::default(),
            trends: Trends::default(),
            agent_cpu: None,
            link: Link::default(),
            now: Duration::ZERO,
            spots: Spots::default(),
            mouse: true,
            notice: None,
            cursors: [Cursor::default(); List::ALL.len()],
            followed: [const { None }; List::ALL.len()],
            focus: [0; Tab::ALL.len()],
            trail: Vec::new(),
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
            Event::Mouse(mouse) => self.pointed(mouse),
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

    /// Time since the data on the screen came.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.link.answered.map(|at| self.now.saturating_sub(at))
    }

    /// Since when the agent has let us wait, if that is long.
    pub(crate) fn waiting(&self) -> Option<Duration> {
        let waited = self.now.saturating_sub(self.link.asked?);
        (waited >= SLOW).then_some(waited)
    }

    /// Share of one CPU the agent uses: by its own figure of the last second, else measured between two snapshots.
    pub(crate) fn agent_share(&self) -> Option<f64> {
        let told = self.snapshot.as_deref().map(|snapshot| snapshot.agent.cpu_share).filter(|share| *share > 0.0);
        told.or(self.agent_cpu)
    }

    /// What is to be said now, if anything.
    pub(crate) fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref().filter(|notice| self.now < notice.until)
    }

    fn say(&mut self, text: impl Into<String>, bad: bool) {
        self.notice = Some(Notice { text: text.into(), bad, until: self.now + NOTICE });
    }

    fn key(&mut self, key: KeyEvent) -> Effect {
        if interrupts(key) {
            return Effect::Quit;
        }
        self.notice = None;
        if self.editing.is_some() {
            return self.type_filter(key);
        }
        if self.prompt.is_some() {
            return self.type_prompt(key);
        }
        command(key).map_or(Effect::None, |command| self.command(command))
    }

    fn type_filter(&mut self, key: KeyEvent) -> Effect {
        match self.editing.as_mut().map(|line| line.key(key)) {
            Some(Typed::Apply(text)) if self.moment.is_some() && names_time(&text) => {
                self.editing = None;
                self.say("the time is set: [ ] move it by a minute, { } by an hour", true);
                Effect::None
            }
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
        self.rest_cursor(List::Flows);
        self.rest_cursor(List::Groups);
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
            Command::NextList => return self.turn_list(true),
            Command::PreviousList => return self.turn_list(false),
            Command::Move(motion) => self.move_cursor(motion),
            Command::Open => return self.open(),
            Command::Close => return self.close(),
            Command::Back => return self.back(),
            Command::EditFilter => {
                self.editing = Some(FilterLine::new(&self.filter));
                return self.show(Tab::Flows);
            }
            Command::Order(sort) => return self.order(sort),
            Command::StepOrder(step) => return self.step_order(step),
            Command::Reverse => self.reverse(),
            Command::Group => return self.group(),
            Command::Copy => return self.copy(false),
            Command::CopyJson => return self.copy(true),
            Command::Travel(seconds) => return self.travel(seconds),
            Command::Mouse => return self.leave_mouse(),
            Command::Form(form) => self.begin_form(form),
            Command::Unban => self.begin_unban(),
            Command::Acknowledge => self.begin_acknowledge(),
            Command::Confirm => self.begin_command(PolicyAction::Confirm),
            Command::Rollback => self.begin_command(PolicyAction::Rollback),
        }
        self.due = self.due.min(self.now + self.interval);
        Effect::None
    }

    fn toggle_help(&mut self) {
        let open = matches!(self.overlay, Overlay::Help { .. });
        self.overlay = if open { Overlay::None } else { Overlay::Help { scroll: 0 } };
    }

    /// Goes to a screen.
    pub(crate) fn show(&mut self, tab: Tab) -> Effect {
        self.overlay = Overlay::None;
        let entered = self.tab != tab;
        self.tab = tab;
        if entered && tab == Tab::Fleet {
            // Nobody asked for it while it was not looked at.
            self.due = self.now;
        }
        if entered && tab == Tab::Flows { self.ask_flows() } else { Effect::None }
    }

    fn close(&mut self) -> Effect {
        if self.overlay != Overlay::None {
            self.overlay = Overlay::None;
            return Effect::None;
        }
        self.set_filter(String::new())
    }

    fn travel(&mut self, seconds: i64) -> Effect {
        let Some(moment) = self.moment else {
            self.say("this is now; `hivewall top --at TIME` looks at history", true);
            return Effect::None;
        };
        self.moment = Some(moment.moved(seconds));
        self.ask_flows()
    }

    fn leave_mouse(&mut self) -> Effect {
        self.mouse = !self.mouse;
        let text =
            if self.mouse { "the mouse works here again" } else { "the mouse is the terminal's: m takes it back" };
        self.say(text, false);
        Effect::Mouse(self.mouse)
    }
}

fn step_interval(interval: Duration, longer: bool) -> Duration {
    let mut steps = INTERVALS_MS.into_iter().map(Duration::from_millis);
    let step = if longer { steps.find(|step| *step > interval) } else { steps.rev().find(|step| *step < interval) };
    step.unwrap_or(interval)
}

#[cfg(test)]
mod tests;
