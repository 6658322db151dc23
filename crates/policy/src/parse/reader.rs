//! The tree of a text taken for a document: keys, shapes, words, and what one part says about another.
//!
//! Rules are in `rule`. Invariant: a part that cannot be read leaves a problem behind and the reading goes on, so that
//! one run tells as much as can be told; a document comes out only when its frame could be read, and is thrown away by the
//! caller when there was any error.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use jiff::Timestamp;

use super::tree::{self, Node, Value};
use super::{Lines, Parsed, Places, TierPlaces, scalar};
use crate::document::{
    Addresses, Confirm, Defaults, Document, Kind, Metadata, Mode, Prefixes, Rule, Seconds, Set, Term, Tier, Word,
};
use crate::problem::{Fault, Place, Problem, Severity, listed, nearest};
use crate::selector::Selector;

/// Most problems that are remembered.
const REMEMBERED_MAX: usize = 1000;
/// Longest time to wait for a confirmation.
const CONFIRM_SECONDS: std::ops::RangeInclusive<u64> = 5..=86_400;
/// Longest description.
const DESCRIPTION_CHARS_MAX: usize = 1000;

pub(super) struct Reader<'t> {
    lines: Lines<'t>,
    problems: Vec<Problem>,
    /// Names of the sets, once they are known.
    sets: Vec<String>,
    /// Sets that were named.
    used: BTreeSet<String>,
    /// Rules by name, and the line of each.
    ids: HashMap<String, Place>,
}

