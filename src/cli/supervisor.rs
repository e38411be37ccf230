//! `coordinator agent --supervise`: starts the agent anew whenever it ends, where no systemd does that.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Exit;
use super::agent::alone;
use super::arguments::AgentArguments;
use super::stop::Stop;
use crate::error::Error;

/// The pause before an agent that ended is started anew: at first, and at most.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(30);
/// An agent that ran for so long had nothing to do with the failures before it.
const LONG: Duration = Duration::from_secs(60);

/// Keeps an agent running until it ends well, which it does when its settings are gone.
pub(super) async fn run(asked: &AgentArguments, program: &[OsString]) -> Result<Exit, Error> {
    let mut stop = Stop::new()?;
    let Some(config) = &asked.config else { return Ok(Exit::Usage) };
    let Some(lock) = alone(config)? else {
        info!(config = %config.display(), "an agent runs with these settings already");
        return Ok(Exit::Done);
    };
    let mut pause = SOON;
    while config.exists() {
        let began = Instant::now();
        let mut agent = start(config, program, &lock)?;
        let ended = tokio::select! {
            ended = agent.wait() => ended,
            () = stop.asked() => {
                // It says goodbye itself.
                if let Some(id) = agent.id().and_then(|id| i32::try_from(id).ok()) {
                    terminate(id);
                }
                let _ = agent.wait().await;
                return Ok(Exit::Done);
            }
        };
        if ended.as_ref().is_ok_and(ExitStatus::success) {
            continue;
        }
        pause = if began.elapsed() > LONG { SOON } else { (pause * 2).min(LATE) };
        warn!(
            "the agent ended ({}) and is started anew in {pause:?}",
            ended.map_or_else(|error| error.to_string(), |status| status.to_string())
        );
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.asked() => return Ok(Exit::Done),
        }
    }
    Ok(Exit::Done)
}

/// Starts the agent, which has the lock too: it keeps others away should its supervisor be killed.
fn start(config: &Path, program: &[OsString], lock: &File) -> Result<Child, Error> {
    let (name, arguments) = program.split_first().ok_or_else(|| Error::unavailable("no program to start"))?;
    let failed = |error: std::io::Error| {
        Error::unavailable(format!("{} cannot be started", name.to_string_lossy())).caused_by(error)
    };
    let mut agent = Command::new(name);
    agent.args(arguments).args(["agent", "--supervised", "--config"]).arg(config);
    agent.stdin(Stdio::from(lock.try_clone().map_err(failed)?));
    agent.spawn().map_err(failed)
}

fn terminate(id: i32) {
    if let Some(agent) = Pid::from_raw(id) {
        // Gone already is as good.
        let _ = kill_process(agent, Signal::TERM);
    }
}
