//! What Grafana would stumble over, or a reader miss.

use std::collections::BTreeSet;

use hivewall_api::METRICS;

use super::*;

/// What is on no dashboard, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("hivewall_interface_errs_total", "its two directions are shown apart"),
    ("hivewall_interface_drop_total", "its two directions are shown apart"),
    ("hivewall_failed_logins_total", "the alerts made of them are shown"),
    ("hivewall_flow_export_bytes_total", "records are shown"),
    ("hivewall_flow_export_queue_items", "what is lost for it is shown"),
];

fn all() -> Vec<(&'static str, Value)> {
    boards::ALL.iter().map(|board| (board.uid, json::dashboard(board))).collect()
}

/// Panels that show something; headings left out.
fn shown(board: &Value) -> Vec<&Value> {
    board["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {value:#}"))
}

/// Names of our own metrics in an expression.
fn metrics(expr: &str) -> impl Iterator<Item = &str> {
    let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("hivewall_") || word.starts_with("process_"))
}

#[test]
fn the_dashboards_in_the_repository_are_what_their_definitions_say() {
    let stale: Vec<String> = stale(&repo::root().unwrap()).into_iter().map(|(file, _)| file).collect();
    assert!(stale.is_empty(), "run `cargo xtask dashboards` and commit {FOLDER}: {stale:?} differ");
    let root = repo::root().unwrap();
    let wanted: Vec<String> = boards::ALL.iter().map(|board| format!("{FOLDER}/{}.json", board.uid)).collect();
    let there = repo::files(&root, FOLDER, &[".json"]).unwrap();
    assert_eq!(there.iter().collect::<BTreeSet<_>>(), wanted.iter().collect(), "a dashboard that has no definition");
}

#[test]
fn every_panel_has_a_title_a_description_a_unit_and_a_query() {
    for (uid, board) in all() {
        assert!(!text(&board, "description").is_empty(), "{uid}");
        for panel in shown(&board) {
            let title = text(panel, "title");
            assert!(!title.is_empty(), "{uid}: {panel:#}");
            assert!(text(panel, "description").ends_with('.'), "{uid}/{title}");
            assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{uid}/{title}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{uid}/{title}");
            for target in targets {
                assert!(!text(target, "expr").is_empty() && !text(target, "expr").contains('@'), "{uid}/{title}");
                assert_eq!(text(&target["datasource"], "uid"), "${datasource}", "{uid}/{title}");
                let may_lack_a_name = panel["type"] == "table" || panel["type"] == "stat";
                assert!(may_lack_a_name || !text(target, "legendFormat").is_empty(), "{uid}/{title}");
            }
        }
    }
}

#[test]
fn identifiers_are_unique_and_panels_do_not_overlap() {
    let uids: BTreeSet<_> = boards::ALL.iter().map(|board| board.uid).collect();
    assert_eq!(uids.len(), boards::ALL.len());
    for (uid, board) in all() {
        assert_eq!(uid, text(&board, "uid"));
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{uid}");
        let mut taken = BTreeSet::new();
        for panel in panels {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
            assert!(x + w <= 24, "{uid}: {}", text(panel, "title"));
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{uid}: {} overlaps another panel at {cell:?}", text(panel, "title"));
            }
        }
        for panel in shown(&board) {
            let letters: Vec<_> = panel["targets"].as_array().unwrap().iter().map(|one| text(one, "refId")).collect();
            assert_eq!(letters.iter().collect::<BTreeSet<_>>().len(), letters.len(), "{uid}: {letters:?}");
        }
    }
}

#[test]
fn every_dashboard_chooses_a_data_source_and_hosts_and_leads_to_the_others() {
    for (uid, board) in all() {
        let variables = board["templating"]["list"].as_array().unwrap();
        let names: Vec<_> = variables.iter().map(|variable| text(variable, "name")).collect();
        assert_eq!(names[..2], ["datasource", "instance"], "{uid}");
        assert_eq!(variables[0]["type"], "datasource", "{uid}");
        assert_eq!(board["links"][0]["tags"], board["tags"], "{uid}");
        let exprs = shown(&board).into_iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        for expr in exprs.map(|target| text(target, "expr")) {
            assert!(!expr.contains("$device") || names.contains(&"device"), "{uid}: {expr}");
        }
    }
}

#[test]
fn every_metric_is_on_some_dashboard_and_whatever_is_there_exists() {
    let shown: BTreeSet<String> = all()
        .iter()
        .flat_map(|(_, board)| shown(board).into_iter().flat_map(|panel| panel["targets"].as_array().unwrap().clone()))
        .flat_map(|target| metrics(text(&target, "expr")).map(str::to_owned).collect::<Vec<_>>())
        .map(|name| {
            ["_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).map_or(name.clone(), str::to_owned)
        })
        .collect();
    let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(unknown.is_empty(), "no such metric: {unknown:?}");
    let is_elsewhere = |name: &str| ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == name);
    let unseen: Vec<_> = known.difference(&shown).filter(|name| !is_elsewhere(name)).collect();
    assert!(unseen.is_empty(), "on no dashboard, nor in ELSEWHERE with the reason: {unseen:?}");
    assert!(
        ELSEWHERE.iter().all(|(name, _)| known.contains(*name) && !shown.contains(*name)),
        "needless: {ELSEWHERE:?}"
    );
}

#[track_caller]
fn yaml(file: &str) -> Value {
    let text = repo::text(&repo::root().unwrap(), file).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_compose_file_pins_its_images_and_names_what_is_there() {
    let root = repo::root().unwrap();
    let compose = yaml("deploy/docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["prometheus", "alertmanager", "grafana"]);
    for (name, service) in services {
        let (_, tag) = text(service, "image").split_once(':').unwrap_or_else(|| panic!("{name} has no tag"));
        assert!(tag != "latest" && tag.contains(|c: char| c.is_ascii_digit()), "{name}: {tag}");
        for volume in service["volumes"].as_array().unwrap() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            let is_there = match from.strip_prefix("./") {
                Some(path) => root.join("deploy").join(path).is_dir(),
                None => compose["volumes"].as_object().unwrap().contains_key(from),
            };
            assert!(is_there, "{name}: {from}");
        }
        let text = service.to_string();
        assert!(text.contains("127.0.0.1") && !text.contains("0.0.0.0"), "{name} listens beyond loopback");
    }
}

#[test]
fn grafana_finds_the_data_source_that_dashboards_choose() {
    let sources = yaml("deploy/grafana/provisioning/datasources/hivewall.yml");
    let providers = yaml("deploy/grafana/provisioning/dashboards/hivewall.yml");
    for (uid, board) in all() {
        assert_eq!(board["templating"]["list"][0]["current"]["value"], sources["datasources"][0]["uid"], "{uid}");
    }
    let mounted = format!("./grafana/dashboards:{}:ro", text(&providers["providers"][0]["options"], "path"));
    let volumes = yaml("deploy/docker-compose.yml")["services"]["grafana"]["volumes"].clone();
    assert!(volumes.as_array().unwrap().iter().any(|volume| *volume == mounted), "{mounted} is not in {volumes}");
}
