//! Every colour and what it means, with many, with sixteen and without colours. Not here: anything drawn.
//!
//! Invariant: no meaning is carried by colour alone; without colour bold, dim and reversed stand in, and the words or
//! marks beside them say the same.

use std::time::Duration;

use ratatui::style::{Color, Modifier, Style};

/// A flow that was silent for longer is quiet.
const QUIET: Duration = Duration::from_secs(5);
/// A flow that was silent for longer is stale.
const STALE: Duration = Duration::from_secs(30);

/// A mid-grey that can be read on dark and on light backgrounds; "bright black" cannot on some palettes.
const GREY: Color = Color::Indexed(244);
/// Background of the selected row.
const SELECTED: Color = Color::Indexed(24);
/// What stands for [`GREY`] where there are sixteen colours.
const GREY_OF_SIXTEEN: Color = Color::DarkGray;
/// What stands for [`SELECTED`] where there are sixteen colours.
const SELECTED_OF_SIXTEEN: Color = Color::Blue;

/// The colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    /// None: bold, dim and reversed.
    None,
    /// The terminal's own sixteen.
    Sixteen,
    /// 256 or more.
    Many,
}

/// Styles by meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    palette: Palette,
}

#[expect(clippy::unused_self, reason = "who draws does not know which styles depend on colour")]
impl Theme {
    /// A theme of these colours.
    pub(crate) fn new(palette: Palette) -> Self {
        Self { palette }
    }

    fn pick(self, colour: Color, otherwise: Modifier) -> Style {
        match self.palette {
            Palette::None => Style::new().add_modifier(otherwise),
            Palette::Sixteen if colour == GREY => Style::new().fg(GREY_OF_SIXTEEN),
            Palette::Sixteen | Palette::Many => Style::new().fg(colour),
        }
    }

    /// Name of the program, titles of parts.
    pub(crate) fn title(self) -> Style {
        self.pick(Color::Cyan, Modifier::BOLD).add_modifier(Modifier::BOLD)
    }

    /// Heads of columns.
    pub(crate) fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The column that the rows are ordered by.
    pub(crate) fn sorted(self) -> Style {
        self.title().add_modifier(Modifier::UNDERLINED)
    }

    /// Rules and borders.
    pub(crate) fn rule(self) -> Style {
        self.dim()
    }

    /// What matters less.
    pub(crate) fn dim(self) -> Style {
        self.pick(GREY, Modifier::DIM)
    }

    /// Plain text.
    pub(crate) fn plain(self) -> Style {
        Style::new()
    }

    /// What matters most in a row.
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// As it should be.
    pub(crate) fn good(self) -> Style {
        self.pick(Color::Green, Modifier::empty())
    }

    /// Worth a look.
    pub(crate) fn warn(self) -> Style {
        self.pick(Color::Yellow, Modifier::BOLD)
    }

    /// Wrong.
    pub(crate) fn bad(self) -> Style {
        self.pick(Color::Red, Modifier::BOLD).add_modifier(Modifier::BOLD)
    }

    /// Traffic: graphs and bars.
    pub(crate) fn traffic(self) -> Style {
        self.pick(Color::Cyan, Modifier::empty())
    }

    /// Something guessed.
    pub(crate) fn inferred(self) -> Style {
        self.pick(Color::Magenta, Modifier::empty())
    }

    /// The selected row or tab.
    pub(crate) fn selected(self) -> Style {
        let on = |ground| Style::new().fg(Color::White).bg(ground).add_modifier(Modifier::BOLD);
        match self.palette {
            Palette::None => Style::new().add_modifier(Modifier::REVERSED),
            Palette::Sixteen => on(SELECTED_OF_SIXTEEN),
            Palette::Many => on(SELECTED),
        }
    }

    /// The chosen one of several lists.
    pub(crate) fn chosen(self) -> Style {
        self.title().add_modifier(Modifier::UNDERLINED)
    }

    /// A line that must not be missed.
    pub(crate) fn banner(self) -> Style {
        if self.palette == Palette::None {
            Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
        } else {
            Style::new().fg(Color::White).bg(Color::Red).add_modifier(Modifier::BOLD)
        }
    }

    /// A flow by the time since its latest packet.
    pub(crate) fn freshness(self, idle: Duration) -> Style {
        match idle {
            idle if idle > STALE => self.dim().add_modifier(Modifier::DIM),
            idle if idle > QUIET => self.dim(),
            _ => self.plain(),
        }
    }

    /// A load between 0 and 1.
    pub(crate) fn load(self, share: f64) -> Style {
        match share {
            s if s >= 0.9 => self.bad(),
            s if s >= 0.7 => self.warn(),
            _ => self.good(),
        }
    }

    /// A round-trip time: as between neighbours, as across a continent, or worse.
    pub(crate) fn latency(self, seconds: f64) -> Style {
        match seconds {
            s if s >= 0.3 => self.bad(),
            s if s >= 0.1 => self.warn(),
            _ => self.good(),
        }
    }

    /// A count of what should not happen.
    pub(crate) fn trouble(self, count: u64) -> Style {
        if count > 0 { self.warn() } else { self.plain() }
    }

    /// A response code of DNS or a status of HTTP.
    pub(crate) fn outcome(self, outcome: Option<&str>) -> Style {
        match outcome {
            None => self.dim(),
            Some("NOERROR") => self.good(),
            Some(code) => match code.chars().next() {
                Some('1' | '2' | '3') => self.good(),
                Some('5') => self.bad(),
                Some('4') => self.warn(),
                _ if code == "NXDOMAIN" => self.warn(),
                _ => self.bad(),
            },
        }
    }

    /// A TCP state, or `active` and `closed`.
    pub(crate) fn state(self, state: &str) -> Option<Style> {
        match state {
            "RESET" => Some(self.bad()),
            "SYN_SENT" | "SYN_RECV" => Some(self.warn()),
            _ => None,
        }
    }
}
