//! Visits: how a member takes part in a scope that is not always there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::attendant::carry;
use crate::client::{Client, wall_clock};
use crate::error::{Error, ErrorKind};
use crate::ledger::{Ledger, Record, Request as Asked};
use crate::model::{LockName, Member, Outcome, Token};
use crate::recipe::Refusal;
use crate::rules::Rules;
use crate::scope::{Book, Change, Entry, Paths, Presence, Report};
use crate::session::State;
use crate::store::Store;

/// In which scope, as whom, and by which rules.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The scope.
    pub scope: String,
    /// The member: one that lasts, whether or not anybody of it is there.
    pub member: Member,
    /// Who may be granted next.
    pub rules: Rules,
    /// The application of the member and the epoch in which it coordinates in this scope, if it is
    /// one that may move.
    pub application: Option<(String, u64)>,
}

/// One visit of a member that lasts: a hook, say. It reads the scope once, takes up what was granted
/// since the last visit, asks, and publishes at its end what it has released.
///
/// What is held belongs to the member and outlives the visit: one that is cut off, or fails, leaves it to
/// the next. It is acted on only while the session of the visit lives.
///
/// Semantics: charmhelpers' coordinator, whose unit has its lock for the length of one hook.
pub struct Visit {
    client: Client,
    visitor: Visitor,
    paths: Paths,
    store: Arc<dyn Store>,
    /// The name of this visit among those of its member that are there.
    unique: String,
    book: Box<Book>,
    /// What this visit will have said at its end.
    record: Record,
    /// What it has said by now.
    published: Record,
    held: BTreeMap<LockName, Token>,
    /// The ledger with what a policy has given and nobody has written yet.
    draft: Ledger,
    given: Vec<(LockName, Member)>,
    ended: Vec<Entry>,
    /// Whether what is granted from here on is for the next visit.
    closed: bool,
}

/// What a change has published, and taken up, if it was to.
type Published = (Record, Option<BTreeMap<LockName, Token>>);

impl Visit {
    /// Begins a visit. `own` is the member's record as an earlier visit wanted it that could not publish
    /// it; of that and the record in the store, the newer one counts.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if the member's application has moved on from this scope, or
    /// the others follow other rules; [`Invalid`](ErrorKind::Invalid) for a name that is none;
    /// [`Unavailable`](ErrorKind::Unavailable) if the store does not answer.
    pub async fn begin(client: &Client, visitor: Visitor, own: Option<Record>) -> Result<Self, Error> {
        let paths = Paths::new(&visitor.scope)?;
        let store = client.store().await?;
        let unique = unique();
        let (entering, rules) = (unique.clone(), visitor.rules);
        let decide = move |book: &mut Book| {
            book.register();
            let mut record = match (book.record(), &own) {
                (Some(stored), Some(own)) if own.is_after(stored) => own.clone(),
                (Some(stored), _) => stored.clone(),
                (None, own) => {
                    let mut record = own.clone().unwrap_or_default();
                    record.skip_numbers(book.numbers_from());
                    record
                }
            };
            renew_void(&mut record, book);
            if Some(&record) != book.record() || !record.requests().is_empty() {
                return publish(book, &record, &rules, Some(&entering));
            }
            Ok((record, None))
        };
        let ((record, held), book) = carried(client, &store, &paths, &visitor, decide).await?;
        let ended = book.ended().to_vec();
        let draft = book.ledger().clone();
        let (client, published) = (client.clone(), record.clone());
        Ok(Self {
            client,
            visitor,
            paths,
            store,
            unique,
            book,
            record,
            published,
            held: held.unwrap_or_default(),
            draft,
            given: Vec::new(),
            ended,
            closed: false,
        })
    }

