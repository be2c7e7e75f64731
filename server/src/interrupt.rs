//! Ctrl-C: ends what runs, in good order, and not the process.

use crate::failure::{Failure, Outcome};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use trodden_query::CancelToken;

/// What a second Ctrl-C does while what the first one ended is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    /// It ends the process at once: what was stored stays stored, and the next opening removes what is half.
    Ends,
    /// Nothing: a person in the shell does not want to lose it.
    Waits,
}

/// Exit code of a process that Ctrl-C ended, as shells have it.
pub const EXIT_CODE: u8 = 130;

/// Watches for Ctrl-C for the rest of the process.
pub struct Interrupt {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Ctrl-C came, and nothing has ended for it yet.
    pulled: bool,
    running: Option<(CancelToken, Arc<Notify>)>,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic elsewhere leaves two plain fields, which are right in any case.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Interrupt {
    /// From now on Ctrl-C ends what runs and nothing else.
    ///
    /// # Errors
    /// The operating system gives no thread or no signal.
    pub fn watch(second: Second) -> Outcome<Self> {
        let failed = |error: std::io::Error| Failure::io("watching for Ctrl-C", &error);
        let state = Arc::new(Mutex::new(State::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let mut signals = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt()).map_err(failed)?
        };
        let seen = Arc::clone(&state);
        let watch = move || {
            runtime.block_on(async {
                while signals.recv().await.is_some() {
                    if pull(&seen) && second == Second::Ends {
                        std::process::exit(EXIT_CODE.into());
                    }
                }
            });
        };
        std::thread::Builder::new().name("trodden-interrupt".into()).spawn(watch).map_err(failed)?;
        Ok(Self { state })
    }

    /// Something begins that Ctrl-C ends. It is ended already when Ctrl-C came since the last one.
    pub fn begin(&self) -> Running {
        let (token, notify) = (CancelToken::new(), Arc::new(Notify::new()));
        let mut state = locked(&self.state);
        if state.pulled {
            token.cancel();
            notify.notify_one();
        }
        state.running = Some((token.clone(), Arc::clone(&notify)));
        Running { state: Arc::clone(&self.state), token, notify }
    }

    /// A person is asked anew: what came before is no wish about what comes now.
    pub fn forget(&self) {
        locked(&self.state).pulled = false;
    }
}

/// Ends what runs. True when that was asked before.
fn pull(state: &Mutex<State>) -> bool {
    let mut state = locked(state);
    let again = std::mem::replace(&mut state.pulled, true);
    if let Some((token, notify)) = &state.running {
        token.cancel();
        notify.notify_one();
    }
    again
}

/// What Ctrl-C ends.
pub struct Running {
    state: Arc<Mutex<State>>,
    token: CancelToken,
    notify: Arc<Notify>,
}

impl Running {
    /// Pulled by Ctrl-C.
    pub fn token(&self) -> CancelToken {
        self.token.clone()
    }

    /// Waits for Ctrl-C.
    pub async fn interrupted(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        locked(&self.state).running = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_ends_what_runs_and_what_begins_before_a_person_is_asked() {
        let interrupt = Interrupt { state: Arc::new(Mutex::new(State::default())) };
        let first = interrupt.begin();
        assert!(!first.token().is_cancelled());
        assert!(!pull(&interrupt.state));
        assert!(pull(&interrupt.state));
        assert!(first.token().is_cancelled());
        drop(first);
        assert!(interrupt.begin().token().is_cancelled());
        interrupt.forget();
        assert!(!interrupt.begin().token().is_cancelled());
    }
}
