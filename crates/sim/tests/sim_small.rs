//! Small fleets in every scenario, and chaos with a few seeds. `cargo xtask sim` runs the large ones.

use hivewall_sim::{SCENARIOS, chaos, run};

fn holds(name: &str, hosts: usize, seed: u64) {
    let outcome = run(name, hosts, seed).expect("a scenario of this name");
    let lines: Vec<String> =
        outcome.lines.iter().map(|line| format!("{:>12.3}  {}  {:?}", line.value, line.what, line.aim)).collect();
    assert!(outcome.holds(), "scenario {name}, {hosts} hosts, seed {seed}:\n{}", lines.join("\n"));
    println!("scenario {name}, {hosts} hosts, seed {seed}:\n{}", lines.join("\n"));
}

#[test]
fn a_quiet_fleet_stays_within_its_budget() {
    holds("quiet", 20, 1);
}

#[test]
fn slow_hosts_are_not_taken_for_dead() {
    holds("steady", 40, 2);
}

#[test]
fn hosts_that_join_at_once_soon_know_all_others() {
    holds("join", 20, 3);
}

#[test]
fn five_that_join_at_once_know_one_another_in_three_seconds_whatever_chance_does() {
    for seed in 1..=500 {
        holds("join", 5, seed);
    }
}

#[test]
fn a_policy_reaches_all_through_a_lossy_network() {
    holds("policy", 50, 4);
}

#[test]
fn a_total_covers_the_survivors_and_counts_nobody_twice() {
    holds("summary", 100, 5);
}

#[test]
fn the_dead_are_noticed() {
    holds("crash", 50, 6);
}

#[test]
fn a_parted_fleet_finds_together_and_takes_the_newest_policy() {
    holds("split", 8, 7);
}

#[test]
fn after_chaos_all_agree() {
    let failures: Vec<String> = (1..=10).filter_map(|seed| chaos(20, seed).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_run_can_be_repeated() {
    assert_eq!(run("crash", 20, 9), run("crash", 20, 9));
    assert!(SCENARIOS.iter().all(|scenario| !scenario.what.is_empty()));
}
