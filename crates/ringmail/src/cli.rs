//! The commands, as PRODUCT's users meet them. Exit codes: 0 yes or done, 1 the answer is no, 2 usage,
//! 3 configuration error, 4 no daemon to ask, 5 not permitted, 6 temporary, 69 not built yet.

mod check;
mod config;
pub mod control;
pub mod explain;
mod health;
mod log;
mod queue;
mod reload;
mod run;
mod send;
mod setup;
mod status;
mod story;
pub mod try_it;
mod user;

use crate::config::{Config, Errors, load_text};
use crate::confine::Layers;
use crate::ipc::spawn::{Role, Situation};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Done, or yes.
pub const DONE: u8 = 0;
/// The answer is no.
pub const NO: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The configuration is wrong; starting again would not help.
pub const CONFIGURATION: u8 = 3;
/// No daemon answers.
pub const NO_DAEMON: u8 = 4;
/// Not permitted.
pub const NOT_PERMITTED: u8 = 5;
/// Not now.
pub const TEMPORARY: u8 = 6;
/// The command is not built yet (`EX_UNAVAILABLE`).
pub const NOT_BUILT: u8 = 69;

/// Commands that later work brings; they say so and end with [`NOT_BUILT`].
const LATER: [&str; 12] = [
    "acme",
    "cert",
    "completions",
    "deliver",
    "dns",
    "key",
    "lookup",
    "man",
    "migrate",
    "report",
    "top",
    "alias",
];

#[derive(Parser)]
#[command(
    name = "ringmail",
    about = "A mail transfer agent of small sealed processes",
    disable_version_flag = true
)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        default_value = "/etc/ringmail/ringmail.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Print JSON; lists as JSON lines.
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing where all is well.
    #[arg(long, global = true)]
    quiet: bool,
    /// Colours in what is said of mistakes.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// Whether standard error gets colours.
    fn styled(self) -> bool {
        let wanted = || std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        match self {
            Colour::Auto => std::io::stderr().is_terminal() && wanted(),
            Colour::Always => true,
            Colour::Never => false,
        }
    }
}

/// Whether mistakes are said in colours: set once, before any is.
static STYLED: OnceLock<bool> = OnceLock::new();

#[derive(Subcommand)]
enum Command {
    /// Everything on loopback, no root, no set-up: mail for any domain lands in Maildirs below DIR.
    Try {
        /// Where mail, spool and configuration lie.
        #[arg(default_value = "ringmail-try")]
        dir: PathBuf,
    },
    /// The supervisor, in the foreground.
    Run,
    /// Says everything that is wrong with the configuration, and with what it needs around it.
    Check,
    /// The configuration: as it is in force, as it differs, as it could be.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The daemon reads its configuration anew: checked first, refused if anything is wrong.
    Reload,
    /// What stands: roles and what confines them, listeners, the queue, the last reload.
    Status,
    /// Is the daemon there, and well?
    Health(health::Health),
    /// The events that were kept.
    Log(log::Log),
    /// What would happen to a recipient, or where its mail goes.
    #[command(subcommand)]
    Explain(explain::Explain),
    /// The messages that are here.
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Sends a test message over SMTP, to our own mx listener.
    Send(send::Send),
    /// What is done once on a host.
    #[command(subcommand)]
    Setup(setup::Setup),
    /// The spool.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Who may log in.
    #[command(subcommand)]
    User(user::UserCommand),
    /// The version of this program.
    Version,
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Subcommand)]
enum SpoolCommand {
    /// Reads all of it, without changing anything, and says what is wrong. The daemon must not run.
    Verify,
    /// Not supported yet.
    #[command(hide = true)]
    Backup(Later),
    /// Not supported yet.
    #[command(hide = true)]
    Restore(Later),
}

/// What stands behind a command that later work brings: it is not looked at.
#[derive(Args)]
pub struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// Names that other mail servers have for some of our commands, when the program is called by one of them.
const SENDMAIL: [&str; 3] = ["sendmail", "mailq", "newaliases"];

/// Which of these the program is called as: the file name of its first argument.
fn called_as(called: &str) -> Option<&'static str> {
    let name = Path::new(called).file_name()?;
    SENDMAIL.into_iter().find(|known| name == *known)
}

/// Says that a command is not built yet.
fn not_built(name: &str) -> u8 {
    eprintln!("ringmail {name}: not supported yet");
    NOT_BUILT
}

/// The command line as clap has it: for the manual page.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs what the command line asks for. Roles raise these layers: the program all of them.
pub fn main(layers: Layers) -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    if let [_, word] = &arguments[..]
        && word == "launch"
    {
        return crate::role::launch::main();
    }
    if let [_, word, name] = &arguments[..]
        && word == "role"
        && let Some(role) = Role::from_name(name)
    {
        return crate::role::main(role, layers, None);
    }
    if arguments.get(1).is_some_and(|word| word == "courier")
        && let Some(home) = std::env::args_os().nth(2)
    {
        return crate::role::courier(home.into(), layers);
    }
    if let Some(name) = arguments.first().and_then(|called| called_as(called)) {
        eprintln!("{name}: not supported yet");
        return ExitCode::from(NOT_BUILT);
    }
    let arguments = match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output and is no error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { DONE });
        }
    };
    ExitCode::from(obey(arguments))
}

