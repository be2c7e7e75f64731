//! What the system's service manager is told: `Type=notify` of systemd. Without one, nobody.

use sd_notify::NotifyState;

/// The doors are open.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The doors close.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
