//! Lists, orders, ways there and back, the mouse, and the clipboard.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::app::{Event, Request};
use crate::paper::Spots;
use crate::samples::{Load, app, letter, page, press, reply, snapshot};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(100 + seconds)
}

/// A busy view on a screen, drawn once so that the mouse finds something, with nothing asked.
fn view(tab: Tab, (columns, lines): (u16, u16)) -> App {
    let mut app = app(Load::Thousands, tab, true);
    app.due = at(1_000_000);
    draw(&mut app, (columns, lines));
    app
}

fn draw(app: &mut App, (columns, lines): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    let mut spots = Spots::default();
    terminal.draw(|frame| spots = crate::screens::draw(app, frame)).unwrap();
    app.spots = spots;
    terminal.backend().to_string()
}

fn mouse(app: &mut App, kind: MouseEventKind, target: Target) -> Effect {
    let areas = app.spots.areas();
    let (area, _) = areas.iter().find(|(_, known)| *known == target).unwrap_or_else(|| panic!("no {target:?}"));
    let event = MouseEvent { kind, column: area.x, row: area.y, modifiers: KeyModifiers::NONE };
    app.update(Event::Mouse(event), at(0))
}

fn click(app: &mut App, target: Target) -> Effect {
    mouse(app, MouseEventKind::Down(MouseButton::Left), target)
}

fn asked(effect: Effect) -> Request {
    match effect {
        Effect::Ask(request) => request,
        other => panic!("no request but {other:?}"),
    }
}

fn filter_asked(effect: Effect) -> String {
    asked(effect).flows.unwrap().filter
}

#[test]
fn a_talker_leads_to_its_flows_and_back_leads_to_the_talker_and_the_filter_before() {
    let mut app = view(Tab::Talkers, (120, 40));
    app.filter = "port:443".to_owned();
    app.update(press(KeyCode::Down), at(0));
    assert_eq!(filter_asked(app.update(press(KeyCode::Enter), at(0))), "ip:10.1.0.1");
    assert_eq!(app.tab, Tab::Flows);
    app.link.asked = None;
    app.update(letter('b'), at(0));
    assert_eq!((app.tab, app.filter.as_str(), app.cursor(List::Talkers).selected), (Tab::Talkers, "port:443", 1));
    app.update(press(KeyCode::Backspace), at(0));
    assert_eq!(app.notice().unwrap().text, "nowhere to go back to");
}

#[test]
fn steps_back_are_bounded_and_the_oldest_is_forgotten() {
    let mut app = view(Tab::Talkers, (120, 40));
    for _ in 0..TRAIL_MAX * 2 {
        app.update(letter('4'), at(0));
        app.update(press(KeyCode::Enter), at(0));
    }
    assert_eq!(app.trail.len(), TRAIL_MAX);
}

#[test]
fn a_row_without_flows_of_its_own_says_so_and_stays() {
    let mut app = view(Tab::Drops, (80, 24));
    app.update(press(KeyCode::Right), at(0));
    assert_eq!(app.list(), List::Losses);
    assert_eq!(app.update(press(KeyCode::Enter), at(0)), Effect::None);
    assert!(app.notice().unwrap().bad);
    assert_eq!(app.tab, Tab::Drops);
    app.update(Event::Tick, at(6));
    assert_eq!(app.notice(), None, "a notice goes by itself");
}

#[test]
fn a_state_that_only_sockets_have_is_no_filter() {
    let mut app = view(Tab::Sockets, (120, 40));
    assert_eq!(app.update(press(KeyCode::Enter), at(0)), Effect::None);
    assert!(app.notice().unwrap().text.contains("state:listen"));
    app.update(press(KeyCode::Down), at(0));
    assert_eq!(filter_asked(app.update(press(KeyCode::Enter), at(0))), "state:syn_sent");
}

