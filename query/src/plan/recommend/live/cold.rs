//! Items of whose neighbours nothing is ready yet.

use super::models::Neighbourhood;

/// So many kinds of questions are remembered.
const KINDS_MAX: usize = 16;

/// The items for each kind of question that came, the next one to look at at the end.
#[derive(Debug, Default)]
pub(super) struct Cold(Vec<(Neighbourhood, Vec<u32>)>);

impl Cold {
    /// Those for a kind of question; `all` of them where it is new.
    pub(super) fn of(&mut self, neighbourhood: Neighbourhood, all: impl FnOnce() -> Vec<u32>) -> &mut Vec<u32> {
        let known = self.0.iter().position(|(kind, _)| *kind == neighbourhood);
        let place = known.unwrap_or_else(|| {
            if self.0.len() == KINDS_MAX {
                self.0.remove(0);
            }
            self.0.push((neighbourhood, all()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// Nothing is ready any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
