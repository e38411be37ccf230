//! What a change reads of a scope, alters, and writes back.

mod moving;
mod writing;

use std::collections::BTreeSet;

use super::notice::{Notice, notices};
use super::{Control, Entry, Presence, Residence, Why};
use crate::error::{Error, ErrorKind};
use crate::ledger::{Ledger, Record, Request, View};
use crate::model::{LockName, Member, Outcome, Token};
use crate::rules::Rules;

/// The nodes of a scope as one member read them, and as it wants them.
///
/// All that is decided here is decided again, on what is there then, if somebody else has written in
/// between.
#[derive(Clone, Debug)]
pub struct Book {
    me: Member,
    /// The application of this member, if it may move.
    application: Option<String>,
    now: String,
    control: Control,
    ledger: Ledger,
    record: Option<Record>,
    presence: Presence,
    residence: Option<Residence>,
    /// What has ended by this change.
    ended: Vec<Entry>,
    entering: Option<String>,
    registering: bool,
    leaving: bool,
    /// Members that are none any more, and whose nodes go.
    dismissed: BTreeSet<Member>,
    read: Read,
}

/// What was there, with the versions that it must still have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Read {
    pub(super) control: Control,
    pub(super) control_version: Option<i32>,
    pub(super) ledger: Ledger,
    pub(super) ledger_version: Option<i32>,
    /// The store's number of the ledger's last change, or of the scope's making.
    pub(super) modified: i64,
    pub(super) record: Option<Record>,
    pub(super) record_version: Option<i32>,
    pub(super) has_notice: bool,
    pub(super) presence: Presence,
    pub(super) residence: Option<Residence>,
    pub(super) residence_version: Option<i32>,
}

impl Book {
    /// What `me` read, to be altered at `now`, its wall clock.
    pub(super) fn new(me: Member, application: Option<String>, now: String, read: Read) -> Self {
        let mut book = Self {
            me,
            application,
            now,
            control: read.control.clone(),
            ledger: read.ledger.clone(),
            record: read.record.clone(),
            presence: read.presence.clone(),
            residence: read.residence.clone(),
            ended: Vec::new(),
            entering: None,
            registering: false,
            leaving: false,
            dismissed: BTreeSet::new(),
            read,
        };
        // Tokens go on where the store's own count of changes is: also after the scope was deleted.
        let modified = u64::try_from(book.read.modified).unwrap_or(0);
        book.ledger.skip_tokens(Token(modified));
        book
    }

    /// This member.
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// The ledger, as it is to be.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Who is there.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The rules and what else all members agree on.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// This member's record, as it is in the store.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// A number above all that this member ever used here, as far as anybody remembers: where the
    /// record of its next process begins.
    pub fn numbers_from(&self) -> u64 {
        let published = self.record.as_ref().map_or(0, Record::sequence);
        published.max(self.ledger.numbers_from(&self.me))
    }

    /// What this member is to be told.
    pub fn notice(&self) -> Notice {
        notices(&self.ledger).remove(&self.me).unwrap_or_default()
    }

    /// Somebody of this member is there from now on, in the session called `unique`.
    pub fn enter(&mut self, unique: &str) {
        if !self.presence.sessions(&self.me).any(|session| session == unique) {
            self.entering = Some(unique.to_owned());
            self.presence.enter(&self.me, unique);
        }
    }

    /// This member stays one while nobody of it is there for a while.
    pub fn register(&mut self) {
        if !self.presence.is_lasting(&self.me) {
            self.registering = true;
            self.presence.register(&self.me);
        }
    }

    /// This member goes, for good, and with it all that it asked for and held.
    pub fn leave(&mut self) {
        self.leaving = true;
        let me = self.me.clone();
        self.end_all(&me);
        self.presence.leave(&me);
        self.record = None;
        self.settle();
    }

