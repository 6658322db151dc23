//! Fleets of real agents: hosts on one switch, each with a state of its own.
//!
//! Host `n` is `hn` with 10.0.0.n, and its agent has that name. Invariant: what a member keeps outlives its agents and ends
//! with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use hivewall_testkit::netns::{Host, Lab, Offloads};
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::{binary, tool, until};

/// A host of a fleet, with its agent while that runs.
#[derive(Debug)]
pub struct Member {
    /// Where it runs.
    pub host: Host,
    /// Its agent.
    pub agent: Option<Agent>,
    /// Its name.
    pub name: String,
    flags: Vec<String>,
    directory: TempDir,
}

/// Hosts on one switch.
#[derive(Debug)]
pub struct Fleet {
    /// Keeps the rest alive.
    pub lab: Lab,
    /// The switch: its ports are `p1`, `p2`, ….
    pub switch: Host,
    /// All hosts.
    pub members: Vec<Member>,
}

impl Fleet {
    /// So many hosts, no agent yet. `label` gives each its label.
    pub fn new(name: &str, number: usize, label: impl Fn(usize) -> &'static str) -> Self {
        let lab = Lab::new(name).expect("a lab");
        let switch = lab.host("switch").expect("a switch");
        let mut lines = vec!["link add br0 type bridge mcast_snooping 0".to_owned()];
        let mut members = Vec::new();
        for n in 1..=number {
            let host = lab.host(&format!("h{n}")).expect("a host");
            let (port, address) = (format!("p{n}"), format!("10.0.0.{n}/24"));
            let link = lab.link(&host, "eth0", &switch, &port).offloads(Offloads::NONE).resolve_neighbours();
            link.addresses(&[&address], &[]).up().expect("a link");
            lines.push(format!("link set {port} master br0"));
            members.push(Member::new(host, &format!("h{n}"), label(n)));
        }
        lines.push("link set br0 up".to_owned());
        switch.ip_batch(&lines.join("\n")).expect("a bridge");
        Self { lab, switch, members }
    }

    /// A fleet with all hosts in it, `h1` the first. `flags` are the agents'.
    pub fn formed(name: &str, number: usize, label: impl Fn(usize) -> &'static str) -> Self {
        let mut fleet = Self::new(name, number, label);
        fleet.members[0].start();
        let init = fleet.members[0].does(&["cluster", "init", "--cluster-name", name]);
        assert!(init.contains("first member"), "{init}");
        fleet.members[0].until_in_fleet(1);
        let line = fleet.invite((number - 1).max(1));
        for member in fleet.members.iter_mut().skip(1) {
            member.start();
            let said = member.does(&["cluster", "join", &line]);
            assert!(said.contains("is a member now"), "{said}");
        }
        fleet.members.iter().for_each(|member| member.until_in_fleet(number as u64));
        fleet
    }

    /// A line with which so many hosts may join.
    pub fn invite(&self, uses: usize) -> String {
        let uses = uses.to_string();
        self.members[0].agent().tell(&["cluster", "invite", "--uses", &uses, "--ttl", "10m"]).fine().trim().to_owned()
    }

    /// Signs a document with the key that `h1` made, and applies it there.
    pub fn apply(&self, version: u32, body: &str) -> tool::Said {
        let signed = self.sign(version, body);
        self.members[0].agent().tell(&["policy", "apply", &signed.display().to_string()])
    }

    /// A signed document; each version follows the one before.
    pub fn sign(&self, version: u32, body: &str) -> PathBuf {
        let first = &self.members[0];
        let (file, out) = (first.path("policy.yaml"), first.path("policy.signed"));
        std::fs::write(&file, format!("kind: Policy\nmetadata: {{name: edge, version: {version}}}\n{body}")).unwrap();
        let key = first.path("fleet/operator.key");
        let words = ["policy", "sign", file.to_str().unwrap(), "--key", key.to_str().unwrap(), "--out"];
        first.does(&[&words[..], &[out.to_str().unwrap()]].concat());
        out
    }

    /// Takes the ports of these hosts from the switch, or puts them back.
    pub fn part(&self, hosts: &[usize], is_apart: bool) {
        let state = if is_apart { "down" } else { "up" };
        let lines: Vec<String> = hosts.iter().map(|n| format!("link set p{n} {state}")).collect();
        self.switch.ip_batch(&lines.join("\n")).expect("the ports are there");
    }
}

impl Member {
    fn new(host: Host, name: &str, label: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let bpf = directory.path().join("bpf");
        std::fs::create_dir(&bpf).unwrap();
        // Seen in every namespace: what agents leave is not bound to the mounts of one of them.
        assert!(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&bpf).status().unwrap().success());
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut flags: Vec<String> = [
            ["--fleet-directory", &path("fleet")],
            ["--policy-state", &path("policy")],
            ["--policy-pins", &path("bpf/hivewall")],
            ["--name", name],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect();
        if !label.is_empty() {
            flags.extend(["--label".to_owned(), label.to_owned()]);
        }
        Self { host, agent: None, name: name.to_owned(), flags, directory }
    }

    /// Starts its agent.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same, with more flags.
    pub fn start_with(&mut self, more: &[&str]) {
        let mut flags: Vec<&str> = vec!["--interface", "eth0"];
        flags.extend(self.flags.iter().map(String::as_str));
        flags.extend(more);
        self.agent = Some(Agent::start(&self.host, &flags));
    }

    /// Its agent, which runs.
    #[track_caller]
    pub fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("the agent runs")
    }

    /// A file or directory of its own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command of the product on this host, with its settings; it has to work.
    #[track_caller]
    pub fn does(&self, args: &[&str]) -> String {
        self.tries(args).fine()
    }

    /// The same, whatever comes of it.
    #[track_caller]
    pub fn tries(&self, args: &[&str]) -> tool::Said {
        let mut command = self.host.command(binary::path());
        command.args(args);
        command.env("HIVEWALL_FLEET_DIRECTORY", self.path("fleet"));
        command.env("HIVEWALL_POLICY_STATE", self.path("policy"));
        command.env("HIVEWALL_AGENT_NAME", &self.name);
        tool::run(command)
    }

    /// The fleet as it knows it.
    pub fn fleet(&self) -> Result<Value, String> {
        let text = self.agent().get("/api/v1/fleet")?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Waits until it says that `what` holds of its fleet.
    #[track_caller]
    pub fn until_fleet(&self, what: &str, look: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{} to see {what}", self.name), || {
            let fleet = self.fleet().map_err(|error| format!("{error}; {}", self.agent().messages()))?;
            if look(&fleet) { Ok(fleet) } else { Err(format!("{fleet:#}; {}", self.agent().messages())) }
        })
    }

    /// Waits until it sees so many hosts alive.
    #[track_caller]
    pub fn until_in_fleet(&self, hosts: u64) {
        self.until_fleet(&format!("{hosts} hosts"), |fleet| fleet["states"]["alive"] == hosts);
    }

    /// Ends its agent without a chance to clean up.
    pub fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill();
        }
    }

    /// What a shell on this host needs in its environment to speak to the agent.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("HIVEWALL_FLEET_DIRECTORY", self.path("fleet")),
            ("HIVEWALL_POLICY_STATE", self.path("policy")),
            ("HIVEWALL_TOKEN_FILE", self.agent().token_file()),
        ]
    }

    /// Where what it keeps is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
        if let Ok(pins) = std::fs::read_dir(self.path("bpf/hivewall")) {
            pins.filter_map(Result::ok).for_each(|pin| _ = std::fs::remove_file(pin.path()));
        }
        let _ = Command::new("umount").arg(self.path("bpf")).status();
    }
}