/// The entries of a map whose keys are known.
pub(super) struct Fields<'n> {
    what: &'static str,
    key_span: Range<usize>,
    entries: Vec<(&'static str, &'n Node)>,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| *node)
    }
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            lines: Lines::new(text),
            problems: Vec::new(),
            sets: Vec::new(),
            used: BTreeSet::new(),
            ids: HashMap::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn tree(&mut self) -> Option<Node> {
        let text = self.lines.text;
        if text.len() > super::TEXT_BYTES_MAX {
            let fault = Fault::TooLong { bytes: text.len(), max: super::TEXT_BYTES_MAX };
            return self.fault(&(0..0), fault);
        }
        match tree::tree(text) {
            Ok(tree) => Some(tree),
            Err((span, fault)) => self.fault(&span, fault),
        }
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        self.lines.place(span)
    }

    pub(super) fn fault<T>(&mut self, span: &Range<usize>, fault: Fault) -> Option<T> {
        self.problem(Severity::Error, span, fault, None);
        None
    }

    pub(super) fn problem(
        &mut self,
        severity: Severity,
        span: &Range<usize>,
        fault: Fault,
        also: Option<(Place, &'static str)>,
    ) {
        if self.problems.len() < REMEMBERED_MAX {
            let place = self.place(span);
            self.problems.push(Problem { severity, place, fault, also: also.into_iter().collect() });
        }
    }

    /// The result, or a problem at the span.
    pub(super) fn told<T>(&mut self, span: &Range<usize>, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => self.fault(span, fault),
        }
    }

    /// A single value that is an address or names some: a map is probably an IPv6 address without quotes.
    fn address<'n>(&mut self, node: &'n Node, expected: &'static str, example: &'static str) -> Option<&'n str> {
        let given = self.lines.text.get(node.span.clone()).unwrap_or_default();
        if matches!(node.value, Value::Map(_)) && given.contains("::") && !given.starts_with('{') {
            let given = given.trim_end_matches([' ', ',', ']', '}', '\n']).to_owned();
            return self.fault(&node.span, Fault::ColonAddress { given });
        }
        self.scalar(node, expected, example)
    }

    pub(super) fn wrong_shape<T>(&mut self, node: &Node, expected: &'static str, example: &'static str) -> Option<T> {
        let found = match &node.value {
            Value::Plain(text) if text.is_empty() => "nothing",
            Value::Plain(_) | Value::Quoted(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        };
        let mut span = node.span.clone();
        // A list or map is marked where it begins.
        if matches!(node.value, Value::List(_) | Value::Map(_)) {
            span.end = span.start + 1;
        }
        self.fault(&span, Fault::WrongShape { found, expected, example })
    }

    /// A map with some of these keys.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &'static str,
        keys: &'static [&'static str],
        example: &'static str,
    ) -> Option<Fields<'n>> {
        let Value::Map(map) = &node.value else {
            return self.wrong_shape(node, "a map of keys and values", example);
        };
        let key_span = map.first().map_or(node.span.clone(), |(key, _)| key.span.clone());
        let mut fields = Fields { what, key_span, entries: Vec::with_capacity(map.len()) };
        for (key, value) in map {
            let (Value::Plain(given) | Value::Quoted(given)) = &key.value else {
                self.wrong_shape::<()>(key, "a key", keys.first().copied().unwrap_or_default());
                continue;
            };
            match keys.iter().find(|known| **known == &**given) {
                Some(known) if fields.get(known).is_some() => {
                    self.fault::<()>(&key.span, Fault::DuplicateKey { key: given.to_string() });
                }
                Some(known) => fields.entries.push((known, value)),
                None => {
                    let suggestion = nearest(given, keys.iter().copied());
                    let allowed = listed(keys.iter().copied());
                    let given = given.to_string();
                    self.fault::<()>(&key.span, Fault::UnknownKey { what, given, suggestion, allowed });
                }
            }
        }
        Some(fields)
    }

    pub(super) fn required<'n>(
        &mut self,
        fields: &Fields<'n>,
        key: &'static str,
        example: &'static str,
    ) -> Option<&'n Node> {
        let found = fields.get(key);
        if found.is_none() {
            let shown = KEYS_SHOWN.iter().find(|(name, _)| *name == key).map_or(key, |(_, shown)| shown);
            self.fault::<()>(&fields.key_span, Fault::Missing { what: fields.what, key: shown, example });
        }
        found
    }

    /// A single value as it stands, whether it is read as text or as a number.
    pub(super) fn scalar<'n>(
        &mut self,
        node: &'n Node,
        expected: &'static str,
        example: &'static str,
    ) -> Option<&'n str> {
        match &node.value {
            Value::Plain(text) if !text.is_empty() => Some(text),
            Value::Quoted(text) => Some(text),
            _ => self.wrong_shape(node, expected, example),
        }
    }

    /// A single value that is text.
    pub(super) fn text<'n>(
        &mut self,
        node: &'n Node,
        expected: &'static str,
        example: &'static str,
    ) -> Option<&'n str> {
        let text = self.scalar(node, expected, example)?;
        match (&node.value, scalar::kind_of_plain(text)) {
            (Value::Plain(_), Some(found)) => {
                self.fault(&node.span, Fault::NeedsQuotes { given: text.to_owned(), found })
            }
            _ => Some(text),
        }
    }

    /// A number without quotes.
    pub(super) fn number(&mut self, node: &Node, min: u64, max: u64, allowed: &'static str) -> Option<u64> {
        let text = self.scalar(node, "a number", "1")?;
        let number = match node.value {
            Value::Plain(_) if text.chars().all(|c| c.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                let quotes = if matches!(node.value, Value::Quoted(_)) { "\"" } else { "" };
                let given = format!("{quotes}{text}{quotes}");
                self.fault(&node.span, Fault::OutOfRange { given, allowed })
            }
        }
    }

    pub(super) fn word<W: Word>(&mut self, node: &Node) -> Option<W> {
        let words = || W::WORDS.iter().map(|(word, _)| *word);
        let given = self.scalar(node, "a word", words().next().unwrap_or_default())?;
        if let Some((_, value)) = W::WORDS.iter().find(|(word, _)| *word == given) {
            Some(*value)
        } else {
            let fault = Fault::NotPossible {
                given: given.to_owned(),
                suggestion: nearest(given, words()),
                allowed: listed(words()),
            };
            self.fault(&node.span, fault)
        }
    }

    pub(super) fn name<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let name = self.text(node, "a name", "web")?;
        if scalar::is_name(name) {
            Some(name)
        } else {
            self.fault(&node.span, Fault::BadName { given: name.to_owned() })
        }
    }

    /// One value or a list of them, each read by itself. `None` when any could not be read.
    pub(super) fn each<'n, T>(
        &mut self,
        node: &'n Node,
        mut read: impl FnMut(&mut Self, &'n Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::List(items) = &node.value else {
            return read(self, node).map(|value| vec![value]);
        };
        let values: Vec<Option<T>> = items.iter().map(|item| read(self, item)).collect();
        values.into_iter().collect()
    }

    pub(super) fn document(&mut self, tree: &Node) -> Option<Parsed> {
        const KEYS: &[&str] = &["kind", "metadata", "hosts", "mode", "confirm", "sets", "exempt", "responses", "tiers"];
        let fields = self.fields(tree, "a policy", KEYS, "kind: Policy")?;
        if let Some(node) = self.required(&fields, "kind", "kind: Policy") {
            self.word::<Kind>(node);
        }
        let metadata = self.required(&fields, "metadata", "metadata: {name: edge, version: 1}");
        let metadata = metadata.and_then(|node| self.metadata(node));
        let hosts = fields.get("hosts").and_then(|node| self.selector(node)).unwrap_or_default();
        let mode = fields.get("mode").and_then(|node| self.word::<Mode>(node)).unwrap_or_default();
        let confirm = fields.get("confirm").and_then(|node| self.confirm(node));
        let (sets, set_places) = fields.get("sets").map(|node| self.sets(node)).unwrap_or_default();
        let exempt = fields.get("exempt").and_then(|node| self.exempt(node));
        let responses = fields.get("responses").map(|node| self.responses(node)).unwrap_or_default();
        let tiers = self.required(&fields, "tiers", "tiers: [{name: main, default: {in: drop}, rules: []}]");
        let (tiers, tier_places): (Vec<Tier>, Vec<TierPlaces>) =
            tiers.map(|node| self.tiers(node)).unwrap_or_default().into_iter().unzip();
        // What cannot be read may well name them.
        if !self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            self.unused(&sets, &set_places);
        }
        let metadata = metadata?;
        let document = Document { kind: Kind::Policy, metadata, hosts, mode, confirm, sets, exempt, responses, tiers };
        Some(Parsed { document, places: Places { tiers: tier_places, sets: set_places }, warnings: Vec::new() })
    }

    pub(super) fn floor(&mut self, tree: &Node) -> Vec<Rule> {
        let Value::List(items) = &tree.value else {
            self.wrong_shape::<()>(tree, "a list of rules", "- {id: backup, dir: in, from: 10.0.0.9, action: accept}");
            return Vec::new();
        };
        let rules: Vec<_> = items.iter().filter_map(|node| self.rule(node, false)).collect();
        for (rule, place) in &rules {
            if rule.action != crate::document::Action::Accept {
                self.fault::<()>(&place.span, Fault::FloorRefuses { action: rule.action.word() });
            }
        }
        rules.into_iter().map(|(rule, _)| rule).collect()
    }

    fn metadata(&mut self, node: &Node) -> Option<Metadata> {
        const KEYS: &[&str] = &["name", "version", "description", "notBefore", "notAfter", "previous"];
        const EXAMPLE: &str = "metadata: {name: edge, version: 1}";
        let fields = self.fields(node, "metadata", KEYS, EXAMPLE)?;
        let name = self.required(&fields, "name", EXAMPLE).and_then(|node| self.name(node)).map(str::to_owned);
        let version = self.required(&fields, "version", EXAMPLE);
        let version =
            version.and_then(|node| self.number(node, 1, i64::MAX as u64, "a whole number without quotes, from 1 on"));
        let description = fields.get("description").and_then(|node| self.description(node));
        let not_before = fields.get("notBefore").and_then(|node| self.time(node));
        let not_after = fields.get("notAfter").and_then(|node| self.time(node));
        if let (Some(before), Some(after), Some(node)) = (not_before, not_after, fields.get("notAfter"))
            && after <= before
        {
            self.fault::<()>(&node.span, Fault::NeverInForce);
        }
        let previous = fields.get("previous").and_then(|node| self.hash(node));
        Some(Metadata { name: name?, version: version?, description, not_before, not_after, previous })
    }

    fn description(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "a text", "What may reach the web servers")?;
        let is_fine = text.chars().count() <= DESCRIPTION_CHARS_MAX && !text.chars().any(char::is_control);
        if is_fine {
            return Some(text.to_owned());
        }
        let expected = "one line of at most 1000 characters";
        self.fault(
            &node.span,
            Fault::NotOfForm { given: text.to_owned(), expected, example: "Web servers at the edge" },
        )
    }

    fn time(&mut self, node: &Node) -> Option<Timestamp> {
        const EXAMPLE: &str = "2026-01-31T08:00:00Z";
        let text = self.text(node, "a time", EXAMPLE)?;
        let time = text.parse::<Timestamp>();
        let fault = || Fault::NotOfForm { given: text.to_owned(), expected: "a time with its zone", example: EXAMPLE };
        self.told(&node.span, time.map_err(|_| fault()))
    }

    fn hash(&mut self, node: &Node) -> Option<String> {
        const EXAMPLE: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let text = self.scalar(node, "a hash", EXAMPLE)?;
        if text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
            return self.text(node, "a hash", EXAMPLE).map(str::to_owned);
        }
        let expected = "a SHA-256 in 64 small hexadecimal digits (`policy sign` writes it)";
        self.fault(&node.span, Fault::NotOfForm { given: text.to_owned(), expected, example: EXAMPLE })
    }

    fn selector(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "a selector of hosts", "role == 'web'")?;
        let fault = |reason: String| Fault::Selector { reason };
        let read = text.parse::<Selector>().map_err(|error| fault(error.to_string()));
        self.told(&node.span, read).map(|_| text.to_owned())
    }

    fn confirm(&mut self, node: &Node) -> Option<Confirm> {
        const EXAMPLE: &str = "confirm: {within: 120s}";
        let fields = self.fields(node, "confirm", &["within"], EXAMPLE)?;
        let node = self.required(&fields, "within", EXAMPLE)?;
        let text = self.scalar(node, "a span of time", "120s")?;
        let within = scalar::seconds(text, CONFIRM_SECONDS, "from 5s to 24h");
        self.told(&node.span, within).map(|within: Seconds| Confirm { within })
    }

    fn sets(&mut self, node: &Node) -> (BTreeMap<String, Set>, Vec<Place>) {
        let mut sets = BTreeMap::new();
        let Value::Map(entries) = &node.value else {
            self.wrong_shape::<()>(node, "a map of names and sets", "sets: {mgmt: {cidr: [10.9.0.0/24]}}");
            return Default::default();
        };
        for (key, value) in entries {
            let Some(name) = self.name(key) else { continue };
            // A set that cannot be read is still there, so that rules that name it are not wrong as well.
            self.sets.push(name.to_owned());
            let place = self.place(&key.span);
            if let Some(set) = self.set(value)
                && sets.insert(name.to_owned(), (set, place)).is_some()
            {
                self.fault::<()>(&key.span, Fault::DuplicateKey { key: name.to_owned() });
            }
        }
        sets.into_iter().map(|(name, (set, place))| ((name, set), place)).unzip()
    }

    fn set(&mut self, node: &Node) -> Option<Set> {
        const KEYS: &[&str] = &["cidr", "hosts", "file"];
        const EXAMPLE: &str = "{cidr: [10.9.0.0/24]}, {hosts: \"role == 'web'\"} or {file: /etc/hivewall/blocklist}";
        let fields = self.fields(node, "a set", KEYS, EXAMPLE)?;
        let [(key, value)] = *fields.entries.as_slice() else {
            if let Value::Map(entries) = &node.value
                && (entries.is_empty() || fields.entries.len() > 1)
            {
                self.wrong_shape::<()>(node, "exactly one of cidr, hosts and file", EXAMPLE);
            }
            return None;
        };
        match key {
            "cidr" => {
                let read = |reader: &mut Self, node: &Node| {
                    let text = reader.address(node, "an address or a prefix", "10.9.0.0/24")?;
                    reader.told(&node.span, scalar::net(text))
                };
                self.each(value, read).map(|nets| Set::Cidr(Prefixes(nets)))
            }
            "hosts" => self.selector(value).map(Set::Hosts),
            _ => {
                let path = self.text(value, "a path", "/etc/hivewall/blocklist")?;
                let is_path = path.starts_with('/') && !path.chars().any(char::is_control);
                let given = path.to_owned();
                let fault =
                    Fault::NotOfForm { given, expected: "a path from `/` on", example: "/etc/hivewall/blocklist" };
                self.told(&value.span, is_path.then(|| Set::File(path.to_owned())).ok_or(fault))
            }
        }
    }

    fn exempt(&mut self, node: &Node) -> Option<Addresses> {
        let addresses = self.addresses(node, true)?;
        if addresses.negated { self.fault(&node.span, Fault::NegatedExempt) } else { Some(addresses) }
    }

    /// Addresses of a rule; `sets` tells whether sets can be named.
    pub(super) fn addresses(&mut self, node: &Node, sets: bool) -> Option<Addresses> {
        const EXAMPLE: &str = "[10.0.0.0/8, \"@mgmt\"]";
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            return self.fault(&node.span, Fault::EmptyList { mend: "leave the key out for every address" });
        }
        let terms = self.each(node, |reader, node| {
            let text = reader.address(node, "an address, a prefix or a set", EXAMPLE)?;
            let (negated, text) = match text.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, text),
            };
            let term = match text.strip_prefix('@') {
                Some(_) if !sets => reader.fault(&node.span, Fault::NoSetsHere),
                Some(name) => reader.set_named(node, name),
                None => reader.told(&node.span, scalar::net(text)).map(Term::Net),
            };
            term.map(|term| (negated, term))
        })?;
        let negated = terms.first().is_some_and(|(negated, _)| *negated);
        if terms.iter().any(|(other, _)| *other != negated) {
            return self.fault(&node.span, Fault::MixedNegation);
        }
        Some(Addresses { negated, terms: terms.into_iter().map(|(_, term)| term).collect() })
    }

    fn set_named(&mut self, node: &Node, name: &str) -> Option<Term> {
        if self.sets.iter().any(|set| set == name) {
            self.used.insert(name.to_owned());
            return Some(Term::Set(name.to_owned()));
        }
        let suggestion = nearest(name, self.sets.iter().map(String::as_str)).map(|near| format!("@{near}"));
        let known = match self.sets.as_slice() {
            [] => "there are no sets; write `sets: {NAME: {cidr: […]}}` above the tiers".to_owned(),
            sets => format!("the sets are {}", listed(sets.iter().map(String::as_str))),
        };
        self.fault(&node.span, Fault::UnknownSet { name: name.to_owned(), suggestion, known })
    }

    fn unused(&mut self, sets: &BTreeMap<String, Set>, places: &[Place]) {
        for (name, place) in sets.keys().zip(places) {
            if !self.used.contains(name) {
                self.problem(Severity::Warning, &place.span, Fault::UnusedSet { name: name.clone() }, None);
            }
        }
    }

    fn tiers(&mut self, node: &Node) -> Vec<(Tier, TierPlaces)> {
        let Value::List(items) = &node.value else {
            self.wrong_shape::<()>(node, "a list of tiers", "tiers: [{name: main, default: {in: drop}, rules: []}]");
            return Vec::new();
        };
        if items.is_empty() {
            let mend = "write a tier, for example `- {name: main, default: {in: drop, out: accept}, rules: []}`";
            self.fault::<()>(&node.span, Fault::EmptyList { mend });
        }
        let mut tiers: Vec<(Tier, TierPlaces)> = Vec::new();
        for item in items {
            let Some((tier, places)) = self.tier(item) else { continue };
            if let Some((_, first)) = tiers.iter().find(|(other, _)| other.name == tier.name) {
                let fault = Fault::DuplicateTier { name: tier.name.clone(), line: first.name.line };
                let also = Some((first.name.clone(), "the first"));
                self.problem(Severity::Error, &places.name.span, fault, also);
            }
            tiers.push((tier, places));
        }
        tiers
    }

    fn tier(&mut self, node: &Node) -> Option<(Tier, TierPlaces)> {
        const EXAMPLE: &str = "{name: main, default: {in: drop, out: accept}, rules: []}";
        let fields = self.fields(node, "a tier", &["name", "default", "rules"], EXAMPLE)?;
        let mut places = TierPlaces::default();
        let name = self.required(&fields, "name", EXAMPLE);
        let name = name.and_then(|node| {
            places.name = self.place(&node.span);
            self.name(node).map(str::to_owned)
        });
        let default = fields.get("default").map(|node| self.defaults(node, &mut places)).unwrap_or_default();
        let mut rules = Vec::new();
        match fields.get("rules").map(|node| (node, &node.value)) {
            Some((_, Value::List(items))) => {
                for item in items {
                    if let Some((rule, place)) = self.rule(item, true) {
                        rules.push(rule);
                        places.rules.push(place);
                    }
                }
            }
            Some((node, _)) => {
                self.wrong_shape::<()>(
                    node,
                    "a list of rules",
                    "- {id: ssh, dir: in, proto: tcp, dport: 22, action: accept}",
                );
            }
            None => {}
        }
        Some((Tier { name: name?, default, rules }, places))
    }

    fn defaults(&mut self, node: &Node, places: &mut TierPlaces) -> Defaults {
        let Some(fields) = self.fields(node, "a default", &["in", "out"], "default: {in: drop, out: accept}") else {
            return Defaults::default();
        };
        let mut read = |key, place: &mut Place| {
            let node = fields.get(key)?;
            *place = self.place(&node.span);
            self.word(node)
        };
        Defaults { received: read("in", &mut places.received), sent: read("out", &mut places.sent) }
    }

    /// Remembers the name of a rule, which no other may have.
    pub(super) fn claim(&mut self, id: &str, span: &Range<usize>) {
        let place = self.place(span);
        if let Some(first) = self.ids.get(id).cloned() {
            let fault = Fault::DuplicateRule { id: id.to_owned(), line: first.line };
            self.problem(Severity::Error, span, fault, Some((first, "the first")));
        } else {
            self.ids.insert(id.to_owned(), place);
        }
    }
}

/// Keys as messages about their absence show them.
const KEYS_SHOWN: &[(&str, &str)] = &[
    ("kind", "`kind`"),
    ("metadata", "`metadata`"),
    ("tiers", "`tiers`"),
    ("name", "a `name`"),
    ("version", "a `version`"),
    ("within", "`within`"),
    ("id", "an `id`"),
    ("dir", "`dir` (in, out or both)"),
    ("action", "an `action`"),
    ("rate", "a `rate`"),
];