#[test]
fn left_and_right_go_through_lists_and_on_through_screens() {
    let mut app = view(Tab::Protocols, (80, 24));
    let mut seen = vec![app.list()];
    for _ in 0..4 {
        app.update(press(KeyCode::Right), at(0));
        seen.push(app.list());
    }
    assert_eq!(seen, [List::Protocols, List::Applications, List::Services, List::Interfaces, List::Peers]);
    app.update(press(KeyCode::Left), at(0));
    app.update(press(KeyCode::Left), at(0));
    assert_eq!((app.tab, app.list()), (Tab::Protocols, List::Services));
}

#[test]
fn a_click_goes_to_a_tab_a_row_a_list_and_an_order() {
    let mut app = view(Tab::Overview, (200, 60));
    click(&mut app, Target::Tab(Tab::Names));
    assert_eq!(app.tab, Tab::Names);
    draw(&mut app, (200, 60));
    click(&mut app, Target::Row(List::ServerNames, 4));
    assert_eq!((app.list(), app.cursor(List::ServerNames).selected), (List::ServerNames, 4));
    click(&mut app, Target::Head(List::Hosts, "name"));
    assert_eq!((app.list(), app.orders.of(List::Hosts).column), (List::Hosts, "name"));
    click(&mut app, Target::Head(List::Hosts, "name"));
    assert!(app.orders.of(List::Hosts).reversed);
    click(&mut app, Target::List(List::Requests));
    assert_eq!(app.list(), List::Requests);
}

#[test]
fn what_is_clicked_is_what_is_seen_there() {
    let mut app = view(Tab::Talkers, (200, 30));
    app.update(press(KeyCode::End), at(0));
    let picture = draw(&mut app, (200, 30));
    let lines: Vec<&str> = picture.lines().collect();
    let mut rows = 0;
    for (area, target) in app.spots.areas() {
        if let Target::Row(List::Talkers, at) = target {
            let address = &app.rows.talkers[*at].address;
            assert!(lines[usize::from(area.y)].contains(address.as_str()), "{address} is not in line {}", area.y);
            rows += 1;
        }
    }
    assert_eq!(Some(rows), app.spots.visible(List::Talkers));
}

#[test]
fn a_second_click_opens_and_a_right_click_goes_back() {
    let mut app = view(Tab::Flows, (120, 40));
    click(&mut app, Target::Row(List::Flows, 5));
    assert_eq!((app.cursor(List::Flows).selected, &app.overlay), (5, &Overlay::None));
    click(&mut app, Target::Row(List::Flows, 5));
    assert!(matches!(&app.overlay, Overlay::Details { row, .. } if row.flow_id == 1005));
    mouse(&mut app, MouseEventKind::Down(MouseButton::Right), Target::Tab(Tab::Flows));
    assert_eq!(app.overlay, Overlay::None);
}

#[test]
fn a_click_on_a_head_of_the_flows_asks_in_that_order() {
    let mut app = view(Tab::Flows, (200, 60));
    for (head, sort) in [("packets", Sort::Packets), ("idle", Sort::Last), ("rate", Sort::Rate), ("age", Sort::Start)] {
        let request = asked(click(&mut app, Target::Head(List::Flows, head)));
        assert_eq!(request.flows.unwrap().sort, sort);
        app.link.asked = None;
    }
}

#[test]
fn the_wheel_turns_the_list_under_the_pointer_and_leaves_the_cursor_in_its_own() {
    let mut app = view(Tab::Names, (200, 60));
    mouse(&mut app, MouseEventKind::ScrollDown, Target::Row(List::DnsNames, 2));
    assert_eq!((app.cursor(List::DnsNames).selected, app.list()), (WHEEL_ROWS, List::Lookups));
    mouse(&mut app, MouseEventKind::ScrollUp, Target::Row(List::DnsNames, 2));
    assert_eq!(app.cursor(List::DnsNames).selected, 0);
    app.update(letter('?'), at(0));
    mouse(&mut app, MouseEventKind::ScrollDown, Target::Tab(Tab::Names));
    assert_eq!(app.overlay, Overlay::Help { scroll: WHEEL_ROWS });
}

