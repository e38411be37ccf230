//! What an operator can see and do, through the charm's actions.

use super::context::Context;
use super::databag::{self, Keys};
use super::hook::Hook;
use super::tools::{Tools, query};
use crate::error::Error;
use crate::ledger::{Elsewhere, Ledger, Standing, Views};
use crate::model::{LockName, Member};

/// The locks of an application at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// The leader that wrote the ledger last.
    pub leader: Option<Member>,
    /// Lock, member, token, since when it asked, and the member it waits for, if it does.
    pub grants: Vec<(LockName, Member, u64, String, Option<Member>)>,
    /// Lock, member, since when it asked: requests without a grant yet.
    pub queue: Vec<(LockName, Member, String)>,
    /// Members whose data cannot be read, and why.
    pub quarantined: Vec<(Member, String)>,
    /// Lock, member, token, when and why: grants that an operator ended.
    pub forced: Vec<(LockName, Member, u64, String, String)>,
    /// The scope in which the application coordinates, if not here: who holds is told there.
    pub elsewhere: Option<Elsewhere>,
    /// The model, by which units are known in scopes.
    pub model: Option<String>,
}

/// Shows who holds, who waits and for whom.
///
/// # Errors
///
/// `Unavailable` if a hook tool fails, `Invalid` without a peer relation, `Corrupt` if the ledger
/// cannot be read.
pub fn show_locks(
    context: &Context,
    key: &str,
    relation: &str,
    tools: &mut dyn Tools,
) -> Result<Overview, Error> {
    let keys = Keys::new(key);
    let (relation, ledger) = read_ledger(context, &keys, relation, tools)?;
    let mut views = Views::new();
    let mut overview = Overview {
        leader: ledger.leader.clone(),
        elsewhere: ledger.elsewhere().cloned(),
        model: context.model.clone(),
        ..Overview::default()
    };
    for grant in ledger.grants() {
        let blocker = loop {
            match ledger.in_effect(grant, &views) {
                Standing::Unknown(peer) => {
                    let view = keys.view(&databag::read_unit(tools, &relation, &peer)?);
                    views.insert(peer, view);
                }
                Standing::Waits(peer) => break Some(peer),
                _ => break None,
            }
        };
        let bag_known = views.contains_key(&grant.member);
        if !bag_known {
            let view = keys.view(&databag::read_unit(tools, &relation, &grant.member)?);
            views.insert(grant.member.clone(), view);
        }
        if views[&grant.member].ended(grant, false).is_none() {
            let row = (grant.lock.clone(), grant.member.clone(), grant.token.0, grant.at.clone(), blocker);
            overview.grants.push(row);
        }
    }
    overview.queue = ledger
        .queue()
        .iter()
        .map(|waiting| (waiting.lock.clone(), waiting.member.clone(), waiting.at.clone()))
        .collect();
    overview.quarantined = ledger.quarantined.clone().into_iter().collect();
    overview.forced = ledger
        .forced
        .iter()
        .map(|forced| {
            let (lock, member) = (forced.lock.clone(), forced.member.clone());
            (lock, member, forced.token.0, forced.when.clone(), forced.reason.clone())
        })
        .collect();
    Ok(overview)
}

/// Ends the grant of `lock` to `unit` by an operator's word. Runs on the leader, also while its
/// hooks fail. Returns the tokens that are void.
///
/// # Errors
///
/// `Unavailable` if this unit is not the leader or a hook tool fails, `Invalid` without a reason,
/// `NotHeld` if there is no such grant.
pub fn release_lock(
    hook: &mut Hook,
    unit: &Member,
    lock: &LockName,
    reason: &str,
    now: &str,
) -> Result<Vec<u64>, Error> {
    if reason.trim().is_empty() {
        return Err(Error::invalid("a forced release needs a reason: it is kept for those who ask later"));
    }
    // Asked before the ledger is read, so that it may be written.
    if !hook.is_leader()? {
        return Err(Error::unavailable(
            "only the leader can end a grant: run the action on APPLICATION/leader",
        ));
    }
    hook.open(now)?;
    let void = hook.ledger.force_release(unit, lock, reason, now)?;
    hook.lead()?;
    hook.publish()?;
    Ok(void.iter().map(|grant| grant.token.0).collect())
}

fn read_ledger(
    context: &Context,
    keys: &Keys,
    name: &str,
    tools: &mut dyn Tools,
) -> Result<(String, Ledger), Error> {
    let relations: Option<Vec<String>> = query(tools, &["relation-ids", "--format=json", name])?;
    let relation = relations.unwrap_or_default().into_iter().min().ok_or_else(|| {
        Error::invalid(format!("there is no peer relation {name:?}: name the one that the coordinator uses"))
    })?;
    let bag = databag::read_application(tools, &relation, context.application())?;
    let ledger = bag.get(&keys.current).map(|raw| Ledger::decode(raw)).transpose()?;
    Ok((relation, ledger.unwrap_or_default()))
}
