//! `hivewall export`: closed flows of an agent's history as a file.

use std::fs::File;
use std::io::{IsTerminal as _, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::cli;
use crate::client::Client;
use crate::exit::{Exit, ending};

/// Bytes moved at once.
const PIECE_BYTES: usize = 256 << 10;

pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let format = args.get_one::<String>("format").map_or("parquet", String::as_str);
    let mut parameters = cli::filter_parameters(args)?;
    parameters.push(("format".to_owned(), format.to_owned()));
    let to = args.get_one::<PathBuf>("file");
    if to.is_none() && format == "parquet" && std::io::stdout().is_terminal() {
        return Err(ending(Exit::Usage, "Parquet is no text: name a file with --file, or redirect the output"));
    }
    let mut from = Client::from(args).stream("export", &parameters)?;
    let Some(path) = to else {
        let mut out = std::io::stdout().lock();
        copy(&mut from, &mut out)?;
        return Ok(ExitCode::SUCCESS);
    };
    let unwritable =
        |error: std::io::Error| ending(Exit::Unwritable, format!("{} cannot be written: {error}", path.display()));
    let mut file = File::create(path).map_err(unwritable)?;
    let bytes = copy(&mut from, &mut file)?;
    file.sync_all().map_err(unwritable)?;
    eprintln!("{bytes} bytes of {format} in {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &mut impl Read, to: &mut dyn Write) -> anyhow::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let got = from.read(&mut piece).map_err(|error| {
            ending(
                Exit::Failed,
                format!("the export broke off after {bytes} bytes ({error}); see the agent's messages"),
            )
        })?;
        if got == 0 {
            to.flush().map_err(|error| ending(Exit::Unwritable, format!("the export cannot be written: {error}")))?;
            return Ok(bytes);
        }
        to.write_all(piece.get(..got).unwrap_or_default())
            .map_err(|error| ending(Exit::Unwritable, format!("the export cannot be written: {error}")))?;
        bytes += got as u64;
    }
}
