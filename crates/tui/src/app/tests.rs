//! Keys, answers and time against the state.

use crossterm::event::KeyCode;
use crossterm::event::KeyModifiers;
use hivewall_view::policy::PolicyOutcome;

use super::*;
use crate::agent::PolicyReply;
use crate::samples::{Load, app, flow, letter, page, press, reply, snapshot};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(100 + seconds)
}

/// A view of the flows of a busy agent with nothing asked.
fn flows() -> App {
    let mut app = app(Load::Thousands, Tab::Flows, true);
    app.due = at(1_000_000);
    app
}

fn asked(effect: Effect) -> Request {
    match effect {
        Effect::Ask(request) => request,
        other => panic!("no request but {other:?}"),
    }
}

#[test]
fn q_and_control_c_leave_wherever_the_cursor_is() {
    let control_c = || Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    let mut app = flows();
    assert_eq!(app.update(letter('q'), at(0)), Effect::Quit);
    assert_eq!(app.update(control_c(), at(0)), Effect::Quit);
    app.update(letter('/'), at(0));
    assert_eq!(app.update(letter('q'), at(0)), Effect::None);
    assert_eq!(app.editing.as_ref().unwrap().text(), "q");
    assert_eq!(app.update(control_c(), at(0)), Effect::Quit);
}

#[test]
fn keys_of_screens_tab_and_back_tab_change_the_screen() {
    let mut app = app(Load::One, Tab::Overview, true);
    for (event, tab) in [
        (letter('4'), Tab::Talkers),
        (press(KeyCode::Tab), Tab::Names),
        (press(KeyCode::BackTab), Tab::Talkers),
        (letter('1'), Tab::Overview),
        (press(KeyCode::BackTab), Tab::Own),
        (press(KeyCode::Tab), Tab::Overview),
        (letter('9'), Tab::Sockets),
        (letter('0'), Tab::Drops),
        (letter('a'), Tab::Alerts),
        (letter('i'), Tab::Own),
    ] {
        app.update(event, at(0));
        assert_eq!(app.tab, tab);
    }
}

#[test]
fn sort_keys_ask_again_in_that_order_and_only_when_it_changes() {
    let mut app = flows();
    for (key, sort) in [
        ('p', Sort::Packets),
        ('r', Sort::Rate),
        ('s', Sort::Start),
        ('l', Sort::Last),
        ('d', Sort::Duration),
        ('t', Sort::Bytes),
    ] {
        let request = asked(app.update(letter(key), at(0)));
        assert!(!request.snapshot);
        assert_eq!(request.flows.clone().unwrap().sort, sort);
        app.update(Event::Answered(Box::new(reply(&request, snapshot(Load::One), page(Load::One)))), at(0));
        assert_eq!(app.update(letter(key), at(0)), Effect::None);
    }
}

#[test]
fn a_filter_is_asked_on_enter_and_cleared_by_escape() {
    let mut app = flows();
    app.update(letter('/'), at(0));
    for key in "port:443".chars() {
        assert_eq!(app.update(letter(key), at(0)), Effect::None);
    }
    let request = asked(app.update(press(KeyCode::Enter), at(0)));
    assert_eq!(request.flows.clone().unwrap().filter, "port:443");
    app.update(Event::Answered(Box::new(reply(&request, snapshot(Load::One), page(Load::One)))), at(0));
    let request = asked(app.update(press(KeyCode::Esc), at(0)));
    assert_eq!(request.flows.unwrap().filter, "");
}

#[test]
fn a_wrong_filter_is_not_applied() {
    let mut app = flows();
    app.update(letter('/'), at(0));
    for key in "port:x".chars() {
        app.update(letter(key), at(0));
    }
    assert_eq!(app.update(press(KeyCode::Enter), at(0)), Effect::None);
    assert!(app.editing.as_ref().unwrap().problem().is_some());
    app.update(press(KeyCode::Esc), at(0));
    assert_eq!((app.editing.clone(), app.filter.as_str()), (None, ""));
}

