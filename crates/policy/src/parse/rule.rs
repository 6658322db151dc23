//! One rule of the tree: its keys, and which of them go together.

use super::reader::{Fields, Reader};
use super::scalar;
use super::tree::{Node, Value};
use crate::document::{
    Action, Addresses, Dir, Established, IcmpTypes, Interfaces, Limit, Log, PORT_PROTOCOLS, Ports, Protocols, Rule,
    TcpFlags, Term,
};
use crate::problem::{Fault, Place};

const KEYS: &[&str] = &[
    "id",
    "dir",
    "proto",
    "from",
    "to",
    "sport",
    "dport",
    "icmp",
    "flags",
    "interface",
    "action",
    "established",
    "limit",
    "log",
];
const EXAMPLE: &str = "{id: ssh, dir: in, proto: tcp, dport: 22, action: accept}";
const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

impl Reader<'_> {
    /// A rule and the place of its name.
    pub(super) fn rule(&mut self, node: &Node, sets: bool) -> Option<(Rule, Place)> {
        let fields = self.fields(node, "a rule", KEYS, EXAMPLE)?;
        let id_node = self.required(&fields, "id", EXAMPLE);
        let id = id_node.and_then(|node| self.name(node));
        if let (Some(id), Some(node)) = (id, id_node) {
            self.claim(id, &node.span);
        }
        let dir = self.required(&fields, "dir", EXAMPLE).and_then(|node| self.word::<Dir>(node));
        let proto = fields.get("proto").map(|node| self.protocols(node));
        let proto_is_known = !matches!(proto, Some(None));
        let proto = proto.flatten().unwrap_or_default();
        let from = fields.get("from").and_then(|node| self.addresses(node, sets));
        let to = fields.get("to").and_then(|node| self.addresses(node, sets));
        let sport = fields.get("sport").and_then(|node| self.ports(node)).unwrap_or_default();
        let dport = fields.get("dport").and_then(|node| self.ports(node)).unwrap_or_default();
        let icmp = fields.get("icmp").filter(|_| proto_is_known).and_then(|node| self.icmp(node, &proto));
        let flags = fields.get("flags").and_then(|node| self.flags(node));
        let interface = fields.get("interface").and_then(|node| self.interfaces(node)).unwrap_or_default();
        let action = self.required(&fields, "action", EXAMPLE).and_then(|node| self.word::<Action>(node));
        let established = fields.get("established").and_then(|node| self.word::<Established>(node));
        let limit = fields.get("limit").and_then(|node| self.limit(node));
        let log = fields.get("log").and_then(|node| self.log(node)).flatten();
        if proto_is_known {
            self.protocol_fits(&fields, &proto);
        }
        self.families_fit(&fields, &proto, from.as_ref(), to.as_ref());
        if let (Some(node), Some(action)) = (fields.get("limit"), action)
            && action != Action::Accept
        {
            self.fault::<()>(&node.span, Fault::LimitOfRefusal { action: action.word() });
        }
        let rule = Rule {
            id: id?.to_owned(),
            dir: dir?,
            proto,
            from,
            to,
            sport,
            dport,
            icmp: icmp.unwrap_or_default(),
            flags,
            interface,
            action: action?,
            established: established.unwrap_or_default(),
            limit,
            log,
        };
        Some((rule, self.place(&id_node?.span)))
    }

    fn not_empty(&mut self, node: &Node, mend: &'static str) -> Option<()> {
        match &node.value {
            Value::List(items) if items.is_empty() => self.fault(&node.span, Fault::EmptyList { mend }),
            _ => Some(()),
        }
    }

    fn protocols(&mut self, node: &Node) -> Option<Protocols> {
        self.not_empty(node, "leave the key out for every protocol")?;
        let numbers = self.each(node, |reader, node| {
            let text = reader.scalar(node, "a protocol", "tcp")?;
            reader.told(&node.span, scalar::protocol(text))
        })?;
        // One `any` among others leaves nothing to choose.
        Some(Protocols(numbers.into_iter().collect::<Option<Vec<u8>>>().unwrap_or_default()))
    }

    fn ports(&mut self, node: &Node) -> Option<Ports> {
        self.not_empty(node, "leave the key out for every port")?;
        let ranges = self.each(node, |reader, node| {
            let text = reader.scalar(node, "a port, a range or a list of them", "[80, 443]")?;
            reader.told(&node.span, scalar::ports(text))
        })?;
        Some(Ports(ranges))
    }

    fn icmp(&mut self, node: &Node, proto: &Protocols) -> Option<IcmpTypes> {
        self.not_empty(node, "leave the key out for every type")?;
        let six = match proto.0.as_slice() {
            [ICMP] => false,
            [ICMPV6] => true,
            _ => return self.fault(&node.span, Fault::IcmpWithoutProtocol),
        };
        let types = self.each(node, |reader, node| {
            let text = reader.scalar(node, "a type of ICMP", "echo-request")?;
            reader.told(&node.span, scalar::icmp(text, six))
        })?;
        Some(IcmpTypes(types))
    }

    fn flags(&mut self, node: &Node) -> Option<TcpFlags> {
        let text = self.text(node, "flags", "syn/syn,ack,rst,fin")?;
        self.told(&node.span, scalar::flags(text))
    }

    fn interfaces(&mut self, node: &Node) -> Option<Interfaces> {
        self.not_empty(node, "leave the key out for every interface")?;
        let names = self.each(node, |reader, node| {
            let text = reader.text(node, "a name of an interface", "eth0")?;
            reader.told(&node.span, scalar::interface(text))
        })?;
        Some(Interfaces(names))
    }

    fn limit(&mut self, node: &Node) -> Option<Limit> {
        const EXAMPLE: &str = "limit: {rate: 2000/s, per: src, over: drop}";
        let fields = self.fields(node, "a limit", &["rate", "burst", "per", "over"], EXAMPLE)?;
        let rate = self.required(&fields, "rate", EXAMPLE).and_then(|node| {
            let text = self.scalar(node, "a rate", "2000/s")?;
            self.told(&node.span, scalar::rate(text))
        });
        let burst = fields.get("burst");
        let burst =
            burst.and_then(|node| self.number(node, 1, 1_000_000_000, "a whole number without quotes, from 1 on"));
        let per = fields.get("per").and_then(|node| self.word(node)).unwrap_or_default();
        let over = fields.get("over").and_then(|node| self.word(node)).unwrap_or_default();
        Some(Limit { rate: rate?, burst: burst.map(|burst| burst as u32), per, over })
    }

    /// `true`, `false`, or a map with a rate.
    #[expect(clippy::option_option, reason = "refused, none, or one")]
    fn log(&mut self, node: &Node) -> Option<Option<Log>> {
        const EXAMPLE: &str = "log: true, or log: {rate: 1/s}";
        match &node.value {
            Value::Plain(text) if &**text == "true" => Some(Some(Log::DEFAULT)),
            Value::Plain(text) if &**text == "false" => Some(None),
            _ => {
                let fields = self.fields(node, "log", &["rate"], EXAMPLE)?;
                let node = self.required(&fields, "rate", EXAMPLE)?;
                let text = self.scalar(node, "a rate", "1/s")?;
                self.told(&node.span, scalar::rate(text)).map(|rate| Some(Log { rate }))
            }
        }
    }

    /// Conditions that only some protocols have.
    fn protocol_fits(&mut self, fields: &Fields<'_>, proto: &Protocols) {
        if let Some(node) = fields.get("dport").or_else(|| fields.get("sport")) {
            let without = proto.0.iter().find(|number| !PORT_PROTOCOLS.contains(number));
            if proto.is_any() {
                self.fault::<()>(&node.span, Fault::PortsWithoutProtocol);
            } else if let (Some(number), Some(node)) = (without, fields.get("proto")) {
                let name = hivewall_model::protocol_name(*number);
                let protocol = name.map_or_else(|| format!("protocol {number}"), str::to_owned);
                self.fault::<()>(&node.span, Fault::NoPorts { protocol });
            }
        }
        if let Some(node) = fields.get("flags")
            && proto.0.as_slice() != [TCP]
        {
            self.fault::<()>(&node.span, Fault::FlagsWithoutTcp);
        }
    }

    /// Addresses of one family on each side, as far as they are written out.
    fn families_fit(
        &mut self,
        fields: &Fields<'_>,
        proto: &Protocols,
        from: Option<&Addresses>,
        to: Option<&Addresses>,
    ) {
        let (from_family, to_family) = (from.and_then(family), to.and_then(family));
        if let (Some(from), Some(to), Some(node)) = (from_family, to_family, fields.get("to"))
            && from != to
        {
            self.fault::<()>(&node.span, Fault::FamiliesApart { from, to });
            return;
        }
        let (protocol, instead, wrong) = match proto.0.as_slice() {
            [ICMP] => ("icmp", "icmpv6", "IPv6"),
            [ICMPV6] => ("icmpv6", "icmp", "IPv4"),
            _ => return,
        };
        if let Some(node) = fields.get("proto")
            && (from_family == Some(wrong) || to_family == Some(wrong))
        {
            self.fault::<()>(&node.span, Fault::WrongFamily { protocol, family: wrong, instead });
        }
    }
}

/// The one family of addresses that are written out; `None` for both, for sets and for exclusions.
fn family(addresses: &Addresses) -> Option<&'static str> {
    if addresses.negated {
        return None;
    }
    let families = addresses.terms.iter().map(|term| match term {
        Term::Net(ipnet::IpNet::V4(_)) => Some("IPv4"),
        Term::Net(ipnet::IpNet::V6(_)) => Some("IPv6"),
        Term::Set(_) => None,
    });
    families.reduce(|one, other| if one == other { one } else { None }).flatten()
}