    /// Asks for `lock`, at once and for good; whether it is held now. A request that was made before is
    /// the same one, and keeps its place.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn acquire(&mut self, lock: &LockName, now: &str) -> Result<bool, Error> {
        self.come_back().await?;
        if self.held.contains_key(lock) && self.record.requests().contains_key(lock) {
            return Ok(true);
        }
        self.record.request(lock, now);
        // Nothing else of what this visit will say at its end: it may fail before that.
        let mut asked = self.published.clone();
        asked.ask_as(&self.record, lock);
        self.publish_as(asked).await?;
        Ok(self.held.contains_key(lock))
    }

    /// Keeps a held lock when the visit ends.
    pub fn keep(&mut self, lock: &LockName) {
        self.record.keep(lock);
    }

    /// Releases a held lock, or withdraws a request; whether there was one. Others learn it when the
    /// visit [ends](Self::end).
    pub fn release(&mut self, lock: &LockName, outcome: Outcome) -> bool {
        let token = self.held.remove(lock);
        self.record.release(lock, token, outcome)
    }

    /// Takes up nothing more: what is granted from here on is for the next visit, for which the member is
    /// called.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Publishes what was released, and what is kept, and takes up nothing more.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn end(&mut self) -> Result<(), Error> {
        self.close();
        self.settle().await?;
        self.come_back().await?;
        if self.record != self.published {
            self.publish_as(self.record.clone()).await?;
        }
        Ok(())
    }

    /// The member leaves, for good: what it asked for and held ends.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn leave(&mut self) -> Result<(), Error> {
        self.come_back().await?;
        let left = |book: &mut Book| {
            book.leave();
            Ok(())
        };
        let ((), book) = carried(&self.client, &self.store, &self.paths, &self.visitor, left).await?;
        self.held.clear();
        self.take(book);
        Ok(())
    }

    /// Grants `lock` to `member`, if that waits for it: the word of a policy, which counts once it is
    /// [settled](Self::settle). Whether it waits.
    pub fn give(&mut self, lock: &LockName, member: &Member) -> bool {
        let given = self.draft.give(lock, member).is_some();
        if given {
            self.given.push((lock.clone(), member.clone()));
        }
        given
    }

    /// Writes what a policy has decided, if the ledger is still the one that it has seen. `false` if it
    /// is not: nothing was written, and the policy is to be asked again about what is there now.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn settle(&mut self) -> Result<bool, Error> {
        let undecided = self.visitor.rules == Rules::Custom && self.book.ledger().undecided > 0;
        if self.given.is_empty() && !undecided {
            return Ok(true);
        }
        self.come_back().await?;
        let (given, seen) = (std::mem::take(&mut self.given), self.book.ledger().clone());
        let (record, entering) = (self.published.clone(), self.entering());
        let decide = move |book: &mut Book| {
            if !book.ledger().is_as(&seen) {
                return Ok(None);
            }
            for (lock, member) in &given {
                book.give(lock, member);
            }
            book.decided();
            Ok(Some(entering.as_deref().map(|name| take_up(book, &record, name))))
        };
        let (settled, book) = carried(&self.client, &self.store, &self.paths, &self.visitor, decide).await?;
        self.take(book);
        let Some(held) = settled else { return Ok(false) };
        self.hold(held);
        Ok(true)
    }

    /// What is held now, with the tokens.
    pub fn held(&self) -> &BTreeMap<LockName, Token> {
        &self.held
    }

    /// This member's record, as it is to be when the visit ends.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The ledger as this visit saw it last, with what was [given](Self::give) since.
    pub fn ledger(&self) -> &Ledger {
        &self.draft
    }

    /// Who is there.
    pub fn presence(&self) -> &Presence {
        self.book.presence()
    }

    /// The grants that this visit has ended.
    pub fn take_ended(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.ended)
    }

    /// Fails once what is held must not be acted on any more.
    ///
    /// # Errors
    ///
    /// [`LockLost`](ErrorKind::LockLost), saying why.
    pub fn check(&self) -> Result<(), Error> {
        self.store.session().check()
    }

    async fn publish_as(&mut self, record: Record) -> Result<(), Error> {
        let (rules, entering, asked) = (self.visitor.rules, self.entering(), record.clone());
        let decide = move |book: &mut Book| publish(book, &asked, &rules, entering.as_deref());
        let ((published, held), book) =
            carried(&self.client, &self.store, &self.paths, &self.visitor, decide).await?;
        self.published = published;
        self.take(book);
        self.hold(held);
        Ok(())
    }

    /// The name to take up grants under, if that is done still.
    fn entering(&self) -> Option<String> {
        (!self.closed).then(|| self.unique.clone())
    }

    /// Holds what was taken up, but for what this visit has released already.
    fn hold(&mut self, taken: Option<BTreeMap<LockName, Token>>) {
        let Some(mut taken) = taken else { return };
        taken.retain(|lock, _| self.record.requests().contains_key(lock));
        self.held = taken;
    }

    fn take(&mut self, book: Box<Book>) {
        self.ended.extend_from_slice(book.ended());
        self.draft = book.ledger().clone();
        self.given.clear();
        self.book = book;
    }

    /// Goes on in a new session where the last one was lost. What was held in that is not any more,
    /// whatever the ledger says: nobody vouched for it in between.
    async fn come_back(&mut self) -> Result<(), Error> {
        if self.store.session().state() != State::Lost {
            return Ok(());
        }
        self.store = self.client.store().await?;
        self.unique = unique();
        for (lock, token) in std::mem::take(&mut self.held) {
            self.record.release(&lock, Some(token), Outcome::Failed);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Visit")
            .field("visitor", &self.visitor)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

fn unique() -> String {
    format!("visit-{}", uuid::Uuid::new_v4().simple())
}

/// A request whose grant an operator has ended is void; what its member still wants, it asks anew.
fn renew_void(record: &mut Record, book: &Book) {
    let is_void = |(lock, request): &(&LockName, &Asked)| book.ledger().is_void(book.me(), lock, request);
    let void: Vec<LockName> =
        record.requests().iter().filter(is_void).map(|(lock, _)| lock.clone()).collect();
    for lock in void {
        record.release(&lock, None, Outcome::Failed);
        record.request(&lock, &wall_clock());
    }
}

/// Publishes, and takes up what was granted under this name, if there is one.
fn publish(
    book: &mut Book,
    record: &Record,
    rules: &Rules,
    entering: Option<&str>,
) -> Result<Published, Error> {
    book.publish(record, rules)?;
    Ok((record.clone(), entering.map(|name| take_up(book, record, name))))
}

/// Takes up what was granted, with somebody of the member there.
fn take_up(book: &mut Book, record: &Record, entering: &str) -> BTreeMap<LockName, Token> {
    let token = |(lock, request): (&LockName, &Asked)| Some((lock.clone(), book.take_up(lock, request)?));
    let held: BTreeMap<_, _> = record.requests().iter().filter_map(token).collect();
    if !held.is_empty() {
        book.enter(entering);
    }
    held
}

/// Carries out what a visit does to the book, in its session.
async fn carried<T: Send + 'static>(
    client: &Client,
    store: &Arc<dyn Store>,
    paths: &Paths,
    visitor: &Visitor,
    mut decide: impl FnMut(&mut Book) -> Result<T, Error> + Send + 'static,
) -> Result<(T, Box<Book>), Error> {
    let (application, epoch) = visitor.application.clone().unzip();
    let member = visitor.member.clone();
    let change = Change::new(paths.clone(), member, application, wall_clock(), move |book| {
        if let Some(epoch) = epoch {
            book.move_in(epoch)?;
        }
        decide(book)
    });
    match carry(store, change).await {
        Some(Report::Done(done, book)) => Ok((done, book)),
        Some(Report::Refused(error)) => {
            let scope = &visitor.scope;
            Err(Error::new(error.kind(), format!("scope {scope:?} on {}: {error}", client.address())))
        }
        Some(Report::Failed(refusal)) => Err(client.refused("scope", paths.root(), &refusal)),
        Some(Report::Withdrawn) => Err(client.refused("scope", paths.root(), &Refusal::ConnectionLost)),
        None => Err(Error::new(
            ErrorKind::Unavailable,
            format!("scope {:?} on {}: the session was lost; try again", visitor.scope, client.address()),
        )),
    }
}