#[test]
fn an_answer_to_an_older_question_is_not_shown() {
    let mut app = flows();
    let old = asked(app.update(letter('p'), at(0)));
    assert_eq!(app.update(letter('r'), at(0)), Effect::None, "one request at a time");
    let again = app.update(Event::Answered(Box::new(reply(&old, snapshot(Load::One), page(Load::Empty)))), at(1));
    assert_eq!(asked(again).flows.unwrap().sort, Sort::Rate);
    assert_eq!(app.page.as_ref().unwrap().matched, 4321);
}

#[test]
fn a_paused_view_asks_nothing_until_it_goes_on() {
    let mut app = app(Load::One, Tab::Overview, true);
    app.update(letter(' '), at(0));
    app.link.asked = None;
    assert_eq!(app.update(Event::Tick, at(50)), Effect::None);
    assert!(asked(app.update(letter(' '), at(51))).snapshot);
}

#[test]
fn the_interval_steps_up_and_down_and_stops_at_its_ends() {
    let mut app = flows();
    app.update(letter('+'), at(0));
    assert_eq!(app.interval, Duration::from_secs(2));
    for _ in 0..20 {
        app.update(letter('-'), at(0));
    }
    assert_eq!(app.interval, Duration::from_millis(250));
    for _ in 0..20 {
        app.update(letter('+'), at(0));
    }
    assert_eq!(app.interval, Duration::from_mins(1));
}

#[test]
fn a_shorter_interval_counts_from_now() {
    let mut app = flows();
    app.interval = Duration::from_mins(1);
    app.due = at(60);
    app.update(letter('-'), at(0));
    assert!(asked(app.update(Event::Tick, at(30))).snapshot);
}

#[test]
fn the_cursor_stays_on_its_flow_when_the_order_changes() {
    let mut app = flows();
    for _ in 0..3 {
        app.update(press(KeyCode::Down), at(0));
    }
    let id = app.selected_flow().unwrap().flow_id;
    let request = asked(app.update(letter('p'), at(0)));
    let mut turned = page(Load::Thousands);
    turned.flows.reverse();
    app.update(Event::Answered(Box::new(reply(&request, snapshot(Load::One), turned))), at(0));
    assert_eq!(app.selected_flow().unwrap().flow_id, id);
    assert!(app.cursor(List::Flows).selected > 900);
}

#[test]
fn movement_keys_reach_every_row() {
    let mut app = flows();
    let rows = [
        (press(KeyCode::Char('j')), 1),
        (press(KeyCode::PageDown), 26),
        (press(KeyCode::Char('k')), 25),
        (press(KeyCode::PageUp), 0),
        (press(KeyCode::End), 999),
        (press(KeyCode::Down), 999),
        (press(KeyCode::Home), 0),
        (press(KeyCode::Up), 0),
    ];
    for (event, row) in rows {
        app.update(event, at(0));
        assert_eq!(app.cursor(List::Flows).selected, row);
    }
}

#[test]
fn details_follow_their_flow_and_say_when_it_is_gone() {
    let mut app = flows();
    app.update(press(KeyCode::Enter), at(0));
    let request = asked(app.update(letter('p'), at(0)));
    let mut changed = page(Load::One);
    changed.flows[0].bytes = 7;
    app.update(Event::Answered(Box::new(reply(&request, snapshot(Load::One), changed))), at(0));
    assert!(matches!(&app.overlay, Overlay::Details { row, listed: true, .. } if row.bytes == 7));
    let request = asked(app.update(letter('r'), at(0)));
    app.update(Event::Answered(Box::new(reply(&request, snapshot(Load::One), page(Load::Empty)))), at(0));
    assert!(matches!(&app.overlay, Overlay::Details { row, listed: false, .. } if row.flow_id == flow(0).flow_id));
    app.update(press(KeyCode::Esc), at(0));
    assert_eq!(app.overlay, Overlay::None);
}

