//! The corpus of real captures that may lie beside the checkout, and what independent tools found in each file.
//!
//! `../shared/cases/manifest.tsv` holds, for every capture, what tshark, nfpcapd and nfstream count. Few of the files
//! may be redistributed, so none is here; those that may are in `cases/`. Invariant: a corpus that is missing is told
//! on standard error whatever the test runner hides, and is a failure where `HIVEWALL_REQUIRE_CORPUS=1` is set.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

/// What a tool counts of one protocol in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Distinct 5-tuples, both directions one.
    pub(crate) tuples: u64,
    /// Packets in them.
    pub(crate) packets: u64,
    /// IP bytes in them.
    pub(crate) ip_bytes: u64,
}

/// One capture of the corpus.
pub(crate) struct Capture {
    /// File name.
    pub(crate) file: String,
    path: PathBuf,
    columns: BTreeMap<String, String>,
}

impl Capture {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap_or_else(|error| panic!("cannot read {}: {error}", self.path.display()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// A column as it stands in the manifest.
    pub(crate) fn text(&self, column: &str) -> &str {
        self.columns.get(column).unwrap_or_else(|| panic!("the manifest has no column {column}"))
    }

    /// A column that holds a number.
    pub(crate) fn number(&self, column: &str) -> u64 {
        let text = self.text(column);
        text.parse().unwrap_or_else(|_| panic!("{}: {column} is {text}, not a number", self.file))
    }

    /// `tcp` or `udp` as nfpcapd counts it; its one-way flow records are left aside.
    pub(crate) fn nfpcapd(&self, protocol: &str) -> Count {
        match self.numbers(&format!("{protocol}_nfpcapd(uni/bi/pkts/ipbytes)"))[..] {
            [_, tuples, packets, ip_bytes] => Count { tuples, packets, ip_bytes },
            _ => Count::default(),
        }
    }

    /// `tcp` or `udp` as nfstream counts it.
    pub(crate) fn nfstream(&self, protocol: &str) -> Count {
        match self.numbers(&format!("{protocol}_nfstream(flows/pkts/ipbytes)"))[..] {
            [tuples, packets, ip_bytes] => Count { tuples, packets, ip_bytes },
            _ => Count::default(),
        }
    }

    fn numbers(&self, column: &str) -> Vec<u64> {
        self.text(column).split('/').map(|number| number.parse().expect("counts are numbers")).collect()
    }
}

/// The corpus, or `None` when it is not there, which has been told then.
pub(crate) fn captures() -> Option<Vec<Capture>> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/cases"));
    let Ok(manifest) = std::fs::read_to_string(folder.join("manifest.tsv")) else {
        let text = "NOT RUN: there is no corpus at ../shared/cases beside the checkout; only cases/ was tested";
        assert!(std::env::var_os("HIVEWALL_REQUIRE_CORPUS").is_none_or(|value| value != "1"), "{text}");
        // Not eprintln!: the test runner keeps that to itself when a test passes.
        writeln!(std::io::stderr(), "\n{text}\n").expect("standard error is open");
        return None;
    };
    let mut lines = manifest.lines();
    let names: Vec<&str> = lines.next().expect("the manifest has a head").split('\t').collect();
    let captures: Vec<Capture> = lines
        .map(|line| {
            let columns =
                names.iter().zip(line.split('\t')).map(|(name, value)| ((*name).to_owned(), value.to_owned()));
            let columns: BTreeMap<String, String> = columns.collect();
            let file = columns.get("file").expect("the manifest names files").clone();
            Capture { path: folder.join(&file), file, columns }
        })
        .collect();
    assert!(!captures.is_empty(), "the manifest is empty");
    Some(captures)
}
