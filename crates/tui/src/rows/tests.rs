//! Orders, filters and what is copied of rows.

use super::*;
use crate::check::check;
use crate::samples::{Load, fleet, flow, page, snapshot};

fn rows(load: Load) -> Rows {
    let mut rows = Rows::default();
    rows.take(&snapshot(load), &Trends::default(), Duration::from_secs(1), &Orders::default());
    rows.take_fleet(fleet(load).as_ref(), &Orders::default());
    rows.group(&page(load), &Orders::default());
    rows
}

fn ids(rows: &Rows, list: List) -> Vec<String> {
    rows.items(list).iter().map(|item| item.id()).collect()
}

#[test]
fn every_order_of_every_list_moves_its_rows() {
    let mut rows = rows(Load::Thousands);
    for list in List::ALL.into_iter().filter(|list| *list != List::Alerts) {
        for column in list.orders() {
            rows.order(list, Order { column, reversed: false });
            let forth = ids(&rows, list);
            rows.order(list, Order { column, reversed: true });
            let back = ids(&rows, list);
            assert_ne!(forth, back, "{list:?} by {column}");
            let rest = |at: usize| rows.items(list).get(at).is_some_and(|item| item.is_rest());
            let first_rest = (0..back.len()).find(|at| rest(*at)).unwrap_or(back.len());
            assert!((first_rest..back.len()).all(rest), "{list:?} by {column}: what stands for the rest is last");
        }
    }
}

#[test]
fn numbers_come_from_the_greatest_and_texts_from_a() {
    let mut rows = rows(Load::Thousands);
    rows.order(List::Talkers, Order { column: "sent", reversed: false });
    let sent: Vec<u64> = rows.talkers.iter().filter(|row| !row.is_rest()).map(|row| row.totals.sent_bytes).collect();
    assert!(sent.is_sorted_by(|a, b| a >= b));
    rows.order(List::Processes, Order { column: "process", reversed: false });
    let names = rows.processes.iter().filter(|row| !row.is_rest()).map(|row| row.process.to_lowercase());
    assert!(names.is_sorted());
    rows.order(List::Interfaces, Order { column: "captured", reversed: false });
    assert_eq!(ids(&rows, List::Interfaces), ["eth0", "wg0", "docker0"]);
    rows.order(List::States, Order { column: "state", reversed: false });
    assert_eq!(ids(&rows, List::States)[..3], ["LISTEN", "SYN_SENT", "SYN_RECV"]);
}

#[test]
fn what_the_language_had_from_the_start_can_be_asked_for_by_every_row() {
    let rows = rows(Load::Thousands);
    let lists = [
        List::Talkers,
        List::Protocols,
        List::Services,
        List::Interfaces,
        List::Peers,
        List::HalfOpen,
        List::KernelDrops,
        List::Members,
        List::FleetSources,
        List::FleetServices,
    ];
    for list in lists {
        let filters: Vec<String> = rows.items(list).iter().filter_map(|item| item.filter()).collect();
        assert!(!filters.is_empty(), "{list:?}");
        for filter in filters {
            assert_eq!(check(&filter), Ok(()), "{filter}");
        }
    }
}

#[test]
fn a_row_leads_to_its_flows_by_name() {
    let rows = rows(Load::Thousands);
    let filter = |list: List, id: &str| {
        let items = rows.items(list);
        items.iter().find(|item| item.id().starts_with(id)).unwrap_or_else(|| panic!("no {id}")).filter()
    };
    assert!(filter(List::Processes, "nginx").unwrap().starts_with("process:nginx"));
    assert!(filter(List::Processes, "Web Content").unwrap().starts_with("process:\"Web Content\""));
    assert_eq!(filter(List::Processes, "(other)"), None);
    assert_eq!(filter(List::Groups, "sshd").as_deref(), Some("process:sshd"));
    assert_eq!(filter(List::Groups, "(unknown)"), None);
    assert_eq!(filter(List::Applications, "dns").as_deref(), Some("app:dns"));
    assert_eq!(filter(List::DnsNames, "mail.").as_deref(), Some("name:mail.example.net"));
    assert_eq!(filter(List::ServerNames, "www.").as_deref(), Some("name:www.example.org"));
    assert!(filter(List::Fingerprints, "t13d").unwrap().starts_with("ja4:t13d1516h2_"));
    assert_eq!(filter(List::Services, "tcp/443").as_deref(), Some("proto:tcp dst-port:443"));
    assert_eq!(filter(List::Services, "tcp/0"), None);
    assert_eq!(filter(List::States, "CLOSED").as_deref(), Some("state:tcp_closed"));
    let half_open = filter(List::HalfOpen, "[2001").unwrap();
    assert_eq!(half_open, "dst-ip:2001:db8:ffff::53 dst-port:22 state:syn_sent,syn_recv");
    assert_eq!(filter(List::KernelDrops, "no_socket").as_deref(), Some("ip:203.0.113.0"));
    assert_eq!(filter(List::Losses, "ring_full"), None);
}

#[test]
fn a_value_that_is_more_than_a_word_is_quoted() {
    assert_eq!(term("process", "a\"b\\c"), r#"process:"a\"b\\c""#);
    assert_eq!(term("process", ""), "process:\"\"");
    assert_eq!(check(&term("text", "two \"words\", \\ and more")), Ok(()));
}

#[test]
fn the_text_of_a_row_is_what_one_would_paste_elsewhere() {
    let rows = rows(Load::Thousands);
    let text = |list: List| rows.items(list).first().map(|item| item.text()).unwrap_or_default();
    assert_eq!(text(List::Talkers), "10.1.0.0");
    assert_eq!(text(List::Processes), "/usr/sbin/nginx");
    assert_eq!(text(List::Requests), "http://shop.example.org/articles/0/pictures?size=large&page=0");
    assert_eq!(text(List::KernelDrops), "no_socket");
    assert_eq!(flow(3).text(), "tcp [2001:db8:12:3400::15:3]:56525 [2001:db8:ffff::53]:22");
}

#[test]
fn the_json_of_a_row_has_all_of_it() {
    let rows = rows(Load::Thousands);
    for list in List::ALL {
        for item in rows.items(list) {
            let json = item.json();
            assert!(json.as_object().is_some_and(|fields| fields.len() >= 2), "{list:?}: {json}");
        }
    }
    let json = flow(1).json();
    assert_eq!(serde_json::from_value::<hivewall_view::FlowRow>(json).unwrap(), flow(1));
}

#[test]
fn groups_add_up_to_the_page() {
    let page = page(Load::Thousands);
    let rows = rows(Load::Thousands);
    assert_eq!(rows.groups.iter().map(|row| row.flows).sum::<u64>(), page.flows.len() as u64);
    let bytes: u64 = page.flows.iter().map(|flow| flow.bytes).sum();
    assert_eq!(rows.groups.iter().map(GroupRow::bytes).sum::<u64>(), bytes);
    let unknown = rows.groups.iter().find(|row| row.is_rest()).unwrap();
    assert_eq!(unknown.flows, page.flows.iter().filter(|flow| flow.process.is_none()).count() as u64);
}
