//! `hivewall traffic`: something to see, on this host alone.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ArgMatches;
use hivewall_host::signal::Signals;
use hivewall_traffic::{Options, Plan};

use crate::exit::{Exit, ending};

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let number = |name: &str, otherwise: u64| args.get_one::<u64>(name).copied().unwrap_or(otherwise);
    let usual = Options::default();
    let options = Options {
        target: args.get_one::<IpAddr>("target").copied().unwrap_or(usual.target),
        seconds: number("seconds", usual.seconds),
        pages: number("pages", usual.pages),
        lookups: number("lookups", usual.lookups),
        scan_ports: number("scan-ports", usual.scan_ports),
        flood_packets: number("flood-packets", usual.flood_packets),
        flood_rate: number("flood-rate", usual.flood_rate),
        bulk_bytes: number("bulk-bytes", usual.bulk_bytes),
    };
    let plan = Plan::new(options).map_err(|error| ending(Exit::Usage, error.to_string()))?;
    let signals = Signals::catch().map_err(|error| ending(Exit::Failed, format!("cannot catch signals: {error}")))?;
    print!("{plan}");
    println!("An agent that watches the loopback (`hivewall run --loopback`) shows it.");
    let stop = Arc::new(AtomicBool::new(false));
    let over = Arc::new(AtomicBool::new(false));
    let watch = {
        let (stop, over) = (Arc::clone(&stop), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if signals.stop() {
                    stop.store(true, Ordering::Relaxed);
                }
                std::thread::sleep(LOOK);
            }
        })
    };
    let outcome = hivewall_traffic::run(&plan, &stop, &mut |part| println!("{} …", part.name()));
    over.store(true, Ordering::Relaxed);
    // It looks at its flag every few moments and cannot fail.
    let _ = watch.join();
    print!("{}", outcome?);
    Ok(ExitCode::SUCCESS)
}
