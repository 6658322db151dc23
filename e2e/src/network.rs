//! The networks that tests share: two hosts on a wire, and two hosts with a third between them.
//!
//! All links are silent until a test speaks. Invariant: addresses follow the names: `a` is .1, `b` is .2.

use hivewall_testkit::netns::{Host, Lab, Offloads};

/// Two hosts on one wire, `eth0` at both ends: 10.0.0.1 and fd00::1 (`a`), 10.0.0.2 and fd00::2 (`b`).
#[derive(Debug)]
pub struct Pair {
    /// Keeps the rest alive.
    pub lab: Lab,
    /// The one that opens conversations.
    pub a: Host,
    /// The one that answers.
    pub b: Host,
}

impl Pair {
    /// Makes it, without offloads.
    pub fn new(name: &str) -> Self {
        Self::with(name, Offloads::NONE)
    }

    /// Makes it with these offloads at both ends.
    pub fn with(name: &str, offloads: Offloads) -> Self {
        let lab = Lab::new(name).expect("a lab");
        let (a, b) = (lab.host("a").expect("a"), lab.host("b").expect("b"));
        let link = lab.link(&a, "eth0", &b, "eth0").offloads(offloads);
        link.addresses(&["10.0.0.1/24", "fd00::1/64"], &["10.0.0.2/24", "fd00::2/64"]).up().expect("a link");
        Self { lab, a, b }
    }
}

/// Two hosts and one between them: `a` – `eth0` middle `eth1` – `b`.
#[derive(Debug)]
pub struct Between {
    /// Keeps the rest alive.
    pub lab: Lab,
    /// One side.
    pub a: Host,
    /// In between.
    pub middle: Host,
    /// The other side.
    pub b: Host,
}

impl Between {
    /// The middle is a router: 10.0.1.1 – 10.0.1.254, 10.0.2.254 – 10.0.2.2.
    pub fn router(name: &str) -> Self {
        let new = Self::bare(name);
        let (a, middle, b) = (&new.a, &new.middle, &new.b);
        let left = new.lab.link(a, "eth0", middle, "eth0").offloads(Offloads::NONE);
        left.addresses(&["10.0.1.1/24"], &["10.0.1.254/24"]).up().expect("a link");
        let right = new.lab.link(middle, "eth1", b, "eth0").offloads(Offloads::NONE);
        right.addresses(&["10.0.2.254/24"], &["10.0.2.2/24"]).up().expect("a link");
        a.ip(&["route", "add", "default", "via", "10.0.1.254"]).expect("a route");
        b.ip(&["route", "add", "default", "via", "10.0.2.254"]).expect("a route");
        middle.sysctl("net.ipv4.ip_forward", "1").expect("forwarding");
        new
    }

    /// The middle is a bridge `br0` with the ports `eth0` and `eth1`; 10.0.0.1 – 10.0.0.2, who ask for one another by ARP.
    pub fn bridge(name: &str) -> Self {
        let new = Self::bare(name);
        let (a, middle, b) = (&new.a, &new.middle, &new.b);
        for (host, port, address) in [(a, "eth0", "10.0.0.1/24"), (b, "eth1", "10.0.0.2/24")] {
            let link = new.lab.link(host, "eth0", middle, port).offloads(Offloads::NONE).resolve_neighbours();
            link.addresses(&[address], &[]).up().expect("a link");
        }
        let lines = "link add br0 type bridge mcast_snooping 0\nlink set eth0 master br0\nlink set eth1 master br0\n\
                     link set br0 up";
        middle.ip_batch(lines).expect("a bridge");
        new
    }

    fn bare(name: &str) -> Self {
        let lab = Lab::new(name).expect("a lab");
        let [a, middle, b] = ["a", "middle", "b"].map(|name| lab.host(name).expect("a host"));
        Self { lab, a, middle, b }
    }
}

/// An interface's hardware address.
pub fn mac(host: &Host, interface: &str) -> String {
    let text = host.ip(&["-o", "link", "show", interface]).expect("the interface");
    let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).expect("an Ethernet address").to_owned()
}
