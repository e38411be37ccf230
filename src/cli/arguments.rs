//! What can be asked of the command.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Members of a fleet take turns.
#[derive(Debug, Parser)]
#[command(name = "coordinator", version, propagate_version = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Agent(AgentArguments),
    Status(StatusArguments),
}

/// Keep a member of a scope present, and call it when its turn comes.
///
/// A member that is not always there, as a unit of Juju between its hooks, has an agent: it holds a
/// session for it, and runs a command when a lock is granted. The command finds the locks in the variable
/// `COORDINATOR_LOCKS`, one a line. One that fails, or does not take the lock up, is run again later and
/// later, up to every 5 minutes; the lock stays the member's. What happens is written to the standard error
/// output, which systemd keeps in the journal.
#[derive(Debug, Args)]
pub(super) struct AgentArguments {
    /// A file with the settings; it is read again when it changes, and the agent ends when it goes.
    #[arg(long, value_name = "FILE", required_unless_present = "url", conflicts_with_all = ["url", "scope", "member", "call"])]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: StoreArguments,
    /// The scope.
    #[arg(long, required_unless_present = "config")]
    pub(super) scope: Option<String>,
    /// The member.
    #[arg(long, required_unless_present = "config")]
    pub(super) member: Option<String>,
    /// Start the agent, and start it again whenever it ends; for machines without systemd.
    // What it requires is not asked for where that would conflict with what was given.
    #[arg(long, requires = "config", conflicts_with_all = ["url", "call"])]
    pub(super) supervise: bool,
    /// The agent's supervisor keeps others away.
    #[arg(long, hide = true, requires = "config")]
    pub(super) supervised: bool,
    /// The command that is run when a turn comes.
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "config")]
    pub(super) call: Vec<String>,
}

/// Show who holds, who waits and who is there; without a scope, which scopes there are.
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// The scope.
    pub(super) scope: Option<String>,
    /// The settings of an agent on this machine: its store, and its scope unless another is named.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: StoreArguments,
    /// Write JSON, for programs.
    #[arg(long)]
    pub(super) json: bool,
}

/// Where the store is, and how to get in.
#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    /// The store: `zookeeper://host:port,.../chroot` or `embedded:/directory`.
    // One with a password in it is refused, and must not be shown before that.
    #[arg(long, env = "COORDINATOR_URL", hide_env_values = true, value_name = "URL")]
    pub(super) url: Option<String>,
    /// Who we are to ZooKeeper: sasl:USER:file:/path or digest:USER:file:/path; env:NAME in place of a file.
    #[arg(long, env = "COORDINATOR_AUTH", hide_env_values = true, value_name = "AUTH")]
    pub(super) auth: Option<String>,
    /// The certificates that the servers are checked against; encrypts.
    #[arg(long, env = "COORDINATOR_TLS_CA", value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,
    /// Our own certificate, for servers that check their clients.
    #[arg(long, env = "COORDINATOR_TLS_CERTIFICATE", value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    pub(super) tls_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, env = "COORDINATOR_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub(super) tls_key: Option<PathBuf>,
    /// Seconds for which connecting is tried.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) connect_timeout: Option<Duration>,
    /// Seconds after which the servers give up a member that is silent.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) session_timeout: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let positive = |number: &f64| *number > 0.0;
    let number = text.parse().ok().filter(positive).ok_or("a number of seconds above 0 is wanted")?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let table: &[(&[&str], bool)] = &[
            (&["agent", "--config", "a"], true),
            (&["agent", "--config", "a", "--supervise"], true),
            (&["agent", "--url", "u", "--scope", "s", "--member", "m", "--", "touch", "-f"], true),
            (&["agent"], false),
            (&["agent", "--url", "u", "--scope", "s", "--", "touch"], false),
            (&["agent", "--url", "u", "--scope", "s", "--member", "m"], false),
            (&["agent", "--config", "a", "--member", "m"], false),
            (&["agent", "--url", "u", "--scope", "s", "--member", "m", "--supervise", "--", "x"], false),
            (&["status", "--url", "u"], true),
            (&["status", "kafka", "--config", "a", "--json"], true),
            (&["status", "--url", "u", "--session-timeout", "0"], false),
            (&["status", "--url", "u", "--tls-certificate", "c"], false),
            (&["status"], true),
        ];
        for (words, fits) in table {
            let words = std::iter::once("coordinator").chain(words.iter().copied());
            assert_eq!(
                Arguments::try_parse_from(words.clone()).is_ok(),
                *fits,
                "{:?}",
                words.collect::<Vec<_>>()
            );
        }
    }
}
