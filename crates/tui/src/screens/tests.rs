//! Pictures of every screen at three sizes over three loads, and that no size makes drawing panic.

use std::time::Duration;

use crossterm::event::KeyCode;
use hivewall_model::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::draw;
use crate::agent::Answer;
use crate::app::{App, Effect, Event, Overlay};
use crate::options::{Options, Surroundings};
use crate::samples::{Load, app, flow, known, letter, page, press, reply, snapshot};
use crate::tab::Tab;
use crate::theme::{Palette, Theme};

const AROUND: Surroundings =
    Surroundings { no_color: true, many_colours: true, now: Timestamp::from_secs(1_795_300_000) };
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn picture(app: &App, (columns, lines): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| drop(draw(app, frame))).unwrap();
    terminal
}

fn check(name: &str, app: &App) {
    for (columns, lines) in SIZES {
        let terminal = picture(app, (columns, lines));
        insta::assert_snapshot!(format!("{name}_{columns}x{lines}"), terminal.backend());
    }
}

fn check_loads(tab: Tab) {
    for load in Load::ALL {
        let name = format!("{}_{load:?}", tab.title()).to_lowercase();
        check(&name, &app(load, tab, true));
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(60 + seconds)
}

fn type_text(app: &mut App, text: &str) {
    for character in text.chars() {
        app.update(letter(character), at(0));
    }
}

#[test]
fn overview_at_every_size_and_load() {
    check_loads(Tab::Overview);
}

#[test]
fn flows_at_every_size_and_load() {
    check_loads(Tab::Flows);
}

#[test]
fn processes_at_every_size_and_load() {
    check_loads(Tab::Processes);
}

#[test]
fn talkers_at_every_size_and_load() {
    check_loads(Tab::Talkers);
}

#[test]
fn names_at_every_size_and_load() {
    check_loads(Tab::Names);
}

#[test]
fn protocols_at_every_size_and_load() {
    check_loads(Tab::Protocols);
}

#[test]
fn interfaces_at_every_size_and_load() {
    check_loads(Tab::Interfaces);
}

#[test]
fn latency_at_every_size_and_load() {
    check_loads(Tab::Latency);
}

#[test]
fn sockets_at_every_size_and_load() {
    check_loads(Tab::Sockets);
}

#[test]
fn drops_at_every_size_and_load() {
    check_loads(Tab::Drops);
}

#[test]
fn alerts_at_every_size_and_load() {
    check_loads(Tab::Alerts);
}

#[test]
fn the_policy_at_every_size_and_load() {
    check_loads(Tab::Policy);
}

#[test]
fn the_fleet_at_every_size_and_load() {
    check_loads(Tab::Fleet);
}

#[test]
fn before_the_fleet_is_known_its_screen_says_that_it_is_asked_for() {
    let mut app = app(Load::Thousands, Tab::Overview, true);
    app.update(letter('n'), at(0));
    let terminal = picture(&app, (80, 24));
    assert!(line_with(terminal.backend().buffer(), "asking for the fleet").count() == 80);
}

#[test]
fn the_agent_itself_at_every_size_and_load() {
    check_loads(Tab::Own);
}

/// The lists of a screen that a small terminal shows one at a time.
#[test]
fn every_list_has_its_turn_on_a_small_screen() {
    for tab in [Tab::Names, Tab::Protocols, Tab::Sockets, Tab::Drops, Tab::Policy, Tab::Fleet] {
        let mut app = app(Load::Thousands, tab, true);
        for _ in 1..tab.lists().len() {
            app.update(press(KeyCode::Right), at(0));
            let name = format!("list_{:?}", app.list()).to_lowercase();
            insta::assert_snapshot!(format!("{name}_80x24"), picture(&app, (80, 24)).backend());
        }
    }
}

#[test]
fn flows_by_process_at_every_size_and_load() {
    for load in Load::ALL {
        let mut app = app(load, Tab::Flows, true);
        app.update(letter('g'), at(0));
        check(&format!("groups_{load:?}").to_lowercase(), &app);
    }
}

#[test]
fn alerts_that_exist_are_counted_and_marked_in_the_tab_line() {
    let mut app = app(Load::One, Tab::Alerts, true);
    let Effect::Ask(request) = app.update(Event::Tick, at(10)) else { panic!("nothing asked") };
    let mut snapshot = snapshot(Load::Thousands);
    snapshot.security_alerts = [("port_scan", 12), ("syn_flood", 3)].map(|(kind, n)| (kind.to_owned(), n)).into();
    app.update(Event::Answered(Box::new(reply(&request, snapshot, page(Load::One)))), at(10));
    check("alerts_some", &app);
}

#[test]
fn the_past_is_named_and_screens_without_history_say_so() {
    let at_ten = Options { at: Some("2026-11-21T10:00:00Z".to_owned()), ..Options::default() };
    let mut app = at_ten.app("web-1".to_owned(), AROUND).unwrap();
    let Effect::Ask(request) = app.update(Event::Tick, at(0)) else { panic!("nothing asked") };
    let mut page = page(Load::Thousands);
    page.reaches_back_to = Some("2026-11-21T11:00:00.000000Z".to_owned());
    app.update(Event::Answered(Box::new(reply(&request, snapshot(Load::Thousands), page))), at(0));
    check("past", &app);
    app.update(letter('3'), at(0));
    check("past_processes", &app);
}

#[test]
fn a_copy_is_told_in_the_footer_and_a_paused_view_tells_its_age() {
    let mut app = app(Load::Thousands, Tab::Names, true);
    app.update(letter(' '), at(0));
    app.update(letter('y'), at(0));
    check("copied", &app);
}

#[test]
fn a_filter_that_is_begun_offers_what_can_follow() {
    let mut app = app(Load::Thousands, Tab::Flows, true);
    type_text(&mut app, "/proto:tcp direction:");
    check("filter_offer", &app);
}

#[test]
fn details_of_a_flow_of_which_all_is_known() {
    let mut app = app(Load::Thousands, Tab::Flows, true);
    let row = Box::new(known(flow(1)));
    app.overlay = Overlay::Details { row, scroll: 0, listed: true };
    check("details_known", &app);
}

#[test]
fn details_show_every_field() {
    let mut app = app(Load::Thousands, Tab::Flows, true);
    app.update(press(KeyCode::PageDown), at(0));
    app.update(press(KeyCode::Enter), at(0));
    check("details", &app);
}

#[test]
fn help_lists_the_keys() {
    let mut app = app(Load::One, Tab::Overview, true);
    app.update(letter('?'), at(0));
    check("help", &app);
}

#[test]
fn a_wrong_filter_has_a_caret_and_a_message() {
    let mut app = app(Load::Thousands, Tab::Flows, true);
    type_text(&mut app, "/proto:tcp port:https5");
    check("filter_wrong", &app);
}

#[test]
fn a_dead_agent_has_a_banner_with_the_age_of_the_data() {
    let mut app = app(Load::Thousands, Tab::Overview, true);
    app.update(Event::Tick, at(0));
    let dead = Answer {
        action: None,
        snapshot: Some(Err("connection refused; is `hivewall run` running?".to_owned())),
        fleet: None,
        flows: None,
    };
    app.update(Event::Answered(Box::new(dead)), at(12));
    check("dead", &app);
}

#[test]
fn before_the_first_answer_it_says_that_it_waits() {
    let app = Options::default().app("db-2".to_owned(), AROUND).unwrap();
    check("first", &app);
}

#[test]
fn no_size_makes_drawing_panic() {
    let mut long = app(Load::Thousands, Tab::Flows, true);
    type_text(&mut long, "/");
    type_text(&mut long, &"port:x ".repeat(40));
    let mut open = app(Load::Thousands, Tab::Flows, true);
    open.update(press(KeyCode::Enter), at(0));
    let mut help = app(Load::Empty, Tab::Flows, true);
    help.update(letter('h'), at(0));
    let mut apps: Vec<App> = Tab::ALL.into_iter().map(|tab| app(Load::Thousands, tab, true)).collect();
    apps.extend([long, open, help, app(Load::Empty, Tab::Overview, false)]);
    for app in &apps {
        for size in 1..=200 {
            picture(app, (size, 1 + size * 7 % 40));
            picture(app, (1 + size * 13 % 50, size));
        }
        for lines in 1..=9 {
            for columns in 1..=9 {
                picture(app, (columns, lines));
            }
        }
    }
}

fn line_with<'a>(buffer: &'a Buffer, text: &str) -> impl Iterator<Item = &'a ratatui::buffer::Cell> {
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    let holds = |row: &&[ratatui::buffer::Cell]| {
        row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().contains(text)
    };
    rows.into_iter().find(holds).unwrap_or_else(|| panic!("no line with {text}")).iter()
}