#[test]
fn moving_in_the_help_scrolls_it_and_not_the_table_below() {
    let mut app = flows();
    app.update(letter('?'), at(0));
    app.update(press(KeyCode::Down), at(0));
    assert_eq!((app.overlay.clone(), app.cursor(List::Flows).selected), (Overlay::Help { scroll: 1 }, 0));
    app.update(letter('h'), at(0));
    assert_eq!(app.overlay, Overlay::None);
}

#[test]
fn a_dead_agent_keeps_the_data_tells_its_age_and_is_asked_again() {
    let mut app = app(Load::One, Tab::Overview, true);
    let request = asked(app.update(Event::Tick, at(0)));
    assert!(request.snapshot);
    let dead = || {
        Event::Answered(Box::new(Answer {
            action: None,
            snapshot: Some(Err("refused".to_owned())),
            fleet: None,
            flows: None,
        }))
    };
    let retry = app.update(dead(), at(5));
    assert!(asked(retry).snapshot, "the next question was due already");
    assert!(app.snapshot.is_some());
    assert_eq!(app.link.error.as_deref(), Some("refused"));
    assert_eq!(app.age(), Some(Duration::from_secs(46)));
}

#[test]
fn an_agent_that_lets_us_wait_is_called_slow_after_three_seconds() {
    let mut app = app(Load::One, Tab::Overview, true);
    asked(app.update(Event::Tick, at(0)));
    app.update(Event::Tick, at(2));
    assert_eq!(app.waiting(), None);
    app.update(Event::Tick, at(4));
    assert_eq!(app.waiting(), Some(Duration::from_secs(4)));
}

#[test]
fn the_agents_own_cost_is_measured_between_two_snapshots() {
    let cost = app(Load::One, Tab::Overview, true).agent_cpu.unwrap();
    assert!((cost - 0.004).abs() < 1e-9, "{cost}");
}

/// A view of the flows of a moment in the past.
fn past() -> App {
    let options = crate::options::Options { at: Some("2026-11-21T10:00:00Z".to_owned()), ..Default::default() };
    let now = hivewall_model::Timestamp::from_secs(1_795_300_000);
    let around = crate::options::Surroundings { no_color: true, many_colours: true, now };
    options.app("db-2".to_owned(), around).unwrap()
}

#[test]
fn a_view_of_the_past_asks_history_once_and_again_when_it_moves() {
    let mut app = past();
    app.filter = "port:443".to_owned();
    let request = asked(app.update(Event::Tick, at(0)));
    let question = request.flows.clone().unwrap();
    assert!(request.snapshot && question.history);
    let want = "from:2026-11-21T09:59:00.000000Z to:2026-11-21T10:00:00.000000Z port:443";
    assert_eq!(question.filter, want);
    let answer = Event::Answered(Box::new(reply(&request, snapshot(Load::One), page(Load::One))));
    assert_eq!(app.update(answer, at(1)), Effect::None);
    assert_eq!(app.update(Event::Tick, at(60)), Effect::None, "the past does not change");
    let question = asked(app.update(letter('{'), at(61))).flows.unwrap();
    assert!(question.filter.starts_with("from:2026-11-21T08:59:00"), "{}", question.filter);
}

#[test]
fn a_question_about_the_past_that_failed_is_asked_again() {
    let mut app = past();
    let request = asked(app.update(Event::Tick, at(0)));
    let refused = Answer {
        action: None,
        snapshot: None,
        fleet: None,
        flows: Some((request.flows.unwrap(), Err("no history".to_owned()))),
    };
    assert_eq!(app.update(Event::Answered(Box::new(refused)), at(0)), Effect::None);
    assert!(asked(app.update(Event::Tick, at(2))).flows.is_some());
}

#[test]
fn a_live_view_does_not_travel() {
    let mut app = flows();
    assert_eq!(app.update(letter('['), at(0)), Effect::None);
    assert!(app.notice().unwrap().text.contains("--at"));
}

#[test]
fn a_filter_of_the_past_does_not_name_a_time() {
    let mut app = past();
    for event in "/last:5m".chars().map(letter) {
        app.update(event, at(0));
    }
    app.update(press(KeyCode::Enter), at(0));
    assert_eq!((app.filter.as_str(), app.editing.is_some()), ("", false));
    assert!(app.notice().unwrap().bad);
}