fn obey(arguments: Arguments) -> u8 {
    let (path, json) = (&*arguments.config, arguments.json);
    // Nothing set it before: this runs once.
    let _ = STYLED.set(arguments.color.styled());
    match arguments.command {
        Command::Try { dir } => try_it::run(&dir),
        Command::Run => run::run(path),
        Command::Check => check::check(path, json, arguments.quiet),
        Command::Config(what) => config::obey(path, &what, json),
        Command::Reload => reload(path, json),
        Command::Status => with_config(path, |config| status::status(config, json)),
        Command::Health(how) => with_config(path, |config| health::health(config, &how, json)),
        Command::Log(what) => with_config(path, |config| log::log(config, &what, json)),
        Command::Explain(what) => {
            with_config(path, |config| explain::explain(config, path, &what, json))
        }
        Command::Queue(queue::QueueCommand::Bounce(_)) => not_built("queue bounce"),
        Command::Queue(queue::QueueCommand::Shape(_)) => not_built("queue shape"),
        Command::Queue(what) => with_config(path, |config| queue::obey(config, &what, json)),
        Command::Send(what) => with_config(path, |config| send::send(config, &what, json)),
        Command::Setup(what) => setup::obey(&what),
        Command::Spool(SpoolCommand::Verify) => {
            with_config(path, |config| run::verify(config, json))
        }
        Command::Spool(SpoolCommand::Backup(_)) => not_built("spool backup"),
        Command::Spool(SpoolCommand::Restore(_)) => not_built("spool restore"),
        Command::User(what) => match what.file() {
            Some(file) => user::obey(file, &what, json),
            None => with_config(path, |config| {
                user::obey(&user::file_of(config), &what, json)
            }),
        },
        Command::Version => version(json),
        Command::Other(words) => other(words.first().map_or("", String::as_str)),
    }
}

fn version(json: bool) -> u8 {
    let version = env!("CARGO_PKG_VERSION");
    if json {
        println!("{}", serde_json::json!({ "version": version }));
    } else {
        println!("ringmail {version}");
    }
    DONE
}

fn other(word: &str) -> u8 {
    if LATER.contains(&word) {
        return not_built(word);
    }
    let known = command();
    let names = known.get_subcommands().map(clap::Command::get_name);
    let meant = crate::config::nearest(word, names.chain(LATER));
    let meant = meant.map(|name| format!("did you mean `{name}`? "));
    let meant = meant.unwrap_or_default();
    eprintln!("ringmail: no command named {word:?}; {meant}see ringmail --help");
    USAGE
}

/// Where the daemon is asked is told by the file, so it must load; what is wrong with it is what a reload says.
fn reload(path: &Path, json: bool) -> u8 {
    match read(path) {
        Ok(loaded) => reload::reload(&loaded.config, &loaded.text, json),
        Err(errors) => refuse(&errors),
    }
}

/// A file, read once: what it means and what it says are the same file's.
pub struct Loaded {
    /// As meant.
    pub config: Config,
    /// As written.
    pub text: String,
    /// What for.
    pub situation: Situation,
}

/// Reads a configuration; which situation it is for is told by the file itself where `try` wrote it.
pub fn read(path: &Path) -> Result<Loaded, Errors> {
    let text = load_text(path)?;
    let situation = if try_it::wrote(&text) {
        Situation::Try
    } else {
        Situation::Run
    };
    Ok(Loaded {
        config: Config::parse(&text, &path.display().to_string(), situation)?,
        text,
        situation,
    })
}

/// The same, for those who only want to know what it means.
pub fn load(path: &Path) -> Result<Config, Errors> {
    read(path).map(|loaded| loaded.config)
}

/// Says what is wrong with the file.
fn refuse(errors: &Errors) -> u8 {
    eprint!("{}", errors.render(STYLED.get().copied().unwrap_or(false)));
    CONFIGURATION
}

/// The same, as JSON lines where it is asked for.
fn mistaken(errors: &Errors, json: bool) -> u8 {
    if !json {
        return refuse(errors);
    }
    for said in errors.list() {
        let (line, column) = (Some(said.line), Some(said.column));
        let mistake = serde_json::json!({
            "severity": "error",
            "key": null,
            "line": line.filter(|line| *line > 0),
            "column": column.filter(|column| *column > 0),
            "title": said.title,
            "label": said.label,
        });
        println!("{mistake}");
    }
    CONFIGURATION
}

fn with_config(path: &Path, work: impl FnOnce(&Config) -> u8) -> u8 {
    match load(path) {
        Ok(config) => work(&config),
        Err(errors) => refuse(&errors),
    }
}
