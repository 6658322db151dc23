//! What can follow in a filter that is being typed: names of fields, and words of a field that takes few. Not here: the
//! fields, which are `hivewall_view::filter`'s.
//!
//! Invariant: whatever is offered begins with what stands there already.

use hivewall_view::filter::{Key, ValueKind, keys};

/// What can follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Characters at the end of the text that an offer replaces.
    pub(crate) replaces: usize,
    /// What can stand there, in the order of the catalogue.
    pub(crate) words: Vec<String>,
    /// What the field takes, once its name is there.
    pub(crate) hint: Option<String>,
}

impl Offer {
    /// What all offers have in common: what the Tab key types.
    pub(crate) fn common(&self) -> String {
        let Some((first, rest)) = self.words.split_first() else { return String::new() };
        let shared = |a: &str, b: &str| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
        rest.iter().fold(first.clone(), |common: String, word| shared(&common, word))
    }
}

/// What can follow the text before the cursor.
pub(crate) fn offer(before: &str) -> Offer {
    let quotes = before.matches('"').count();
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    if quotes % 2 == 1 {
        return Offer::default();
    }
    let item = word.strip_prefix(['!', '-']).unwrap_or(word);
    match item.find([':', '=', '<', '>']) {
        None => names(item),
        Some(at) => values(item, at),
    }
}

fn names(typed: &str) -> Offer {
    let typed = typed.to_lowercase().replace('_', "-");
    let words = keys().filter(|key| key.name.starts_with(&typed)).map(begun).collect();
    Offer { replaces: typed.chars().count(), words, hint: None }
}

/// The name of a field with the sign that follows it.
fn begun(key: &Key) -> String {
    let sign = if matches!(key.kind, ValueKind::Comparison(_)) { ">" } else { ":" };
    format!("{}{sign}", key.name)
}

fn values(item: &str, at: usize) -> Offer {
    let (name, rest) = item.split_at_checked(at).unwrap_or((item, ""));
    let same = |spelling: &str| spelling == name.to_lowercase().replace('_', "-");
    let Some(key) = keys().find(|key| same(key.name) || key.aliases.iter().any(|alias| same(alias))) else {
        return Offer::default();
    };
    let typed = rest.trim_start_matches([':', '=', '<', '>']).rsplit(',').next().unwrap_or_default().to_lowercase();
    let words = key.kind.choices().iter().filter(|word| word.starts_with(&typed)).map(|word| (*word).to_owned());
    let hint = format!("{} e.g. {}", key.doc, key.example);
    Offer { replaces: typed.chars().count(), words: words.collect(), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_come_with_their_sign() {
        assert!(offer("src-").words.starts_with(&["src-ip:".to_owned(), "src-port:".to_owned()]));
        assert_eq!(offer("proto:tcp !src_").common(), "src-");
        assert_eq!(offer("min-pa").words, ["min-packets:"]);
        assert!(offer("dura").words.contains(&"duration>".to_owned()));
        assert!(offer("").words.len() > 20, "everything is offered to who does not know");
    }

    #[test]
    fn words_of_a_field_are_offered_behind_its_name() {
        let offer = offer("direction:in");
        assert_eq!((offer.words, offer.replaces), (vec!["inbound".to_owned()], 2));
        assert!(offer.hint.is_some_and(|hint| hint.contains("direction:")));
        assert_eq!(super::offer("state:active,est").words, ["established"]);
    }

    #[test]
    fn nothing_is_offered_within_quotes_or_behind_an_unknown_name() {
        assert_eq!(offer("text:\"sr"), Offer::default());
        assert_eq!(offer("nonsense:"), Offer::default());
        assert_eq!(offer("port:443").words, Vec::<String>::new());
    }
}