#[test]
fn quiet_flows_are_dim_and_busy_ones_are_not() {
    let app = app(Load::Thousands, Tab::Flows, true);
    let terminal = picture(&app, (160, 50));
    let buffer = terminal.backend().buffer();
    let colour_of = |text: &str| line_with(buffer, text).next().unwrap().fg;
    assert_eq!(colour_of("10.1.0.2:"), Color::Reset);
    assert_eq!(colour_of("10.1.0.9:"), Color::Indexed(244));
}

#[test]
fn losses_are_green_without_and_red_with_any() {
    for (load, reason, colour) in
        [(Load::One, "✓ ring_full", Color::Green), (Load::Thousands, "! ring_full", Color::Red)]
    {
        let mut app = app(load, Tab::Drops, true);
        app.update(press(KeyCode::Right), at(0));
        app.update(press(KeyCode::End), at(0));
        let terminal = picture(&app, (100, 30));
        assert_eq!(line_with(terminal.backend().buffer(), reason).next().unwrap().fg, colour);
    }
}

#[test]
fn without_colour_no_cell_has_one() {
    for tab in Tab::ALL {
        let terminal = picture(&app(Load::Thousands, tab, false), (100, 30));
        let cells = &terminal.backend().buffer().content;
        assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)), "the open tab is marked");
    }
}

#[test]
fn of_sixteen_colours_no_other_is_used() {
    for tab in Tab::ALL {
        let mut app = app(Load::Thousands, tab, true);
        app.theme = Theme::new(Palette::Sixteen);
        let terminal = picture(&app, (200, 60));
        let odd = |colour: Color| matches!(colour, Color::Indexed(_) | Color::Rgb(..));
        assert!(terminal.backend().buffer().content.iter().all(|cell| !odd(cell.fg) && !odd(cell.bg)), "{tab:?}");
    }
}
