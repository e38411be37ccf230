//! The tokio runtime of this process, and the two ways in: blocking, and from an event loop.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{self, ContextExt, JoinError};
use tokio::runtime::Runtime;

use crate::error::Error;
use crate::session::Moment;

/// How often a thread that waits looks for signals: Ctrl-C is answered within twice this.
const SIGNALS: Duration = Duration::from_millis(40);

/// The runtime of this process, made when it is first needed.
///
/// It is never shut down: threads of the interpreter may wait on it until the very end. A forked
/// child has none of its parent's threads, and gets a runtime of its own.
pub(super) fn runtime() -> PyResult<&'static Runtime> {
    static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);
    let mut slot = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match *slot {
        Some((process, runtime)) if process == std::process::id() => Ok(runtime),
        _ => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("coordinator")
                .enable_all()
                .build()?;
            let runtime: &'static Runtime = Box::leak(Box::new(runtime));
            *slot = Some((std::process::id(), runtime));
            Ok(runtime)
        }
    }
}

/// Waits for a future without the GIL, and lets signal handlers run: one that raises ends the wait
/// and drops the future, which withdraws what it had begun. Handlers run in the main thread: no other
/// is woken to look.
pub(super) fn wait<T, F>(py: Python<'_>, future: F) -> PyResult<T>
where
    T: Send,
    F: Future<Output = Result<T, Error>> + Send,
{
    let runtime = runtime()?;
    let look_for_signals = is_main_thread();
    py.detach(|| {
        let _entered = runtime.enter();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        let mut signals = Moment::now().after(SIGNALS);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                stay_out_at_the_end();
                return Ok(output?);
            }
            if !look_for_signals {
                thread::park();
                continue;
            }
            // Not a timer of the runtime: it would wake one of its threads for each call.
            thread::park_timeout(signals.since(Moment::now()));
            stay_out_at_the_end();
            if signals <= Moment::now() {
                // None while the interpreter ends: nobody is left to be interrupted.
                #[allow(clippy::redundant_closure_for_method_calls)] // the method has one lifetime only
                Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(()))?;
                signals = Moment::now().after(SIGNALS);
            }
        }
    })
}

/// Whether this is the thread of the process that signal handlers of Python run in: in a forked child it is
/// the one that forked.
fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// The thread that ends the interpreter, once that has begun.
static LAST: OnceLock<ThreadId> = OnceLock::new();

/// Says that this thread ends the interpreter.
pub(super) fn interpreter_ends() {
    LAST.get_or_init(|| thread::current().id());
}

/// Never returns in another thread than the one that ends the interpreter: a daemon thread that came
/// back into it would be unwound by force, through frames that cannot be, and abort the process.
fn stay_out_at_the_end() {
    while LAST.get().is_some_and(|last| *last != thread::current().id()) {
        thread::park();
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// An `asyncio` future of the running event loop. Cancelling it drops the Rust future.
pub(super) fn awaitable<'py, T, F>(py: Python<'py>, future: F) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'any> IntoPyObject<'any> + Send + 'static,
    F: Future<Output = PyResult<T>> + Send + 'static,
{
    runtime()?;
    generic::future_into_py::<ThisProcess, _, T>(py, future)
}

/// The runtime of the process that asks: the library's own would be the parent's in a forked child.
struct ThisProcess;

tokio::task_local! {
    static LOCALS: TaskLocals;
}

/// A task that panicked, or that was never run because there was no runtime to run it.
struct Failed(tokio::task::JoinError);

impl JoinError for Failed {
    fn is_panic(&self) -> bool {
        self.0.is_panic()
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send + 'static> {
        self.0.into_panic()
    }
}

/// A handle of tokio whose error the library understands.
struct Joining(tokio::task::JoinHandle<()>);

impl Future for Joining {
    type Output = Result<(), Failed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(Failed)
    }
}

impl generic::Runtime for ThisProcess {
    type JoinError = Failed;
    type JoinHandle = Joining;

    fn spawn<F>(future: F) -> Self::JoinHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Joining(runtime().expect("made before the future").spawn(future))
    }

    fn spawn_blocking<F>(function: F) -> Self::JoinHandle
    where
        F: FnOnce() + Send + 'static,
    {
        Joining(runtime().expect("made before the future").spawn_blocking(function))
    }
}

impl ContextExt for ThisProcess {
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(locals, future))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS.try_with(Clone::clone).ok()
    }
}
