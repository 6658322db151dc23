//! Real captures against what tshark counts in them.

mod seen;

#[test]
fn probe() {
    use hivewall_model::Learned;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/cases/");
    let manifest = std::fs::read_to_string(format!("{folder}manifest.tsv")).unwrap();
    for line in manifest.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let bytes = std::fs::read(format!("{folder}{}", columns[0])).unwrap();
        let start = std::time::Instant::now();
        let (found, names) = seen::play(&bytes);
        let count = |f: &dyn Fn(&Learned) -> bool| found.iter().filter(|finding| f(&finding.learned)).count();
        let dns = count(&|l| matches!(l, Learned::Dns(_)));
        let http = count(&|l| matches!(l, Learned::HttpRequest(_)));
        let sni = count(&|l| matches!(l, Learned::Tls(t) if t.server_name.is_some()));
        let own = [dns, http, sni].map(|n| n.to_string());
        let flag = if own[..] == columns[17..20] { "" } else { "DIFF" };
        let counts: Vec<String> =
            names.counters().iter().filter(|c| c.count > 0).map(|c| format!("{}={}", c.name, c.count)).collect();
        println!("{flag} {} {own:?} {:?} {:?} {}", columns[0], &columns[17..20], start.elapsed(), counts.join(" "));
    }
}
