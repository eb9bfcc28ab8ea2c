use super::*;

/// Every check of both reports.
fn here() -> Report {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths {
        root: dir.path().join("data"),
        runtime: dir.path().join("run"),
        config: dir.path().join("config.toml"),
    };
    let mut report = Doctor::run(&paths);
    report.checks.extend(Doctor::security(&paths).checks);
    report
}

#[test]
fn every_check_is_explained() {
    // The page for users, and the texts that are to go into it.
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    let pages: String = ["troubleshooting.md", "doctor-checks.md"]
        .iter()
        .filter_map(|name| std::fs::read_to_string(format!("{docs}/{name}")).ok())
        .collect();
    let explained: std::collections::BTreeSet<&str> = pages
        .lines()
        .filter_map(|line| {
            line.trim_start_matches('#')
                .trim()
                .strip_prefix('`')?
                .strip_suffix('`')
        })
        .collect();
    let report = here();
    for check in &report.checks {
        assert!(
            explained.contains(check.id),
            "`{}` is not explained",
            check.id
        );
    }
    let mut ids: Vec<_> = report.checks.iter().map(|check| check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), report.checks.len(), "an id names one check");
}

#[test]
fn what_is_not_well_can_be_mended() {
    for check in here().checks {
        assert!(
            !check.found.is_empty() && !check.means.is_empty(),
            "{check:?}"
        );
        assert_eq!(check.fix.is_none(), check.level == Level::Ok, "{check:?}");
    }
}

#[test]
fn one_missing_thing_is_enough() {
    let check = |level| {
        Entry {
            id: "x",
            title: "x",
        }
        .at(level, "x", "x", None)
    };
    let report = |levels: &[Level]| Report {
        checks: levels.iter().map(|level| check(*level)).collect(),
    };
    assert!(report(&[]).can_run());
    assert!(report(&[Level::Ok, Level::Degraded]).can_run());
    assert!(!report(&[Level::Missing, Level::Ok]).can_run());
    let json = serde_json::to_value(report(&[Level::Degraded])).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"checks": [{"id": "x", "title": "x", "level": "degraded", "found": "x", "means": "x", "fix": null}]})
    );
}
