//! What the command line can set. Not here: the command line.
//!
//! Invariant: a filter given here is as good as one that was typed, or the view does not start.

use std::io;
use std::time::Duration;

use hivewall_model::Timestamp;
use hivewall_view::Sort;

use crate::app::App;
use crate::check::check;
use crate::tab::Tab;
use crate::theme::{Palette, Theme};
use crate::travel::{Moment, names_time};

/// Shortest interval between two questions; an agent answers from memory, but not for free.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Whether to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Colour {
    /// Unless the environment has a `NO_COLOR` that is not empty (<https://no-color.org>).
    #[default]
    Auto,
    /// Whatever the environment says.
    Always,
    /// Bold, dim and reversed only.
    Never,
}

/// How the view starts. All but the colour can be changed by keys.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time between two questions; at least 100 ms.
    pub interval: Duration,
    /// Filter of the flows, in the language of `hivewall_view::Filter`; empty shows all.
    pub filter: String,
    /// Order of the flows.
    pub sort: Sort,
    /// First screen.
    pub tab: Tab,
    /// Colour or not.
    pub colour: Colour,
    /// The moment in the past to look at: RFC 3339, a date with or without a time (UTC), or how long ago (`5m`). None
    /// looks at what is now.
    pub at: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            filter: String::new(),
            sort: Sort::Rate,
            tab: Tab::Overview,
            colour: Colour::Auto,
            at: None,
        }
    }
}

/// What the view finds when it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    /// Whether the environment has a `NO_COLOR` that is not empty.
    pub(crate) no_color: bool,
    /// Whether the terminal has more than sixteen colours.
    pub(crate) many_colours: bool,
    /// The present.
    pub(crate) now: Timestamp,
}

impl Options {
    /// The view to begin with, of the agent called `agent`.
    pub(crate) fn app(&self, agent: String, around: Surroundings) -> io::Result<App> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let text = self.filter.trim();
        check(text).map_err(|problem| {
            let place = problem.at + 1;
            wrong(format!("the filter `{text}` is wrong at character {place}: {}", problem.message))
        })?;
        let moment = self.at.as_deref().map(|at| {
            let expected = "RFC 3339, a date with or without a time, or how long ago (`5m`, `2h`)";
            Moment::parse(at, around.now).ok_or_else(|| wrong(format!("`{at}` is no time; expected is {expected}")))
        });
        let moment = moment.transpose()?;
        let colour = match self.colour {
            Colour::Auto => !around.no_color,
            Colour::Always => true,
            Colour::Never => false,
        };
        let palette = match (colour, around.many_colours) {
            (false, _) => Palette::None,
            (true, false) => Palette::Sixteen,
            (true, true) => Palette::Many,
        };
        if moment.is_some() && names_time(text) {
            return Err(wrong(format!("the filter `{text}` names a time of its own; --at names the time")));
        }
        let mut app = App::new(agent, Theme::new(palette), self.interval.max(INTERVAL_MIN), 0);
        text.clone_into(&mut app.filter);
        app.sort = self.sort;
        app.tab = self.tab;
        app.moment = moment;
        if app.moment.is_some() {
            // The one screen that history can fill.
            app.tab = Tab::Flows;
        }
        Ok(app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: Surroundings =
        Surroundings { no_color: false, many_colours: true, now: Timestamp::from_secs(1_795_255_200) };

    #[test]
    fn no_color_counts_unless_colour_is_asked_for() {
        for (colour, no_color, want) in [
            (Colour::Auto, false, true),
            (Colour::Auto, true, false),
            (Colour::Always, true, true),
            (Colour::Never, false, false),
        ] {
            let app = Options { colour, ..Options::default() }
                .app(String::new(), Surroundings { no_color, ..AROUND })
                .unwrap();
            assert_eq!(app.theme.title().fg.is_some(), want);
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_place() {
        let error = Options { filter: "port:x".to_owned(), ..Options::default() }.app(String::new(), AROUND);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("`port:x` is wrong at character"), "{text}");
    }

    #[test]
    fn a_zero_interval_does_not_hammer_the_agent() {
        let app = Options { interval: Duration::ZERO, ..Options::default() }.app(String::new(), AROUND).unwrap();
        assert_eq!(app.interval, INTERVAL_MIN);
    }

    #[test]
    fn a_view_of_the_past_starts_with_its_flows_and_a_time_that_is_none_is_refused() {
        let filtered =
            Options { at: Some("2h".to_owned()), filter: "port:443 last:5m".to_owned(), ..Options::default() };
        assert!(filtered.app(String::new(), AROUND).unwrap_err().to_string().contains("a time of its own"));
        let at = |at: &str| Options { at: Some(at.to_owned()), ..Options::default() }.app(String::new(), AROUND);
        let app = at("2h").unwrap();
        assert_eq!((app.tab, app.moment.unwrap().shown().as_str()), (Tab::Flows, "2026-11-21 08:00:00"));
        assert!(at("yesterday-ish").unwrap_err().to_string().contains("`yesterday-ish` is no time"));
    }
}
