//! `hivewall user` and `hivewall login`: who may use a running agent, told to it through its API with the host's token.
//!
//! Invariant: a password is read from the terminal, or from standard input, and is never an argument.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stdin, stdout};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use hivewall_host::terminal::without_echo;
use hivewall_view::access::{
    CodeIssued, PASSWORD_CHARACTERS_MIN, PasswordRequest, Role, RoleRequest, TokenIssued, TokenNamed, TokenRequest,
    UserNamed, UserOutcome, UserPage, UserRequest,
};
use hivewall_view::time::to_the_second;
use serde_json::json;

use crate::cli;
use crate::client::Client;
use crate::exit::{Exit, ending};
use crate::flows::Format;

/// `hivewall user`.
pub(crate) fn command() -> Command {
    let name = || Arg::new("name").value_name("NAME").required(true).help("The user");
    let role = || {
        let names = Role::ALL.map(Role::name);
        Arg::new("role").value_name("ROLE").value_parser(names).required(true)
    };
    let to = |command: Command| command.arg(cli::host());
    Command::new("user")
        .about("Keep the users of a running agent: who may log in to its page and API, and as what")
        .long_about(
            "Keep the users of a running agent: who may log in to its page and API, and as what.\n\n\
             A viewer sees everything; an operator also sees to alerts, bans, confirms and rolls back a policy; an admin \
             also applies a policy, changes the fleet and keeps the users. Passwords are read from the terminal, or from \
             the first line of standard input.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(to(Command::new("add")
            .about("Add a user")
            .arg(name())
            .arg(role().long("role").help("What they may do"))))
        .subcommand(to(Command::new("list")
            .about("List the users and their tokens")
            .arg(cli::output("table", &[Format::Table, Format::Json]))))
        .subcommand(to(Command::new("remove").about("Remove a user; their sessions and tokens end").arg(name())))
        .subcommand(to(Command::new("role")
            .about("Give a user another role; their sessions end")
            .arg(name())
            .arg(role().help("What they may do from now on"))))
        .subcommand(to(Command::new("password").about("Set a user's password; their sessions end").arg(name())))
        .subcommand(to(Command::new("token")
            .about("Make a token for a user, which programs send as `Authorization: Bearer TOKEN`, or take one away")
            .arg(name())
            .arg(
                Arg::new("label")
                    .long("label")
                    .value_name("TEXT")
                    .required_unless_present("remove")
                    .help("What it is for"),
            )
            .arg(
                Arg::new("remove")
                    .long("remove")
                    .value_name("ID")
                    .conflicts_with("label")
                    .help("Take this one away; `hivewall user list` tells ids"),
            )))
}

/// `hivewall login`.
pub(crate) fn login_command() -> Command {
    Command::new("login")
        .about("Print an address that opens the page of the agent logged in, once and within five minutes")
        .arg(cli::host())
}

/// Carries out [`command`].
pub(crate) fn run(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some((what, args)) = args.subcommand() else { return Ok(ExitCode::from(Exit::Usage as u8)) };
    let client = Client::from(args);
    let word = |name: &str| args.get_one::<String>(name).cloned().unwrap_or_default();
    let name = || word("name");
    match what {
        "list" => return list(&client, args),
        "add" => {
            let request = UserRequest { name: name(), role: role(&word("role"))?, password: password()? };
            tell(&client.post("users", Some(json!(request)))?)?;
        }
        "remove" => tell(&client.delete("users", json!(UserNamed { name: name() }))?)?,
        "role" => {
            let request = RoleRequest { name: name(), role: role(&word("role"))? };
            tell(&client.post("users/role", Some(json!(request)))?)?;
        }
        "password" => {
            let request = PasswordRequest { name: Some(name()), current: None, password: password()? };
            tell(&client.post("users/password", Some(json!(request)))?)?;
        }
        _ if args.contains_id("remove") => {
            tell(&client.delete("users/tokens", json!(TokenNamed { name: name(), id: word("remove") }))?)?;
        }
        _ => {
            let request = TokenRequest { name: name(), label: word("label") };
            let issued: TokenIssued = client.post("users/tokens", Some(json!(request)))?;
            eprintln!("token {} of {}; it is shown only now", issued.id, name());
            writeln!(stdout(), "{}", issued.token)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Carries out [`login_command`].
pub(crate) fn log_in(args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let client = Client::from(args);
    let issued: CodeIssued = client.post("session/code", None)?;
    eprintln!("open this once, before {}:", to_the_second(&issued.expires));
    writeln!(stdout(), "{}{}", client.base(), issued.url_path)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(outcome: &UserOutcome) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "{}", outcome.done)?)
}

fn role(name: &str) -> anyhow::Result<Role> {
    let role = Role::ALL.into_iter().find(|role| role.name() == name);
    role.ok_or_else(|| ending(Exit::Usage, format!("there is no role `{name}`")))
}

/// From the terminal, twice and unseen; otherwise the first line of standard input.
fn password() -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        return line();
    }
    let ask = |what: &str| -> anyhow::Result<String> {
        eprint!("{what}: ");
        without_echo(&stdin(), line)?
    };
    let first = ask(&format!("password, at least {PASSWORD_CHARACTERS_MIN} characters"))?;
    if ask("the same again")? != first {
        return Err(ending(Exit::Usage, "the two are not the same; nothing is changed"));
    }
    Ok(first)
}

fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn list(client: &Client, args: &ArgMatches) -> anyhow::Result<ExitCode> {
    let page: UserPage = client.get("users", &[])?;
    let mut out = stdout().lock();
    if args.get_one::<Format>("output") == Some(&Format::Json) {
        writeln!(out, "{}", serde_json::to_string_pretty(&page)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{}", table(&page))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn table(page: &UserPage) -> String {
    let when = |time: &Option<String>| time.as_deref().map_or_else(|| "never".to_owned(), to_the_second);
    let mut rows = Vec::new();
    for user in &page.users {
        rows.push([
            user.name.clone(),
            user.role.name().to_owned(),
            to_the_second(&user.created),
            when(&user.last_login),
        ]);
        for token in &user.tokens {
            let name = format!("  token {} ({})", token.id, token.label);
            rows.push([name, String::new(), to_the_second(&token.created), when(&token.last_used)]);
        }
    }
    columns(&["user", "role", "since", "last seen"], &rows)
}

/// Lines up texts that are plain.
fn columns(heads: &[&str; 4], rows: &[[String; 4]]) -> String {
    let all = std::iter::once(heads.map(str::to_owned)).chain(rows.iter().cloned()).collect::<Vec<_>>();
    let width =
        |at: usize| all.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewall_view::access::{TokenView, UserView};

    #[test]
    fn users_are_listed_with_their_tokens_below_them() {
        let time = |text: &str| format!("2026-11-27T{text}.000000Z");
        let token = TokenView {
            id: "0a1b2c".to_owned(),
            label: "prometheus".to_owned(),
            created: time("10:00:00"),
            last_used: Some(time("11:00:00")),
        };
        let ada = UserView {
            name: "ada".to_owned(),
            role: Role::Admin,
            created: time("09:00:00"),
            last_login: None,
            tokens: vec![token],
        };
        expect_test::expect![[r"
            user                         role   since                 last seen
            ada                          admin  2026-11-27T09:00:00Z  never
              token 0a1b2c (prometheus)         2026-11-27T10:00:00Z  2026-11-27T11:00:00Z
        "]]
        .assert_eq(&table(&UserPage { users: vec![ada] }));
    }

    #[test]
    fn a_password_is_no_argument() {
        let parse = |words: &[&str]| command().try_get_matches_from(words);
        assert!(parse(&["user", "add", "ada", "--role", "admin"]).is_ok());
        assert!(parse(&["user", "add", "ada", "--role", "admin", "--password", "x"]).is_err());
        assert!(parse(&["user", "add", "ada", "x", "--role", "admin"]).is_err());
        assert!(parse(&["user", "add", "ada", "--role", "king"]).is_err());
        assert!(parse(&["user", "token", "ada"]).is_err(), "what for is asked");
        assert!(parse(&["user", "token", "ada", "--remove", "0a"]).is_ok());
    }
}
