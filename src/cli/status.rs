//! `coordinator status`: who holds, who waits, who is there.

use std::io::Write as _;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::arguments::StatusArguments;
use super::settings::{Address, Settings};
use super::{Exit, unusable};
use crate::client::{Client, ScopeStatus};
use crate::error::Error;

/// The version of the JSON.
const VERSION: u32 = 1;

/// What `--json` writes.
#[derive(Serialize)]
struct Shown {
    version: u32,
    store: String,
    scopes: Vec<ScopeStatus>,
}

/// Shows one scope, or all of them.
pub(super) async fn run(asked: &StatusArguments) -> Result<Exit, Error> {
    let (address, scope) = match &asked.config {
        Some(config) => {
            let settings = match Settings::existing(config) {
                Ok(settings) => settings,
                Err(error) => return Ok(unusable(&error)),
            };
            (settings.store, Some(asked.scope.clone().unwrap_or(settings.scope)))
        }
        None => (Address::given(&asked.store)?, asked.scope.clone()),
    };
    let client = address.connect("onlooker").await?;
    let shown = look(&client, scope).await?;
    client.close().await;
    let text = if asked.json {
        serde_json::to_string_pretty(&shown)
            .map_err(|error| Error::unavailable("the status cannot be written").caused_by(error))?
    } else {
        as_text(&shown)
    };
    // A reader that has seen enough is no failure.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(Exit::Done)
}

async fn look(client: &Client, scope: Option<String>) -> Result<Shown, Error> {
    let names = match scope {
        Some(scope) => vec![scope],
        None => client.scopes().await?,
    };
    let mut scopes = Vec::with_capacity(names.len());
    for name in names {
        scopes.push(client.scope_status(&name).await?);
    }
    Ok(Shown { version: VERSION, store: client.address().to_owned(), scopes })
}

fn as_text(shown: &Shown) -> String {
    if shown.scopes.is_empty() {
        return format!("{} has no scope yet: the first member that asks for a lock makes it", shown.store);
    }
    let scopes = shown.scopes.iter().map(|scope| scope_as_text(&shown.store, scope));
    scopes.collect::<Vec<_>>().join("\n\n")
}

fn scope_as_text(store: &str, status: &ScopeStatus) -> String {
    let rules = if status.rules.is_empty() { "no rules yet" } else { &status.rules };
    let mut parts = vec![format!("scope {:?} on {store}, {rules}", status.scope)];
    let holders = status.holders.iter().map(|holder| {
        let since = holder.since.as_deref().unwrap_or(&holder.asked);
        // Whoever is there all the time acts at once, and writes nothing about it.
        let acts_at_once = !status.members.iter().any(|it| it.lasting && it.member == holder.member);
        let used = holder.used.as_deref().or(acts_at_once.then_some(since));
        let used = used.map_or("not yet", as_second);
        [
            holder.member.clone(),
            holder.lock.clone(),
            as_second(since).to_owned(),
            used.to_owned(),
            holder.token.to_string(),
        ]
    });
    parts.push(table("nobody holds", ["holds", "lock", "granted", "taken up", "token"], holders));
    let queue = status
        .queue
        .iter()
        .map(|waiting| [waiting.member.clone(), waiting.lock.clone(), as_second(&waiting.asked).to_owned()]);
    parts.push(table("nobody waits", ["waits", "lock", "asked"], queue));
    parts.push(members_as_text(status));
    parts.join("\n\n")
}

fn members_as_text(status: &ScopeStatus) -> String {
    let named = |wanted: &dyn Fn(&crate::client::ScopeMember) -> bool| {
        let names: Vec<&str> =
            status.members.iter().filter(|it| wanted(it)).map(|it| it.member.as_str()).collect();
        (names.len(), names.join(", "))
    };
    let (away, away_names) = named(&|member| !member.present);
    let (silent, silent_names) = named(&|member| member.present && member.lasting && !member.agent);
    let members = status.members.len();
    let plural = if members == 1 { "" } else { "s" };
    let mut text = format!("{members} member{plural}, {} present", members - away);
    if away > 0 {
        text = format!("{text}\naway, without an agent: {away_names}");
    }
    if silent > 0 {
        text = format!("{text}\npresent, without an agent: {silent_names}");
    }
    text
}

fn table<const N: usize>(none: &str, header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    if table.is_empty() {
        return none.to_owned();
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// `2026-01-01 00:00:00Z`: without the fraction.
fn as_second(time: &str) -> &str {
    time.get(..19).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ScopeHolder, ScopeMember, ScopeWaiting};

    fn member(member: &str, present: bool, agent: bool) -> ScopeMember {
        ScopeMember { member: member.to_owned(), present, lasting: true, agent }
    }

    #[test]
    fn the_text_says_who_holds_who_waits_and_who_is_away() {
        let time = "2026-01-01 00:00:00.000000Z".to_owned();
        let status = ScopeStatus {
            scope: "kafka".to_owned(),
            rules: "serial".to_owned(),
            holders: vec![ScopeHolder {
                member: "m:kafka/0".to_owned(),
                lock: "restart".to_owned(),
                token: 7,
                asked: time.clone(),
                since: Some(time.clone()),
                used: None,
            }],
            queue: vec![ScopeWaiting {
                member: "m:kafka/1".to_owned(),
                lock: "restart".to_owned(),
                asked: time,
            }],
            members: vec![member("m:kafka/0", true, true), member("m:kafka/1", false, false)],
        };
        let text = scope_as_text("zookeeper://zk1", &status);
        let expected = [
            "scope \"kafka\" on zookeeper://zk1, serial",
            "",
            " holds      lock     granted              taken up  token",
            " m:kafka/0  restart  2026-01-01 00:00:00  not yet   7",
            "",
            " waits      lock     asked",
            " m:kafka/1  restart  2026-01-01 00:00:00",
            "",
            "2 members, 1 present",
            "away, without an agent: m:kafka/1",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{text}");
    }
}