    /// Publishes this member's `record` and gives what can be given, by `rules`.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if the others follow other rules, or if another
    /// process publishes under the name of this member.
    pub fn publish(&mut self, record: &Record, rules: &Rules) -> Result<(), Error> {
        let asks = record.requests().iter().any(|(lock, request)| {
            !self.ledger.is_void(&self.me, lock, request) && !self.ledger.has_request(&self.me, lock, request)
        });
        if asks || self.control.rules.is_empty() {
            self.control.agree(rules, &self.ledger)?;
        }
        if self.record.as_ref().is_some_and(|stored| stored.is_after(record)) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("another process takes part as {}: give each member a name of its own", self.me),
            ));
        }
        for ended in self.ledger.fold(&self.me, &View::Current(record.clone()), true) {
            let entry = Entry::new(ended.grant, ended.outcome, Why::Released, &self.now);
            self.ended.push(entry);
        }
        // A member that does not last leaves nothing in the store while it asks for nothing.
        let idle = record.requests().is_empty() && !self.presence.is_lasting(&self.me);
        self.record = (!idle).then(|| record.clone());
        self.settle();
        Ok(())
    }

    /// The token under which this member may act on its `request` of `lock`, which it takes up by that.
    ///
    /// Somebody of it must be there: [`enter`](Self::enter) in the same change, or before.
    pub fn take_up(&mut self, lock: &LockName, request: &Request) -> Option<Token> {
        self.ledger.take_up(&self.me, lock, request, &self.now)
    }

    /// Ends all that members hold and wait for who are gone; those who are there after all stay. One
    /// that lasts is a member again when it comes back.
    pub fn remove(&mut self, gone: &BTreeSet<Member>) {
        for member in gone {
            if !self.presence.is_present(member) && self.ledger.concerns(member) {
                self.end_all(member);
                self.dismiss(member.clone());
            }
        }
        self.settle();
    }

    /// Grants `lock` to `member`, if that waits for it: the word of a policy outside.
    pub fn give(&mut self, lock: &LockName, member: &Member) -> Option<Token> {
        let before = self.ledger.last_token();
        let token = self.ledger.give(lock, member);
        self.ledger.date_grants_after(before, &self.now);
        token
    }

    /// The grants that this change ends.
    pub fn ended(&self) -> &[Entry] {
        &self.ended
    }

    /// The policy was asked about all that wait.
    pub fn decided(&mut self) {
        self.ledger.undecided = 0;
    }

    /// Ends the grant of `lock` to `member` by an operator's word.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](ErrorKind::NotHeld) if there is no such grant.
    pub fn force_release(&mut self, member: &Member, lock: &LockName, reason: &str) -> Result<(), Error> {
        for grant in self.ledger.force_release(member, lock, reason, &self.now)? {
            let entry = Entry::new(grant, Outcome::Failed, Why::Forced, &self.now).because(reason);
            self.ended.push(entry);
        }
        self.settle();
        Ok(())
    }

    fn dismiss(&mut self, member: Member) {
        self.presence.unregister(&member);
        self.dismissed.insert(member);
    }

    fn end_all(&mut self, member: &Member) {
        for ended in self.ledger.remove(member) {
            self.ended.push(Entry::new(ended.grant, ended.outcome, Why::Gone, &self.now));
        }
    }

    /// Gives what can be given, by the rules of the scope.
    fn settle(&mut self) {
        // Rules of a later version: its members settle.
        let Ok(Some(rules)) = self.control.rules() else { return };
        let before = self.ledger.last_token();
        self.ledger.settle(&rules, self.presence.len());
        self.ledger.date_grants_after(before, &self.now);
        if self.ledger.queue().is_empty() || rules != Rules::Custom {
            self.ledger.undecided = 0;
        } else if self.ledger.queue() != self.read.ledger.queue()
            || self.ledger.grants() != self.read.ledger.grants()
        {
            self.ledger.undecided = self.read.ledger.undecided.max(self.ledger.last_token().0) + 1;
        }
    }
}
