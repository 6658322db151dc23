//! What the command line can set. Not here: the command line.
//!
//! Invariant: a filter given here is as good as one that was typed, or the view does not start.

use std::io;
use std::time::Duration;

use hivewall_view::Sort;

use crate::app::App;
use crate::check::check;
use crate::tab::Tab;
use crate::theme::Theme;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            filter: String::new(),
            sort: Sort::Rate,
            tab: Tab::Overview,
            colour: Colour::Auto,
        }
    }
}

impl Options {
    /// The view to begin with.
    pub(crate) fn app(&self, agent: String, no_color: bool) -> io::Result<App> {
        let text = self.filter.trim();
        check(text).map_err(|problem| {
            let place = problem.at + 1;
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the filter `{text}` is wrong at character {place}: {}", problem.message),
            )
        })?;
        let colour = match self.colour {
            Colour::Auto => !no_color,
            Colour::Always => true,
            Colour::Never => false,
        };
        let mut app = App::new(agent, Theme::new(colour), self.interval.max(INTERVAL_MIN), 0);
        text.clone_into(&mut app.filter);
        app.sort = self.sort;
        app.tab = self.tab;
        Ok(app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_counts_unless_colour_is_asked_for() {
        for (colour, no_color, want) in [
            (Colour::Auto, false, true),
            (Colour::Auto, true, false),
            (Colour::Always, true, true),
            (Colour::Never, false, false),
        ] {
            let app = Options { colour, ..Options::default() }.app(String::new(), no_color).unwrap();
            assert_eq!(app.theme.title().fg.is_some(), want);
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_place() {
        let error = Options { filter: "port:x".to_owned(), ..Options::default() }.app(String::new(), false);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("`port:x` is wrong at character"), "{text}");
    }

    #[test]
    fn a_zero_interval_does_not_hammer_the_agent() {
        let app = Options { interval: Duration::ZERO, ..Options::default() }.app(String::new(), false).unwrap();
        assert_eq!(app.interval, INTERVAL_MIN);
    }
}
