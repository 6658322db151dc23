//! A fleet's ordinary life.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_net::{AskError, Carried, Life, Limits, enrol};
use hivewall_trust::{HostKey, Invitation};

use crate::bed::{Bed, Disk, Host, PATIENCE, policy, publish, wait_for_all};

#[test]
fn five_hosts_join_through_one_by_invitation_and_all_know_all() {
    let bed = Bed::new(99);
    let mut hosts = vec![bed.start(1, "127.0.0.1:0", &[])];
    let invitation = bed.invite(&hosts[0], 4);
    let began = Instant::now();
    for number in 2..=5 {
        let line: Invitation = invitation.to_string().parse().unwrap();
        let enrolled = enrol(&line, HostKey::from_seed([number; 32]), "newcomer", PATIENCE).unwrap();
        assert_eq!(enrolled.keys, b"keys of the operators");
        let disk: Disk = Arc::default();
        disk.lock().unwrap().policies.push(enrolled.charter);
        hosts.push(Bed::start_as(enrolled.identity, "127.0.0.1:0", &enrolled.seeds, disk, Limits::default()));
    }
    wait_for_all(&hosts, PATIENCE);
    println!("enrolled, joined and known after {:?}", began.elapsed());
}

#[test]
fn five_hosts_join_through_one_and_all_know_all() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let began = Instant::now();
        let hosts = Bed::new(100).fleet(5, listen);
        wait_for_all(&hosts, PATIENCE);
        println!("{listen}: five hosts know one another after {:?}", began.elapsed());
    }
}

#[test]
fn a_policy_of_half_a_megabyte_reaches_all() {
    let hosts = Bed::new(101).fleet(5, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let began = Instant::now();
    publish(&hosts[3], policy(7, 500_000));
    for host in &hosts {
        host.wait("the policy is here", PATIENCE, |state| {
            state.policies.get("policy").is_some_and(|held| held.head().version == 7)
        });
    }
    println!("a policy of 500 KB is with five hosts after {:?}", began.elapsed());
}

#[test]
fn a_host_that_stops_is_noticed_and_is_known_again_when_it_returns() {
    let bed = Bed::new(102);
    let mut hosts = bed.fleet(3, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let gone = hosts.pop().unwrap();
    gone.handle.stop(false);
    for host in &hosts {
        host.wait("the death is noticed", PATIENCE, |state| {
            state.member(gone.id).is_some_and(|member| member.life == Life::Down)
        });
    }
    let back = bed.start_saved(3, &gone.address.to_string(), &[], gone.disk.clone(), Limits::default());
    assert_eq!(back.id, gone.id);
    hosts.push(back);
    wait_for_all(&hosts, PATIENCE);
}

#[test]
fn a_host_that_leaves_is_gone_at_once() {
    let mut hosts = Bed::new(103).fleet(3, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let gone = hosts.pop().unwrap();
    let began = Instant::now();
    gone.handle.stop(true);
    for host in &hosts {
        host.wait("the farewell is heard", Duration::from_secs(2), |state| {
            state.member(gone.id).is_some_and(|member| matches!(member.life, Life::Down | Life::Left))
        });
    }
    println!("a farewell is heard after {:?}", began.elapsed());
}

#[test]
fn a_host_that_is_killed_and_restarted_at_once_loses_no_link_for_long() {
    let bed = Bed::new(104);
    let mut hosts = bed.fleet(3, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let gone = hosts.remove(1);
    gone.handle.stop(false);
    let back = bed.start_saved(2, &gone.address.to_string(), &[], gone.disk.clone(), Limits::default());
    hosts.push(back);
    wait_for_all(&hosts, Duration::from_secs(5));
    let answer = hosts[0].handle.ask(gone.id, b"abc".to_vec(), Duration::from_secs(3));
    assert_eq!(answer.as_deref(), Ok(b"cba".as_slice()));
}

#[test]
fn questions_are_answered_refused_and_bounded() {
    let hosts = Bed::new(105).fleet(2, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let (asker, to) = (&hosts[0].handle, hosts[1].id);
    let second = Duration::from_secs(5);
    assert_eq!(asker.ask(to, b"abc".to_vec(), second).as_deref(), Ok(b"cba".as_slice()));
    assert_eq!(asker.ask(to, b"refuse".to_vec(), second), Err(AskError::Refused));
    assert_eq!(asker.ask(to, vec![0; hivewall_net::QUESTION_BYTES_MAX + 1], second), Err(AskError::TooLong));
    let longest = vec![7; hivewall_net::QUESTION_BYTES_MAX];
    assert_eq!(asker.ask(to, longest.clone(), second), Ok(longest));
    let stranger = hivewall_cluster::NodeId([9; 16]);
    assert_eq!(asker.ask(stranger, Vec::new(), second), Err(AskError::Unknown));
    let before = hosts[0].handle.state().traffic.get(Carried::QuicHandshakes);
    assert_eq!(asker.ask_anew(to, b"xy".to_vec(), second).as_deref(), Ok(b"yx".as_slice()));
    hosts[0].wait("a handshake more", PATIENCE, |state| state.traffic.get(Carried::QuicHandshakes) == before + 1);
}

#[test]
fn links_are_measured() {
    let hosts = Bed::new(106).fleet(2, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let state = hosts[0].wait("a round trip is known", PATIENCE, |state| {
        let link = state.member(hosts[1].id).and_then(|member| member.link.clone());
        link.is_some_and(|link| link.rtt.is_some() && link.how == hivewall_net::How::Noise)
    });
    let link = state.member(hosts[1].id).unwrap().link.clone().unwrap();
    assert!(link.rtt.unwrap() < Duration::from_secs(1), "{link:?}");
    assert!(link.loss < 0.01, "{link:?}");
    assert!(Host::knows(&state, hosts[1].id) && Arc::strong_count(&state) > 0);
}