#[test]
fn the_cursor_stays_on_its_process_when_another_order_moves_it() {
    let mut app = view(Tab::Processes, (120, 40));
    for _ in 0..4 {
        app.update(press(KeyCode::Down), at(0));
    }
    let id = app.items(List::Processes)[4].id();
    app.update(letter('>'), at(0));
    app.update(letter('o'), at(0));
    let cursor = app.cursor(List::Processes);
    assert_ne!(cursor.selected, 4);
    assert_eq!(app.items(List::Processes)[cursor.selected].id(), id);
}

#[test]
fn letters_order_every_list_that_has_such_a_column() {
    let mut app = view(Tab::Talkers, (120, 40));
    for (key, column) in [('t', "total"), ('p', "packets"), ('r', "rate"), ('s', "rate"), ('d', "rate")] {
        app.update(letter(key), at(0));
        assert_eq!(app.orders.of(List::Talkers).column, column);
    }
    let most = app.rows.talkers[0].rate();
    app.update(letter('o'), at(0));
    assert!(app.rows.talkers[0].rate() < most);
}

#[test]
fn flows_are_grouped_by_process_and_a_group_is_opened() {
    let mut app = view(Tab::Flows, (120, 40));
    assert_eq!(app.update(letter('g'), at(0)), Effect::None, "what is there is enough");
    assert_eq!(app.list(), List::Groups);
    let picture = draw(&mut app, (120, 40));
    assert!(picture.contains("Flows by process") && picture.contains("nginx"), "{picture}");
    app.update(letter('g'), at(0));
    assert_eq!(app.list(), List::Flows);
    app.update(letter('4'), at(0));
    app.update(letter('g'), at(0));
    assert_eq!((app.tab, app.list()), (Tab::Flows, List::Groups), "from elsewhere g leads to the groups");
}

#[test]
fn the_selected_row_is_copied_as_text_and_as_json() {
    let mut app = view(Tab::Talkers, (120, 40));
    app.update(press(KeyCode::Down), at(0));
    assert_eq!(app.update(letter('y'), at(0)), Effect::Copy("10.1.0.1".to_owned()));
    assert!(app.notice().unwrap().text.contains("10.1.0.1"));
    let Effect::Copy(json) = app.update(letter('Y'), at(0)) else { panic!("nothing copied") };
    assert!(json.contains("\"address\": \"10.1.0.1\""), "{json}");
    let mut app = view(Tab::Overview, (120, 40));
    assert_eq!(app.update(letter('y'), at(0)), Effect::None);
    assert_eq!(app.notice().unwrap().text, "nothing is selected");
}

#[test]
fn the_flow_that_is_open_is_copied_even_when_the_list_has_moved_on() {
    let mut app = view(Tab::Flows, (120, 40));
    app.update(press(KeyCode::Enter), at(0));
    let request = asked(app.update(letter('p'), at(0)));
    app.update(Event::Answered(Box::new(reply(&request, snapshot(Load::One), page(Load::Empty)))), at(0));
    let text = Effect::Copy("tcp 10.1.0.1:32768 192.0.2.10:443".to_owned());
    assert_eq!(app.update(letter('y'), at(0)), text);
}

#[test]
fn scrolling_stops_at_the_last_line_and_turns_back_at_once() {
    for tab in [Tab::Own, Tab::Flows] {
        let mut app = view(tab, (80, 24));
        if tab == Tab::Flows {
            app.update(letter('?'), at(0));
        }
        draw(&mut app, (80, 24));
        for _ in 0..50 {
            app.update(press(KeyCode::PageDown), at(0));
        }
        let bottom = draw(&mut app, (80, 24));
        app.update(press(KeyCode::Up), at(0));
        assert_ne!(draw(&mut app, (80, 24)), bottom, "{tab:?}");
    }
}

#[test]
fn the_mouse_can_be_left_to_the_terminal_and_taken_back() {
    let mut app = view(Tab::Overview, (80, 24));
    assert_eq!(app.update(letter('m'), at(0)), Effect::Mouse(false));
    assert_eq!(app.update(letter('m'), at(0)), Effect::Mouse(true));
}
