//! Grafana's form of a dashboard. It looks the same for all: one place for colours, legends, heights and links.
//!
//! Invariants: numbers of panels are unique and follow the order of reading; every query asks the data source that was
//! chosen; no two panels share a place.

use serde_json::{Value, json};

use super::{Board, Kind, Panel};

/// The form that Grafana 10 and 11 write.
const SCHEMA_VERSION: u32 = 39;
/// Columns of a page.
const COLUMNS: u32 = 24;

/// The whole dashboard.
pub(super) fn dashboard(board: &Board) -> Value {
    json!({
        "uid": board.uid,
        "title": format!("Hivewall: {}", board.title),
        "description": board.about,
        "tags": ["hivewall"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": []},
        "links": [{
            "type": "dashboards", "tags": ["hivewall"], "title": "Hivewall", "icon": "external link",
            "asDropdown": true, "includeVars": true, "keepTime": true, "targetBlank": false, "url": "", "tooltip": "",
        }],
        "templating": {"list": variables(board)},
        "panels": panels(board),
    })
}

/// An object with one more key.
fn with(mut object: Value, key: &str, value: Value) -> Value {
    if let Value::Object(map) = &mut object {
        map.insert(key.to_owned(), value);
    }
    object
}

fn variables(board: &Board) -> Vec<Value> {
    let mut all = vec![
        json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0,
            "current": {"text": "Hivewall", "value": "hivewall"},
        }),
        choice("instance", "Host", "label_values(hivewall_build_info, instance)"),
    ];
    if board.has_devices {
        let devices = "label_values(hivewall_interface_up{instance=~\"$instance\"}, device)";
        all.push(choice("device", "Interface", devices));
    }
    all
}

/// A variable of which several values, or all, can be chosen.
fn choice(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "hide": 0,
        "datasource": source(), "definition": query, "query": {"query": query, "refId": name},
        "multi": true, "includeAll": true, "allValue": ".*", "refresh": 2, "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]},
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// Panels from left to right, row by row.
fn panels(board: &Board) -> Vec<Value> {
    let (mut all, mut y) = (Vec::new(), 0);
    for row in board.rows {
        let heading = json!({
            "id": all.len() + 1, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        });
        all.push(heading);
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in row.panels {
            let [width, height] = size(panel.kind);
            if x + width > COLUMNS {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            let place = json!({"x": x, "y": y, "w": width, "h": height});
            all.push(with(with(whole(panel), "id", json!(all.len() + 1)), "gridPos", place));
            x += width;
            tallest = tallest.max(height);
        }
        y += tallest;
    }
    all
}

/// Columns and lines that a panel takes.
fn size(kind: Kind) -> [u32; 2] {
    match kind {
        Kind::Stat => [4, 4],
        Kind::Lines | Kind::Stack | Kind::Bars => [12, 8],
        Kind::Table => [COLUMNS, 8],
    }
}

fn whole(panel: &Panel) -> Value {
    let name = match panel.kind {
        Kind::Stat => "stat",
        Kind::Lines | Kind::Stack => "timeseries",
        Kind::Bars => "bargauge",
        Kind::Table => "table",
    };
    let value = json!({
        "type": name,
        "title": panel.title,
        "description": panel.about,
        "datasource": source(),
        "targets": targets(panel),
        "options": options(panel.kind),
        "fieldConfig": {"defaults": defaults(panel), "overrides": overrides(panel)},
    });
    if panel.kind == Kind::Table { with(value, "transformations", transformations(panel)) } else { value }
}

fn targets(panel: &Panel) -> Vec<Value> {
    let is_now = matches!(panel.kind, Kind::Stat | Kind::Bars | Kind::Table);
    let one = |(expr, legend): &(&str, &str), letter: char| {
        let expr =
            expr.replace("@d", "instance=~\"$instance\",device=~\"$device\"").replace("@i", "instance=~\"$instance\"");
        json!({
            "refId": letter.to_string(), "datasource": source(), "expr": expr, "legendFormat": legend,
            "instant": is_now, "range": !is_now, "editorMode": "code",
            "format": if panel.kind == Kind::Table { "table" } else { "time_series" },
        })
    };
    panel.queries.iter().zip('A'..='Z').map(|(query, letter)| one(query, letter)).collect()
}

fn options(kind: Kind) -> Value {
    let last = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match kind {
        Kind::Stat => json!({
            "reduceOptions": last, "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
            "orientation": "auto", "textMode": "auto", "wideLayout": true,
        }),
        Kind::Lines | Kind::Stack => json!({
            "legend": {"showLegend": true, "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Kind::Bars => json!({
            "reduceOptions": last, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": true,
            "valueMode": "color", "namePlacement": "auto", "sizing": "auto", "minVizHeight": 12, "minVizWidth": 8,
        }),
        Kind::Table => json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false}}),
    }
}

fn defaults(panel: &Panel) -> Value {
    let mut steps = vec![json!({"color": if panel.limits.is_some() { "green" } else { "text" }, "value": null})];
    for (color, from) in ["yellow", "red"].into_iter().zip(panel.limits.into_iter().flatten()) {
        steps.push(json!({"color": color, "value": from}));
    }
    let is_line = matches!(panel.kind, Kind::Lines | Kind::Stack);
    let by =
        if is_line || panel.kind == Kind::Bars && panel.limits.is_none() { "palette-classic" } else { "thresholds" };
    let value = json!({
        "unit": panel.unit, "min": 0, "color": {"mode": by}, "noValue": "–",
        "thresholds": {"mode": "absolute", "steps": steps},
    });
    if !is_line {
        return value;
    }
    let is_stack = panel.kind == Kind::Stack;
    let custom = json!({
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "showPoints": "never", "spanNulls": false,
        "fillOpacity": if is_stack { 40 } else { 8 },
        "stacking": {"mode": if is_stack { "normal" } else { "none" }, "group": "A"},
        "thresholdsStyle": {"mode": if panel.limits.is_some() { "dashed" } else { "off" }},
    });
    with(value, "custom", custom)
}

/// In a table, a host leads to its own page; what the queries count stands under the name that they were given.
fn overrides(panel: &Panel) -> Vec<Value> {
    if panel.kind != Kind::Table {
        return Vec::new();
    }
    let link = json!({"title": "The host", "url": "/d/hivewall-host?var-instance=${__value.text}&${__url_time_range}"});
    vec![json!({
        "matcher": {"id": "byName", "options": "Host"},
        "properties": [{"id": "links", "value": [link]}],
    })]
}

/// Joins the queries of a table by their labels, leaves out what says nothing, and names the columns.
fn transformations(panel: &Panel) -> Value {
    let mut names = serde_json::Map::new();
    names.insert("instance".to_owned(), json!("Host"));
    for ((_, legend), letter) in panel.queries.iter().zip('A'..='Z') {
        // Grafana calls the only query's column otherwise than those of several.
        let column = if panel.queries.len() == 1 { "Value".to_owned() } else { format!("Value #{letter}") };
        names.insert(column, json!(legend));
    }
    json!([
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": true, "job": true, "__name__": true}, "renameByName": names}},
    ])
}