fn outcome(message: &str) -> PolicyReply {
    PolicyReply::Done(PolicyOutcome { message: message.to_owned(), ..PolicyOutcome::default() })
}

/// A view of the policy of a busy agent with nothing asked.
fn policy() -> App {
    let mut app = app(Load::Thousands, Tab::Policy, true);
    app.due = at(1_000_000);
    app
}

#[test]
fn a_change_is_confirmed_only_after_a_yes() {
    let mut app = policy();
    assert_eq!(app.update(letter('c'), at(0)), Effect::None);
    assert_eq!(app.prompt, Some(Prompt::Asking(PolicyAction::Confirm)));
    assert_eq!(app.update(letter('n'), at(0)), Effect::None);
    assert!(app.prompt.is_none() && app.action.is_none());
    app.update(letter('c'), at(0));
    let request = asked(app.update(letter('y'), at(1)));
    assert_eq!((request.action, request.snapshot), (Some(PolicyAction::Confirm), true));
    let answer = Answer {
        action: Some(Ok(outcome("edge 42 stays"))),
        snapshot: Some(Ok(snapshot(Load::One))),
        fleet: None,
        flows: None,
    };
    app.update(Event::Answered(Box::new(answer)), at(2));
    assert_eq!(app.notice().map(|notice| (notice.text.as_str(), notice.bad)), Some(("edge 42 stays", false)));
    app.update(letter('c'), at(3));
    assert!(app.prompt.is_none(), "nothing waits any more");
    assert!(app.notice().is_some_and(|notice| notice.bad));
}

#[test]
fn a_command_waits_for_the_request_that_is_out() {
    let mut app = policy();
    app.due = at(0);
    let first = asked(app.update(Event::Tick, at(0)));
    assert!(first.action.is_none());
    app.update(letter('R'), at(0));
    assert_eq!(app.update(letter('y'), at(0)), Effect::None, "one request at a time");
    let effect =
        app.update(Event::Answered(Box::new(reply(&first, snapshot(Load::Thousands), page(Load::Empty)))), at(1));
    assert_eq!(asked(effect).action, Some(PolicyAction::Rollback));
}

#[test]
fn the_ban_under_the_cursor_is_lifted_and_a_talker_is_banned() {
    let mut app = policy();
    app.update(letter('u'), at(0));
    assert!(app.prompt.is_none(), "the cursor is among the rules");
    app.update(press(KeyCode::Right), at(0));
    app.update(press(KeyCode::Right), at(0));
    assert_eq!(app.list(), List::Bans);
    app.update(letter('u'), at(0));
    assert!(matches!(&app.prompt, Some(Prompt::Asking(PolicyAction::Unban(_)))));
    app.update(press(KeyCode::Esc), at(0));
    app.update(letter('4'), at(0));
    app.update(letter('x'), at(0));
    let Some(Prompt::Typing { text, .. }) = &app.prompt else { panic!("{:?}", app.prompt) };
    assert_eq!(text, "10.1.0.0 ");
    app.update(letter('q'), at(0));
    assert!(app.prompt.is_some(), "letters are typed, not obeyed");
}

#[test]
fn an_explanation_lies_over_the_screen_until_it_is_closed() {
    let mut app = policy();
    app.update(letter('e'), at(0));
    for character in "10.9.0.4 10.0.0.2 443".chars() {
        app.update(letter(character), at(0));
    }
    let request = asked(app.update(press(KeyCode::Enter), at(0)));
    assert!(matches!(request.action, Some(PolicyAction::Explain(_))));
    let reply = PolicyReply::Explained(Box::default());
    app.update(
        Event::Answered(Box::new(Answer { action: Some(Ok(reply)), snapshot: None, fleet: None, flows: None })),
        at(1),
    );
    assert!(matches!(app.overlay, Overlay::Explained { .. }));
    app.update(press(KeyCode::Esc), at(2));
    assert_eq!(app.overlay, Overlay::None);
}
