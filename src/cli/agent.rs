//! `coordinator agent`: takes the [steps of an agent](crate::client::Agent) in real time, and runs the
//! command.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::arguments::AgentArguments;
use super::call::{Calling, Ended};
use super::settings::Settings;
use super::stop::Stop;
use super::{Exit, unusable};
use crate::client::{Agent, Client};
use crate::error::Error;
use crate::scope::Remark;
use crate::session::Moment;

/// How often the settings are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long until another try, where the store does not let the agent do its work: at first, and at most.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(15);
/// How long the end of an agent waits for the store to hear of it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs until it is told to end, or its settings are gone.
pub(super) async fn run(asked: &AgentArguments) -> Result<Exit, Error> {
    let mut stop = Stop::new()?;
    let Some(config) = &asked.config else {
        let settings = Settings::given(asked)?;
        serve(&settings, std::future::pending(), &mut stop).await?;
        return Ok(Exit::Done);
    };
    let mut known = match Settings::existing(config) {
        Ok(settings) => Some(settings),
        Err(error) => return Ok(unusable(&error)),
    };
    // Its supervisor has it.
    let lock = if asked.supervised { None } else { Some(alone(config)?) };
    if let Some(None) = lock {
        info!(config = %config.display(), "an agent runs with these settings already");
        return Ok(Exit::Done);
    }
    while let Some(settings) = known {
        let changed = changed(config, &settings);
        match serve(&settings, changed, &mut stop).await? {
            // Whoever keeps it running starts what is there now.
            Some(Some(new)) if new.program != settings.program => {
                info!("the program has changed: this agent ends, to be started anew");
                return Ok(Exit::Done);
            }
            Some(new) => known = new,
            None => return Ok(Exit::Done),
        }
        info!("the settings {}", if known.is_some() { "have changed" } else { "are gone: this agent ends" });
    }
    Ok(Exit::Done)
}

/// The right to be the one that runs with these settings, for as long as it is kept; `None` if somebody
/// else has it.
pub(super) fn alone(config: &Path) -> Result<Option<Flock<File>>, Error> {
    let path = config.with_extension("lock");
    let failed = |error: std::io::Error| {
        Error::unavailable(format!("{} cannot be locked", path.display())).caused_by(error)
    };
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(failed(error.into())),
    }
}

/// Waits until the file is another than `known`; the new one. One that cannot be read is spoken of, and
/// the known one goes on.
async fn changed(config: &Path, known: &Settings) -> Option<Settings> {
    let mut spoken = String::new();
    loop {
        sleep(LOOK).await;
        match Settings::read(config) {
            Ok(Some(settings)) if settings == *known => spoken.clear(),
            Ok(new) => return new,
            Err(problem) => {
                let text = problem.to_string();
                if text != spoken {
                    error!("{text}: the settings from before are kept");
                    spoken = text;
                }
            }
        }
    }
}

/// Is the agent until it is told to end, or `changed` tells what is there in place of the settings.
async fn serve(
    settings: &Settings,
    changed: impl Future<Output = Option<Settings>>,
    stop: &mut Stop,
) -> Result<Option<Option<Settings>>, Error> {
    let mut client = None;
    tokio::select! {
        never = attend(settings, &mut client) => match never {},
        new = changed => { farewell(client).await; Ok(Some(new)) }
        () = stop.asked() => {
            farewell(client).await;
            info!(member = settings.member, "this agent ends; until there is another one the member is away between its visits");
            Ok(None)
        }
    }
}

/// The session ends now, and not by its timeout. What the member holds stays.
async fn farewell(client: Option<Client>) {
    if let Some(client) = client {
        // A store that does not answer ends it by itself.
        let _ = timeout(FAREWELL, client.close()).await;
    }
}

/// Takes one step after another, for ever.
async fn attend(settings: &Settings, client: &mut Option<Client>) -> std::convert::Infallible {
    let (scope, member) = (&settings.scope, &settings.member);
    let began = Moment::now();
    let now = || Moment::now().since(began);
    let mut calling: Option<Calling> = None;
    let mut trouble = Trouble::default();
    let mut agent = loop {
        match connect(settings).await {
            Ok((connected, agent)) => {
                *client = Some(connected);
                break agent;
            }
            Err(problem) => trouble.wait(&problem).await,
        }
    };
    let mut is_ready = false;
    loop {
        let again = match agent.turn(now()).await {
            Ok(turn) => {
                trouble.is_over();
                // Not before: only the first look has it enter the scope.
                if !std::mem::replace(&mut is_ready, true) {
                    info!(
                        scope,
                        member,
                        address = client.as_ref().map(Client::address),
                        "the member is present"
                    );
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
                }
                turn.remarks.iter().for_each(|remark| tell(settings, remark));
                if let Some(call) = turn.call {
                    calling = Some(Calling::begin(settings, &call));
                }
                turn.again
            }
            Err(problem) => {
                trouble.tell(&problem);
                Some(trouble.pause())
            }
        };
        tokio::select! {
            () = agent.changed() => {}
            () = sleep(again.unwrap_or(LATE)) => {}
            ended = Calling::ended(&mut calling) => {
                calling = None;
                if let Ended::Badly(how) = &ended {
                    warn!(scope, member, "the call failed: {how}");
                }
                match agent.called(now(), matches!(ended, Ended::Well)).await {
                    Ok(remarks) => remarks.iter().for_each(|remark| tell(settings, remark)),
                    Err(problem) => trouble.tell(&problem),
                }
            }
        }
    }
}

async fn connect(settings: &Settings) -> Result<(Client, Agent), Error> {
    let client = settings.store.connect(&settings.member).await?;
    let agent = Agent::new(client.clone(), &settings.scope, &settings.member)?;
    Ok((client, agent))
}

fn tell(settings: &Settings, remark: &Remark) {
    let (scope, member) = (&settings.scope, &settings.member);
    match remark {
        Remark::Unused { lock, again } => warn!(
            scope,
            member,
            lock = lock.as_str(),
            "the call succeeded and the lock was not taken up; it stays granted, and the next call is in {again:?}"
        ),
        Remark::Failed { again } => warn!(scope, member, "the next call is in {again:?}"),
        Remark::Old { lock, age, taken_up } => warn!(
            scope,
            member,
            lock = lock.as_str(),
            "held for {} s, and {}; if the member is gone for good, an operator can release it",
            age.as_secs(),
            if *taken_up { "taken up" } else { "never taken up" }
        ),
    }
}

/// What keeps the agent from its work: told once, and tried again later and later.
#[derive(Default)]
struct Trouble {
    told: String,
    tries: u32,
}

impl Trouble {
    fn tell(&mut self, problem: &Error) {
        let text = problem.to_string();
        if text != self.told {
            warn!("{text}");
            self.told = text;
        }
    }

    fn pause(&mut self) -> Duration {
        let pause = SOON.saturating_mul(2_u32.saturating_pow(self.tries.min(10))).min(LATE);
        self.tries += 1;
        pause
    }

    async fn wait(&mut self, problem: &Error) {
        self.tell(problem);
        sleep(self.pause()).await;
    }

    fn is_over(&mut self) {
        if !self.told.is_empty() {
            info!("the store answers again");
        }
        *self = Self::default();
    }
}
